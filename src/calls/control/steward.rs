//! What becomes of the channels that are ours, and of those that ring for a command, when another one has gone. Pure.

use super::parties::{Role, is_fresh, is_second, parties};
use crate::calls::table::{Call, Kind, Leg, Place};

/// What is to be done to a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It goes (back) into the talk.
    Join(String),
    /// It is asked no more: the call is its.
    Keep(String),
    /// It ends.
    HangUp(String),
}

/// Those of a call that matter here, by what they do.
struct Sides<'t> {
    /// Who talks in our bridge, or did until the other one went.
    talk: Vec<&'t Leg>,
    /// Who is on the way to us: taken from the dialplan, or answered a moment ago.
    comes: Vec<&'t Leg>,
    /// Whose phone rings for a command.
    called: Vec<&'t Leg>,
    held: Vec<&'t Leg>,
    waits: Vec<&'t Leg>,
    parked: Vec<&'t Leg>,
    monitors: Vec<&'t Leg>,
}

impl<'t> Sides<'t> {
    fn of(call: &Call<'t>) -> Self {
        let people = || call.legs.iter().copied().filter(|leg| leg.kind != Kind::Snoop && !is_second(leg));
        let all = |is: &dyn Fn(&Leg) -> bool| people().filter(|leg| is(leg)).collect::<Vec<&Leg>>();
        let joins = |leg: &Leg| matches!(leg.place, Place::Talk | Place::Asked);
        Self {
            talk: all(&|leg| joins(leg) && leg.ours && !is_fresh(leg)),
            comes: all(&|leg| {
                let is_sent = joins(leg) && (!leg.ours || is_fresh(leg));
                leg.state == "Up" && (is_sent || is_left(leg))
            }),
            called: all(&|leg| leg.place != Place::Dialplan && leg.state != "Up" && !leg.ours),
            held: all(&|leg| leg.place == Place::Held && leg.ours),
            waits: all(&|leg| leg.place == Place::Waits && leg.ours),
            parked: all(&|leg| matches!(leg.place, Place::Parked(_))),
            monitors: all(&|leg| matches!(leg.place, Place::Monitor(_)) && leg.ours),
        }
    }

    /// Whether whoever waits may still be handed to who is asked.
    fn asks_somebody(&self) -> bool {
        !self.waits.is_empty() && self.called.iter().any(|leg| leg.place == Place::Asked)
    }

    /// Whether a phone is being called that will talk.
    fn calls_somebody(&self) -> bool {
        self.called.iter().any(|leg| !matches!(leg.place, Place::Monitor(_)))
    }
}

/// Whether it was called by the dialplan, and whom it talked to is gone from there: it hangs up, or comes to us.
fn is_left(leg: &Leg) -> bool {
    let was_called = leg.kind == Kind::Phone && leg.call.is_none() && leg.place == Place::Dialplan;
    was_called && !leg.ours && leg.talked && leg.talks_us.is_none()
}

/// Whoever talks alone because who was to be asked is gone gets back who waited; so the phone that hangs up while it asks
/// hands the call on to whom it asks. Who talks alone for good, and who is held by nobody, ends; who listens to nobody ends, and
/// so does a phone that rings for what is over. Who came too late for the command that took the call is joined with the other.
/// Who is parked stays. `snoops`: channels that listen, whichever call they are counted to.
pub(super) fn what_now(call: &Call<'_>, snoops: &[&Leg]) -> Vec<Act> {
    let sides = Sides::of(call);
    let end = |leg: &&Leg| Act::HangUp(leg.id.clone());
    let join = |leg: &&Leg| Act::Join(leg.id.clone());
    let is_last = !sides.calls_somebody();
    let mut acts: Vec<Act> = match (sides.talk.as_slice(), sides.comes.len()) {
        ([one], 0) if is_last && !sides.waits.is_empty() => {
            let asked = (one.place == Place::Asked).then(|| Act::Keep(one.id.clone()));
            asked.into_iter().chain(sides.waits.iter().map(join)).collect()
        }
        (talk @ [_], 0) if is_last && sides.held.is_empty() => talk.iter().map(end).collect(),
        ([], 0) if sides.asks_somebody() => Vec::new(),
        ([], 0) => sides.held.iter().chain(&sides.waits).map(end).collect(),
        ([], _) => Vec::new(),
        (talk, _) => talk.iter().filter(|leg| leg.bridge.is_none()).map(join).collect(),
    };
    acts.extend(sides.called.iter().filter(|leg| is_for_nothing(call, &sides, leg)).map(end));
    let others = call.legs.iter().filter(|leg| {
        leg.kind != Kind::Snoop && !matches!(leg.place, Place::Monitor(_)) && !sides.called.contains(leg)
    });
    let others = others.count();
    let nobody = others == 0 || (others == 1 && !sides.parked.is_empty());
    acts.extend(sides.monitors.iter().filter(|leg| nobody || hears_nothing(snoops, leg)).map(end));
    // One that listens for a phone that is gone.
    let alone = |leg: &&&Leg| {
        leg.kind == Kind::Snoop && leg.bridge.is_some() && {
            !call.legs.iter().any(|other| other.id != leg.id && other.bridge == leg.bridge)
        }
    };
    acts.extend(call.legs.iter().filter(alone).map(|leg| Act::HangUp(leg.id.clone())));
    acts
}

/// Whether nothing is left of what a phone rings for.
fn is_for_nothing(call: &Call<'_>, sides: &Sides<'_>, leg: &Leg) -> bool {
    match (Role::of(&leg.id), &leg.place) {
        (Some(Role::PickUp), _) => sides.parked.is_empty(),
        (_, Place::Asked) => sides.waits.is_empty(),
        _ => sides.talk.is_empty() && sides.comes.is_empty() && parties(call).is_empty(),
    }
}

/// Whether whoever listened for a phone is gone: the channel that it heard has ended.
fn hears_nothing(snoops: &[&Leg], phone: &Leg) -> bool {
    // One that is in no bridge yet may be on the way to it.
    let listens = |snoop: &&Leg| snoop.bridge.is_none() || snoop.bridge == phone.bridge;
    phone.bridge.is_some() && !snoops.iter().any(listens)
}

/// Whether a channel waits in vain for the other one that was to be taken with it.
pub(super) fn waits_in_vain(call: &Call<'_>, id: &str) -> bool {
    let sides = Sides::of(call);
    let only = matches!(sides.talk.as_slice(), [one] if one.id == id && one.place == Place::Talk);
    only && !sides.comes.is_empty()
        && [&sides.held, &sides.waits, &sides.parked].iter().all(|side| side.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::Channel;
    use crate::base::clock::Clock;
    use crate::base::ids::{IdSource, TenantId};
    use crate::calls::table::{Mode, Slot, State};

    fn leg(n: usize, place: &Place) -> Leg {
        let channel = Channel {
            id: format!("{n}"),
            name: format!("PJSIP/{n}"),
            state: "Up".into(),
            ..Channel::default()
        };
        let ours = *place != Place::Dialplan;
        let bridge = matches!(place, Place::Talk | Place::Asked).then(|| "hs".to_owned());
        Leg { ours, bridge, place: place.clone(), ..Leg::new(&channel, 1) }
    }

    fn look(legs: &[Leg]) -> (Vec<Act>, bool) {
        let id = IdSource::new(Clock::system()).next();
        let tenant = TenantId::parse("acme").unwrap();
        let call = Call { id, tenant, legs: legs.iter().collect(), queue: "", state: State::Talking };
        (what_now(&call, &[]), waits_in_vain(&call, "0"))
    }

    fn acts(places: &[Place]) -> Vec<Act> {
        let legs: Vec<Leg> = places.iter().enumerate().map(|(n, place)| leg(n, place)).collect();
        look(&legs).0
    }

    #[test]
    fn who_is_on_the_way_is_waited_for() {
        let comes = |n| Leg { ours: false, ..leg(n, &Place::Talk) };
        let apart = |n| Leg { bridge: None, ..leg(n, &Place::Talk) };
        // The other one of two that are taken has not come yet: who has is brought to where it will be.
        assert_eq!(look(&[apart(0), comes(1)]), (vec![Act::Join("0".into())], true));
        assert_eq!(look(&[apart(0), leg(1, &Place::Talk)]), (vec![Act::Join("0".into())], false));
        assert_eq!(look(&[comes(0), comes(1)]), (vec![], false));
        assert_eq!(look(&[comes(0)]), (vec![], false));
        assert_eq!(look(&[comes(0), leg(1, &Place::Waits)]).0, vec![]);
        let left = Leg { talked: true, ..leg(1, &Place::Dialplan) };
        assert_eq!(look(&[apart(0), left.clone()]), (vec![Act::Join("0".into())], true));
        // One that talks to somebody else does not come.
        let talks = Leg { talks_us: Some(1), ..left };
        assert_eq!(look(&[apart(0), talks]), (vec![Act::HangUp("0".into())], false));
    }

    #[test]
    fn who_rings_for_nothing_ends() {
        let id = IdSource::new(Clock::system()).next();
        let rings = |role: Role, place: &Place| Leg {
            id: role.channel(&id, "102"),
            state: "Ringing".into(),
            ours: false,
            bridge: None,
            ..leg(9, place)
        };
        let (talk, waits) = (leg(0, &Place::Talk), leg(1, &Place::Waits));
        let parked = leg(1, &Place::Parked(Slot { number: 701, until_s: 0, by: String::new() }));
        let ends = |role: Role, place: &Place, others: &[Leg]| {
            let mut legs = others.to_vec();
            legs.push(rings(role, place));
            look(&legs).0.contains(&Act::HangUp(role.channel(&id, "102")))
        };
        let monitor = Place::Monitor(Mode::Listen);
        assert!(!ends(Role::Asked, &Place::Asked, &[talk.clone(), waits.clone()]));
        assert!(!ends(Role::Asked, &Place::Asked, std::slice::from_ref(&waits)), "whoever asked has hung up");
        assert!(ends(Role::Asked, &Place::Asked, std::slice::from_ref(&talk)));
        assert!(!ends(Role::PickUp, &Place::Talk, std::slice::from_ref(&parked)));
        assert!(ends(Role::PickUp, &Place::Talk, &[talk.clone(), leg(1, &Place::Talk)]));
        assert!(!ends(Role::Over, &Place::Talk, std::slice::from_ref(&talk)));
        for (role, place) in
            [(Role::Over, &Place::Talk), (Role::Talk, &Place::Talk), (Role::Monitor, &monitor)]
        {
            assert!(ends(role, place, &[]), "{role:?}");
        }
        // A phone that rings to listen keeps nobody waiting.
        let legs = [talk, rings(Role::Monitor, &monitor)];
        assert!(look(&legs).0.contains(&Act::HangUp("0".into())));
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
            (vec![asked.clone(), waits.clone()], vec![Act::Keep("0".into()), join("1")]),
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
