//! `hookswitch plugin push`: what was built becomes a version of a running service's plugin.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use url::form_urlencoded::byte_serialize;

use super::file::File;
use super::manifest::{Manifest, Setting};
use super::service::{Reach, Refused, Service};
use super::{at, said};
use crate::app::Error;
use crate::sandbox::{Language, World};

/// What goes where.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The folder with plugin.toml.
    #[arg(default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    reach: Reach,
    /// What is new in it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Activate it, unless the plugin's examples fail.
    #[arg(long)]
    activate: bool,
    /// Activate it although examples fail.
    #[arg(long, requires = "activate")]
    force: bool,
}

/// Uploads, and says each step as it is done: what was done stays done when a later one fails.
pub(super) fn run(arguments: &Arguments) -> Result<(), Error> {
    let file = File::read(&arguments.dir, None)?;
    let Some(manifest) = &file.manifest else {
        return Err(Error::Said(format!(
            "{}: this must be a folder with plugin.toml",
            arguments.dir.display()
        )));
    };
    let service = Service::open(&arguments.reach)?;
    let id = plugin(&service, manifest)?;
    let kind = match file.language {
        Language::Component => "application/wasm",
        Language::JavaScript => "text/javascript",
    };
    let note: String = arguments.note.iter().flat_map(|note| byte_serialize(note.as_bytes())).collect();
    let query = if note.is_empty() { note } else { format!("?note={note}") };
    let sent = service.send(&format!("/plugins/{id}/versions{query}"), kind, file.bytes.clone())?;
    let (name, version) = (&manifest.name, &sent.body);
    let number =
        version.get("number").and_then(Value::as_u64).ok_or_else(|| said("the service gave no number"))?;
    let how = if sent.status == 200 { "the service has this very file already" } else { "uploaded" };
    println!("{name}@{number}: {how}, {} bytes, SHA-256 {}", version["size"], text(version, "digest"));
    for example in version["examples"].as_array().into_iter().flatten() {
        let passed = if example["passed"] == true { "passes" } else { "FAILS" };
        let why = [": ", text(example, "detail")].concat();
        println!("  example {}: {passed}{}", example["name"], why.trim_end_matches([':', ' ']));
    }
    let path = format!("/plugins/{id}/versions/{number}");
    match service.post(&format!("{path}/test"), &json!({"input": example(&arguments.dir, file.world)?})) {
        Ok(tried) => println!("  one run on an example: {}", cost(&tried.body)),
        Err(Refused::NotFound(why) | Refused::Other(why)) => println!("  it was not tried: {why}"),
    }
    if !arguments.activate {
        return Ok(());
    }
    service.act(&format!("{path}/activate{}", if arguments.force { "?force=true" } else { "" }))?;
    println!("{name}@{number} is active");
    Ok(())
}

/// The plugin of this name: the one there is, else a new one as plugin.toml says. What a tenant filled in or granted
/// stays as it is.
fn plugin(service: &Service, manifest: &Manifest) -> Result<String, Error> {
    let name = &manifest.name;
    if let Some(found) = named(service, name)? {
        let kind = text(&found, "kind");
        if kind != manifest.kind.name() {
            return Err(Error::Said(format!(
                "{name}: the service's is a {kind}, and plugin.toml says {}; take another name",
                manifest.kind.name()
            )));
        }
        for (what, asked) in [("grants", &manifest.grants), ("http_hosts", &manifest.http_hosts)] {
            let has = |one: &String| {
                found[what].as_array().is_some_and(|all| all.iter().any(|has| has == one.as_str()))
            };
            let missing: Vec<&str> = asked.iter().filter(|one| !has(one)).map(String::as_str).collect();
            if !missing.is_empty() {
                println!(
                    "{name}: the tenant's {what} lack {}; an admin adds them to the plugin",
                    missing.join(", ")
                );
            }
        }
        return Ok(text(&found, "id").to_owned());
    }
    let settings: serde_json::Map<String, Value> = manifest
        .settings
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Setting::Text(text) => json!(text),
                Setting::List(list) => json!(list),
            };
            (name.clone(), value)
        })
        .collect();
    let body = json!({"name": name, "kind": manifest.kind.name(), "grants": manifest.grants,
        "http_hosts": manifest.http_hosts, "settings": settings});
    let made = service.post("/plugins", &body)?.body;
    println!("{name}: made, a {}", manifest.kind.name());
    Ok(text(&made, "id").to_owned())
}

/// A plugin of the service's by its name.
pub(super) fn named(service: &Service, name: &str) -> Result<Option<Value>, Error> {
    let found = service.get(&format!("/plugins?name={name}"))?;
    Ok(found["data"].get(0).cloned())
}

/// The folder's example, or one of ours.
fn example(folder: &Path, world: World) -> Result<Value, Error> {
    let (word, file, ours) = match world {
        World::Ticketer => ("event", "event.json", super::trial::EVENT),
        World::Router | World::CallScript => ("call", "call.json", super::trial::CALL),
    };
    let path = folder.join(file);
    let text = match path.is_file() {
        true => std::fs::read_to_string(&path).map_err(at(&path))?,
        false => ours.to_owned(),
    };
    let value: Value =
        serde_json::from_str(&text).map_err(|e| Error::Said(format!("{}: {e}", path.display())))?;
    Ok(json!({word: value}))
}

fn cost(report: &Value) -> String {
    let why = [": ", text(report, "text")].concat();
    format!(
        "{}{}; {} instructions of {}, {} µs of a processor of {} ms, {} KiB",
        text(report, "outcome"),
        why.trim_end_matches([':', ' ']),
        report["fuel"],
        report["limits"]["fuel"],
        report["cpu_us"],
        report["limits"]["cpu_ms"],
        report["memory_bytes"].as_u64().unwrap_or(0) / 1024,
    )
}

pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}
