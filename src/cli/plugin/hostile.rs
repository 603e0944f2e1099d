//! The hostile set in plugins/hostile: every file parses, says what it is for, and becomes a component of its world.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::{Kind, component};

/// Every grant: what the set imports is not the point here.
const INTERFACES: [&str; 6] = ["log", "settings", "kv", "contacts", "http", "tickets"];

/// `;; world: router  upload: ok  run: cpu-limit` as a table.
fn expectations(text: &str) -> Option<BTreeMap<&str, &str>> {
    let line = text.lines().next()?.strip_prefix(";; ")?;
    line.split("  ").map(|part| part.split_once(": ")).collect()
}

#[test]
fn every_hostile_file_becomes_what_it_is_meant_to_be() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/hostile");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "wat") {
            continue;
        }
        count += 1;
        let name = path.display();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = expectations(&text).unwrap_or_else(|| panic!("{name}: the first line says nothing"));
        let (world, upload, run) = (expected["world"], expected["upload"], expected["run"]);
        assert_eq!(upload == "ok", run != "-", "{name}: what is not loaded does not run");
        let binary = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if world == "none" {
            continue;
        }
        let kind = Kind::from_str(world, false).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut interfaces = INTERFACES.to_vec();
        if kind == Kind::CallScript {
            interfaces.push("call-control");
        }
        let made = component::encode(&binary, kind, &interfaces);
        assert!(made.is_ok(), "{name}: {:?}", made.err());
    }
    assert!(count >= 25, "only {count} files");
}
