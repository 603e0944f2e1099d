//! One run: a new store, a place of the pool, an input, and a report whatever happens.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wasmtime::Store;

use super::compile::{Body, Js, JsRoom, Program, Ready, Sandbox};
use super::grants::Grants;
use super::host::{Asked, Host, Nobody, Settings};
use super::inspect::Refusal;
use super::lane::Task;
use super::meter::{Meter, Metered};
use super::outcome::{Cost, Line, Outcome};
use super::share::Share;
use super::state::{Limits, State, tick};
use super::types::{Call, Decision, Event, TicketDraft};
use super::{World, check, judge};
use crate::config::limits::plugins as limits;

/// What a run is given.
pub struct Job {
    /// What it decides on.
    pub input: Input,
    /// What the tenant filled in.
    pub settings: Arc<Settings>,
    /// What it may ask for.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// Who answers it.
    pub host: Arc<dyn Host>,
    /// Its tenant's share.
    pub share: Arc<Share>,
}

/// What a run decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// For routers and call scripts.
    Call(Box<Call>),
    /// For ticketers.
    Event(Box<Event>),
    /// Nothing: the program is made ready and thrown away, to see whether it can be.
    Trial,
}

impl Input {
    /// The id of the call or event; empty: it is about nothing.
    pub fn subject(&self) -> &str {
        match self {
            Self::Call(call) => &call.id,
            Self::Event(event) => &event.id,
            Self::Trial => "",
        }
    }
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Of routers and call scripts.
    Decision(Decision),
    /// Of ticketers; `None`: nothing to do.
    Draft(Option<TicketDraft>),
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for the plugin's author; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What it gave, when it ended well.
    pub output: Option<Output>,
    /// What it cost.
    pub cost: Cost,
    /// What it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<Line>,
    /// Whether lines are missing.
    #[serde(default)]
    pub log_cut: bool,
    /// What it asked the host, with the answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trail: Vec<Asked>,
    /// Whether answers are missing.
    #[serde(default)]
    pub trail_cut: bool,
}

impl Report {
    /// Of a run that never began.
    pub fn not_run(outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            text: text.into(),
            output: None,
            cost: Cost::default(),
            log: Vec::new(),
            log_cut: false,
            trail: Vec::new(),
            trail_cut: false,
        }
    }

    /// The decision, when there is one.
    pub fn decision(&self) -> Option<&Decision> {
        match &self.output {
            Some(Output::Decision(decision)) => Some(decision),
            _ => None,
        }
    }
}

/// What a store is used for.
pub(super) enum Work {
    Input(Input),
    /// The JavaScript engine makes byte code.
    Compile(String),
}

/// What came of it.
enum Made {
    Output(Output),
    Error(String),
    Nothing,
    Code(Vec<u8>, Vec<String>),
}

impl Sandbox {
    /// Runs a program once. Never fails: the report says how it went.
    pub async fn run(self: &Arc<Self>, program: &Arc<Program>, job: Job) -> Report {
        let (world, share, wall) = (program.world, Arc::clone(&job.share), job.limits.wall);
        let busy =
            |whose: &str| Report::not_run(Outcome::Busy, format!("{whose} runs as many plugins as it may"));
        let Some(_turn) = share.enter(world, wall).await else { return busy("the tenant") };
        let places = if world == World::CallScript { &self.script_places } else { &self.places };
        let Some(_place) = place(places, world, wall).await else { return busy("the service") };
        let _running = self.ticker.running();
        let meter = Arc::new(Meter::new());
        let heavy = program.is_heavy(self.ticker.zero.elapsed_ns());
        let mut run = Box::pin(guest(Arc::clone(program), job, Arc::clone(&meter)));
        if !heavy {
            let done = poll_fn(|cx| {
                let polled = Pin::new(&mut Metered { inner: run.as_mut(), meter: &meter }).poll(cx);
                match polled {
                    Poll::Ready(report) => Poll::Ready(Some(report)),
                    Poll::Pending if meter.takes_long() => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            if let Some(report) = done.await {
                return report;
            }
            program.took_long(self.ticker.zero.elapsed_ns());
        }
        let Some(lanes) = self.lanes() else { return busy("the service, which is stopping,") };
        let (program, zero) = (Arc::clone(program), self.ticker.zero);
        let lane = lanes.spawn(async move {
            let report = loop {
                // One that waits for the host, or for its caller, takes no turn from the tenant's others.
                let heavy = share.heavy(wall).await?;
                let until_it_waits = poll_fn(|cx| {
                    match Pin::new(&mut Metered { inner: run.as_mut(), meter: &meter }).poll(cx) {
                        Poll::Ready(report) => Poll::Ready(Some(report)),
                        Poll::Pending if meter.is_waiting() => Poll::Ready(None),
                        Poll::Pending => Poll::Pending,
                    }
                });
                if let Some(report) = until_it_waits.await {
                    break report;
                }
                drop(heavy);
                until_woken().await;
            };
            if Duration::from_micros(meter.used_us()) >= limits::TICK {
                program.took_long(zero.elapsed_ns());
            }
            Some(report)
        });
        // A run whose thread gets no processor does not even see that it is late: as long as a turn and a run may take.
        // Whoever gives up takes the run with him.
        let Ok(ended) = tokio::time::timeout(wall * 2, Task(lane).end()).await else {
            return Report::not_run(Outcome::Busy, "no processor was free for it in time");
        };
        match ended {
            Ok(Some(report)) => report,
            Ok(None) => busy("the tenant"),
            Err(error) => {
                tracing::error!(%error, "a run of a plugin ended in a panic of the service's own code");
                Report::not_run(Outcome::NotLoadable, "the service failed to run it")
            }
        }
    }
}

/// Waits until this task is woken: by what was polled before.
async fn until_woken() {
    let mut polled = false;
    poll_fn(|_| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

async fn place<'a>(
    places: &'a Semaphore,
    world: World,
    wait: Duration,
) -> Option<tokio::sync::SemaphorePermit<'a>> {
    match places.try_acquire() {
        Ok(place) => Some(place),
        Err(_) if world == World::CallScript => None,
        Err(_) => tokio::time::timeout(wait, places.acquire()).await.ok()?.ok(),
    }
}

/// The run itself.
async fn guest(program: Arc<Program>, job: Job, meter: Arc<Meter>) -> Report {
    let has_caller = program.world == World::CallScript;
    let state = State::new(job.limits, job.grants, job.host, has_caller, job.settings, meter);
    let (mut store, set_up) = match &program.body {
        Body::Component(ready) => store(ready.pre.engine(), state),
        Body::Script { js, .. } => store(js.of(program.world).pre.engine(), state),
    };
    let made = match set_up {
        Ok(()) => work(&mut store, &program, Work::Input(job.input)).await,
        Err(error) => Err(error),
    };
    report(store, made)
}

impl Js {
    fn of(&self, world: World) -> &JsRoom {
        if world == World::CallScript { &self.asleep } else { &self.quick }
    }
}

fn store(engine: &wasmtime::Engine, state: State) -> (Store<State>, wasmtime::Result<()>) {
    let fuel = state.limits.fuel;
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(limits::COPIED_BYTES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(tick);
    let set = store.set_fuel(fuel);
    (store, set)
}

async fn work(store: &mut Store<State>, program: &Program, work: Work) -> wasmtime::Result<Made> {
    match &program.body {
        Body::Component(ready) => match work {
            Work::Input(input) => component(store, ready, program.world, input).await,
            Work::Compile(_) => Ok(Made::Nothing),
        },
        Body::Script { js, code } => match work {
            Work::Input(input) => script(store, js.of(program.world), code, program.world, input).await,
            Work::Compile(_) => Ok(Made::Nothing),
        },
    }
}

async fn component(
    store: &mut Store<State>,
    ready: &Ready,
    world: World,
    input: Input,
) -> wasmtime::Result<Made> {
    let instance = ready.pre.instantiate_async(&mut *store).await?;
    if world == World::Ticketer {
        let run = instance
            .get_typed_func::<(Event,), (Result<Option<TicketDraft>, String>,)>(&mut *store, &ready.export)?;
        let Input::Event(event) = input else { return Ok(Made::Nothing) };
        let (answer,) = run.call_async(&mut *store, (*event,)).await?;
        return Ok(answer.map_or_else(Made::Error, |draft| Made::Output(Output::Draft(draft))));
    }
    let run = instance.get_typed_func::<(Call,), (Result<Decision, String>,)>(&mut *store, &ready.export)?;
    let Input::Call(call) = input else { return Ok(Made::Nothing) };
    let (answer,) = run.call_async(&mut *store, (*call,)).await?;
    Ok(answer.map_or_else(Made::Error, |decision| Made::Output(Output::Decision(decision))))
}

type RunOfScript<'a> = (&'a [u8], bool, &'a str, &'a str, u64, u64);

async fn script(
    store: &mut Store<State>,
    js: &JsRoom,
    code: &[u8],
    world: World,
    input: Input,
) -> wasmtime::Result<Made> {
    let (json, at, seed) = match input {
        Input::Call(call) => (serde_json::to_string(&call), call.at, call.seed),
        Input::Event(event) => (serde_json::to_string(&event), event.at, event.seed),
        // Its byte code was made in the sandbox already.
        Input::Trial => return Ok(Made::Nothing),
    };
    let json = json.map_err(wasmtime::Error::new)?;
    let instance = js.pre.instantiate_async(&mut *store).await?;
    let run = instance.get_typed_func::<RunOfScript<'_>, (Result<String, String>,)>(&mut *store, &js.run)?;
    let (answer,) = run.call_async(&mut *store, (code, true, world.function(), &json, at, seed)).await?;
    let text = match answer {
        Ok(text) => text,
        Err(text) => return Ok(Made::Error(text)),
    };
    let read = if world == World::Ticketer {
        serde_json::from_str(&text).map(Output::Draft)
    } else {
        serde_json::from_str(&text).map(Output::Decision)
    };
    Ok(match read {
        Ok(output) => Made::Output(output),
        Err(error) => {
            store.data_mut().unfit =
                Some(format!("{} returned what is no answer: {error}", world.function()));
            Made::Nothing
        }
    })
}

/// What is to be said of a run.
fn report(store: Store<State>, made: wasmtime::Result<Made>) -> Report {
    let fuel_left = store.get_fuel().unwrap_or_default();
    let state = store.into_data();
    let fits = |output: Output| -> (Outcome, String, Option<Output>) {
        let (checked, outcome) = match &output {
            Output::Decision(Decision::Pass) | Output::Draft(None) => (Ok(()), Outcome::Pass),
            Output::Decision(decision) => (check::decision(decision), Outcome::Ok),
            Output::Draft(Some(draft)) => (check::draft(draft), Outcome::Ok),
        };
        match checked {
            Ok(()) => (outcome, String::new(), Some(output)),
            Err(text) => (Outcome::RejectedOutput, text, None),
        }
    };
    let (outcome, text, output) = match made {
        // It went on after it was refused memory; what it says then is not what it would have said.
        Ok(Made::Output(_)) if let Some(refused) = state.limiter.refused.clone() => {
            (Outcome::MemoryLimit, refused, None)
        }
        Ok(Made::Output(output)) => fits(output),
        Ok(Made::Error(text)) => {
            let (outcome, text) = judge::plugins(text, &state);
            (outcome, text, None)
        }
        Ok(Made::Nothing | Made::Code(..)) => match state.unfit.clone() {
            Some(text) => (Outcome::RejectedOutput, text, None),
            None => (Outcome::Pass, String::new(), None),
        },
        Err(error) => {
            let (outcome, text) = judge::error(&error, &state);
            (outcome, text, None)
        }
    };
    let cost = Cost {
        wall_us: state.elapsed_us(),
        cpu_us: state.meter.used_so_far_us(),
        fuel: state.limits.fuel.saturating_sub(fuel_left),
        memory_bytes: state.limiter.peak as u64,
        memory_grows: state.limiter.grows,
        host_calls: state.host_calls,
    };
    Report {
        outcome,
        text: text.chars().take(limits::TEXT_CHARACTERS).collect(),
        output,
        cost,
        log: state.log,
        log_cut: state.log_cut,
        trail: state.trail,
        trail_cut: state.trail_cut,
    }
}

/// Makes byte code of a script in the engine's own sandbox, and says what the script exports.
pub(super) async fn work_alone(
    sandbox: &Arc<Sandbox>,
    js: &Arc<Js>,
    work: Work,
) -> Result<(Vec<u8>, Vec<String>), Refusal> {
    let Work::Compile(source) = work else {
        return Err(Refusal::new("compiler-failed", "nothing to compile"));
    };
    let broken = |text: String| Refusal::new("compiler-failed", text);
    let Some(lanes) = sandbox.lanes() else { return Err(broken("the service is stopping".into())) };
    let (js, ticker) = (Arc::clone(js), Arc::clone(&sandbox.ticker));
    let lane = lanes.spawn(async move {
        let _running = ticker.running();
        let meter = Arc::new(Meter::new());
        let limits = Limits { fuel: u64::MAX, ..World::Ticketer.limits() };
        let (host, settings) = (Arc::new(Nobody), Arc::new(Settings::default()));
        let state = State::new(limits, Grants::default(), host, false, settings, Arc::clone(&meter));
        let (mut store, set) = store(js.quick.pre.engine(), state);
        let mut run = Box::pin(async {
            set?;
            compile(&mut store, &js.quick, source).await
        });
        let made = poll_fn(|cx| Pin::new(&mut Metered { inner: run.as_mut(), meter: &meter }).poll(cx)).await;
        drop(run);
        match made {
            Ok(Made::Code(code, exports)) => Ok((code, exports)),
            Ok(Made::Error(text)) => Err(Refusal::new("syntax-error", text)),
            Ok(_) => Err(Refusal::new("compiler-failed", "the JavaScript engine gave nothing")),
            Err(error) => {
                let (outcome, text) = judge::error(&error, store.data());
                Err(Refusal::new(
                    "syntax-error",
                    format!("the script can't be read ({}): {text}", outcome.as_str()),
                ))
            }
        }
    });
    lane.await.map_err(|error| broken(error.to_string()))?
}

async fn compile(store: &mut Store<State>, js: &JsRoom, source: String) -> wasmtime::Result<Made> {
    let instance = js.pre.instantiate_async(&mut *store).await?;
    let compile = instance.get_typed_func::<(&str,), (Result<Vec<u8>, String>,)>(&mut *store, &js.compile)?;
    let (code,) = compile.call_async(&mut *store, (source.as_str(),)).await?;
    let code = match code {
        Ok(code) => code,
        Err(text) => return Ok(Made::Error(text)),
    };
    let exports =
        instance.get_typed_func::<(&str,), (Result<Vec<String>, String>,)>(&mut *store, &js.exports)?;
    let (names,) = exports.call_async(&mut *store, (source.as_str(),)).await?;
    Ok(names.map_or_else(Made::Error, |names| Made::Code(code, names)))
}
