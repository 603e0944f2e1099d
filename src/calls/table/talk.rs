//! Who talks with whom: the bridges.

use std::collections::BTreeSet;

use super::{Change, Leg, Table};
use crate::ari::event::Bridge;

impl Table {
    pub(super) fn bridge(&mut self, bridge: &Bridge, at_us: i64, changes: &mut Vec<Change>) {
        let legs = bridge.channels.iter().filter(|id| self.legs.contains_key(*id)).cloned().collect();
        self.set_bridge(&bridge.id, legs, at_us, changes);
    }

    pub(super) fn set_bridge(
        &mut self,
        id: &str,
        legs: BTreeSet<String>,
        at_us: i64,
        changes: &mut Vec<Change>,
    ) {
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
            {
                leg.talks_us = None;
                self.goes_from(&other, entered, at_us, changes);
            }
        }
        if !legs.is_empty() {
            self.bridges.insert(id.to_owned(), legs);
        }
        self.talks(id, at_us, changes);
    }

    /// A leg is in another bridge now, which nobody told of this one.
    fn goes_from(&mut self, bridge: &str, leg: &str, at_us: i64, changes: &mut Vec<Change>) {
        let Some(legs) = self.bridges.get_mut(bridge) else { return };
        legs.remove(leg);
        if legs.is_empty() {
            self.bridges.remove(bridge);
        }
        self.talks(bridge, at_us, changes);
    }

    /// Looks who talks in a bridge: two at least, who are not only listening.
    pub(super) fn talks(&mut self, bridge: &str, at_us: i64, changes: &mut Vec<Change>) {
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
}
