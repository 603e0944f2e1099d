//! The author's kit as a program: what it says of plugins, good and bad.

use serde_json::Value;

use crate::cli::Place;
use crate::sandbox::built_path;

fn told(place: &Place, arguments: &[&str]) -> (bool, String) {
    let engine = built_path("js-engine.wasm");
    let output = place.run(arguments, &[("HOOKSWITCH_PLUGINS__JS_ENGINE", engine.to_str().unwrap())]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_file_is_checked_as_an_upload_is() {
    let place = Place::new();
    let file = built_path("vip-router.wasm");
    let (fine, text) = told(&place, &["plugin", "check", file.to_str().unwrap()]);
    assert!(fine && text.contains("fine, a router") && text.contains("asks for contacts"), "{text}");
    let (fine, text) = told(&place, &["plugin", "check", file.to_str().unwrap(), "--kind", "ticketer"]);
    assert!(!fine && text.contains("refused (no-export)") && text.contains("it is a router"), "{text}");
    let script = place.path().join("broken.js");
    std::fs::write(&script, "export function routeCall(call) {\n  return {\n}").unwrap();
    let (fine, text) = told(&place, &["plugin", "check", script.to_str().unwrap()]);
    assert!(!fine && text.contains("syntax-error") && text.contains("script.js:3"), "{text}");
}

#[test]
fn a_run_says_what_it_decided_and_what_it_cost() {
    let place = Place::new();
    let script = built_path("order-status.js");
    let settings = place.path().join("settings.json");
    std::fs::write(&settings, r#"{"orders": ["4711=shipped"]}"#).unwrap();
    let arguments = ["plugin", "run", script.to_str().unwrap(), "--digits", "4711#", "--settings"];
    let (fine, text) = told(&place, &[&arguments[..], &[settings.to_str().unwrap()]].concat());
    assert!(fine, "{text}");
    for part in
        ["the caller hears the digits 4711", "outcome: ok", "hang-up", "instructions", "log: order 4711"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (fine, text) = told(&place, &["plugin", "run", script.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((fine, report["outcome"].as_str()), (true, Some("ok")), "{text}");
    let spin = place.path().join("spin.js");
    std::fs::write(&spin, "export function routeCall() { for (;;) {} }").unwrap();
    let (fine, text) = told(&place, &["plugin", "run", spin.to_str().unwrap()]);
    assert!(!fine && text.contains("outcome: cpu-limit"), "{text}");
    let (fine, text) = told(&place, &["plugin", "bench", script.to_str().unwrap(), "--runs", "20"]);
    assert!(fine && text.starts_with("20 runs, ok: p50"), "{text}");
}

/// As the guide says it: new, then run.
#[test]
fn a_new_script_runs_at_once() {
    let place = Place::new();
    for (kind, outcome) in [("router", "outcome: "), ("ticketer", "outcome: "), ("call-script", "outcome: ")]
    {
        let (fine, text) = told(&place, &["plugin", "new", kind, "--lang", "js", "--kind", kind]);
        assert!(fine, "{text}");
        let (_, text) = told(&place, &["plugin", "run", kind]);
        assert!(text.contains(outcome) && !text.contains("refused"), "{kind}: {text}");
    }
}
