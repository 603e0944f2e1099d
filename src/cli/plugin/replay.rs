//! `hookswitch plugin replay`: a run out of a service's log, again with what is built here: the same input, the same answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::file::{Bench, File};
use super::push::{named, text};
use super::service::{Reach, Refused, Service};
use super::{Kind, said, trial};
use crate::app::Error;
use crate::config::limits::kit as limits;
use crate::sandbox::{Asked, Input, Job, Recorded, Report, Settings, Unrecorded};

/// Which run, and with what.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The run's id; or that of the call or event that it was about.
    #[arg(value_name = "RUN_ID")]
    run: String,
    /// A component, a script, or the folder with plugin.toml.
    #[arg(value_name = "FILE", default_value = ".")]
    file: PathBuf,
    /// The plugin's name on the service, where plugin.toml does not say it.
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// What it does, where neither plugin.toml nor the file says.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Settings (a JSON object of texts and lists of texts); what the tenant has filled in now if not given.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The JavaScript engine's component, where none is built in.
    #[arg(long, value_name = "FILE", env = "HOOKSWITCH_PLUGINS__JS_ENGINE")]
    js_engine: Option<PathBuf>,
    #[command(flatten)]
    reach: Reach,
}

/// Runs it again and says what differs. Returns whether nothing does.
pub(super) fn run(arguments: &Arguments) -> Result<bool, Error> {
    let file = File::read(&arguments.file, arguments.kind)?;
    file.inspect()?;
    let name = arguments.plugin.as_deref().or_else(|| file.manifest.as_ref().map(|m| m.name.as_str()));
    let name = name.ok_or_else(|| said("what the service calls the plugin can't be told; say --plugin"))?;
    let service = Service::open(&arguments.reach)?;
    let plugin = named(&service, name)?;
    let plugin = plugin.ok_or_else(|| Error::Said(format!("the service has no plugin {name}")))?;
    let path = format!("/plugins/{}/runs", text(&plugin, "id"));
    let then = find(&service, &path, &arguments.run)?;
    if text(&then, "trigger") == "shadow" && then["differs"] == false {
        return Err(said("of a shadow's run that did not differ nothing is kept; replay the call's own run"));
    }
    let input = service.get(&format!("{path}/{}/input", text(&then, "id")))?["input"].take();
    let trail = Some(then["trail"].clone()).filter(|trail| !trail.is_null());
    let trail: Vec<Asked> = trail.map_or_else(|| Ok(Vec::new()), serde_json::from_value).map_err(said)?;
    let settings = settings(arguments.settings.as_deref(), &plugin)?;
    let asked = Arc::new(Unrecorded::default());
    let host = Arc::new(Recorded::new(trail.clone(), Arc::clone(&asked)));
    let bench = Bench::open(arguments.js_engine.as_deref())?;
    let program = bench.load(&file)?;
    let job = Job { host, ..trial::job(&file, given(&input)?, settings, trial::nobody("")) };
    let now = bench.wait(bench.sandbox.run(&program, job));
    println!(
        "{name}@{}, {} {}, {}",
        then["version"],
        text(&then, "trigger"),
        text(&then, "subject_id"),
        text(&then, "created_at")
    );
    let now_shown = shown(&now)?;
    println!("then: {}", line(&then));
    println!("now:  {}", line(&now_shown));
    logs(&then, &now_shown);
    if then["trail_cut"] == true {
        println!("the log kept only a part of what the host answered then");
    }
    for ask in asked.take() {
        println!("asked now and not then, so without an answer: {}", json!(ask));
    }
    for ask in unasked(&trail, &now.trail) {
        println!("asked then and not now: {}", json!(ask.ask));
    }
    let mut differences = Vec::new();
    for part in ["outcome", "output"] {
        compare(part, &then[part], &now_shown[part], &mut differences);
    }
    println!("{}", serde_json::to_string_pretty(&now_shown["output"]).map_err(said)?);
    differences.iter().for_each(|difference| println!("DIFFERS: {difference}"));
    if differences.is_empty() {
        println!("the same");
    }
    Ok(differences.is_empty())
}

/// The run of this id; or the one of the call or event with this id.
fn find(service: &Service, path: &str, id: &str) -> Result<Value, Error> {
    let missing = match service.get(&format!("{path}/{id}")) {
        Ok(run) => return Ok(run),
        Err(Refused::Other(error)) => return Err(error),
        Err(Refused::NotFound(error)) => error,
    };
    let list = service.get(&format!("{path}?subject_id={id}&limit={}", limits::RUNS_LISTED))?;
    match list["data"].as_array().map(Vec::as_slice) {
        None | Some([]) => Err(missing),
        Some([one]) => Ok(one.clone()),
        Some(several) => {
            for run in several {
                println!(
                    "{}  {} version {}: {}",
                    text(run, "id"),
                    text(run, "trigger"),
                    run["version"],
                    text(run, "outcome")
                );
            }
            Err(Error::Said(format!("{id} has several runs of this plugin, above; name one of them")))
        }
    }
}

fn given(input: &Value) -> Result<Input, Error> {
    let read = |value: &Value| serde_json::from_value(value.clone());
    match (input.get("call"), input.get("event")) {
        (Some(call), _) => Ok(Input::Call(read(call).map_err(said)?)),
        (_, Some(event)) => Ok(Input::Event(serde_json::from_value(event.clone()).map_err(said)?)),
        _ => Err(said("the service gave an input that is neither call nor event")),
    }
}

fn settings(file: Option<&Path>, plugin: &Value) -> Result<Settings, Error> {
    match file {
        Some(path) => trial::read(path),
        None => serde_json::from_value(plugin["settings"].clone()).map_err(said),
    }
}

/// A report as the log of runs shows it.
fn shown(report: &Report) -> Result<Value, Error> {
    let mut shown = serde_json::to_value(report).map_err(said)?;
    let cost = shown["cost"].take();
    if let (Some(shown), Value::Object(cost)) = (shown.as_object_mut(), cost) {
        shown.extend(cost);
    }
    Ok(shown)
}

fn line(run: &Value) -> String {
    let why = [": ", text(run, "text")].concat();
    format!(
        "{}{}; {} instructions, {} µs of a processor, {} KiB, {} host call(s)",
        text(run, "outcome"),
        why.trim_end_matches([':', ' ']),
        run["fuel"],
        run["cpu_us"],
        run["memory_bytes"].as_u64().unwrap_or(0) / 1024,
        run["host_calls"],
    )
}

/// What was written, once where it is the same.
fn logs(then: &Value, now: &Value) {
    let lines = |run: &Value| -> Vec<String> {
        run["log"].as_array().into_iter().flatten().map(|line| text(line, "message").to_owned()).collect()
    };
    let (then, now) = (lines(then), lines(now));
    if then != now {
        then.iter().for_each(|line| println!("log then: {line}"));
    }
    now.iter().for_each(|line| println!("log: {line}"));
}

/// What was asked then and not now; each question counts as often as it was asked.
fn unasked<'t>(then: &'t [Asked], now: &[Asked]) -> Vec<&'t Asked> {
    let mut left: Vec<&Asked> = then.iter().collect();
    for asked in now {
        if let Some(at) = left.iter().position(|one| one.ask == asked.ask) {
            left.remove(at);
        }
    }
    left
}

/// Every value that differs, by its place.
fn compare(place: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> =
                a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))).collect();
            names.sort();
            for name in names {
                compare(&format!("{place}.{name}"), &then[name], &now[name], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (n, (then, now)) in a.iter().zip(b).enumerate() {
                compare(&format!("{place}[{n}]"), then, now, found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("{place}: {then} then, {now} now")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Ask;

    #[test]
    fn every_difference_has_its_place() {
        let mut found = Vec::new();
        let then = json!({"a": 1, "b": [{"c": "x"}, 2], "d": null});
        compare("output", &then, &then, &mut found);
        assert!(found.is_empty());
        compare("output", &then, &json!({"a": 1, "b": [{"c": "y"}, 2], "e": true}), &mut found);
        assert_eq!(found, [r#"output.b[0].c: "x" then, "y" now"#, "output.e: null then, true now"]);
        compare("list", &json!([1]), &json!([1, 2]), &mut found);
        assert_eq!(found[2], "list: [1] then, [1,2] now");
    }

    #[test]
    fn a_question_counts_as_often_as_it_was_asked() {
        let asked = |key: &str| Asked {
            ask: Ask::KvGet { key: key.into() },
            answer: Err(crate::sandbox::types::Failure::NotFound),
        };
        let then = [asked("a"), asked("b"), asked("a")];
        assert_eq!(unasked(&then, &[asked("a"), asked("c")]), [&asked("b"), &asked("a")]);
    }
}
