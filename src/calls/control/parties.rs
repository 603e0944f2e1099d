//! Who talks in a call, and on which channels a command acts. Pure.
//!
//! Whoever a command calls into a call is dialled by a pair of channels inside Asterisk: the first half is ours and talks in our
//! bridge, the second one runs the dialplan and talks with the phone. So the first half stands for that phone: held, parked or
//! handed on, it takes the phone along, and the dialplan's call to it goes on in the books.

use super::Refusal;
use crate::base::ids::{Id, Name};
use crate::calls::table::{Call, Kind, Leg, Place, State};

/// Two parties of a call, from the side of one of the tenant's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    /// The Asterisk they are on.
    pub(super) asterisk: String,
    /// The channel of the endpoint that acts.
    pub(super) near: End,
    /// The other one.
    pub(super) far: End,
    /// The one of the two whose dialplan runs the call.
    pub(super) caller: End,
    /// Whether both are ours.
    pub(super) ours: bool,
}

impl Pair {
    /// The one that is not the caller.
    pub(super) fn called(&self) -> &End {
        if self.caller == self.near { &self.far } else { &self.near }
    }
}

/// A channel that stands for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) id: String,
    pub(super) name: String,
    /// The endpoint of the call's tenant that it is, or stands for.
    pub(super) endpoint: Option<Name>,
    /// The call in the books that runs on it.
    pub(super) runs: Option<Id>,
}

/// The channels of a call that stand for somebody who is in it, in the order of their making.
pub(super) fn parties(call: &Call<'_>) -> Vec<End> {
    let behind: Vec<&str> =
        call.legs.iter().filter_map(|leg| behind(call, leg)).map(|leg| &*leg.id).collect();
    let stands = |leg: &&&Leg| match leg.kind {
        Kind::Phone => !behind.contains(&leg.id.as_str()),
        Kind::Local => !is_second(leg),
        Kind::Snoop => false,
    };
    call.legs.iter().filter(stands).filter(|leg| is_there(leg)).map(|leg| end(call, leg)).collect()
}

/// A leg as somebody's channel.
pub(super) fn end(call: &Call<'_>, leg: &Leg) -> End {
    let endpoint = leg.endpoint.as_ref().or_else(|| behind(call, leg)?.endpoint.as_ref());
    End {
        id: leg.id.clone(),
        name: leg.name.clone(),
        endpoint: endpoint.filter(|(tenant, _)| *tenant == call.tenant).map(|(_, name)| name.clone()),
        runs: leg.call.clone(),
    }
}

fn is_there(leg: &Leg) -> bool {
    let is_in = match leg.place {
        Place::Held | Place::Waits => leg.ours,
        Place::Talk => leg.bridge.is_some(),
        Place::Dialplan => false,
        Place::Asked | Place::Parked(_) | Place::Monitor(_) => return false,
    };
    leg.state == "Up" && (is_in || leg.talks_us.is_some())
}

/// Whether it is the half of a pair that runs the dialplan.
pub(super) fn is_second(leg: &Leg) -> bool {
    leg.kind == Kind::Local && leg.name.ends_with(";2")
}

/// The phone that the first half of a pair stands for: whom its other half talks to.
fn behind<'t>(call: &Call<'t>, first: &Leg) -> Option<&'t Leg> {
    let pair = first.name.strip_suffix(";1").filter(|_| first.kind == Kind::Local)?;
    let second = call.legs.iter().find(|leg| is_second(leg) && leg.name.strip_suffix(";2") == Some(pair))?;
    let bridge = second.bridge.as_ref()?;
    let mut others = call.legs.iter().filter(|leg| leg.bridge.as_ref() == Some(bridge));
    others.find(|leg| leg.kind == Kind::Phone).copied()
}

/// Who acts on whom: the endpoint that is named, or the one that was called, and the only other one.
pub(super) fn pair(call: &Call<'_>, near: Option<&[Name]>) -> Result<Pair, Refusal> {
    if call.state == State::Parked {
        return Err(Refusal::State("the call is parked; take it first"));
    }
    let mut all = parties(call);
    let near = all.remove(acting(call, &all, near)?);
    match (all.pop(), all.pop()) {
        (Some(far), None) => of_two(call, near, far),
        (None, _) => Err(Refusal::State("nobody talks to the caller")),
        (Some(_), Some(_)) => Err(Refusal::State("more than two talk")),
    }
}

/// Two parties as a pair.
pub(super) fn of_two(call: &Call<'_>, near: End, far: End) -> Result<Pair, Refusal> {
    let leg = |end: &End| call.legs.iter().find(|leg| leg.id == end.id).copied().ok_or(Refusal::Gone);
    let (near_leg, far_leg) = (leg(&near)?, leg(&far)?);
    let asterisk = near_leg.seen_by.first().ok_or(Refusal::NoPbx)?.clone();
    let ours = near_leg.ours && far_leg.ours;
    let is_first = near.runs.as_ref() == Some(&call.id);
    let near_runs = is_first || (near.runs.is_some() && far.runs.is_none());
    let caller = if near_runs { near.clone() } else { far.clone() };
    Ok(Pair { asterisk, near, far, caller, ours })
}

/// Which of those in a call acts: the endpoint that is named, or the one that was called.
pub(super) fn acting(call: &Call<'_>, all: &[End], near: Option<&[Name]>) -> Result<usize, Refusal> {
    let found = match near {
        Some(names) => {
            all.iter().position(|end| end.endpoint.as_ref().is_some_and(|name| names.contains(name)))
        }
        None => {
            let called = |end: &End| end.endpoint.is_some() && end.runs.as_ref() != Some(&call.id);
            all.iter().position(called).or_else(|| all.iter().position(|end| end.endpoint.is_some()))
        }
    };
    found.ok_or(Refusal::State("nobody talks to the caller"))
}

/// What a channel was called into a call for. It stands in the channel's id, with the call and who is called: asked twice, nobody
/// is called twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To be asked before the call is handed to it.
    Asked,
    /// To talk with the others.
    Talk,
    /// To talk to who is parked.
    PickUp,
    /// To take somebody's place.
    Over,
    /// To listen.
    Monitor,
}

impl Role {
    const ALL: [Self; 5] = [Self::Asked, Self::Talk, Self::PickUp, Self::Over, Self::Monitor];

    /// In a channel's id, and in what it comes to us with.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Talk => "talk",
            Self::PickUp => "pickup",
            Self::Over => "over",
            Self::Monitor => "monitor",
        }
    }

    /// The id of the channel of `whom`, a number or an endpoint.
    pub(super) fn channel(self, call: &Id, whom: &str) -> String {
        // Ids go through places that know a few characters only.
        let whom = whom.replace('+', "p").replace('*', "s").replace('#', "h");
        format!("hs-{}-{call}-{whom}", self.as_str())
    }

    /// Reads it out of a channel's id; `None`: the channel was called for no command.
    pub(super) fn of(channel: &str) -> Option<Self> {
        let (role, rest) = channel.strip_prefix("hs-")?.split_once('-')?;
        Id::parse(rest.split('-').next()?).ok()?;
        Self::ALL.into_iter().find(|one| one.as_str() == role)
    }
}

/// Whether a channel that was called into a call has answered a moment ago, and is still to be brought to the others.
pub(super) fn is_fresh(leg: &Leg) -> bool {
    leg.state == "Up" && leg.bridge.is_none() && !leg.talked && Role::of(&leg.id).is_some() && !is_second(leg)
}

/// The bridge in which a call talks once it is ours: where it does, or would.
pub(super) fn bridge_of(call: &Call<'_>) -> String {
    let talks = |leg: &&&Leg| leg.ours && matches!(leg.place, Place::Talk | Place::Asked);
    let own = call.legs.iter().filter(talks).find_map(|leg| leg.bridge.clone());
    own.unwrap_or_else(|| format!("hs-{}", call.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::Channel;
    use crate::base::clock::Clock;
    use crate::base::ids::{IdSource, TenantId};

    fn leg(name: &str, bridge: &str, place: Place) -> Leg {
        let channel =
            Channel { id: name.into(), name: name.into(), state: "Up".into(), ..Channel::default() };
        let ours = place != Place::Dialplan;
        let talks_us = Some(1).filter(|_| !bridge.is_empty());
        let bridge = Some(bridge.to_owned()).filter(|bridge| !bridge.is_empty());
        Leg { ours, place, bridge, talks_us, seen_by: vec!["pbx".into()], ..Leg::new(&channel, 1) }
    }

    fn call(legs: &[Leg], id: &Id, state: State) -> Call<'static> {
        let legs: Vec<&'static Leg> = legs.iter().map(|leg| &*Box::leak(Box::new(leg.clone()))).collect();
        Call { id: id.clone(), tenant: TenantId::parse("acme").unwrap(), legs, queue: "", state }
    }

    #[test]
    fn half_a_pair_stands_for_the_phone_behind_it() {
        let ids = IdSource::new(Clock::system());
        let (first, second) = (ids.next(), ids.next());
        let name = |text: &str| Some(Name::parse(text).unwrap());
        let caller = Leg { call: Some(first.clone()), ..leg("PJSIP/carrier-00000001", "hs-1", Place::Talk) };
        let half = |n: u8| format!("Local/102@hookswitch-moved-00000001;{n}");
        let dials = Leg { call: Some(second.clone()), ..leg(&half(2), "2", Place::Dialplan) };
        let behind = leg("PJSIP/acme-102-00000003", "2", Place::Dialplan);
        let legs = [caller.clone(), leg(&half(1), "hs-1", Place::Talk), dials, behind];
        let seen = call(&legs, &first, State::Talking);
        assert_eq!(bridge_of(&seen), "hs-1");
        let found = pair(&seen, None).unwrap();
        assert_eq!((&found.near.id, &found.near.endpoint), (&half(1), &name("102")));
        assert_eq!((&found.far.id, &found.caller, found.ours), (&caller.id, &found.far, true));
        assert_eq!(pair(&seen, Some(&[Name::parse("102").unwrap()])).unwrap(), found);
        assert!(pair(&seen, Some(&[Name::parse("101").unwrap()])).is_err());
        // The caller has left a talk of three: the other two are still a pair, though a call runs on neither.
        let mut rest = legs.to_vec();
        rest[0] = leg("PJSIP/acme-101-00000002", "hs-1", Place::Talk);
        let found = pair(&call(&rest, &second, State::Talking), None).unwrap();
        assert_eq!((&found.near.endpoint, &found.far.endpoint), (&name("101"), &name("102")));
        assert!(found.ours && found.caller.runs.is_none(), "{found:?}");
        // Who has only just answered for a command is none of them yet.
        let fresh = Role::Over.channel(&first, "103");
        let mut three = legs.to_vec();
        three.push(Leg { id: fresh, ..leg("PJSIP/acme-103-00000004", "", Place::Talk) });
        assert!(is_fresh(&three[4]) && pair(&call(&three, &first, State::Talking), None).is_ok());
        three[4].bridge = Some("hs-1".into());
        assert_eq!(
            pair(&call(&three, &first, State::Conference), None),
            Err(Refusal::State("more than two talk"))
        );
    }

    #[test]
    fn roles_are_read_out_of_ids() {
        let call = IdSource::new(Clock::system()).next();
        for role in Role::ALL {
            let id = role.channel(&call, "+1555*2#");
            assert_eq!(Role::of(&id), Some(role), "{id}");
            assert!(id.ends_with("-p1555s2h"), "{id}");
        }
        for other in ["hs-out-x", "hs-asked-x", "hs-talk-", "talk", "1795347424.12"] {
            assert_eq!(Role::of(other), None, "{other}");
        }
        assert_eq!(Role::of(&format!("hs-pbx-{call}")), None);
    }
}
