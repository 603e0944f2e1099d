//! One call from environment to answer: which hook asked, what is known of the call, the decision, the record in the
//! journal, and the variables that tell the dialplan. The record is written before the answer leaves.

mod asked;
mod callback;
mod ended;
mod phone;
mod script;

use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpStream;

use super::{AgiError, Command, Conn, Environment, Handler, Outcome, set_variables};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource};
use crate::calls::{CallAndDecision, Decided, Direction, Record, Started, fit};
use crate::config::limits::{self, routing::FACT_CHARS, routing::TEXT_CHARS};
use crate::journal::Journal;
use crate::queues::callback_desk::Callbacks;
use crate::routing::trace::Trace;
use crate::routing::types::{Action, Inputs, reason};
use crate::routing::{CallIds, Mode, Router};
use crate::sandbox::types::Field;

use asked::Asked;
use phone::{AgiPhone, PromptLengths, Watchdog};

/// Serves every hook of the dialplan.
#[derive(Debug)]
pub struct Sessions {
    /// Decides.
    pub router: Arc<Router>,
    /// Remembers.
    pub journal: Journal,
    /// Ids of calls.
    pub ids: IdSource,
    /// Time.
    pub clock: Clock,
    /// Takes wishes to be called back, and is told who answers.
    pub callbacks: Arc<Callbacks>,
    prompts: PromptLengths,
    asked: Asked,
}

/// Why a session could not do what was asked.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Agi(#[from] AgiError),
    #[error("a variable can't be sent: {0}")]
    Command(#[from] super::CommandError),
    #[error("a record can't be made: {0}")]
    Record(#[from] serde_json::Error),
    #[error("Asterisk refused to set the answer's variables: {0}")]
    Refused(#[from] super::Refusal),
}

type C = Conn<TcpStream>;

impl Handler for Sessions {
    async fn call<'a>(&'a self, conn: &'a mut C, environment: &'a Environment, peer: SocketAddr) -> Outcome {
        let done = match environment.script() {
            b"route" => self.route(conn, environment).await,
            b"next" => self.next(conn, environment).await,
            b"ivr" => Box::pin(self.ivr(conn, environment)).await,
            b"script" => self.script(conn, environment).await,
            b"internal" => self.internal(conn, environment).await,
            b"callback" => Box::pin(self.callback(conn, environment)).await,
            b"ended" => Box::pin(self.ended(conn, environment)).await,
            other => {
                let script = fit(&String::from_utf8_lossy(other), TEXT_CHARS);
                tracing::warn!(agi.script = %script, %peer, "the dialplan asks for a script that does not exist");
                return Outcome::Failed;
            }
        };
        match done {
            Ok(()) => Outcome::Done,
            Err(error) => {
                let script = String::from_utf8_lossy(environment.script());
                tracing::info!(agi.script = %script, %peer, %error, "an AGI session ended early");
                Outcome::Failed
            }
        }
    }
}

impl Sessions {
    /// Serves with these parts.
    pub fn new(journal: Journal, callbacks: Arc<Callbacks>) -> Self {
        Self {
            router: Arc::clone(&callbacks.router),
            ids: callbacks.ids.clone(),
            clock: callbacks.clock.clone(),
            callbacks,
            journal,
            prompts: PromptLengths::default(),
            asked: Asked::default(),
        }
    }

    async fn route(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let dialled = env.query("did").or_else(|| env.arg(1)).or_else(|| env.get("extension"));
        let inputs = Inputs { dialled: text(dialled), ..self.inputs(env) };
        let ids = self.call_ids(env);
        let _asked = self.asked.enter(&ids.uniqueid);
        // Only a dialplan that says so takes the watchdog off again.
        let mut watchdog = Watchdog { conn, watched: env.query("watch") == Some(b"1") };
        let trace = self.router.route_patiently(&ids, inputs, Mode::Live, &mut watchdog).await;
        self.begin(conn, env, &ids, Direction::Inbound, trace).await
    }

    async fn internal(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let dialled = env.query("to").or_else(|| env.arg(1)).or_else(|| env.get("extension"));
        let inputs =
            Inputs { dialled: text(dialled), from_endpoint: text(env.query("from")), ..self.inputs(env) };
        let ids = self.call_ids(env);
        let _asked = self.asked.enter(&ids.uniqueid);
        let trace = self.router.internal(&ids.id, inputs, Mode::Live).await;
        let direction =
            if trace.decision.action == Action::External { Direction::Outbound } else { Direction::Internal };
        self.begin(conn, env, &ids, direction, trace).await
    }

    /// The first decision of a call: count it, write it down, answer. A channel that comes in again (transferred, or
    /// sent back by the operator's dialplan) goes on as the same call: it will have one end.
    async fn begin(
        &self,
        conn: &mut C,
        env: &Environment,
        ids: &CallIds,
        direction: Direction,
        trace: Trace,
    ) -> Result<(), SessionError> {
        if env.query("call").is_some_and(|call| call == ids.id.as_str().as_bytes()) {
            return self.go_on(conn, Some(&ids.id), &trace).await;
        }
        let started = Started {
            id: ids.id.clone(),
            direction,
            did: trace.inputs.dialled.clone(),
            caller: trace.inputs.caller.clone(),
            caller_name: trace.inputs.caller_name.clone(),
            channel: text(env.get("channel")),
            uniqueid: ids.uniqueid.clone(),
            linkedid: ids.linkedid.clone(),
            language: trace.inputs.language.clone(),
            at_us: trace.inputs.at_us,
        };
        let did = crate::base::ids::Number::from_dialled(&started.did);
        let did = did.as_ref().map_or(started.did.as_str(), |number| number.as_str());
        // Somebody in need takes nobody's place.
        let counted = trace.decision.reason != reason::EMERGENCY;
        self.router.live.add(&ids.id, trace.decision.tenant.as_ref().filter(|_| counted), did);
        let record = Record::Began(CallAndDecision { decided: decided(&ids.id, &trace), started });
        self.write_down(&record).await?;
        let answered = answer(conn, Some(&ids.id), &trace).await;
        if answered.is_err() {
            // The dialplan never learned of the decision: its own report will come without our id.
            self.router.live.remove(&ids.id);
        }
        answered
    }

    async fn next(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let (call, state) = self.call_and_state(conn, env).await?;
        let ended = format!("{} {}", text(env.arg(1)), text(env.arg(2)));
        let inputs = Inputs { dialled: text(env.get("extension")), ended, ..self.inputs(env) };
        let trace = self.router.next(call.as_ref(), &state, inputs).await;
        self.go_on(conn, call.as_ref(), &trace).await
    }

    async fn script(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let (call, state) = self.call_and_state(conn, env).await?;
        let script = match env.query("script") {
            Some(script) => text(Some(script)),
            None => variable(conn, "HS_TARGET").await?,
        };
        let inputs = Inputs { dialled: text(env.get("extension")), ..self.inputs(env) };
        let mut ids = self.call_ids(env);
        if let Some(call) = &call {
            ids.id = call.clone();
        }
        // Only a dialplan that says so takes the watchdog off again.
        let watched = env.query("watch") == Some(b"1");
        let language = inputs.language.clone();
        let (control, asks) = script::control();
        let place = self.router.script_place(&state).await;
        let phone = AgiPhone::new(conn, &self.prompts, &language, watched);
        let mut caller = script::Caller::new((phone, &self.router), place, call.clone(), &self.clock);
        let run = self.router.script(&ids, &state, &script, inputs, Some(control));
        let trace = caller.serve(asks, run).await;
        self.go_on(conn, call.as_ref(), &trace).await
    }

    async fn ivr(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let (call, state) = self.call_and_state(conn, env).await?;
        let menu = match env.query("menu") {
            Some(menu) => text(Some(menu)),
            None => variable(conn, "HS_TARGET").await?,
        };
        let inputs = Inputs { dialled: text(env.get("extension")), ..self.inputs(env) };
        // Only a dialplan that says so takes the watchdog off again.
        let watched = env.query("watch") == Some(b"1");
        let language = inputs.language.clone();
        let mut phone = AgiPhone::new(conn, &self.prompts, &language, watched);
        let trace = self.router.ivr(call.as_ref(), &state, &menu, inputs, &mut phone).await;
        self.go_on(conn, call.as_ref(), &trace).await
    }

    /// A later decision of the same call: write it down, answer.
    async fn go_on(&self, conn: &mut C, call: Option<&Id>, trace: &Trace) -> Result<(), SessionError> {
        match call {
            Some(call) => self.write_down(&Record::Moved(decided(call, trace))).await?,
            None => tracing::warn!(
                "the dialplan asks about a call without HS_CALL_ID; the decision has no record"
            ),
        }
        answer(conn, call, trace).await
    }

    /// Puts a record into the journal. A caller is not kept waiting by a disk that fails: the loss is counted.
    async fn write_down<T: Serialize>(&self, record: &Record<T>) -> Result<(), SessionError> {
        let mut payload = Vec::with_capacity(limits::journal::RECORD_USUAL_BYTES);
        serde_json::to_writer(&mut payload, record)?;
        if let Err(error) = self.journal.append(payload).await {
            tracing::error!(%error, "a call goes on without its record");
        }
        Ok(())
    }

    /// What every hook knows.
    fn inputs(&self, env: &Environment) -> Inputs {
        // Asterisk writes `unknown` where it has nothing.
        let known = |key: &str| Some(text(env.get(key))).filter(|t| t != "unknown").unwrap_or_default();
        Inputs {
            at_us: self.clock.now_us(),
            caller: known("callerid"),
            caller_name: known("calleridname"),
            language: text(env.get("language")),
            variables: told_plugins(env),
            ..Inputs::default()
        }
    }

    fn call_ids(&self, env: &Environment) -> CallIds {
        let uniqueid = text(env.get("uniqueid"));
        let linkedid = env.query("linkedid").map_or_else(|| uniqueid.clone(), |id| text(Some(id)));
        let again = env.query("call").and_then(|call| Id::parse(std::str::from_utf8(call).ok()?).ok());
        CallIds { id: again.unwrap_or_else(|| self.ids.next()), uniqueid, linkedid }
    }

    /// From the AGI URL, where no caller can write; else from the channel.
    async fn call_and_state(
        &self,
        conn: &mut C,
        env: &Environment,
    ) -> Result<(Option<Id>, String), SessionError> {
        let call = match env.query("call") {
            Some(call) => text(Some(call)),
            None => variable(conn, "HS_CALL_ID").await?,
        };
        let state = match env.query("state") {
            Some(state) => text(Some(state)),
            None => variable(conn, "HS_STATE").await?,
        };
        Ok((Id::parse(&call).ok(), state))
    }
}

/// A value of the environment as text that fits the database.
fn text(bytes: Option<&[u8]>) -> String {
    fit(&String::from_utf8_lossy(bytes.unwrap_or_default()), FACT_CHARS)
}

/// What the dialplan chose to tell plugins: `v.NAME=VALUE` in the URL.
fn told_plugins(env: &Environment) -> Vec<Field> {
    let all = env.queries("v.").take(limits::plugins::VARIABLES);
    all.map(|(name, value)| Field { name: text(Some(name)), value: text(Some(value)) }).collect()
}

async fn variable(conn: &mut C, name: &str) -> Result<String, SessionError> {
    let value = conn.command(&Command::get_variable(name)?).await?.ok()?.into_value();
    Ok(text(value.as_deref()))
}

fn decided<'t>(call: &Id, trace: &'t Trace) -> Decided<&'t Trace> {
    let decision = &trace.decision;
    Decided {
        id: call.clone(),
        tenant: decision.tenant.clone(),
        hook: trace.hook.as_str().to_owned(),
        action: decision.action.as_str().to_owned(),
        target: decision.target.clone(),
        reason: decision.reason.to_string(),
        at_us: trace.inputs.at_us,
        record: decision.record,
        trace,
        runs: trace.runs.clone(),
    }
}

/// Tells the dialplan, in one round trip. A non-empty `HS_ACTION` is its proof that the answer is whole.
async fn answer(conn: &mut C, call: Option<&Id>, trace: &Trace) -> Result<(), SessionError> {
    let decision = &trace.decision;
    let timeout = if decision.timeout_s == 0 { String::new() } else { decision.timeout_s.to_string() };
    let action = if decision.action == Action::Fallback { "" } else { decision.action.as_str() };
    let all = [
        // Whoever answers sees the contact's name; without one it stays as the carrier gave it.
        ("CALLERID(name)", trace.inputs.contact.as_str()),
        ("HS_CALL_ID", call.map(Id::as_str).unwrap_or_default()),
        ("HS_TENANT", decision.tenant.as_ref().map(|t| t.as_str()).unwrap_or_default()),
        ("HS_TARGET", &decision.target),
        ("HS_TIMEOUT", &timeout),
        ("HS_OPTIONS", &decision.options),
        ("HS_RECORD", if decision.record { "1" } else { "0" }),
        ("HS_MESSAGE", &decision.message),
        ("HS_LANGUAGE", &decision.language),
        ("HS_STATE", &decision.state),
        ("HS_REASON", &decision.reason),
        ("HS_ACTION", action),
    ];
    let given: Vec<(String, &str)> = decision
        .variables
        .iter()
        .map(|field| (format!("HS_V_{}", field.name), field.value.as_str()))
        .collect();
    let mut variables: Vec<(&str, &str)> =
        given.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let position = decision.position.to_string();
    if decision.position > 0 {
        variables.push(("HS_POSITION", &position));
    }
    // Who was called back is shown as who had called.
    if decision.reason == reason::CALLBACK {
        variables.push(("CALLERID(num)", &trace.inputs.caller));
    }
    if let Some(trunk) = &decision.trunk {
        variables.push(("HS_VIA", trunk));
    }
    if let Some(sound) = decision.announcement.as_ref().filter(|_| decision.record) {
        variables.push(("HS_ANNOUNCE", sound.as_str()));
    }
    variables.extend(if trace.inputs.contact.is_empty() { &all[1..] } else { &all[..] });
    let mut commands = set_variables(&variables)?;
    if commands.len() > 1 {
        // Some value needs a command of its own: the action must still come last.
        let (action, rest) = (variables[variables.len() - 1], &variables[..variables.len() - 1]);
        commands = set_variables(rest)?;
        commands.extend(set_variables(&[action])?);
    }
    for command in commands {
        conn.command(&command).await?.ok()?;
    }
    Ok(())
}
