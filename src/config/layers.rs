//! The three layers of settings merged into one table, and typed reading out of it. Problems are collected, never
//! thrown at the first: an operator mends a file once, not six times.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use toml::{Table, Value};

use super::{Ari, DEFAULTS};
use crate::base::secret::Secret;

/// Names promised to operators that do not follow `HOOKSWITCH_<SECTION>__<KEY>`.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("HOOKSWITCH_DATABASE_URL", "database.url"),
    ("HOOKSWITCH_HTTP_LISTEN", "http.listen"),
    ("HOOKSWITCH_AGI_LISTEN", "agi.listen"),
    ("HOOKSWITCH_AGI_ALLOW", "agi.allow"),
    ("HOOKSWITCH_DATA_DIR", "data.dir"),
    ("HOOKSWITCH_SECRET", "secret.value"),
    ("HOOKSWITCH_LOG", "log.filter"),
    ("HOOKSWITCH_LOG_FORMAT", "log.format"),
    ("HOOKSWITCH_METRICS_LISTEN", "metrics.listen"),
    ("HOOKSWITCH_OUTGOING_ALLOW", "outgoing.allow"),
    ("HOOKSWITCH_REALTIME_TOKEN", "realtime.token"),
    ("HOOKSWITCH_AUTO_MIGRATE", "auto_migrate"),
];
/// Beginnings of variables that belong to scripts, tests and commands that ask a running service.
const OTHERS: [&str; 4] = ["HOOKSWITCH_CACHE", "HOOKSWITCH_TEST_", "HOOKSWITCH_API_KEY", "HOOKSWITCH_SERVER"];
const ARI_KEYS: [&str; 4] = ["url", "username", "password", "app"];

/// Defaults, file and environment in one table; whatever does not fit goes to `problems`.
pub(super) fn merge(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    problems: &mut Vec<String>,
) -> Table {
    let mut table: Table = match DEFAULTS.parse() {
        Ok(table) => table,
        Err(e) => {
            problems.push(format!("built-in defaults: {e}"));
            Table::new()
        }
    };
    if let Some(path) = file {
        let read = std::fs::read_to_string(path).map_err(|e| e.to_string());
        match read.and_then(|text| text.parse::<Table>().map_err(|e| where_and_what(&text, &e))) {
            Ok(given) => overlay(&mut table, given, "", problems),
            Err(e) => problems.push(format!("{}: {e}", path.display())),
        }
    }
    for (name, text) in env {
        if !name.starts_with("HOOKSWITCH_") {
            continue;
        }
        let short = SHORT_NAMES.iter().find(|(short, _)| *short == name);
        let path = match short {
            Some((_, path)) => (*path).to_owned(),
            None if name.contains("__") => {
                name["HOOKSWITCH_".len()..].to_ascii_lowercase().replace("__", ".")
            }
            None if OTHERS.iter().any(|own| name.starts_with(own)) => continue,
            None => {
                problems
                    .push(format!("{name}: no such setting; longer names are HOOKSWITCH_<SECTION>__<KEY>"));
                continue;
            }
        };
        set(&mut table, &path, &text, &name, problems);
    }
    table
}

/// Line and message; the text of the line itself may be a password.
fn where_and_what(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map_or(1, |t| t.matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

fn overlay(into: &mut Table, given: Table, at: &str, problems: &mut Vec<String>) {
    for (key, value) in given {
        let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        match (into.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(given)) => overlay(inner, given, &path, problems),
            (Some(old), new) if old.type_str() == new.type_str() => *old = new,
            (Some(old), new) => {
                problems.push(format!("{path}: a {} is wanted, not a {}", old.type_str(), new.type_str()));
            }
            (None, new) if path.starts_with("ari.") => drop(into.insert(key, new)),
            (None, _) => problems.push(format!("{path}: no such setting")),
        }
    }
}

/// Puts an environment variable's text in its place, as the type that the default has.
fn set(table: &mut Table, path: &str, text: &str, name: &str, problems: &mut Vec<String>) {
    let mut at = table;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() {
            let inner = match path.starts_with("ari.") {
                true => at.entry(part).or_insert_with(|| Value::Table(Table::new())),
                false => match at.get_mut(part) {
                    Some(value) => value,
                    None => return problems.push(format!("{name}: no such setting ({path})")),
                },
            };
            match inner {
                Value::Table(inner) => at = inner,
                _ => return problems.push(format!("{name}: no such setting ({path})")),
            }
            continue;
        }
        let value = match at.get(part) {
            Some(Value::Integer(_)) => text.trim().parse().ok().map(Value::Integer),
            Some(Value::Boolean(_)) => text.trim().parse().ok().map(Value::Boolean),
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            Some(Value::String(_)) => Some(Value::String(text.to_owned())),
            None if path.starts_with("ari.") => Some(Value::String(text.to_owned())),
            _ => return problems.push(format!("{name}: no such setting ({path})")),
        };
        match value {
            Some(value) => drop(at.insert(part.to_owned(), value)),
            None => problems.push(format!("{name} ({path}): {text:?} is not of the wanted type")),
        }
    }
}

/// Reads typed values; a value out of range becomes a problem and a stand-in.
pub(super) struct Reader<'a> {
    table: &'a Table,
    problems: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: &'a Table, problems: &'a mut Vec<String>) -> Self {
        Self { table, problems }
    }

    pub(super) fn problem(&mut self, path: &str, what: &str) {
        self.problems.push(format!("{path}: {what}"));
    }

    fn value(&self, path: &str) -> Option<&'a Value> {
        let mut parts = path.split('.');
        let mut value = self.table.get(parts.next()?)?;
        for part in parts {
            value = value.get(part)?;
        }
        Some(value)
    }

    pub(super) fn text(&self, path: &str) -> &'a str {
        self.value(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn flag(&self, path: &str) -> bool {
        self.value(path).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn number(&mut self, path: &str, least: u64, most: u64) -> u64 {
        let given = self.value(path).and_then(Value::as_integer).unwrap_or_default();
        match u64::try_from(given) {
            Ok(n) if (least..=most).contains(&n) => n,
            _ => {
                self.problem(path, &format!("{given} is not within {least} to {most}"));
                least
            }
        }
    }

    pub(super) fn address(&mut self, path: &str) -> SocketAddr {
        let text = self.text(path);
        text.parse().unwrap_or_else(|_| {
            self.problem(
                path,
                &format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080"),
            );
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub(super) fn networks(&mut self, path: &str) -> Vec<IpNet> {
        let items = self.value(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut networks = Vec::with_capacity(items.len());
        for item in items {
            let text = item.as_str().unwrap_or_default();
            let parsed = text
                .parse::<IpNet>()
                .or_else(|e| text.parse::<std::net::IpAddr>().map(IpNet::from).map_err(|_| e));
            match parsed {
                Ok(network) => networks.push(network),
                Err(_) => {
                    self.problem(path, &format!("{text:?} is not a network such as 10.0.0.0/8 or an address"))
                }
            }
        }
        networks
    }

    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        let items = self.value(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    pub(super) fn ari(&mut self) -> BTreeMap<String, Ari> {
        let mut all = BTreeMap::new();
        for (name, value) in self.table.get("ari").and_then(Value::as_table).into_iter().flatten() {
            let path = format!("ari.{name}");
            for key in value.as_table().into_iter().flat_map(Table::keys) {
                if !ARI_KEYS.contains(&key.as_str()) {
                    self.problem(&path, &format!("{key}: no such setting"));
                }
            }
            let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            for key in &ARI_KEYS[1..] {
                if text(key).is_empty() {
                    self.problem(&path, &format!("{key} is missing"));
                }
            }
            let url = Some(text("url")).filter(|url| !url.is_empty());
            if url.as_ref().is_some_and(|u| !u.starts_with("http://") && !u.starts_with("https://")) {
                self.problem(&path, "url starts with neither http:// nor https://");
            }
            let ari = Ari {
                url,
                username: text("username"),
                password: Secret::new(text("password")),
                app: text("app"),
            };
            all.insert(name.clone(), ari);
        }
        all
    }
}
