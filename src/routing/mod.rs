//! Routing: from what is known of a call to what happens to it. Every path ends in a [`Decision`] with its [`Trace`].
//!
//! [`rules`] is the decision itself and pure; [`memory`] holds the tenants' data; [`Router`] puts both together and
//! asks a tenant's webhook where a number says so. The same [`Router`] serves the AGI session, `simulate` and
//! `replay`.

pub mod api;
pub mod callback;
pub mod data;
mod dial;
pub mod did;
mod instead;
pub mod ivr;
pub mod memory;
pub mod outgoing;
pub mod platform;
pub(crate) mod plugin;
pub mod rules;
pub mod schedule;
pub mod store;
pub mod trace;
pub mod types;
pub mod webhook;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, from_us};
use crate::base::ids::{Id, IdSource, Name, Number, split_global_name};
use crate::base::metrics::{DecisionLabels, Metrics, Outcome as Counted};
use crate::calls::live::Live;
use crate::contacts::{self, Names};
use crate::outgoing::Client;
use crate::plugins::{Plugins, Setup};
use crate::sandbox::Host;
use crate::sandbox::types::{Decision as Chosen, Direction, Failure, Target};

pub use api::Named;
pub use callback::MayCall;
use data::{DidRules, Digits, TenantRules};
pub use dial::Way;
use ivr::{Phone, RecordingPhone};
use memory::{Found, Memory};
pub use outgoing::Paces;
pub use plugin::asked;
use rules::{Verdict, hang_up};
use trace::{Recorder, Trace};
use types::{
    Action, Decision, Destination, Hook, Inputs, Origin, RawDestination, State, WebhookReply, cause, reason,
};
use webhook::{WebhookAction, WebhookAnswer, WebhookCall, WebhookCaller};

/// Everything a decision needs besides the call.
#[derive(Debug)]
pub struct Router {
    /// Tenants' data.
    pub memory: Memory,
    /// Calls that are alive, for the limits.
    pub live: Arc<Live>,
    /// What callers are called.
    pub names: Names,
    /// How fast tenants call out.
    pub paces: Paces,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Time.
    pub clock: Clock,
    /// Ids of webhook messages.
    pub ids: IdSource,
    /// The way to tenants' URLs.
    pub client: Client,
    /// Runs tenants' plugins.
    pub plugins: Arc<Plugins>,
    /// Where calls to numbers go that nobody owns or that are none; `None`: the end.
    pub unknown: Option<Destination>,
}

/// Somebody who waits for a decision, and would else give up before a slow webhook does.
pub trait Patience: Send {
    /// The decision may take `budget` longer than usual.
    fn wait_for(&mut self, budget: Duration) -> impl Future<Output = ()> + Send;
}

/// Waits as long as it takes.
impl Patience for () {
    async fn wait_for(&mut self, _: Duration) {}
}

/// How Asterisk knows a call; goes to webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallIds {
    /// `HS_CALL_ID`.
    pub id: Id,
    /// Asterisk's uniqueid.
    pub uniqueid: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
}

/// The tenant of a call that talks to a script.
#[derive(Clone, Debug)]
pub struct ScriptPlace {
    /// Its data.
    pub rules: Arc<TenantRules>,
}

impl ScriptPlace {
    /// What Asterisk calls a target.
    ///
    /// # Errors
    /// When it is none of the tenant's, or one call out too many.
    pub fn reach(
        &self,
        router: &Router,
        call: &Id,
        target: &Target,
        timeout_s: u32,
    ) -> Result<(Action, String, Option<Box<str>>), Failure> {
        let reached = plugin::reach(&self.rules, target, timeout_s)?;
        if reached.0 == Action::External {
            router.call_out(call, &self.rules).map_err(|why| Failure::Denied(why.to_owned()))?;
        }
        Ok(reached)
    }
}

/// Whether a decision is made for a living call or again from what was written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Count live calls, ask webhooks.
    Live,
    /// Take counts and the webhook's and the plugin's reply from the inputs.
    Replay,
    /// As [`Mode::Replay`], but ask the plugin.
    Again,
}

impl Router {
    /// Decides a call that enters from a trunk.
    pub async fn route(&self, call: &CallIds, inputs: Inputs, mode: Mode) -> Trace {
        self.route_patiently(call, inputs, mode, &mut ()).await
    }

    /// As [`Router::route`]; before a webhook is asked, `patience` is told how long that may take.
    pub async fn route_patiently(
        &self,
        call: &CallIds,
        mut inputs: Inputs,
        mode: Mode,
        patience: &mut impl Patience,
    ) -> Trace {
        let mut steps = Recorder::default();
        let decision = self.route_steps(call, &mut inputs, mode, &mut steps, patience).await;
        if mode == Mode::Live && reason::REFUSALS.contains(&decision.reason.as_ref()) {
            self.live.give_back(&call.id);
        }
        self.finish(Hook::Route, inputs, decision, steps)
    }

    async fn route_steps(
        &self,
        call: &CallIds,
        inputs: &mut Inputs,
        mode: Mode,
        steps: &mut Recorder,
        patience: &mut impl Patience,
    ) -> Decision {
        let Ok(number) = Number::from_dialled(&inputs.dialled) else {
            steps.step("did", "malformed", "");
            return self.nobodys(cause::UNALLOCATED, reason::MALFORMED_DID);
        };
        let (rules, did) = match self.memory.by_number(&number).await {
            Found::Rules(owner) => owner,
            Found::Nobody => {
                steps.step("did", "unknown", "");
                return self.nobodys(cause::UNALLOCATED, reason::UNKNOWN_DID);
            }
            Found::Unavailable => {
                steps.step("did", "unavailable", "");
                return operators_fallback(reason::DATA_UNAVAILABLE);
            }
        };
        steps.step("did", "known", rules.tenant.to_string());
        if mode == Mode::Live {
            (inputs.tenant_calls, inputs.did_calls) =
                self.live.enter(&call.id, &rules.tenant, number.as_str());
        }
        let whose = (&*rules, &*did);
        let decision = self.decide(call, whose, inputs, mode, steps, patience).await;
        self.within_limits(Self::counted(mode, &call.id), (&rules, Some(&did)), inputs, decision, steps)
    }

    /// The rules' decision on a number's call, with what plugin or webhook say.
    async fn decide(
        &self,
        call: &CallIds,
        (rules, did): (&TenantRules, &DidRules),
        inputs: &mut Inputs,
        mode: Mode,
        steps: &mut Recorder,
        patience: &mut impl Patience,
    ) -> Decision {
        let mut verdict = rules::route(rules, did, inputs, steps);
        if verdict == Verdict::AskPlugin {
            if mode != Mode::Replay {
                self.ask_plugin(call, rules, did, inputs, steps).await;
            }
            verdict = plugin::after(rules, did, inputs, steps);
        }
        match verdict {
            // A plugin is asked once.
            Verdict::AskPlugin => hang_up(Some(&rules.tenant), cause::TEMPORARY, reason::PLUGIN_FAILED),
            Verdict::Decided(decision) => {
                // Nobody sees the name of a caller who is sent away.
                let is_answered = !matches!(decision.action, Action::Hangup | Action::Fallback);
                if mode == Mode::Live && is_answered {
                    let name = self.names.of(&rules.tenant, &inputs.caller).await;
                    note_contact(name, inputs, steps);
                }
                decision
            }
            Verdict::AskWebhook => {
                if mode == Mode::Live {
                    if let Some(webhook) = &did.webhook {
                        patience.wait_for(webhook.budget()).await;
                    }
                    // Boxed: an HTTP exchange is large, and most calls have none.
                    let asked = Box::pin(self.ask_webhook(call, rules, did, inputs, steps));
                    let (reply, name) = tokio::join!(asked, self.names.of(&rules.tenant, &inputs.caller));
                    inputs.webhook = Some(reply);
                    note_contact(name, inputs, steps);
                }
                let missing = WebhookReply::Failed("webhook-not-asked".to_owned());
                rules::after_webhook(rules, did, inputs.webhook.as_ref().unwrap_or(&missing), steps)
            }
        }
    }

    /// Runs the DID's plugin; its answer goes into the inputs, its run into the book.
    async fn ask_plugin(
        &self,
        call: &CallIds,
        rules: &TenantRules,
        did: &DidRules,
        inputs: &mut Inputs,
        steps: &mut Recorder,
    ) {
        let Some((_, setup, version)) = rules.plugin_of(did) else { return };
        self.run_plugin(call, rules, did, (setup, version), inputs, None, steps).await;
    }

    #[expect(clippy::too_many_arguments, reason = "one call's data, its tenant's and its book")]
    async fn run_plugin(
        &self,
        call: &CallIds,
        rules: &TenantRules,
        did: &DidRules,
        (setup, version): (&Arc<Setup>, Option<u32>),
        inputs: &mut Inputs,
        control: Option<Arc<dyn Host>>,
        steps: &mut Recorder,
    ) {
        let ids = (&call.id, call.linkedid.as_str());
        let question = plugin::question(ids, rules.zone, inputs, Direction::Inbound);
        let usable = |decision: &Chosen| plugin::usable(rules, did, decision);
        let reply = self.plugins.ask(&rules.tenant, setup, version, question, control, &usable).await;
        inputs.plugin = Some(plugin::kept(&reply));
        steps.run(reply.into_run(self.ids.next(), inputs.at_us, call.id.as_str()));
    }

    async fn ask_webhook(
        &self,
        call: &CallIds,
        rules: &TenantRules,
        did: &DidRules,
        inputs: &Inputs,
        steps: &mut Recorder,
    ) -> WebhookReply {
        let Some(route) = &did.webhook else { return WebhookReply::Failed("webhook-missing".to_owned()) };
        let given = |text: &str| !text.is_empty();
        let question = WebhookCall {
            call_id: call.id.as_str(),
            tenant_id: rules.tenant.as_str(),
            did: &did.number.to_string(),
            caller: WebhookCaller {
                number: Some(inputs.caller.as_str()).filter(|t| given(t)),
                name: Some(inputs.caller_name.as_str()).filter(|t| given(t)),
            },
            language: &inputs.language,
            at: from_us(inputs.at_us),
            uniqueid: &call.uniqueid,
            linkedid: &call.linkedid,
        };
        let asked = webhook::ask(
            &self.client,
            route,
            &format!("msg_{}", self.ids.next()),
            &question,
            self.clock.now(),
        )
        .await;
        for attempt in &asked.attempts {
            let outcome = attempt.error.as_ref().map_or("answered", |e| e.code());
            self.metrics.webhooks.get_or_create(&Counted { outcome }).inc();
            let detail = match &attempt.error {
                Some(error) => format!("{} {error}", attempt.authority),
                None => attempt.authority.clone(),
            };
            steps.step("webhook", outcome, detail);
        }
        match asked.answer {
            Ok(answer) => WebhookReply::Answer(raw_answer(answer)),
            Err(error) => WebhookReply::Failed(error.code().to_owned()),
        }
    }

    /// Decides what comes after an action that reached nobody.
    ///
    /// `call`: the living call, which is counted where it goes outside; `None`: the inputs have the counts.
    pub async fn next(&self, call: Option<&Id>, state: &str, mut inputs: Inputs) -> Trace {
        let ended = inputs.ended.clone();
        let mut steps = Recorder::default();
        call.inspect(|call| self.live.come_back(call));
        let decision = match self.place(state, &mut steps).await {
            Err(decision) => decision,
            Ok((rules, state)) => match &state.origin {
                Origin::Did(_, number) => match rules.dids.get(&Digits::from(number)) {
                    Some(did) => {
                        let decision = plugin::next(&rules, did, &state, &mut steps);
                        self.within_limits(call, (&rules, Some(did)), &mut inputs, decision, &mut steps)
                    }
                    None => {
                        steps.step("did", "gone", number.to_string());
                        hang_up(Some(&rules.tenant), cause::TEMPORARY, reason::NO_DESTINATION)
                    }
                },
                Origin::Internal(_, name) => rules::next_internal(&rules, name, state.stage, &mut steps),
            },
        };
        self.finish(Hook::Next, inputs, rules::as_it_ended(decision, &ended), steps)
    }

    /// Decides what an endpoint dialled.
    pub async fn internal(&self, call: &Id, mut inputs: Inputs, mode: Mode) -> Trace {
        let mut steps = Recorder::default();
        let decision = match split_global_name(&inputs.from_endpoint) {
            Err(_) => {
                steps.step("endpoint", "unknown", inputs.from_endpoint.clone());
                hang_up(None, cause::REJECTED, reason::UNKNOWN_ENDPOINT)
            }
            Ok((tenant, name)) => match self.memory.by_tenant(&tenant).await {
                Found::Rules(rules) => {
                    if mode == Mode::Live {
                        inputs.tenant_calls = self.live.others(call, &tenant);
                    }
                    let decision = rules::internal(&rules, &inputs, &mut steps);
                    let counted = Self::counted(mode, call);
                    self.within_limits(counted, (&rules, None), &mut inputs, decision, &mut steps)
                }
                Found::Nobody => {
                    steps.step("endpoint", "unknown", inputs.from_endpoint.clone());
                    hang_up(None, cause::REJECTED, reason::UNKNOWN_ENDPOINT)
                }
                // The tenant's country is not known: one that is an emergency number anywhere goes out.
                Found::Unavailable
                    if self.memory.platform.lists().is_emergency_somewhere(&inputs.dialled) =>
                {
                    outgoing::emergency_of(&tenant, &name, &inputs.dialled, &mut steps)
                }
                Found::Unavailable => {
                    steps.step("endpoint", "unavailable", "");
                    operators_fallback(reason::DATA_UNAVAILABLE)
                }
            },
        };
        self.finish(Hook::Internal, inputs, decision, steps)
    }

    /// Runs a menu with whoever is on the `phone`, and decides where the call goes then.
    /// `call`: as in [`Router::next`].
    pub async fn ivr(
        &self,
        call: Option<&Id>,
        state: &str,
        menu: &str,
        mut inputs: Inputs,
        phone: &mut impl Phone,
    ) -> Trace {
        let mut steps = Recorder::default();
        let decision = match self.place(state, &mut steps).await {
            Err(decision) => decision,
            Ok((rules, state)) => {
                let mut phone = RecordingPhone::new(phone);
                let decision =
                    Box::pin(menu_steps(&rules, &state, menu, &inputs, &mut phone, &mut steps)).await;
                inputs.digits = phone.keys;
                let did = plugin::number(&state).and_then(|number| rules.dids.get(&Digits::from(number)));
                let whose = (&*rules, did.map(|did| &**did));
                self.within_limits(call, whose, &mut inputs, decision, &mut steps)
            }
        };
        self.finish(Hook::Ivr, inputs, decision, steps)
    }

    /// Runs a call script with the caller that `control` speaks to, and decides where the call goes then. Without a
    /// caller the script does not run: its answer is taken from the inputs.
    pub async fn script(
        &self,
        call: &CallIds,
        state: &str,
        script: &str,
        mut inputs: Inputs,
        control: Option<Arc<dyn Host>>,
    ) -> Trace {
        let mut steps = Recorder::default();
        let decision = match self.place(state, &mut steps).await {
            Err(decision) => decision,
            Ok((rules, state)) => {
                let asked = self.script_steps(call, &rules, &state, script, &mut inputs, control, &mut steps);
                Box::pin(asked).await
            }
        };
        self.finish(Hook::Script, inputs, decision, steps)
    }

    #[expect(clippy::too_many_arguments, reason = "one call's data, its tenant's and its book")]
    async fn script_steps(
        &self,
        call: &CallIds,
        rules: &TenantRules,
        state: &State,
        script: &str,
        inputs: &mut Inputs,
        control: Option<Arc<dyn Host>>,
        steps: &mut Recorder,
    ) -> Decision {
        let end = |why| hang_up(Some(&rules.tenant), cause::TEMPORARY, why);
        let Some(did) = plugin::number(state).and_then(|number| rules.dids.get(&Digits::from(number))) else {
            steps.step("state", "not-a-did", state.to_string());
            return end(reason::BAD_STATE);
        };
        inputs.dialled = did.number.to_string();
        let counted = control.as_ref().map(|_| &call.id);
        let setup = Name::parse(script).ok().and_then(|name| rules.plugins.get(&name));
        let Some(setup) = setup else {
            steps.step("plugin", "no-such-script", script.chars().take(40).collect::<String>());
            let decision = plugin::next(rules, did, state, steps);
            return self.within_limits(counted, (rules, Some(did)), inputs, decision, steps);
        };
        if let Some(control) = control {
            // A version counts where the DID names one of this very plugin.
            let named = rules.plugin_of(did).filter(|(_, other, _)| other.id == setup.id);
            let version = named.and_then(|(_, _, version)| version);
            self.run_plugin(call, rules, did, (setup, version), inputs, Some(control), steps).await;
        }
        let decision = plugin::after_script(rules, did, state, inputs, steps);
        self.within_limits(counted, (rules, Some(did)), inputs, decision, steps)
    }

    /// Whose call a state belongs to, for what its script does meanwhile.
    pub async fn script_place(&self, state: &str) -> Option<ScriptPlace> {
        let (rules, _) = self.place(state, &mut Recorder::default()).await.ok()?;
        Some(ScriptPlace { rules })
    }

    /// Whose list of destinations a state points into.
    async fn place(&self, state: &str, steps: &mut Recorder) -> Result<(Arc<TenantRules>, State), Decision> {
        let Some(state) = State::parse(state) else {
            steps.step("state", "unreadable", state.chars().take(80).collect::<String>());
            return Err(hang_up(None, cause::TEMPORARY, reason::BAD_STATE));
        };
        let (Origin::Did(tenant, _) | Origin::Internal(tenant, _)) = &state.origin;
        match self.memory.by_tenant(tenant).await {
            Found::Rules(rules) => Ok((rules, state)),
            Found::Nobody => {
                steps.step("tenant", "unknown", state.to_string());
                Err(hang_up(None, cause::TEMPORARY, reason::UNKNOWN_DID))
            }
            Found::Unavailable => {
                steps.step("did", "unavailable", "");
                Err(operators_fallback(reason::DATA_UNAVAILABLE))
            }
        }
    }

    /// The operator's answer to numbers that are nobody's.
    fn nobodys(&self, cause: u8, why: &'static str) -> Decision {
        let end = hang_up(None, cause, why);
        let Some(to) = &self.unknown else { return end };
        let (action, target) = match &to.place {
            types::Place::External(number) if self.memory.platform.lists().blocks(number).is_some() => {
                return hang_up(None, cause::REJECTED, reason::BLOCKED_DESTINATION);
            }
            types::Place::External(number) => (Action::External, number.to_string()),
            types::Place::Playback(sound) => (Action::Playback, sound.to_string()),
            types::Place::Hangup(cause) => (Action::Hangup, cause.to_string()),
            // The others are a tenant's; the settings refuse them.
            _ => return end,
        };
        Decision { action, target, ..end }
    }

    fn finish(&self, hook: Hook, inputs: Inputs, decision: Decision, steps: Recorder) -> Trace {
        let labels = DecisionLabels {
            hook: hook.as_str(),
            action: decision.action.as_str(),
            reason: decision.reason.clone(),
        };
        self.metrics.decisions.get_or_create(&labels).inc();
        let trace = steps.finish(hook, inputs, decision);
        self.metrics.decision_seconds.observe(trace.us / 1e6);
        trace
    }
}

async fn menu_steps(
    rules: &TenantRules,
    state: &State,
    menu: &str,
    inputs: &Inputs,
    phone: &mut impl Phone,
    steps: &mut Recorder,
) -> Decision {
    let Origin::Did(_, number) = &state.origin else {
        steps.step("state", "not-a-did", state.to_string());
        return hang_up(Some(&rules.tenant), cause::TEMPORARY, reason::BAD_STATE);
    };
    let did = rules.dids.get(&Digits::from(number));
    let (Some(did), Some(menu)) = (did, Name::parse(menu).ok().and_then(|n| rules.menus.get(&n))) else {
        steps.step("ivr", "no-such-menu", menu.chars().take(40).collect::<String>());
        return match did {
            Some(did) => rules::next(rules, did, state.stage, steps),
            None => hang_up(Some(&rules.tenant), cause::TEMPORARY, reason::NO_DESTINATION),
        };
    };
    let own = if did.language.is_empty() { &inputs.language } else { &did.language };
    let language = if own.is_empty() { &rules.language } else { own };
    let end = |why| hang_up(Some(&rules.tenant), cause::NORMAL, why);
    let outcome = ivr::run(rules, menu, language, phone, steps).await;
    let why = match outcome {
        ivr::Outcome::Go(to) => return rules::from_menu(rules, did, &to, state.stage, steps),
        ivr::Outcome::Goodbye => return end(reason::IVR_GOODBYE),
        ivr::Outcome::Gone => return end(reason::CALLER_GONE),
        ivr::Outcome::NoInput => reason::IVR_NO_INPUT,
        ivr::Outcome::Loop => reason::IVR_LOOP,
    };
    let decision = rules::next(rules, did, state.stage, steps);
    if decision.reason != reason::NO_DESTINATION {
        return Decision { reason: why.into(), ..decision };
    }
    if let Some(goodbye) = &menu.goodbye {
        phone.play(goodbye, false).await;
    }
    end(why)
}

/// Writes down what the caller is called.
fn note_contact(name: contacts::Named, inputs: &mut Inputs, steps: &mut Recorder) {
    let code = name.code();
    if let contacts::Named::Known(name) = name {
        inputs.contact = name.to_string();
    }
    steps.step("contact", code, "");
}

/// Leaves the call to the fallback that the operator wrote into the dialplan.
fn operators_fallback(why: &'static str) -> Decision {
    Decision { action: Action::Fallback, target: String::new(), ..hang_up(None, cause::TEMPORARY, why) }
}

fn raw_answer(answer: WebhookAnswer) -> RawDestination {
    let action = match answer.action {
        WebhookAction::Queue => "queue",
        WebhookAction::Endpoint => "endpoint",
        WebhookAction::Ivr => "ivr",
        WebhookAction::Script => "script",
        WebhookAction::External => "external",
        WebhookAction::Voicemail => "voicemail",
        WebhookAction::Playback => "playback",
        WebhookAction::Hangup => "hangup",
    };
    // A hang-up is the one answer that may leave its target out.
    let is_bare = answer.action == WebhookAction::Hangup && answer.target.is_empty();
    RawDestination {
        action: action.to_owned(),
        target: if is_bare { cause::NORMAL.to_string() } else { answer.target },
        timeout_s: answer.timeout_s.unwrap_or(0),
        options: answer.options,
        message: answer.message,
    }
}

/// Whether a later decision for the same call differs in what the caller would notice.
pub fn differs(a: &Decision, b: &Decision) -> bool {
    (a.action, &a.target, a.timeout_s, &a.options, &a.message)
        != (b.action, &b.target, b.timeout_s, &b.options, &b.message)
}
