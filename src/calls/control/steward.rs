//! What becomes of the channels that are ours when another one has gone. Pure.

use crate::calls::table::{Call, Kind, Leg, Place};

/// What is to be done to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It goes (back) into the talk.
    Join(String),
    /// It ends.
    HangUp(String),
}

/// Whoever talks alone because who was to be asked is gone gets back who waited; so the phone that hangs up while it asks
/// hands the call on to whom it asks. Who talks alone for good, and who is held by nobody, ends; who listens to nobody ends.
/// Who is parked stays.
pub(super) fn what_now(call: &Call<'_>) -> Vec<Act> {
    let of = |is: fn(&Leg) -> bool| call.legs.iter().filter(move |leg| leg.kind != Kind::Snoop && is(leg));
    let talk: Vec<&&Leg> = of(|leg| leg.ours && matches!(leg.place, Place::Talk | Place::Asked)).collect();
    let held: Vec<&&Leg> = of(|leg| leg.ours && leg.place == Place::Held).collect();
    let waits: Vec<&&Leg> = of(|leg| leg.ours && leg.place == Place::Waits).collect();
    let is_parked = of(|leg| matches!(leg.place, Place::Parked(_))).next().is_some();
    let end = |leg: &&&Leg| Act::HangUp(leg.id.clone());
    let mut acts: Vec<Act> = match talk.len() {
        1 if calls_nobody(call) && !waits.is_empty() => {
            waits.iter().map(|leg| Act::Join(leg.id.clone())).collect()
        }
        1 if calls_nobody(call) && held.is_empty() => talk.iter().map(end).collect(),
        0 => held.iter().chain(&waits).map(end).collect(),
        _ => Vec::new(),
    };
    let others = of(|leg| !matches!(leg.place, Place::Monitor(_))).count();
    if others == 0 || (is_parked && others == 1) {
        acts.extend(of(|leg| matches!(leg.place, Place::Monitor(_))).map(|leg| Act::HangUp(leg.id.clone())));
    }
    // One that listens for a phone that is gone.
    let alone = |leg: &&&Leg| {
        leg.kind == Kind::Snoop && leg.bridge.is_some() && {
            !call.legs.iter().any(|other| other.id != leg.id && other.bridge == leg.bridge)
        }
    };
    acts.extend(call.legs.iter().filter(alone).map(|leg| Act::HangUp(leg.id.clone())));
    acts
}

/// Whether no phone is being called that will join.
fn calls_nobody(call: &Call<'_>) -> bool {
    !call
        .legs
        .iter()
        .any(|leg| leg.call.is_none() && !leg.ours && leg.state != "Up" && leg.kind != Kind::Snoop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::Channel;
    use crate::base::clock::Clock;
    use crate::base::ids::{IdSource, TenantId};
    use crate::calls::table::{Mode, Slot, State};

    fn acts(places: &[Place]) -> Vec<Act> {
        let legs: Vec<Leg> = (0..)
            .zip(places)
            .map(|(n, place)| {
                let channel = Channel { id: format!("{n}"), state: "Up".into(), ..Channel::default() };
                Leg { ours: *place != Place::Dialplan, place: place.clone(), ..Leg::new(&channel, 1) }
            })
            .collect();
        let id = IdSource::new(Clock::system()).next();
        let tenant = TenantId::parse("acme").unwrap();
        what_now(&Call { id, tenant, legs: legs.iter().collect(), queue: "", state: State::Talking })
    }

    #[test]
    fn who_is_left_alone() {
        let parked = || Place::Parked(Slot { number: 701, until_s: 0, by: String::new() });
        let (join, end) = (|n: &str| Act::Join(n.into()), |n: &str| Act::HangUp(n.into()));
        let (talk, held, waits, asked) = (Place::Talk, Place::Held, Place::Waits, Place::Asked);
        for (places, wanted) in [
            (vec![talk.clone()], vec![end("0")]),
            (vec![talk.clone(), talk.clone()], vec![]),
            (vec![held.clone()], vec![end("0")]),
            (vec![waits.clone()], vec![end("0")]),
            (vec![talk.clone(), held], vec![]),
            (vec![talk.clone(), waits.clone()], vec![join("1")]),
            (vec![asked.clone(), waits.clone()], vec![join("1")]),
            (vec![talk.clone(), asked, waits], vec![]),
            (vec![parked()], vec![]),
            (vec![Place::Monitor(Mode::Listen)], vec![end("0")]),
            (vec![talk.clone(), talk, Place::Monitor(Mode::Barge)], vec![]),
            (vec![parked(), Place::Monitor(Mode::Listen)], vec![end("1")]),
            (vec![Place::Dialplan, Place::Dialplan, Place::Monitor(Mode::Listen)], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(acts(&places), wanted, "{places:?}");
        }
    }
}
