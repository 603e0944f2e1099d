//! Every live channel and the calls they make: a fold of what Asterisks tell. Pure: no clock, no I/O.
//!
//! Channels that Asterisk gave one linkedid are one call, from its first leg to its last: over transfers, queues,
//! conferences and parking. Invariants: a leg is in the group of its linkedid and in no other; a group without legs does
//! not exist; so memory is that of what is alive.

mod leg;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub use leg::{Kind, Leg, Mode, Place, Slot, endpoint, variables};
pub use view::{Call, State};

use crate::ari::Snapshot;
use crate::ari::event::{Bridge, Channel, Event, Told};
use crate::base::ids::{Id, Name, TenantId};

/// The dialplan context of errands that we have Asterisk run; their channels are no part of any call.
pub const ERRANDS: &str = "hookswitch-act";

/// What a word from Asterisk changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A phone rings that was called.
    Ringing(Fact),
    /// Somebody talks to the caller for the first time.
    Answered(Fact),
    /// An endpoint talks: told for each that does, whenever it begins.
    Talks(Fact),
    /// An endpoint's last channel is gone.
    Idle(Fact),
    /// A phone holds the other side.
    Held(Fact),
    /// It takes it back.
    Unheld(Fact),
    /// A call was handed on. `fact`: by whom; `to`: the extension, or the other channel.
    Transferred {
        /// By whom.
        fact: Fact,
        /// To whom.
        to: String,
        /// Whether who is called was asked first.
        attended: bool,
    },
    /// A channel is gone from a call of which other channels are ours: who talked to it has nobody now. The linkedid.
    Bereft(String),
    /// The channel of a call is gone.
    Over(Over),
}

/// What a change says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The call; `None`: not one of ours.
    pub call: Option<Id>,
    /// Whose.
    pub tenant: Option<TenantId>,
    /// The endpoint it is about.
    pub endpoint: Option<(TenantId, Name)>,
    /// Its channel.
    pub channel: String,
    /// Who is at the other end: number and name.
    pub other: (String, String),
    /// The queue, as Asterisk names it, where the call waits or waited.
    pub queue: String,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
}

/// The end of a call's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The call.
    pub call: Id,
    /// Asterisk's id of the channel.
    pub uniqueid: String,
    /// Its name.
    pub channel: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Q.850 cause; `None`: nobody saw it go.
    pub cause: Option<i64>,
    /// When it began, microseconds since 1970 UTC.
    pub created_us: i64,
    /// When it was answered, as far as we saw it.
    pub answered_us: Option<i64>,
    /// The channel that talked with it last.
    pub peer: String,
}

/// What is known of a call besides its legs.
#[derive(Clone, Debug, Default)]
struct Group {
    legs: BTreeSet<String>,
    /// Whether somebody has talked to the caller.
    answered: bool,
    /// The queue it waits or waited in, as Asterisk names it.
    queue: String,
    /// The channel that talked to the caller last.
    peer: String,
}

/// All live channels of all Asterisks.
#[derive(Debug, Default)]
pub struct Table {
    legs: HashMap<String, Leg>,
    groups: HashMap<String, Group>,
    /// The legs in each bridge.
    bridges: HashMap<String, BTreeSet<String>>,
    /// The leg whose dialplan runs a call.
    calls: BTreeMap<Id, String>,
    /// How many legs each endpoint has.
    phones: HashMap<(TenantId, Name), u32>,
    /// When each Asterisk was looked at as a whole last, microseconds since 1970 UTC.
    whole: HashMap<String, i64>,
}

impl Table {
    /// The legs in order of their making.
    pub fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.legs.values()
    }

    /// A leg.
    pub fn leg(&self, id: &str) -> Option<&Leg> {
        self.legs.get(id)
    }

    /// Calls that are alive, by id: the leg whose dialplan runs each.
    pub fn calls(&self) -> impl Iterator<Item = (&Id, &Leg)> {
        self.calls.iter().filter_map(|(call, leg)| Some((call, self.legs.get(leg)?)))
    }

    /// How many legs there are.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Sets what we do with a leg, once it stands on the channel.
    pub fn place(&mut self, id: &str, place: Place) {
        if let Some(leg) = self.legs.get_mut(id) {
            leg.place = place;
        }
    }

    /// A leg carries a call on whose own channel is about to go.
    pub fn adopt(&mut self, id: &str, (tenant, call): (&TenantId, &Id)) {
        if let Some(leg) = self.legs.get_mut(id) {
            (leg.call, leg.tenant) = (Some(call.clone()), Some(tenant.clone()));
            self.calls.insert(call.clone(), id.to_owned());
        }
    }

    /// Forgets which of an Asterisk's channels are ours: the connection is lost. They live on, as far as we know.
    pub fn lost(&mut self, asterisk: &str) {
        for leg in self.legs.values_mut().filter(|leg| leg.seen_by.iter().any(|name| name == asterisk)) {
            leg.ours = false;
        }
    }

    /// Takes all that an Asterisk has now. Channels that only it had and that are not there any more have gone meanwhile.
    pub fn whole(&mut self, asterisk: &str, snapshot: &Snapshot) -> Vec<Change> {
        let mut changes = Vec::new();
        let there: HashSet<&str> = snapshot.channels.iter().map(|channel| channel.id.as_str()).collect();
        let gone: Vec<String> = (self.legs.values())
            .filter(|leg| leg.seen_by.iter().any(|name| name == asterisk) && !there.contains(leg.id.as_str()))
            .map(|leg| leg.id.clone())
            .collect();
        for id in gone {
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.seen_by.retain(|name| name != asterisk);
                if leg.seen_by.is_empty() {
                    self.remove(&id, None, snapshot.at_us, &mut changes);
                }
            }
        }
        self.whole.insert(asterisk.to_owned(), snapshot.at_us);
        for channel in &snapshot.channels {
            self.see(asterisk, channel, snapshot.at_us, &mut changes);
            if let Some(leg) = self.legs.get_mut(&channel.id) {
                leg.ours = snapshot.channel_ids.contains(&channel.id);
            }
        }
        for bridge in &snapshot.bridges {
            self.bridge(bridge, snapshot.at_us, &mut changes);
        }
        changes
    }

    /// Takes one word. `asterisk`: the connection it came by.
    pub fn take(&mut self, asterisk: &str, told: &Told) -> Vec<Change> {
        let mut changes = Vec::new();
        let at_us = told.at_us;
        match &told.event {
            Event::StasisStart { channel, .. } => {
                self.see(asterisk, channel, at_us, &mut changes);
                if let Some(leg) = self.legs.get_mut(&channel.id) {
                    leg.ours = true;
                }
            }
            Event::StasisEnd { channel } => {
                self.see(asterisk, channel, at_us, &mut changes);
                if let Some(leg) = self.legs.get_mut(&channel.id) {
                    leg.ours = false;
                }
            }
            Event::ChannelDestroyed { cause, channel, .. } => {
                if self.legs.contains_key(&channel.id) {
                    self.see(asterisk, channel, at_us, &mut changes);
                    self.remove(&channel.id, Some(*cause), at_us, &mut changes);
                }
            }
            Event::Dial { caller, peer, .. } => {
                if let Some(caller) = caller {
                    self.see(asterisk, caller, at_us, &mut changes);
                }
                self.see(asterisk, peer, at_us, &mut changes);
                if let (Some(caller), Some(leg)) = (caller, self.legs.get_mut(&peer.id)) {
                    leg.dialled_by.get_or_insert_with(|| caller.id.clone());
                }
            }
            Event::ChannelEnteredBridge { bridge, channel } => {
                if let Some(channel) = channel {
                    self.see(asterisk, channel, at_us, &mut changes);
                }
                self.bridge(bridge, at_us, &mut changes);
            }
            Event::ChannelLeftBridge { bridge, channel } => {
                self.see(asterisk, channel, at_us, &mut changes);
                self.bridge(bridge, at_us, &mut changes);
            }
            Event::BridgeDestroyed { bridge } => {
                self.set_bridge(&bridge.id, BTreeSet::new(), at_us, &mut changes);
            }
            Event::ChannelHold { channel, .. } => self.hold((asterisk, channel), true, at_us, &mut changes),
            Event::ChannelUnhold { channel } => self.hold((asterisk, channel), false, at_us, &mut changes),
            Event::BridgeBlindTransfer { transfer } if transfer.result == "Success" => {
                self.handed(&transfer.channel, &transfer.exten, false, at_us, &mut changes);
            }
            Event::BridgeAttendedTransfer { transfer } if transfer.result == "Success" => {
                let to = transfer.transfer_target.as_ref().map(|to| to.name.clone()).unwrap_or_default();
                self.handed(&transfer.transferer_first_leg, &to, true, at_us, &mut changes);
            }
            event => {
                if let Some(channel) = about(event) {
                    self.see(asterisk, channel, at_us, &mut changes);
                }
            }
        }
        changes
    }

    /// Takes a channel as it is now.
    fn see(&mut self, asterisk: &str, channel: &Channel, at_us: i64, changes: &mut Vec<Change>) {
        if channel.dialplan.context == ERRANDS && channel.name.starts_with("Local/") {
            return;
        }
        let is_new = !self.legs.contains_key(&channel.id);
        // A word that was kept back while the connection was lost, about a channel that is gone.
        if is_new && self.whole.get(asterisk).is_some_and(|whole| at_us < *whole) {
            return;
        }
        let leg = self.legs.entry(channel.id.clone()).or_insert_with(|| Leg::new(channel, at_us));
        let (rang, group, call) = (leg.is_ringing() && !is_new, leg.linkedid.clone(), leg.call.clone());
        leg.take(channel, at_us);
        if !leg.seen_by.iter().any(|name| name == asterisk) {
            leg.seen_by.push(asterisk.to_owned());
        }
        if leg.application == "Queue" {
            let queue = channel.dialplan.app_data.split(',').next().unwrap_or_default().to_owned();
            self.groups.entry(leg.linkedid.clone()).or_default().queue = queue;
        }
        let rings = leg.is_ringing() && !rang;
        if let Some(phone) = leg.endpoint.as_ref().filter(|_| is_new) {
            *self.phones.entry(phone.clone()).or_default() += 1;
        }
        if is_new || group != leg.linkedid {
            let linkedid = leg.linkedid.clone();
            self.join(&channel.id, (!is_new).then_some(group.as_str()), &linkedid);
        }
        let leg = &self.legs[&channel.id];
        if leg.call.is_some()
            && (is_new || leg.call != call)
            && let Some(id) = leg.call.clone()
        {
            self.calls.insert(id, channel.id.clone());
        }
        if rings {
            changes.push(Change::Ringing(self.fact(&channel.id, at_us)));
        }
        if let Some(bridge) = self.legs[&channel.id].bridge.clone() {
            self.talks(&bridge, at_us, changes);
        }
    }

    fn join(&mut self, id: &str, from: Option<&str>, to: &str) {
        let mut known = Group::default();
        if let Some(from) = from
            && let Some(group) = self.groups.get_mut(from)
        {
            group.legs.remove(id);
            known = Group { legs: BTreeSet::new(), ..group.clone() };
            if group.legs.is_empty() {
                self.groups.remove(from);
            }
        }
        let group = self.groups.entry(to.to_owned()).or_default();
        group.legs.insert(id.to_owned());
        group.answered |= known.answered;
        if group.queue.is_empty() {
            group.queue = known.queue;
        }
        if group.peer.is_empty() {
            group.peer = known.peer;
        }
    }

    fn hold(
        &mut self,
        (asterisk, channel): (&str, &Channel),
        holds: bool,
        at_us: i64,
        changes: &mut Vec<Change>,
    ) {
        self.see(asterisk, channel, at_us, changes);
        let Some(leg) = self.legs.get_mut(&channel.id) else { return };
        if leg.holds_us.is_some() == holds {
            return;
        }
        leg.holds_us = holds.then_some(at_us);
        let fact = self.fact(&channel.id, at_us);
        changes.push(if holds { Change::Held(fact) } else { Change::Unheld(fact) });
    }

    fn handed(&mut self, by: &Channel, to: &str, attended: bool, at_us: i64, changes: &mut Vec<Change>) {
        if self.legs.contains_key(&by.id) {
            let fact = self.fact(&by.id, at_us);
            changes.push(Change::Transferred { fact, to: to.to_owned(), attended });
        }
    }

    fn bridge(&mut self, bridge: &Bridge, at_us: i64, changes: &mut Vec<Change>) {
        let legs = bridge.channels.iter().filter(|id| self.legs.contains_key(*id)).cloned().collect();
        self.set_bridge(&bridge.id, legs, at_us, changes);
    }

    fn set_bridge(&mut self, id: &str, legs: BTreeSet<String>, at_us: i64, changes: &mut Vec<Change>) {
        let before = self.bridges.remove(id).unwrap_or_default();
        for left in before.difference(&legs) {
            if let Some(leg) = self.legs.get_mut(left)
                && leg.bridge.as_deref() == Some(id)
            {
                (leg.bridge, leg.talks_us) = (None, None);
            }
        }
        for entered in &legs {
            let Some(leg) = self.legs.get_mut(entered) else { continue };
            if let Some(other) = leg.bridge.replace(id.to_owned())
                && other != id
                && let Some(others) = self.bridges.get_mut(&other)
            {
                others.remove(entered);
            }
        }
        if !legs.is_empty() {
            self.bridges.insert(id.to_owned(), legs);
        }
        self.talks(id, at_us, changes);
    }

    /// Looks who talks in a bridge: two at least, who are not only listening.
    fn talks(&mut self, bridge: &str, at_us: i64, changes: &mut Vec<Change>) {
        let Some(legs) = self.bridges.get(bridge) else { return };
        let able: Vec<String> =
            legs.iter().filter(|id| self.legs.get(*id).is_some_and(Leg::can_talk)).cloned().collect();
        let talk = able.len() > 1;
        let mut begun = Vec::new();
        for id in legs {
            let Some(leg) = self.legs.get_mut(id) else { continue };
            let talks = talk && leg.can_talk();
            if talks && leg.talks_us.is_none() {
                (leg.talks_us, leg.talked) = (Some(at_us), true);
                begun.push(id.clone());
            } else if !talks {
                leg.talks_us = None;
            }
        }
        if begun.is_empty() {
            return;
        }
        for id in &begun {
            if self.legs[id].endpoint.is_some() {
                changes.push(Change::Talks(self.fact(id, at_us)));
            }
        }
        self.first_talk(&able, at_us, changes);
    }

    fn first_talk(&mut self, able: &[String], at_us: i64, changes: &mut Vec<Change>) {
        let Some(caller) = able.iter().find(|id| self.legs[*id].call.is_some()) else { return };
        let Some(peer) = able.iter().rfind(|id| *id != caller && self.legs[*id].call.is_none()) else {
            return;
        };
        let linkedid = self.legs[caller].linkedid.clone();
        let name = self.legs[peer].name.clone();
        let Some(group) = self.groups.get_mut(&linkedid) else { return };
        group.peer = name;
        if !std::mem::replace(&mut group.answered, true) {
            let mut fact = self.fact(peer, at_us);
            fact.call = self.legs[caller].call.clone();
            changes.push(Change::Answered(fact));
        }
    }

    fn remove(&mut self, id: &str, cause: Option<i64>, at_us: i64, changes: &mut Vec<Change>) {
        let fact = self.fact(id, at_us);
        let Some(leg) = self.legs.remove(id) else { return };
        if let Some(bridge) = &leg.bridge
            && let Some(mut legs) = self.bridges.get(bridge).cloned()
        {
            legs.remove(id);
            self.set_bridge(bridge, legs, at_us, changes);
        }
        let peer = self.groups.get(&leg.linkedid).map(|group| group.peer.clone()).unwrap_or_default();
        if let Some(group) = self.groups.get_mut(&leg.linkedid) {
            group.legs.remove(id);
            if group.legs.is_empty() {
                self.groups.remove(&leg.linkedid);
            } else if group.legs.iter().any(|id| self.legs.get(id).is_some_and(|leg| leg.ours)) {
                changes.push(Change::Bereft(leg.linkedid.clone()));
            }
        }
        if let Some(phone) = &leg.endpoint {
            let left = self.phones.get_mut(phone).map_or(0, |count| {
                *count -= 1;
                *count
            });
            if left == 0 {
                self.phones.remove(phone);
                changes.push(Change::Idle(fact));
            }
        }
        if let Some(call) = leg.call.filter(|call| self.calls.get(call).is_some_and(|of| of == id)) {
            self.calls.remove(&call);
            changes.push(Change::Over(Over {
                call,
                uniqueid: leg.id,
                channel: leg.name,
                linkedid: leg.linkedid,
                at_us,
                cause,
                created_us: leg.created_us,
                answered_us: leg.answered_us,
                peer,
            }));
        }
    }

    /// The call that a leg belongs to: its own, that of who dialled it, or the first of its group.
    pub fn call_of(&self, leg: &Leg) -> Option<(Id, Option<TenantId>)> {
        let own = |leg: &Leg| Some((leg.call.clone()?, leg.tenant.clone()));
        let dialler = || own(self.legs.get(leg.dialled_by.as_ref()?)?);
        let group = || {
            let legs = self.groups.get(&leg.linkedid)?.legs.iter().filter_map(|id| self.legs.get(id));
            legs.filter_map(own).min_by(|a, b| a.0.cmp(&b.0))
        };
        own(leg).or_else(dialler).or_else(group)
    }

    fn fact(&self, id: &str, at_us: i64) -> Fact {
        let leg = &self.legs[id];
        let of = self.call_of(leg);
        let caller = of.as_ref().and_then(|(call, _)| self.legs.get(self.calls.get(call)?));
        let other = match caller {
            Some(caller) if caller.id != leg.id => caller.party.clone(),
            _ => (leg.connected.clone(), String::new()),
        };
        let (call, tenant) = of.map_or((None, None), |(call, tenant)| (Some(call), tenant));
        Fact {
            tenant: tenant.or_else(|| leg.endpoint.as_ref().map(|(tenant, _)| tenant.clone())),
            call,
            endpoint: leg.endpoint.clone(),
            channel: leg.name.clone(),
            other,
            queue: self.groups.get(&leg.linkedid).map(|group| group.queue.clone()).unwrap_or_default(),
            at_us,
        }
    }
}

/// The channel of an event that says no more than how its channel is now.
fn about(event: &Event) -> Option<&Channel> {
    match event {
        Event::ChannelCreated { channel }
        | Event::ChannelStateChange { channel }
        | Event::ChannelConnectedLine { channel }
        | Event::ChannelCallerId { channel, .. }
        | Event::ChannelHangupRequest { channel, .. }
        | Event::ChannelDtmfReceived { channel, .. } => Some(channel),
        Event::ChannelUserevent { channel, .. } => channel.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
