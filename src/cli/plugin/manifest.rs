//! `plugin.toml`: what a plugin is, and what it asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Kind, Language, said};
use crate::app::Error;

/// The file's name.
pub(super) const FILE: &str = "plugin.toml";
/// Grants that an author can ask for. `log` and `settings` are always given, `call-control` to every call script.
const GRANTS: [&str; 4] = ["kv", "contacts", "http", "tickets"];

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// As it is uploaded.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) language: Language,
    /// The author's file; for Rust the crate says.
    source: Option<PathBuf>,
    /// What it asks the service for.
    #[serde(default)]
    pub(super) grants: Vec<String>,
    /// Hosts it sends requests to, with the grant `http`.
    #[serde(default)]
    pub(super) http_hosts: Vec<String>,
    /// What a tenant fills in, with what it is at first: a text or a list of texts.
    #[serde(default)]
    pub(super) settings: BTreeMap<String, Setting>,
}

/// What a setting is at first.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Setting {
    Text(String),
    List(Vec<String>),
}

impl Manifest {
    /// Reads a folder's manifest and tells all that is wrong with it at once.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Error::Said(format!(
                "{}: {error}; begin a plugin with `hookswitch plugin new NAME --lang rust|js|python`",
                path.display()
            ))
        })?;
        Self::parse(&text).map_err(|problem| Error::Said(format!("{}: {problem}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let manifest: Self = toml::from_str(text).map_err(said)?;
        let problems = manifest.problems();
        if problems.is_empty() { Ok(manifest) } else { Err(Error::Said(problems.join("; "))) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !is_name(&self.name) {
            problems.push(format!("name '{}': use {NAME_RULE}", self.name));
        }
        for grant in &self.grants {
            if !GRANTS.contains(&grant.as_str()) {
                problems.push(match grant.as_str() {
                    "log" | "settings" | "call-control" => format!("grants: {grant} need not be asked for"),
                    _ => format!("grants: there is no {grant}, only {}", GRANTS.join(", ")),
                });
            }
        }
        if !self.http_hosts.is_empty() && !self.asks("http") {
            problems.push("http_hosts: the grant http is not asked for".into());
        }
        if self.http_hosts.is_empty() && self.asks("http") {
            problems.push("http_hosts: the grant http needs at least one host".into());
        }
        problems
    }

    fn asks(&self, grant: &str) -> bool {
        self.grants.iter().any(|asked| asked == grant)
    }

    /// The interfaces that the plugin imports, each once.
    pub(super) fn interfaces(&self) -> Vec<&str> {
        let mut all = vec!["log", "settings"];
        all.extend(GRANTS.into_iter().filter(|grant| self.asks(grant)));
        if self.kind == Kind::CallScript {
            all.push("call-control");
        }
        all
    }

    /// The author's file: as named, or by the plugin's name.
    pub(super) fn source(&self, folder: &Path) -> PathBuf {
        let name = self.source.clone().unwrap_or_else(|| match self.language {
            Language::Js => format!("{}.js", self.name).into(),
            Language::Python => format!("{}.py", self.name.replace('-', "_")).into(),
            Language::Rust => "src/lib.rs".into(),
        });
        folder.join(name)
    }
}

/// What a name is made of.
pub(super) const NAME_RULE: &str = "1 to 40 of a-z, 0-9 and -, beginning with a letter";

/// Whether a plugin can have this name.
pub(super) fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "name = 'Vip'\nkind = 'router'\nlanguage = 'js'\ngrants = ['log', 'disk', 'http']";
        let problem = Manifest::parse(text).unwrap_err().to_string();
        for part in ["name 'Vip'", "log need not", "no disk", "at least one host"] {
            assert!(problem.contains(part), "{problem}");
        }
        assert!(Manifest::parse("name = 'a'\nkind = 'router'\nlanguage = 'js'\ngrant = ['kv']").is_err());
    }

    #[test]
    fn interfaces_are_what_is_asked_and_what_all_have() {
        let text = "name = 'a-b'\nkind = 'call-script'\nlanguage = 'python'\ngrants = ['tickets', 'kv', 'kv']\n\
            [settings]\nqueue = 'x'\nlist = ['a']";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.interfaces(), ["log", "settings", "kv", "tickets", "call-control"]);
        assert_eq!(manifest.source(Path::new("x")), Path::new("x/a_b.py"));
    }
}
