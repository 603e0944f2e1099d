//! Calls as people see them. A call may end in every state; usually whoever talked leaves first.
//!
#![doc = include_str!("states.md")]

use serde_json::{Value, json};

use super::{Leg, Place, Table};
use crate::api::check::show_time;
use crate::base::ids::{Id, Name, TenantId};

/// What a call does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It is being decided, or hears a menu or an announcement.
    Routing,
    /// A phone rings for it.
    Ringing,
    /// It waits in a queue.
    Waiting,
    /// Somebody holds the other side.
    Held,
    /// It is in a slot.
    Parked,
    /// Two talk.
    Talking,
    /// More than two talk.
    Conference,
}

impl State {
    /// In the words of the API.
    pub const WORDS: &[&str] = &["routing", "ringing", "waiting", "held", "parked", "talking", "conference"];

    /// The word.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

impl State {
    /// How a call goes from one to another, in the order in which people read it. Only steps that last are shown: a conference
    /// of three that loses two at once goes through a talk.
    pub const STEPS: &[(Self, Self)] = &[
        (Self::Routing, Self::Waiting),
        (Self::Routing, Self::Ringing),
        (Self::Waiting, Self::Ringing),
        (Self::Waiting, Self::Routing),
        (Self::Ringing, Self::Waiting),
        (Self::Ringing, Self::Routing),
        (Self::Ringing, Self::Talking),
        (Self::Talking, Self::Held),
        (Self::Held, Self::Talking),
        (Self::Talking, Self::Parked),
        (Self::Parked, Self::Talking),
        (Self::Talking, Self::Conference),
        (Self::Conference, Self::Talking),
        (Self::Talking, Self::Routing),
        (Self::Talking, Self::Waiting),
        (Self::Held, Self::Routing),
        (Self::Held, Self::Waiting),
        (Self::Held, Self::Parked),
        (Self::Parked, Self::Routing),
    ];

    /// The same as a diagram, in Mermaid's language.
    pub fn diagram() -> String {
        let mut text = String::from("stateDiagram-v2\n    [*] --> routing\n");
        for (from, to) in Self::STEPS {
            text.push_str(&format!("    {} --> {}\n", from.as_str(), to.as_str()));
        }
        text.push_str("    routing --> [*]\n");
        text
    }
}

/// A live call: its legs, the one whose dialplan runs it first.
#[derive(Clone, Debug)]
pub struct Call<'t> {
    /// The first call of the group; `None`: channels that no dialplan of ours runs.
    pub id: Id,
    /// Whose.
    pub tenant: TenantId,
    /// Its legs in the order of their making.
    pub legs: Vec<&'t Leg>,
    /// The queue it waits or waited in, as Asterisk names it.
    pub queue: &'t str,
    /// What it does.
    pub state: State,
}

impl<'t> Call<'t> {
    /// The leg whose dialplan runs the call.
    pub fn caller(&self) -> Option<&'t Leg> {
        self.legs.iter().find(|leg| leg.call.as_ref() == Some(&self.id)).copied()
    }

    /// Legs of the tenant's endpoints.
    pub fn endpoints(&self) -> impl Iterator<Item = (&'t Leg, &'t Name)> + '_ {
        self.legs.iter().filter_map(|leg| {
            let (tenant, name) = leg.endpoint.as_ref()?;
            (*tenant == self.tenant).then_some((*leg, name))
        })
    }

    /// As the API shows it.
    pub fn show(&self) -> Value {
        let caller = self.caller();
        let since = self.legs.iter().map(|leg| leg.created_us).min().unwrap_or_default();
        let talks = self.legs.iter().filter_map(|leg| leg.talks_us).min();
        let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        json!({
            "call_id": self.id.as_str(),
            "linkedid": caller.map(|leg| leg.linkedid.as_str()),
            "state": self.state.as_str(),
            "did": text(caller.map_or("", |leg| &leg.dialled)),
            "caller_number": text(caller.map_or("", |leg| &leg.party.0)),
            "caller_name": text(caller.map_or("", |leg| &leg.party.1)),
            "queue": text(self.queue.strip_prefix(&format!("{}-", self.tenant)).unwrap_or(self.queue)),
            "started_at": show_time(since),
            "answered_at": time(caller.and_then(|leg| leg.answered_us)),
            "talking_since": time(talks),
            "legs": self.legs.iter().map(|leg| show(leg, &self.tenant)).collect::<Vec<Value>>(),
        })
    }
}

fn time(us: Option<i64>) -> Value {
    us.map_or(Value::Null, |us| show_time(us).into())
}

fn show(leg: &Leg, tenant: &TenantId) -> Value {
    let endpoint = leg.endpoint.as_ref().filter(|(of, _)| of == tenant).map(|(_, name)| name.as_str());
    let slot = leg.slot();
    json!({
        "channel": leg.name,
        "uniqueid": leg.id,
        "endpoint": endpoint,
        "number": Some(leg.party.0.as_str()).filter(|number| !number.is_empty()),
        "state": leg.state.to_lowercase(),
        "role": role(leg),
        "slot": slot,
        "since": show_time(leg.created_us),
        "answered_at": time(leg.answered_us),
        "talking_since": time(leg.talks_us),
        "holding_since": time(leg.holds_us),
        "asterisk": leg.seen_by.first(),
    })
}

/// What a leg is to its call, in the words of the API.
fn role(leg: &Leg) -> &'static str {
    match leg.place {
        Place::Held | Place::Waits => "held",
        Place::Parked(_) => "parked",
        Place::Asked => "asked",
        Place::Monitor(mode) => mode.as_str(),
        Place::Talk | Place::Dialplan if leg.call.is_some() => "caller",
        Place::Talk | Place::Dialplan => "called",
    }
}

impl Table {
    /// The live call that a call belongs to now, if it is this tenant's.
    pub fn call(&self, tenant: &TenantId, id: &Id) -> Option<Call<'_>> {
        let leg = self.legs.get(self.calls.get(id)?)?;
        self.group(&leg.linkedid).filter(|call| call.tenant == *tenant)
    }

    /// A tenant's live calls, the oldest first.
    pub fn of_tenant(&self, tenant: &TenantId) -> Vec<Call<'_>> {
        let mut calls: Vec<Call<'_>> =
            self.groups.keys().filter_map(|linkedid| self.group(linkedid)).collect();
        calls.retain(|call| call.tenant == *tenant);
        calls.sort_by(|a, b| a.id.cmp(&b.id));
        calls
    }

    /// All legs that have one linkedid, if one of them is a call of ours.
    pub fn group(&self, linkedid: &str) -> Option<Call<'_>> {
        let group = self.groups.get(linkedid)?;
        let mut legs: Vec<&Leg> = group.legs.iter().filter_map(|id| self.legs.get(id)).collect();
        legs.sort_by(|a, b| (a.created_us, &a.id).cmp(&(b.created_us, &b.id)));
        let (id, tenant) = (legs.iter())
            .filter_map(|leg| Some((leg.call.clone()?, leg.tenant.clone()?)))
            .min_by(|a, b| a.0.cmp(&b.0))?;
        let state = state(&legs);
        Some(Call { id, tenant, legs, queue: &group.queue, state })
    }
}

fn state(legs: &[&Leg]) -> State {
    let talking = legs.iter().filter(|leg| leg.talks_us.is_some() && leg.kind == super::Kind::Phone);
    let holds =
        legs.iter().any(|leg| leg.holds_us.is_some() || matches!(leg.place, Place::Held | Place::Waits));
    match talking.count() {
        _ if legs.iter().any(|leg| matches!(leg.place, Place::Parked(_))) => State::Parked,
        _ if holds => State::Held,
        0 | 1 if legs.iter().any(|leg| leg.talks_us.is_some()) => State::Talking,
        0 | 1 if legs.iter().any(|leg| leg.is_called()) => State::Ringing,
        0 | 1 if legs.iter().any(|leg| leg.call.is_some() && leg.application == "Queue") => State::Waiting,
        0 | 1 => State::Routing,
        2 => State::Talking,
        _ => State::Conference,
    }
}
