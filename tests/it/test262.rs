//! The JavaScript engine against test262, ECMA's own tests of the language: all of `test/language` and `test/built-ins`
//! that a script can run, each in the sandbox as a tenant's script would. What fails stands in
//! `tests/fixtures/test262.txt`; a test that begins to fail, or to pass, has to be written down there.
//!
//! `scripts/test` fetches the tests and says where they are (`HOOKSWITCH_TEST_ECMA`); with `HOOKSWITCH_TEST_ECMA_WRITE=1`
//! the file is written anew, and why each one fails is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookswitch::sandbox::types::Call;
use hookswitch::sandbox::{
    Grants, Input, Job, Language, Limits, Nobody, Outcome, Report, Sandbox, Settings, Share, World,
};
use tokio::task::JoinSet;

use crate::sandbox::sandbox;
use crate::support::root;

/// What a script has not: several realms and threads, a host object, other modules; and calls that leave no frame, which
/// hardly any engine has.
const NOT_OURS: [&str; 9] = [
    "$262",
    "$DETACHBUFFER",
    "Atomics",
    "SharedArrayBuffer",
    "import ",
    "import(",
    "export * from",
    "_FIXTURE",
    "tail-call-optimization",
];
/// Tests at a time.
const AT_ONCE: usize = 4;

/// What a test says of itself.
#[derive(Debug, Default)]
struct About {
    flags: BTreeSet<String>,
    includes: Vec<String>,
    /// Phase and name of the error.
    negative: Option<(String, String)>,
}

fn about(text: &str) -> About {
    let head = text.split_once("/*---").and_then(|(_, rest)| rest.split_once("---*/")).map_or("", |(h, _)| h);
    let mut about = About::default();
    let mut key = "";
    let words = |list: &str| -> Vec<String> {
        list.trim().trim_matches(['[', ']']).split(',').map(|word| word.trim().to_owned()).collect()
    };
    let mut negative = (String::new(), String::new());
    for line in head.lines() {
        let indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        match line.split_once(':') {
            Some((name, rest)) if !indented => {
                key = name;
                match name {
                    "flags" => about.flags.extend(words(rest)),
                    "includes" if !rest.trim().is_empty() => about.includes.extend(words(rest)),
                    _ => {}
                }
            }
            Some(("phase", rest)) if key == "negative" => negative.0 = rest.trim().to_owned(),
            Some(("type", rest)) if key == "negative" => negative.1 = rest.trim().to_owned(),
            _ if key == "includes" => about.includes.extend(line.strip_prefix("- ").map(str::to_owned)),
            _ if key == "flags" => about.flags.extend(line.strip_prefix("- ").map(str::to_owned)),
            _ => {}
        }
    }
    about.negative = Some(negative).filter(|(_, kind)| !kind.is_empty());
    about
}

/// A test as a script that a tenant could upload: it evaluates harness and test as one script.
fn script(harness: &Path, about: &About, text: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap().replace('\u{2028}', "\\u2028");
    let file = |name: &str| std::fs::read_to_string(harness.join(name)).unwrap();
    if about.flags.contains("module") {
        let before = [file("sta.js"), file("assert.js")].concat();
        return format!("{before}\n{text}\nexport function routeCall() {{ return {{tag: 'pass'}}; }}");
    }
    let mut parts = Vec::new();
    if !about.flags.contains("raw") {
        parts.extend([file("sta.js"), file("assert.js")]);
        parts.extend(about.includes.iter().map(|name| file(name)));
    }
    // One script with the test, whose own `let` and `const` are then seen there.
    let strict = if about.flags.contains("onlyStrict") { "\"use strict\";\n" } else { "" };
    let whole = [strict, &parts.join("\n"), text].concat();
    let is_async = about.flags.contains("async");
    format!(
        "export async function routeCall() {{
            const ended = new Promise((done, fail) => {{
                globalThis.$DONE = error => error ? fail(error) : done();
                globalThis.print = () => {{}};
            }});
            (0, eval)({});
            if ({is_async}) await ended;
            return {{tag: 'pass'}};
        }}",
        quoted(&whole)
    )
}

async fn run(sandbox: &Arc<Sandbox>, source: String) -> Result<Report, String> {
    let program = sandbox.load(Bytes::from(source), Language::JavaScript, World::Router).await;
    let program = program.map_err(|refusal| format!("{}: {}", refusal.code, refusal.text))?;
    // More time than a router has: the question is what is right, not what is fast.
    let limits = Limits {
        cpu: Duration::from_secs(10),
        wall: Duration::from_secs(20),
        fuel: 20_000_000_000,
        ..World::Router.limits()
    };
    let job = Job {
        input: Input::Call(Box::new(Call { at: 1_770_000_000_000, seed: 7, ..Call::default() })),
        settings: Arc::new(Settings::default()),
        grants: Grants::default(),
        limits,
        host: Arc::new(Nobody),
        share: Arc::new(Share::default()),
    };
    Ok(sandbox.run(&program, job).await)
}

/// Why a test failed; `None`: it passed.
async fn failure(sandbox: &Arc<Sandbox>, harness: &Path, text: &str) -> Option<String> {
    let about = about(text);
    let made = run(sandbox, script(harness, &about, text)).await;
    let error = match &made {
        Ok(report) if report.outcome == Outcome::Pass => None,
        Ok(report) if report.outcome == Outcome::PluginError => Some(report.text.clone()),
        Ok(report) => return Some(format!("{}: {}", report.outcome.as_str(), report.text)),
        Err(refused) => Some(refused.clone()),
    };
    match (about.negative, error) {
        (None, error) => error,
        (Some((_, kind)), Some(error)) if error.contains(&kind) => None,
        (Some((_, kind)), error) => Some(format!("no {kind}: {error:?}")),
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "js") && !path.to_string_lossy().contains("_FIXTURE")
        {
            found.push(path);
        }
    }
}

/// Passed, failed and left out by folder.
type Table = BTreeMap<String, [usize; 3]>;

async fn all(folder: &Path) -> (Table, BTreeMap<String, String>) {
    let (sandbox, harness) = (sandbox(), Arc::new(folder.join("harness")));
    let mut paths = Vec::new();
    for part in ["language", "built-ins"] {
        files(&folder.join("test").join(part), &mut paths);
    }
    paths.sort();
    let (mut table, mut failed, mut running) = (Table::new(), BTreeMap::new(), JoinSet::new());
    let place = |name: &str| name.split('/').take(2).collect::<Vec<_>>().join("/");
    let mut take = |table: &mut Table, (name, why): (String, Option<String>)| {
        table.entry(place(&name)).or_default()[usize::from(why.is_some())] += 1;
        failed.extend(why.map(|why| (name, why)));
    };
    for path in paths {
        let name = path.strip_prefix(folder.join("test")).unwrap().to_string_lossy().into_owned();
        // Some are not UTF-8 and can't be uploaded.
        let text = std::fs::read_to_string(&path).ok();
        let Some(text) = text.filter(|text| !NOT_OURS.iter().any(|word| text.contains(word))) else {
            table.entry(place(&name)).or_default()[2] += 1;
            continue;
        };
        if running.len() >= AT_ONCE {
            take(&mut table, running.join_next().await.unwrap().unwrap());
        }
        let (sandbox, harness) = (Arc::clone(&sandbox), Arc::clone(&harness));
        running.spawn(async move { (name, failure(&sandbox, &harness, &text).await) });
    }
    while let Some(done) = running.join_next().await {
        take(&mut table, done.unwrap());
    }
    (table, failed)
}

#[test]
fn the_language_is_as_ecma_says() {
    let folder = std::env::var("HOOKSWITCH_TEST_ECMA").expect(
        "HOOKSWITCH_TEST_ECMA is not set: scripts/fetch-test262 FOLDER fetches test262 and says what to set",
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (table, failed) = runtime.block_on(async { all(Path::new(&folder)).await });
    println!("| folder | passed | failed | left out |");
    for (folder, [passed, failed, left]) in &table {
        println!("| {folder} | {passed} | {failed} | {left} |");
    }
    let sum = |n: usize| table.values().map(|row| row[n]).sum::<usize>();
    println!("| all | {} | {} | {} |", sum(0), sum(1), sum(2));
    let file = root().join("tests/fixtures/test262.txt");
    if std::env::var("HOOKSWITCH_TEST_ECMA_WRITE").is_ok() {
        let lines: String = failed.keys().map(|name| format!("{name}\n")).collect();
        std::fs::write(&file, lines).unwrap();
        for (name, why) in &failed {
            println!("{name}: {}", why.lines().next().unwrap_or_default());
        }
        return;
    }
    let known = std::fs::read_to_string(file).unwrap();
    let known: BTreeSet<&str> = known.lines().collect();
    let new: Vec<_> = failed.iter().filter(|(name, _)| !known.contains(name.as_str())).take(20).collect();
    assert!(new.is_empty(), "these did not fail before: {new:#?}");
    let well: Vec<_> = known.iter().filter(|name| !failed.contains_key(**name)).take(20).collect();
    assert!(well.is_empty(), "these pass now, take them out of tests/fixtures/test262.txt: {well:#?}");
}
