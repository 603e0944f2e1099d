//! `hookswitch plugin check`, `run` and `bench`: a plugin in the service's own sandbox, on the author's machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::file::{Bench, File};
use super::manifest::Setting as First;
use super::{Kind, at};
use crate::app::Error;
use crate::sandbox::types::{Call, Event};
use crate::sandbox::{
    Asked, Grants, Host, Input, Job, Limits, Recorded, Report, Scripted, Setting, Settings, Share, World,
};

/// The input where the author gives none.
pub(super) const CALL: &str = include_str!("../../../plugins/starters/call.json");
pub(super) const EVENT: &str = include_str!("../../../plugins/starters/event.json");

/// What is tried, and with what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// A component, a script, or the folder with plugin.toml.
    #[arg(value_name = "FILE", default_value = ".")]
    file: PathBuf,
    /// What it does, where neither plugin.toml nor the file says.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The JavaScript engine's component, where none is built in (`scripts/build-plugins` makes it).
    #[arg(long, value_name = "FILE", env = "HOOKSWITCH_PLUGINS__JS_ENGINE")]
    js_engine: Option<PathBuf>,
}

/// What it is run on.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Inputs {
    /// The call (JSON, as scripts see it); an example if not given.
    #[arg(long, value_name = "FILE", conflicts_with = "event")]
    call: Option<PathBuf>,
    /// The event, for a ticketer; an example if not given.
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Settings (a JSON object of texts and lists of texts); those of plugin.toml if not given.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// What the service answers (a JSON list, as the log of runs shows a run's `trail`).
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Keys that the caller of a call script presses; `-` lets a wait run out, `!` hangs up.
    #[arg(long, default_value = "")]
    digits: String,
}

/// Says what the service would say of an upload.
pub(super) fn check(arguments: &Arguments) -> Result<String, Error> {
    let file = File::read(&arguments.file, arguments.kind)?;
    let inspected = file.inspect()?;
    let bench = Bench::open(arguments.js_engine.as_deref())?;
    let program = bench.load(&file)?;
    let trial =
        bench.wait(bench.sandbox.run(&program, job(&file, Input::Trial, Settings::new(), nobody(""))));
    if !trial.outcome.is_success() {
        let text = format!(
            "{}: can't be made ready ({}): {}",
            file.path.display(),
            trial.outcome.as_str(),
            trial.text
        );
        return Err(Error::Said(text));
    }
    let asks = match file.language {
        crate::sandbox::Language::JavaScript => "what its grants allow".to_owned(),
        crate::sandbox::Language::Component if inspected.asked.is_empty() => "nothing".to_owned(),
        crate::sandbox::Language::Component => inspected.asked.to_string(),
    };
    Ok(format!(
        "{}: fine, a {} of {} bytes{}, asks for {asks}\nSHA-256 {}",
        file.path.display(),
        file.world.as_str(),
        file.bytes.len(),
        inspected.sdk.map(|sdk| format!(" ({sdk})")).unwrap_or_default(),
        inspected.digest,
    ))
}

/// Runs it once and says all there is to say. The second is whether it ended well.
pub(super) fn run(arguments: &Arguments, inputs: &Inputs, json: bool) -> Result<(String, bool), Error> {
    let (file, bench) = open(arguments)?;
    let program = bench.load(&file)?;
    let caller = nobody(&inputs.digits);
    let (input, settings) = (input(&file, inputs)?, settings(&file, inputs)?);
    let host = answers(inputs, &caller)?;
    let report =
        bench.wait(bench.sandbox.run(&program, Job { host, ..job(&file, input, settings, nobody("")) }));
    let well = report.outcome.is_success();
    if json {
        let text = serde_json::to_string_pretty(&report).map_err(super::said)?;
        return Ok((text, well));
    }
    Ok((shown(&report, &caller.heard(), file.world.limits()), well))
}

/// Runs it many times and says what a run costs.
pub(super) fn bench(arguments: &Arguments, inputs: &Inputs, runs: usize) -> Result<String, Error> {
    let (file, bench) = open(arguments)?;
    let program = bench.load(&file)?;
    let (input, settings) = (input(&file, inputs)?, Arc::new(settings(&file, inputs)?));
    let (mut times, mut last) = (Vec::with_capacity(runs), None);
    for _ in 0..runs.max(1) {
        let host = answers(inputs, &nobody(&inputs.digits))?;
        let job = Job {
            host,
            settings: Arc::clone(&settings),
            ..job(&file, input.clone(), Settings::new(), nobody(""))
        };
        let report = bench.wait(bench.sandbox.run(&program, job));
        times.push(report.cost.wall_us);
        last = Some(report);
    }
    times.sort_unstable();
    let part = |percent: usize| times[(times.len() - 1) * percent / 100];
    let Some(last) = last else { return Ok(String::new()) };
    Ok(format!(
        "{} runs, {}: p50 {} µs, p99 {} µs, longest {} µs; {} instructions, {} KiB, the memory grew {} times",
        times.len(),
        last.outcome.as_str(),
        part(50),
        part(99),
        part(100),
        last.cost.fuel,
        last.cost.memory_bytes / 1024,
        last.cost.memory_grows,
    ))
}

fn open(arguments: &Arguments) -> Result<(File, Bench), Error> {
    let file = File::read(&arguments.file, arguments.kind)?;
    file.inspect()?;
    let bench = Bench::open(arguments.js_engine.as_deref())?;
    Ok((file, bench))
}

pub(super) fn nobody(keys: &str) -> Arc<Scripted> {
    Arc::new(Scripted::new(keys, 1_773_325_200_000))
}

pub(super) fn job(file: &File, input: Input, settings: Settings, host: Arc<Scripted>) -> Job {
    let asked = file.manifest.as_ref().map(|manifest| {
        manifest.grants.iter().filter_map(|name| crate::sandbox::Grant::parse(name)).collect::<Grants>()
    });
    Job {
        input,
        settings: Arc::new(settings),
        // What plugin.toml asks for; a file alone may ask for anything.
        grants: asked.unwrap_or_else(Grants::all),
        limits: file.world.limits(),
        host,
        share: Arc::new(Share::default()),
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(at(path))?;
    serde_json::from_str(&text).map_err(|error| Error::Said(format!("{}: {error}", path.display())))
}

fn example<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(super::said)
}

fn input(file: &File, inputs: &Inputs) -> Result<Input, Error> {
    if file.world == World::Ticketer {
        let event: Event = inputs.event.as_deref().map_or_else(|| example(EVENT), read)?;
        return Ok(Input::Event(Box::new(event)));
    }
    let call: Call = inputs.call.as_deref().map_or_else(|| example(CALL), read)?;
    Ok(Input::Call(Box::new(call)))
}

fn settings(file: &File, inputs: &Inputs) -> Result<Settings, Error> {
    if let Some(path) = &inputs.settings {
        return read(path);
    }
    let first = file.manifest.iter().flat_map(|manifest| &manifest.settings);
    Ok(first
        .map(|(name, value)| {
            let value = match value {
                First::Text(text) => Setting::Text(text.clone()),
                First::List(list) => Setting::List(list.clone()),
            };
            (name.clone(), value)
        })
        .collect())
}

/// Given answers first; the caller's part is played by the keys.
fn answers(inputs: &Inputs, caller: &Arc<Scripted>) -> Result<Arc<dyn Host>, Error> {
    let kept: Vec<Asked> = inputs.answers.as_deref().map_or_else(|| Ok(Vec::new()), read)?;
    Ok(Arc::new(Recorded::new(kept, Arc::clone(caller))))
}

/// A run for people: what it decided, what it wrote, what it cost of what it may.
fn shown(report: &Report, heard: &[String], limits: Limits) -> String {
    let mut text = String::new();
    // Into a String, which takes everything.
    for line in heard {
        let _ = writeln!(text, "the caller {line}");
    }
    for line in &report.log {
        let _ = writeln!(text, "log: {}", line.message);
    }
    if report.log_cut {
        let _ = writeln!(text, "log: (what is over the limit was cut off)");
    }
    for asked in &report.trail {
        let _ = writeln!(text, "asked: {}", serde_json::to_string(asked).unwrap_or_default());
    }
    let why = if report.text.is_empty() { String::new() } else { format!(": {}", report.text) };
    let _ = writeln!(text, "outcome: {}{why}", report.outcome.as_str());
    if let Some(output) = &report.output {
        let _ = writeln!(text, "{}", serde_json::to_string_pretty(output).unwrap_or_default());
    }
    let cost = &report.cost;
    let _ = writeln!(text, "instructions {} of {}", cost.fuel, limits.fuel);
    let _ = writeln!(text, "processor    {} µs of {} µs", cost.cpu_us, limits.cpu.as_micros());
    let _ = writeln!(text, "time         {} µs of {} µs", cost.wall_us, limits.wall.as_micros());
    let _ = writeln!(text, "memory       {} KiB of {} KiB", cost.memory_bytes / 1024, limits.memory / 1024);
    let _ = write!(text, "host calls   {} of {}", cost.host_calls, limits.host_calls);
    if cost.memory_grows > 0 {
        let _ = write!(
            text,
            "\nhint: the memory grew {} times; an allocator that serves from memory it has makes a run faster",
            cost.memory_grows
        );
    }
    text
}
