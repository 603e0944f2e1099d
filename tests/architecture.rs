//! The house's rules, checked on the source: who imports whom, how long files and functions are, what may stand where.
//! Each check is a function over text, and each is shown to fail on a bad example.

#![expect(clippy::unwrap_used, reason = "a test file")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// A module's layer; a module uses its own layer's public parts as told below, and everything beneath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Base,
    Engine,
    Domain,
    Edge,
    Top,
}

fn layer(module: &str) -> Option<Layer> {
    Some(match module {
        "base" => Layer::Base,
        "api" | "ari" | "config" | "db" | "events" | "journal" | "mail" | "outgoing" | "sandbox"
        | "storage" => Layer::Engine,
        "agents" | "audit" | "auth" | "calls" | "chat" | "contacts" | "endpoints" | "plugins" | "queues"
        | "routing" | "sms" | "tenants" | "tickets" | "users" | "voicemail" | "webhooks" => Layer::Domain,
        "agi" | "http" | "realtime" => Layer::Edge,
        "app" | "cli" | "lib" | "main" => Layer::Top,
        _ => return None,
    })
}

/// Imports between modules that the layers would refuse, each with its reason.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    // Raises the version of a tenant's routing data inside the writer's own transaction.
    (
        "routing",
        "tenants::store",
        "touch and the tenant's row belong to every change and every read of routing data",
    ),
    ("endpoints", "tenants::store", "touch"),
    ("queues", "tenants::store", "touch"),
    ("agents", "tenants::store", "touch"),
    ("voicemail", "tenants::store", "touch"),
    ("plugins", "tenants::store", "touch"),
    // Limits look at the living calls.
    ("routing", "calls::live", "the limits' counts"),
    // A route webhook is signed like every other.
    ("routing", "webhooks::sign", "a leaf without I/O"),
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), vec![root.join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 50);
    found.sort();
    found
}

/// The part of a file that is no test.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Without comments and documents, so that prose may name anything.
fn bare(text: &str) -> String {
    code(text).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top module of a file.
fn module(path: &Path) -> String {
    let part = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
    part.trim_end_matches(".rs").to_owned()
}

/// Every `crate::a::b` of a text, groups of imports taken apart two names deep.
fn imports(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for part in bare(text).split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let group = group.split(';').next().unwrap_or_default();
            let mut depth = 0;
            for item in group.split_inclusive(['{', ',', '}']) {
                let name = item.trim().trim_end_matches(['{', ',', '}']).trim_end_matches("::").trim();
                if depth == 0 && !name.is_empty() {
                    found.insert(name.to_owned());
                }
                depth += i32::from(item.ends_with('{')) - i32::from(item.ends_with('}'));
            }
            continue;
        }
        let names: Vec<&str> = part
            .split("::")
            .map(|name| {
                name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
            })
            .collect();
        let ends =
            part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(part.len());
        let depth = part[..ends].trim_end_matches(':').split("::").count();
        found.insert(names[..depth.min(2)].join("::"));
    }
    found
}

/// Imports that go up, or from one domain into another's inner parts.
fn wrong_imports(path: &Path, text: &str) -> Vec<String> {
    let own = module(path);
    let Some(own_layer) = layer(&own) else { return vec![format!("{own} has no layer")] };
    let mut wrong = Vec::new();
    for import in imports(text) {
        let (other, inner) = import.split_once("::").unwrap_or((&import, ""));
        let Some(other_layer) = layer(other) else { continue };
        // A module of the other's; its mod.rs may hand on functions under their own names.
        let inside = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(other).join(inner);
        let is_inner = !inner.is_empty() && (inside.is_dir() || inside.with_extension("rs").is_file());
        let excepted = EXCEPTIONS.iter().any(|(from, to, _)| *from == own && *to == import);
        let fine = other == own
            || excepted
            || other_layer < own_layer
            || (own_layer == other_layer && own_layer == Layer::Top)
            || (own_layer == other_layer && own_layer == Layer::Engine)
            || (own_layer == other_layer && own_layer == Layer::Domain && !is_inner);
        if !fine {
            wrong.push(format!("{} uses {import}", path.display()));
        }
    }
    wrong
}

/// Functions with more lines than allowed: name and lines. rustfmt puts a body's last brace under its `fn`.
fn long_functions(text: &str) -> Vec<(String, usize)> {
    let (mut long, lines): (_, Vec<&str>) = (Vec::new(), text.lines().collect());
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let is_function = [
            "fn ",
            "pub fn ",
            "async fn ",
            "pub async fn ",
            "pub(super) fn ",
            "pub(super) async fn ",
            "pub(crate) fn ",
            "pub(crate) async fn ",
            "const fn ",
            "pub const fn ",
        ]
        .iter()
        .any(|word| trimmed.starts_with(word));
        if !is_function {
            continue;
        }
        // A declaration without a body, or a body on one line.
        let opens = lines[start..].iter().find(|l| l.ends_with(['{', ';', '}']));
        if opens.is_none_or(|l| !l.ends_with('{')) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - trimmed.len()]);
        let length = lines[start..].iter().position(|l| *l == end).map_or(0, |n| n + 1);
        if length > FUNCTION_LINES {
            long.push((trimmed.chars().take(60).collect(), length));
        }
    }
    long
}

/// Names of a driver.
fn names_driver(text: &str) -> bool {
    let text = bare(text);
    [
        "sqlx::mysql",
        "sqlx::sqlite",
        "sqlx::MySql",
        "sqlx::Sqlite",
        "Db::MySql",
        "Db::Sqlite",
        "Tx::MySql",
        "Tx::Sqlite",
    ]
    .iter()
    .any(|name| text.contains(name))
}

/// SQL that only one of the databases understands, or that asks the database for the time.
fn wrong_sql(text: &str) -> Vec<&'static str> {
    let words = [
        "RETURNING ",
        "CURRENT_TIMESTAMP",
        "NOW()",
        "UTC_TIMESTAMP",
        "SKIP LOCKED",
        "INSERT OR ",
        "INSERT IGNORE",
        "REPLACE INTO",
        "AUTO_INCREMENT",
        "AUTOINCREMENT",
    ];
    let text = bare(text);
    words.into_iter().filter(|word| text.contains(word)).collect()
}

#[test]
fn imports_go_down() {
    let wrong: Vec<String> = sources().iter().flat_map(|(path, text)| wrong_imports(path, text)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// An exception that nobody needs any more is a hole.
#[test]
fn every_exception_is_in_use() {
    let mut used = BTreeMap::new();
    for (path, text) in sources() {
        for import in imports(&text) {
            used.insert((module(&path), import), ());
        }
    }
    for (from, to, why) in EXCEPTIONS {
        assert!(
            used.contains_key(&((*from).to_owned(), (*to).to_owned())),
            "{from} -> {to} ({why}) is needed no more"
        );
    }
}

#[test]
fn files_and_functions_are_short() {
    for (path, text) in sources() {
        let lines = code(&text).lines().count();
        assert!(lines <= FILE_LINES, "{} has {lines} lines", path.display());
        let long = long_functions(code(&text));
        assert!(long.is_empty(), "{}: {long:?}", path.display());
    }
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

#[test]
fn only_db_names_a_driver() {
    for (path, text) in sources() {
        if module(&path) != "db" {
            assert!(!names_driver(&text), "{} names a driver", path.display());
        }
    }
}

#[test]
fn sql_is_for_both_databases() {
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for (path, text) in sources() {
        assert_eq!(wrong_sql(&text), [""; 0], "{}", path.display());
    }
    let names = |dialect: &str| -> BTreeSet<String> {
        let folder = std::fs::read_dir(migrations.join(dialect)).unwrap();
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names("sqlite"), names("mysql"));
    for dialect in ["sqlite", "mysql"] {
        for name in names(dialect) {
            let text = std::fs::read_to_string(migrations.join(dialect).join(&name)).unwrap();
            // Asterisk writes rows of these tables itself and brings no key; the order is what counts there.
            let numbered = ["0020_ara_odbc.sql", "0022_cdr.sql"].contains(&name.as_str());
            let mut wrong = wrong_sql(&text);
            wrong.retain(|word| !(numbered && word.starts_with("AUTO")));
            assert_eq!(wrong, [""; 0], "{dialect}/{name}");
            assert!(text.starts_with("-- "), "{dialect}/{name} does not say what it is for");
            let ends = if dialect == "sqlite" { ") STRICT;" } else { "COLLATE=utf8mb4_bin;" };
            // A table that is not strict says why.
            let closed = text.matches(ends).count() + text.matches("-- Not strict: ").count();
            assert_eq!(text.matches("CREATE TABLE").count(), closed, "{dialect}/{name}");
        }
    }
}

/// Numbers with a unit that somebody could want to know stand in limits.rs: durations at least.
#[test]
fn durations_stand_in_limits() {
    let mut odd = Vec::new();
    for (path, text) in sources() {
        if path.ends_with("limits.rs") || path.starts_with("src/config/limits") {
            continue;
        }
        for (n, line) in bare(&text).lines().enumerate() {
            let literal = line.split("Duration::from_").nth(1).and_then(|rest| rest.split_once('('));
            if literal.is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit())) {
                odd.push(format!("{}:{}: {}", path.display(), n + 1, line.trim()));
            }
        }
    }
    // A poll of the journal's progress at the start, and hours as seconds: no limits.
    odd.retain(|line| !line.contains("from_millis(20)).await") && !line.contains("3_600 * r.number("));
    assert!(odd.is_empty(), "{odd:#?}");
}

#[test]
fn the_checks_can_fail() {
    let path = Path::new("src/journal/mod.rs");
    assert_eq!(
        wrong_imports(path, "use crate::routing::Router;"),
        ["src/journal/mod.rs uses routing::Router"]
    );
    assert!(wrong_imports(path, "// crate::agi::x\nuse crate::db::Db;").is_empty());
    assert_eq!(wrong_imports(Path::new("src/queues/store.rs"), "use crate::calls::store::Calls;").len(), 1);
    assert!(wrong_imports(Path::new("src/queues/store.rs"), "use crate::calls::Record;").is_empty());
    assert_eq!(
        wrong_imports(Path::new("src/base/ids.rs"), "use crate::{db::Db, agi::Server, base::clock::Clock};")
            .len(),
        2
    );
    assert_eq!(wrong_imports(Path::new("src/agi/mod.rs"), "use crate::http::health;").len(), 1);
    assert_eq!(wrong_imports(Path::new("src/novelty.rs"), ""), ["novelty has no layer"]);
    let body = "    x();\n".repeat(FUNCTION_LINES);
    assert_eq!(
        long_functions(&format!("fn long() {{\n{body}}}\n")),
        [("fn long() {".to_owned(), FUNCTION_LINES + 2)]
    );
    assert!(long_functions(&format!("fn short() {{\n    x();\n}}\n{body}")).is_empty());
    assert!(names_driver("let pool: sqlx::MySqlPool;") && !names_driver("// sqlx::mysql"));
    assert_eq!(wrong_sql("INSERT IGNORE INTO x VALUES (1) RETURNING id"), ["RETURNING ", "INSERT IGNORE"]);
    assert_eq!(code("a\n#[cfg(test)]\nmod tests {}\n"), "a\n");
}
