//! Callbacks as decisions: what a caller hears who asks to be called back, and where a caller goes who answers. The wish itself
//! is taken elsewhere; what came of it stands in the inputs.

use std::sync::Arc;

use super::data::{DidRules, Digits, QueueRules, TenantRules};
use super::memory::Found;
use super::rules::hang_up;
use super::schedule::{Schedule, Status};
use super::trace::{Recorder, Trace};
use super::types::{
    Action, Called, Decision, Destination, Hook, Inputs, Origin, Place, Stage, State, cause, reason,
};
use super::{Mode, Router, note_contact, operators_fallback};
use crate::base::clock::from_us;
use crate::base::ids::{Id, Name, Number, Sound, TenantId, split_global_name};

/// A queue's callbacks, as routing needs them.
#[derive(Clone, Debug, Default)]
pub struct CallbackRules {
    /// Whether a key asks for one.
    pub offered: bool,
    /// When callers are called; `None`: as the number that they had called is open.
    pub schedule: Option<Arc<Schedule>>,
    /// The schedule is named but missing: nobody is called.
    pub schedule_missing: bool,
    /// What a caller hears whose wish was taken; `None`: Asterisk's own words.
    pub sound: Option<Sound>,
}

/// What a caller hears whose wish was taken, and one whose number nobody can call: of Asterisk's core sounds.
const TAKEN: &str = "queue-thankyou&vm-goodbye";
const REFUSED: &str = "im-sorry";

/// Whether somebody may be called back now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayCall {
    /// Yes.
    Yes,
    /// Not now: why.
    Later(&'static str),
    /// Not at all: why.
    Never(&'static str),
}

impl TenantRules {
    fn is_open(&self, queue: &QueueRules, did: &str, at_us: i64) -> bool {
        let own = &queue.callback;
        if own.schedule_missing {
            return false;
        }
        let of_did = || {
            let number = Number::parse(did).ok()?;
            self.dids.get(&Digits::from(&number))?.schedule.as_ref()
        };
        own.schedule
            .as_ref()
            .or_else(of_did)
            .is_none_or(|schedule| schedule.status(from_us(at_us)) == Status::Open)
    }

    /// The destination of a state, where it leads to the queue: with the options that the queue has there.
    fn queue_of(&self, state: &State, queue: &Name) -> Option<Destination> {
        let Origin::Did(_, number) = &state.origin else { return None };
        let did: &DidRules = self.dids.get(&Digits::from(number))?;
        let (_, to) = did.from_stage(self, state.stage, true).next()?;
        (to.place == Place::Queue(queue.clone())).then(|| to.clone())
    }
}

/// Decides what follows the question of a caller who pressed the key, or of one who answers.
fn decide(rules: &TenantRules, queue: &Name, called: &Called, steps: &mut Recorder) -> Decision {
    let end = |why| hang_up(Some(&rules.tenant), cause::NORMAL, why);
    let sound = rules.queues.get(queue).and_then(|queue| queue.callback.sound.as_ref());
    if called.outcome == Called::TAKEN {
        steps.step("callback", Called::TAKEN, queue.to_string());
        let sound = sound.map_or(TAKEN, Sound::as_str);
        return Decision {
            action: Action::Playback,
            target: sound.to_owned(),
            ..end(reason::CALLBACK_TAKEN)
        };
    }
    steps.step("callback", called.outcome.clone(), queue.to_string());
    let place = Place::Queue(queue.clone());
    let state = State::parse(&called.state);
    let to = state.as_ref().and_then(|state| rules.queue_of(state, queue));
    let to = to.unwrap_or_else(|| Destination::to(place.clone()));
    let (action, target, timeout_s) = match rules.target(&to) {
        Ok(target) => target,
        Err(problem) => {
            steps.step("queue", problem, queue.to_string());
            return end(reason::NO_DESTINATION);
        }
    };
    let is_back = called.outcome == Called::ANSWERED;
    let why = if is_back { reason::CALLBACK } else { reason::CALLBACK_REFUSED };
    steps.step("queue", action.as_str(), target.clone());
    Decision {
        action,
        target,
        timeout_s,
        options: to.options.clone(),
        record: rules.records(&place),
        announcement: rules.announcement(&place),
        message: if is_back { String::new() } else { REFUSED.to_owned() },
        language: rules.language.clone(),
        position: called.position,
        state: called.state.clone(),
        ..end(why)
    }
}

/// Where the call of a callback goes on when the queue has not answered it: as a call to the number that was called before.
pub fn state(tenant: &TenantId, queue: &Name, did: &str) -> String {
    let origin = match Number::parse(did) {
        Ok(number) => Origin::Did(tenant.clone(), number),
        Err(_) => Origin::Internal(tenant.clone(), queue.clone()),
    };
    let stage = if matches!(origin, Origin::Did(..)) { Stage::Primary } else { Stage::Refused };
    State::at(origin, stage).to_string()
}

/// The number that a state belongs to; empty: none.
pub fn did_of(state: &str) -> String {
    match State::parse(state).map(|state| state.origin) {
        Some(Origin::Did(_, number)) => number.to_string(),
        _ => String::new(),
    }
}

impl Router {
    /// Decides a question about a callback, by what the inputs say came of it.
    pub async fn callback(&self, mut inputs: Inputs, mode: Mode) -> Trace {
        let mut steps = Recorder::default();
        let called = inputs.called.clone().unwrap_or_default();
        let decision = match split_global_name(&called.queue) {
            Err(_) => {
                steps.step("callback", "no-such-callback", "");
                hang_up(None, cause::NORMAL, reason::CALLBACK_GONE)
            }
            Ok((tenant, queue)) => match self.memory.by_tenant(&tenant).await {
                Found::Rules(rules) => {
                    if mode == Mode::Live && called.outcome == Called::ANSWERED {
                        let name = self.names.of(&tenant, &inputs.caller).await;
                        note_contact(name, &mut inputs, &mut steps);
                        if inputs.contact.is_empty() {
                            inputs.contact.clone_from(&inputs.caller_name);
                        }
                    }
                    decide(&rules, &queue, &called, &mut steps)
                }
                Found::Nobody => {
                    steps.step("tenant", "unknown", called.queue.clone());
                    hang_up(None, cause::TEMPORARY, reason::UNKNOWN_DID)
                }
                Found::Unavailable => operators_fallback(reason::DATA_UNAVAILABLE),
            },
        };
        self.finish(Hook::Callback, inputs, decision, steps)
    }

    /// The number that a caller can be called back under, whose key was pressed in a queue; or why not.
    ///
    /// # Errors
    /// A short code of why not.
    pub async fn callback_number(
        &self,
        (tenant, queue): (&TenantId, &Name),
        caller: &str,
    ) -> Result<Number, &'static str> {
        let Found::Rules(rules) = self.memory.by_tenant(tenant).await else { return Err("unavailable") };
        if !rules.queues.get(queue).is_some_and(|queue| queue.active && queue.callback.offered) {
            return Err("not-offered");
        }
        let number = Number::from_dialled(caller).map_err(|_| "withheld")?;
        match rules.denies(&number) {
            Some(why) => Err(why),
            None => Ok(number),
        }
    }

    /// Why a tenant may not call a number; `None`: it may, or its data can't be read now.
    pub async fn denies(&self, tenant: &TenantId, number: &Number) -> Option<&'static str> {
        match self.memory.by_tenant(tenant).await {
            Found::Rules(rules) => rules.denies(number),
            Found::Nobody | Found::Unavailable => None,
        }
    }

    /// Whether a callback of a queue may be dialled now, but for the limits on calls out.
    pub async fn may_call_back(
        &self,
        (tenant, queue): (&TenantId, &Name),
        number: &Number,
        did: &str,
        at_us: i64,
    ) -> MayCall {
        let Found::Rules(rules) = self.memory.by_tenant(tenant).await else {
            return MayCall::Later("unavailable");
        };
        if !rules.status.has_calls() {
            return MayCall::Later(reason::SUSPENDED_TENANT);
        }
        if let Some(why) = rules.denies(number) {
            return MayCall::Never(why);
        }
        let Some(queue) = rules.queues.get(queue).filter(|queue| queue.active) else {
            return MayCall::Later("queue-inactive");
        };
        if rules.is_open(queue, did, at_us) { MayCall::Yes } else { MayCall::Later(reason::CLOSED) }
    }

    /// Counts a callback that is dialled among the calls that go outside, until [`Router::come_back`].
    ///
    /// # Errors
    /// The limit that it is over; it is not counted then.
    pub async fn count_callback(&self, tenant: &TenantId, id: &Id) -> Result<(), &'static str> {
        match self.memory.by_tenant(tenant).await {
            Found::Rules(rules) => self.call_out(id, &rules),
            Found::Nobody | Found::Unavailable => Err("unavailable"),
        }
    }

    /// A callback is not dialled any more.
    pub fn come_back(&self, id: &Id) {
        self.live.come_back(id);
    }

    /// Counts the call of a caller who was called back among those that went outside.
    pub fn called_back(&self, call: &Id, tenant: &TenantId) {
        self.live.go_out(call, tenant);
    }

    /// The number that somebody is shown who is called back: the one that was called, while the tenant has it; else one that
    /// leads to the queue, else any of the tenant's. Empty: the tenant has none.
    pub async fn shown_to_called(&self, (tenant, queue): (&TenantId, &Name), did: &str) -> String {
        let Found::Rules(rules) = self.memory.by_tenant(tenant).await else { return String::new() };
        if Number::parse(did).is_ok_and(|number| rules.dids.contains_key(&Digits::from(&number))) {
            return did.to_owned();
        }
        let leads =
            |did: &DidRules| did.primary.as_ref().is_some_and(|to| to.place == Place::Queue(queue.clone()));
        let numbers = rules.dids.iter().map(|(number, did)| (!leads(did), number.to_string()));
        numbers.min().map(|(_, number)| number).unwrap_or_default()
    }
}
