//! `hookswitch plugin new`: a folder that builds as it is.

use std::path::{Path, PathBuf};

use super::manifest::{NAME_RULE, is_name};
use super::{Kind, Language, at, wit};
use crate::app::Error;

/// The SDK, so that a plugin in Rust builds without a copy of this repository beside it.
const SDK: [(&str, &str); 9] = [
    ("Cargo.toml", include_str!("../../../plugins/sdk/Cargo.toml")),
    ("src/lib.rs", include_str!("../../../plugins/sdk/src/lib.rs")),
    ("src/arena.rs", include_str!("../../../plugins/sdk/src/arena.rs")),
    ("src/bindings.rs", include_str!("../../../plugins/sdk/src/bindings.rs")),
    ("src/build.rs", include_str!("../../../plugins/sdk/src/build.rs")),
    ("src/error.rs", include_str!("../../../plugins/sdk/src/error.rs")),
    ("src/grants.rs", include_str!("../../../plugins/sdk/src/grants.rs")),
    ("src/input.rs", include_str!("../../../plugins/sdk/src/input.rs")),
    ("src/start.rs", include_str!("../../../plugins/sdk/src/start.rs")),
];
const SDK_TESTING: &str = include_str!("../../../plugins/sdk/src/testing.rs");
const CARGO: &str = include_str!("../../../plugins/starters/rust/Cargo.toml.in");
const TYPES: &str = include_str!("../../../plugins/js-engine/hookswitch.d.ts");
const JSCONFIG: &str = include_str!("../../../plugins/starters/js/jsconfig.json");
const CALL: &str = include_str!("../../../plugins/starters/call.json");
const EVENT: &str = include_str!("../../../plugins/starters/event.json");

/// The author's file to begin with.
fn source(lang: Language, kind: Kind) -> &'static str {
    macro_rules! starter {
        ($file:literal) => {
            include_str!(concat!("../../../plugins/starters/", $file))
        };
    }
    match (lang, kind) {
        (Language::Rust, Kind::Router) => starter!("rust/router.rs"),
        (Language::Rust, Kind::Ticketer) => starter!("rust/ticketer.rs"),
        (Language::Rust, Kind::CallScript) => starter!("rust/call-script.rs"),
        (Language::Js, Kind::Router) => starter!("js/router.js"),
        (Language::Js, Kind::Ticketer) => starter!("js/ticketer.js"),
        (Language::Js, Kind::CallScript) => starter!("js/call-script.js"),
        (Language::Python, Kind::Router) => starter!("python/router.py"),
        (Language::Python, Kind::Ticketer) => starter!("python/ticketer.py"),
        (Language::Python, Kind::CallScript) => starter!("python/call-script.py"),
    }
}

/// Writes the folder; never into one that is there.
pub(super) fn write(into: &Path, name: &str, lang: Language, kind: Kind) -> Result<PathBuf, Error> {
    if !is_name(name) {
        return Err(Error::Said(format!("'{name}' can't be a plugin's name: use {NAME_RULE}")));
    }
    let folder = into.join(name);
    if folder.exists() {
        return Err(Error::Said(format!("{} is there already: choose another name", folder.display())));
    }
    for (path, text) in files(name, lang, kind) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(at(parent))?;
        }
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    Ok(folder)
}

fn files(name: &str, lang: Language, kind: Kind) -> Vec<(PathBuf, String)> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let mut add = |path: &str, text: &str| files.push((path.into(), text.to_owned()));
    add("plugin.toml", &manifest(name, lang, kind));
    match kind {
        Kind::Ticketer => add("event.json", EVENT),
        Kind::Router | Kind::CallScript => add("call.json", CALL),
    }
    let text = source(lang, kind);
    match lang {
        Language::Rust => {
            add(".gitignore", "/target\n/dist\n");
            add("Cargo.toml", &CARGO.replace("{{name}}", name));
            add("src/lib.rs", text);
            for (path, text) in SDK {
                add(&format!(".hookswitch/plugins/sdk/{path}"), text);
            }
            add(".hookswitch/plugins/sdk/src/testing.rs", SDK_TESTING);
            for (file, text) in wit::FILES {
                add(&format!(".hookswitch/wit/1.0.0/{file}"), text);
            }
        }
        Language::Js => {
            add(".gitignore", "/node_modules\n/dist\n/.hookswitch\n");
            add(&format!("{name}.js"), text);
            add("hookswitch.d.ts", TYPES);
            add("jsconfig.json", JSCONFIG);
        }
        Language::Python => {
            add(".gitignore", "/.venv\n/dist\n/.hookswitch\n");
            add(&format!("{}.py", name.replace('-', "_")), text);
        }
    }
    files
}

fn manifest(name: &str, lang: Language, kind: Kind) -> String {
    let language = match lang {
        Language::Rust => "rust",
        Language::Js => "js",
        Language::Python => "python",
    };
    let grants = if kind == Kind::Router { r#""contacts""# } else { "" };
    format!(
        "name = \"{name}\"\nkind = \"{}\"\nlanguage = \"{language}\"\n\
         # What it asks the service for: kv, contacts, http, tickets. Log and settings need no asking.\n\
         grants = [{grants}]\n\
         # With the grant http: the hosts, such as \"api.example.com\".\n\
         http_hosts = []\n\n\
         # What a tenant fills in, and what it is at first: a text, or a list of texts.\n\
         [settings]\n{}",
        kind.name(),
        if kind == Kind::Router { "queue = \"support\"\n" } else { "" }
    )
}

/// What to do with the folder.
pub(super) fn next_steps(folder: &Path, lang: Language) -> String {
    let folder = folder.display();
    let built = match lang {
        Language::Rust => {
            "cargo test                          # the function itself, on this machine\n  hookswitch plugin build"
        }
        Language::Js => "hookswitch plugin build             # only a look: JavaScript is uploaded as it is",
        Language::Python => "hookswitch plugin build",
    };
    format!("{folder} is written. Next:\n\n  cd {folder}\n  {built}")
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Manifest;
    use super::*;

    #[test]
    fn every_starter_is_complete() {
        let place = tempfile::tempdir().unwrap();
        for lang in [Language::Rust, Language::Js, Language::Python] {
            for kind in [Kind::Router, Kind::Ticketer, Kind::CallScript] {
                let name = format!("a-{}-{}", format!("{lang:?}").to_lowercase(), kind.name());
                let folder = write(place.path(), &name, lang, kind).unwrap();
                let manifest = Manifest::read(&folder).unwrap();
                assert_eq!((manifest.kind, manifest.language), (kind, lang));
                assert!(manifest.source(&folder).is_file());
                assert!(write(place.path(), &name, lang, kind).is_err(), "a folder is written over");
            }
        }
    }

    /// A file that the SDK gets and this list does not would be missing in every new plugin.
    #[test]
    fn the_sdk_is_carried_whole() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/sdk/src");
        for file in std::fs::read_dir(sources).unwrap() {
            let name = format!("src/{}", file.unwrap().file_name().to_string_lossy());
            assert!(name == "src/testing.rs" || SDK.iter().any(|(path, _)| *path == name), "{name}");
        }
    }

    #[test]
    fn the_examples_are_what_plugins_get() {
        for text in [CALL, EVENT] {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(value["local"]["weekday"], 4);
        }
    }
}
