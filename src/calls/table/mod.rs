//! Every live channel and the calls they make: a fold of what Asterisks tell. Pure: no clock, no I/O.
//!
//! Channels that Asterisk gave one linkedid are one call, from its first leg to its last: over transfers, queues,
//! conferences and parking. Invariants: a leg is in the group of its linkedid and in no other; a group without legs does
//! not exist; so memory is that of what is alive.

mod leg;
mod talk;
mod view;
mod whole;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use leg::{Kind, Leg, Mode, Place, Slot, endpoint, variables};
pub use view::{Call, State};

use self::leg::By;
use self::whole::Look;
use crate::ari::event::{Channel, Event, Told};
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
    /// An endpoint's last channel is gone, or the last that talked or rang.
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
    /// A channel is gone from a call of which other channels are ours, or called for us: who talked to it has nobody now. The
    /// linkedid.
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
    /// Whether it is so and did not happen now: found when this process came, or still so after something else. Of interest
    /// to who sits at the phone, and no event.
    pub stands: bool,
}

/// The end of a call's channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The call.
    pub call: Id,
    /// Whose.
    pub tenant: Option<TenantId>,
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
    /// Whether it was answered, seen or not.
    pub was_up: bool,
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
    /// The legs of each endpoint.
    phones: HashMap<(TenantId, Name), BTreeSet<String>>,
    /// What the last look at each Asterisk as a whole left open.
    looks: HashMap<String, Look>,
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

    /// Whether an endpoint has a leg.
    pub fn has_phone(&self, tenant: &TenantId, endpoint: &Name) -> bool {
        self.phones.contains_key(&(tenant.clone(), endpoint.clone()))
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
            (leg.place, leg.placed) = (place, true);
        }
    }

    /// A leg carries a call on that another one ran.
    pub fn adopt(&mut self, id: &str, (tenant, call): (&TenantId, &Id)) {
        let Some(leg) = self.legs.get_mut(id) else { return };
        (leg.call, leg.tenant, leg.handed_on) = (Some(call.clone()), Some(tenant.clone()), false);
        let before = self.calls.insert(call.clone(), id.to_owned()).filter(|before| before != id);
        if let Some(before) = before.and_then(|before| self.legs.get_mut(&before)) {
            (before.call, before.handed_on) = (None, true);
        }
    }

    /// Takes one word. `asterisk`: the connection it came by. A channel begins with the word that it is there, or came to us:
    /// others may be late, of one that is gone.
    pub fn take(&mut self, asterisk: &str, told: &Told) -> Vec<Change> {
        let (mut changes, by, at_us) = (Vec::new(), By::of(asterisk, told), told.at_us);
        if self.was_kept_back(by, at_us) {
            self.late(asterisk, told, &mut changes);
            return changes;
        }
        match &told.event {
            Event::ChannelCreated { channel } => self.meet(by, channel, at_us, &mut changes),
            Event::StasisStart { channel, .. } => {
                if let Some(leg) = self.legs.get_mut(&channel.id) {
                    leg.placed = false;
                }
                self.meet(by, channel, at_us, &mut changes);
                self.comes(asterisk, channel, &mut changes);
            }
            Event::StasisEnd { channel } => {
                self.see(by, channel, at_us, &mut changes);
                self.leaves(asterisk, channel, at_us, &mut changes);
            }
            Event::ChannelDestroyed { cause, channel, .. } => {
                self.see(by, channel, at_us, &mut changes);
                self.remove(&channel.id, Some(*cause), at_us, &mut changes);
            }
            Event::Dial { caller, peer, .. } => {
                if let Some(caller) = caller {
                    self.see(by, caller, at_us, &mut changes);
                }
                self.see(by, peer, at_us, &mut changes);
                self.dials(caller.as_ref(), peer);
            }
            Event::ChannelEnteredBridge { bridge, channel } => {
                if let Some(channel) = channel {
                    self.see(by, channel, at_us, &mut changes);
                }
                self.bridge(bridge, at_us, &mut changes);
            }
            Event::ChannelLeftBridge { bridge, channel } => {
                self.see(by, channel, at_us, &mut changes);
                self.bridge(bridge, at_us, &mut changes);
            }
            Event::BridgeDestroyed { bridge } => {
                self.set_bridge(&bridge.id, BTreeSet::new(), at_us, &mut changes);
            }
            event => {
                if let Some(channel) = about(event) {
                    self.see(by, channel, at_us, &mut changes);
                }
                self.happens(event, at_us, &mut changes);
            }
        }
        changes
    }

    /// What happened, where it is not how things are now: it is told however late.
    fn happens(&mut self, event: &Event, at_us: i64, changes: &mut Vec<Change>) {
        match event {
            Event::ChannelHold { channel, .. } => self.hold(channel, true, at_us, changes),
            Event::ChannelUnhold { channel } => self.hold(channel, false, at_us, changes),
            Event::BridgeBlindTransfer { transfer } if transfer.result == "Success" => {
                self.handed(&transfer.channel, &transfer.exten, false, at_us, changes);
            }
            Event::BridgeAttendedTransfer { transfer } if transfer.result == "Success" => {
                let to = transfer.transfer_target.as_ref().map(|to| to.name.clone()).unwrap_or_default();
                self.handed(&transfer.transferer_first_leg, &to, true, at_us, changes);
            }
            _ => {}
        }
    }

    /// Takes a channel as it is now, known or not.
    fn meet(&mut self, by: By<'_>, channel: &Channel, at_us: i64, changes: &mut Vec<Change>) {
        if channel.dialplan.context == ERRANDS && channel.name.starts_with("Local/") {
            return;
        }
        let leg = self.legs.entry(channel.id.clone()).or_insert_with(|| Leg::begin(channel, at_us));
        if leg.seen_by.is_empty() {
            leg.only_by = by.call.map(str::to_owned);
        }
        self.see(by, channel, at_us, changes);
    }

    /// Takes a channel that is known as it is now.
    fn see(&mut self, by: By<'_>, channel: &Channel, at_us: i64, changes: &mut Vec<Change>) {
        let Some(leg) = self.legs.get_mut(&channel.id) else { return };
        let is_new = leg.seen_by.is_empty();
        let (rang, group, call) = (leg.is_ringing(), leg.linkedid.clone(), leg.call.clone());
        leg.take(by, channel, at_us);
        if !leg.is_seen_by(by.asterisk) {
            leg.seen_by.push(by.asterisk.to_owned());
        }
        if by.call.is_none() {
            leg.only_by = None;
        }
        if leg.application == "Queue" {
            let queue = channel.dialplan.app_data.split(',').next().unwrap_or_default().to_owned();
            self.groups.entry(leg.linkedid.clone()).or_default().queue = queue;
        }
        let rings = leg.is_ringing() && !rang;
        if let Some(phone) = leg.endpoint.as_ref().filter(|_| is_new) {
            self.phones.entry(phone.clone()).or_default().insert(channel.id.clone());
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

    fn comes(&mut self, asterisk: &str, channel: &Channel, changes: &mut Vec<Change>) {
        let Some(leg) = self.legs.get_mut(&channel.id) else { return };
        leg.comes(asterisk);
        leg.starts = leg.starts.wrapping_add(1);
        if leg.place != Place::Dialplan {
            // It was in our hands, and was away for a piece of the dialplan: who talked to it may have gone meanwhile.
            changes.push(Change::Bereft(leg.linkedid.clone()));
        }
    }

    fn leaves(&mut self, asterisk: &str, channel: &Channel, at_us: i64, changes: &mut Vec<Change>) {
        let Some(leg) = self.legs.get_mut(&channel.id) else { return };
        leg.leaves(asterisk);
        if leg.only_by.is_some() {
            self.forget(&channel.id, at_us, changes);
        }
    }

    fn dials(&mut self, caller: Option<&Channel>, peer: &Channel) {
        if let (Some(caller), Some(leg)) = (caller, self.legs.get_mut(&peer.id)) {
            leg.dialled_by.get_or_insert_with(|| caller.id.clone());
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

    fn hold(&mut self, channel: &Channel, holds: bool, at_us: i64, changes: &mut Vec<Change>) {
        let Some(leg) = self.legs.get_mut(&channel.id) else { return };
        let is_known = !std::mem::take(&mut leg.may_hold);
        if is_known && leg.holds_us.is_some() == holds {
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

    fn remove(&mut self, id: &str, cause: Option<i64>, at_us: i64, changes: &mut Vec<Change>) {
        if !self.legs.contains_key(id) {
            return;
        }
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
            } else if group.legs.iter().any(|id| self.legs.get(id).is_some_and(Leg::is_in_hand)) {
                changes.push(Change::Bereft(leg.linkedid.clone()));
            }
        }
        if let Some(phone) = &leg.endpoint {
            self.leaves_phone((phone, id), fact, changes);
        }
        if let Some(call) = leg.call.filter(|call| self.calls.get(call).is_some_and(|of| of == id)) {
            self.calls.remove(&call);
            changes.push(Change::Over(Over {
                call,
                tenant: leg.tenant,
                uniqueid: leg.id,
                channel: leg.name,
                linkedid: leg.linkedid,
                at_us,
                cause,
                created_us: leg.created_us,
                answered_us: leg.answered_us,
                was_up: leg.was_up,
                peer,
            }));
        }
    }

    /// A leg is gone from an endpoint: what that does now. Both a talk and somebody who knocks are told, the talk first.
    fn leaves_phone(
        &mut self,
        (phone, id): (&(TenantId, Name), &str),
        gone: Fact,
        changes: &mut Vec<Change>,
    ) {
        let Some(left) = self.phones.get_mut(phone) else { return };
        left.remove(id);
        let legs = || left.iter().filter_map(|id| self.legs.get(id));
        let talks = |leg: &&Leg| leg.is_up() && !matches!(leg.place, Place::Monitor(_));
        let talk = legs().filter(talks).max_by_key(|leg| leg.talks_us).map(|leg| leg.id.clone());
        let knock = legs().find(|leg| leg.is_ringing()).map(|leg| leg.id.clone());
        if left.is_empty() {
            self.phones.remove(phone);
        }
        let at_us = gone.at_us;
        let now = |id: &String| Fact { stands: true, ..self.fact(id, at_us) };
        changes.push(talk.as_ref().map_or(Change::Idle(gone), |id| Change::Talks(now(id))));
        changes.extend(knock.as_ref().map(|id| Change::Ringing(now(id))));
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
            stands: false,
        }
    }
}

/// The channel of an event that says no more than how its channel is now.
fn about(event: &Event) -> Option<&Channel> {
    match event {
        Event::ChannelStateChange { channel }
        | Event::ChannelConnectedLine { channel }
        | Event::ChannelCallerId { channel, .. }
        | Event::ChannelHangupRequest { channel, .. }
        | Event::ChannelDtmfReceived { channel, .. }
        | Event::ChannelHold { channel, .. }
        | Event::ChannelUnhold { channel } => Some(channel),
        Event::ChannelUserevent { channel, .. } => channel.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
