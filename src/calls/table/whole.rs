//! Looks at an Asterisk as a whole: what is there, what has gone meanwhile, and words that were kept back until after it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::leg::By;
use super::{Change, Kind, Leg, Over, Place, Table};
use crate::ari::Snapshot;
use crate::ari::event::{Event, Told};

/// What a look at an Asterisk leaves open.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// When it was, by Asterisk's clock, microseconds since 1970 UTC, as long as words that are older may come: Asterisk had
    /// kept them back. `None`: they have come. Its clock may step back then as it likes.
    at_us: Option<i64>,
    /// Ends that the look found, by channel, until such a word says how they came.
    ends: HashMap<String, Over>,
}

impl Table {
    /// Forgets which of an Asterisk's channels are ours: the connection is lost. They live on, as far as we know.
    pub fn lost(&mut self, asterisk: &str) {
        self.legs.values_mut().for_each(|leg| leg.leaves(asterisk));
    }

    /// Takes all that an Asterisk has now. Channels that only it had and that are not there any more have gone meanwhile.
    pub fn whole(&mut self, asterisk: &str, snapshot: &Snapshot) -> Vec<Change> {
        let (mut changes, at_us) = (Vec::new(), snapshot.at_us);
        let there: HashSet<&str> = snapshot.channels.iter().map(|channel| channel.id.as_str()).collect();
        self.only(asterisk, &there, at_us, &mut changes);
        let by = By { asterisk, call: None };
        for channel in &snapshot.channels {
            self.meet(by, channel, at_us, &mut changes);
            let Some(leg) = self.legs.get_mut(&channel.id) else { continue };
            if snapshot.channel_ids.contains(&channel.id) {
                leg.comes(asterisk);
            } else {
                leg.leaves(asterisk);
            }
            (leg.holds_us, leg.may_hold) = (None, true);
        }
        let bridges: HashSet<&str> = snapshot.bridges.iter().map(|bridge| bridge.id.as_str()).collect();
        let in_bridges = self.legs.values().filter(|leg| leg.is_seen_by(asterisk));
        let in_bridges: BTreeSet<String> = in_bridges.filter_map(|leg| leg.bridge.clone()).collect();
        for gone in in_bridges.iter().filter(|id| !bridges.contains(id.as_str())) {
            self.set_bridge(gone, BTreeSet::new(), at_us, &mut changes);
        }
        for bridge in &snapshot.bridges {
            self.bridge(bridge, at_us, &mut changes);
        }
        let is_first = !self.looks.contains_key(asterisk);
        if is_first {
            self.were_answered(asterisk);
        }
        let look = self.looks.entry(asterisk.to_owned()).or_default();
        look.at_us = Some(at_us);
        for change in &mut changes {
            match change {
                // The process before this one has told it, or it is in the gap.
                Change::Ringing(fact) | Change::Answered(fact) if is_first => fact.stands = true,
                Change::Over(over) => drop(look.ends.insert(over.uniqueid.clone(), over.clone())),
                _ => {}
            }
        }
        changes
    }

    /// An Asterisk's calls that are found in the middle: who is in our hands, or has another phone beside, has talked to
    /// somebody.
    fn were_answered(&mut self, asterisk: &str) {
        for group in self.groups.values_mut() {
            let legs = || group.legs.iter().filter_map(|id| self.legs.get(id));
            if !legs().any(|leg| leg.is_seen_by(asterisk)) {
                continue;
            }
            let is_up = |leg: &&Leg| leg.kind == Kind::Phone && leg.is_up();
            let peer = legs().find(|leg| is_up(leg) && leg.call.is_none());
            let (peer, is_taken) =
                (peer.map(|leg| leg.name.clone()), legs().any(|leg| leg.place != Place::Dialplan));
            group.answered |= is_taken || peer.is_some();
            if let Some(peer) = peer.filter(|_| group.peer.is_empty()) {
                group.peer = peer;
            }
        }
    }

    /// An Asterisk will not come back: its channels have gone.
    pub fn gone(&mut self, asterisk: &str, at_us: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        self.only(asterisk, &HashSet::new(), at_us, &mut changes);
        changes
    }

    /// The connection for a single call is gone for good. What it alone told of may live on, where nobody hears of it.
    pub fn left(&mut self, application: &str, at_us: i64) -> Vec<Change> {
        let mut changes = Vec::new();
        let alone = self.legs.values().filter(|leg| leg.only_by.as_deref() == Some(application));
        let alone: Vec<String> = alone.map(|leg| leg.id.clone()).collect();
        alone.iter().for_each(|id| self.forget(id, at_us, &mut changes));
        changes
    }

    /// Takes a leg out of whose end nothing will be heard; the dialplan tells of that of its call.
    pub(super) fn forget(&mut self, id: &str, at_us: i64, changes: &mut Vec<Change>) {
        self.remove(id, None, at_us, changes);
        changes.pop_if(|last| matches!(last, Change::Over(over) if over.uniqueid == id));
    }

    /// An Asterisk has these channels and no others.
    fn only(&mut self, asterisk: &str, there: &HashSet<&str>, at_us: i64, changes: &mut Vec<Change>) {
        let mut gone = Vec::new();
        for leg in self.legs.values_mut() {
            if leg.is_seen_by(asterisk) && !there.contains(leg.id.as_str()) {
                leg.seen_by.retain(|name| name != asterisk);
                if leg.seen_by.is_empty() {
                    gone.push(leg.id.clone());
                    // All at once: nobody is told to talk on a channel that is gone too.
                    if let Some(phone) = leg.endpoint.as_ref().and_then(|phone| self.phones.get_mut(phone)) {
                        phone.remove(&leg.id);
                    }
                }
            }
        }
        gone.iter().for_each(|id| self.remove(id, None, at_us, changes));
    }

    /// Whether a word is older than the last look at its Asterisk, which has all that came of it.
    pub(super) fn was_kept_back(&mut self, by: By<'_>, at_us: i64) -> bool {
        let Some(look) = self.looks.get_mut(by.asterisk) else { return false };
        let Some(whole_us) = look.at_us else { return false };
        if at_us < whole_us {
            return true;
        }
        // Kept back are the first words of a connection; that for a single call has an order of its own.
        if by.call.is_none() {
            *look = Look::default();
        }
        false
    }

    /// Takes a word that was kept back: it tells what happened, and how things are the look has said.
    pub(super) fn late(&mut self, asterisk: &str, told: &Told, changes: &mut Vec<Change>) {
        match &told.event {
            Event::ChannelDestroyed { cause, channel, .. } => {
                let end = self.looks.get_mut(asterisk).and_then(|look| look.ends.remove(&channel.id));
                if let Some(over) = end {
                    changes.push(Change::Over(Over { cause: Some(*cause), at_us: told.at_us, ..over }));
                }
                self.remove(&channel.id, Some(*cause), told.at_us, changes);
            }
            Event::Dial { caller, peer, .. } => self.dials(caller.as_ref(), peer),
            event => self.happens(event, told.at_us, changes),
        }
    }
}
