//! What an upload is, read from its bytes before anything is compiled: its imports, its kind, and what to change where it
//! does not fit.

use sha2::{Digest as _, Sha256};
use wasmparser::{Parser, Payload};

use super::grants::{Grant, Grants};
use super::{Language, VERSION, World};
use crate::base::hex::hex;
use crate::config::limits::plugins as limits;

/// Why an upload is refused, for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// A stable code.
    pub code: &'static str,
    /// What is wrong, and what to change.
    pub text: String,
}

impl Refusal {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text: text.chars().take(limits::TEXT_CHARACTERS).collect() }
    }
}

/// What an upload says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// SHA-256, 64 hexadecimal digits.
    pub digest: String,
    /// The grants that it imports; of a script every one, since a text does not say.
    pub asked: Grants,
    /// The kit that made it, such as `hookswitch-plugin 1.0.0 (rust)`.
    pub sdk: Option<String>,
}

/// SHA-256 of an upload, 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Reads an upload.
///
/// # Errors
/// What to change.
pub fn inspect(bytes: &[u8], language: Language, world: World) -> Result<Inspected, Refusal> {
    match language {
        Language::JavaScript => script(bytes),
        Language::Component => component(bytes, world),
    }
}

fn script(bytes: &[u8]) -> Result<Inspected, Refusal> {
    if bytes.len() > limits::SCRIPT_BYTES {
        let (is, most) = (bytes.len(), limits::SCRIPT_BYTES);
        return Err(Refusal::new("too-large", format!("the script has {is} bytes, and may have {most}")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Refusal::new("not-utf8", format!("the script is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if text.trim().is_empty() {
        return Err(Refusal::new("empty", "the script is empty"));
    }
    Ok(Inspected { digest: digest(bytes), asked: Grants::all(), sdk: None })
}

fn component(bytes: &[u8], world: World) -> Result<Inspected, Refusal> {
    if bytes.len() > limits::COMPONENT_BYTES {
        let (is, most) = (bytes.len(), limits::COMPONENT_BYTES);
        return Err(Refusal::new("too-large", format!("the file has {is} bytes, and may have {most}")));
    }
    let mut found = Found::default();
    walk(bytes, &mut found)
        .map_err(|error| Refusal::new("malformed", format!("this is no whole WebAssembly file: {error}")))?;
    if !found.is_component {
        return Err(Refusal::new(
            "not-a-component",
            "this is a core module, and a plugin is a component: make one of it with `hookswitch plugin build`",
        ));
    }
    let mut asked = Grants::default();
    let wrong: Vec<String> =
        found.imports.iter().filter_map(|import| check(import, world, &mut asked).err()).collect();
    if !wrong.is_empty() {
        return Err(Refusal::new("wrong-import", wrong.join("; ")));
    }
    if !found.exports.iter().any(|name| name == world.export()) {
        let others: Vec<&str> = World::ALL
            .into_iter()
            .filter(|other| found.exports.iter().any(|name| name == other.export()))
            .map(World::as_str)
            .collect();
        let hint = match others.first() {
            Some(other) => format!("it is a {other}"),
            None => format!("it exports {:?}", found.exports),
        };
        return Err(Refusal::new(
            "no-export",
            format!("a {} exports {}, and this file does not: {hint}", world.as_str(), world.export()),
        ));
    }
    Ok(Inspected { digest: digest(bytes), asked, sdk: found.sdk })
}

#[derive(Default)]
struct Found {
    is_component: bool,
    imports: Vec<String>,
    exports: Vec<String>,
    sdk: Option<String>,
}

/// The names at the outermost level; what is nested belongs to the component itself.
fn walk(bytes: &[u8], found: &mut Found) -> Result<(), wasmparser::BinaryReaderError> {
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } if depth == 0 => {
                found.is_component = encoding == wasmparser::Encoding::Component;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import?;
                    // A world that uses types imports them by name, too: nothing has to be there for that.
                    if !matches!(import.ty, wasmparser::ComponentTypeRef::Type(_)) {
                        found.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(exports) if depth == 0 => {
                for export in exports {
                    found.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::CustomSection(section) if section.name() == "hookswitch:sdk" => {
                let text = String::from_utf8_lossy(section.data());
                found.sdk = Some(text.chars().filter(|c| !c.is_control()).take(80).collect());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether one import can be served; a grant among them is added to `asked`.
fn check(import: &str, world: World, asked: &mut Grants) -> Result<(), String> {
    if let Some(wasi) = import.strip_prefix("wasi:") {
        return Err(format!("{import} is WASI, which plugins do not have: {}", instead(wasi)));
    }
    let Some(rest) = import.strip_prefix("hookswitch:plugin/") else {
        return Err(format!(
            "{import} is none of the interfaces that plugins have (hookswitch:plugin@{VERSION})"
        ));
    };
    let (name, version) = rest.split_once('@').unwrap_or((rest, ""));
    if version != VERSION {
        return Err(format!(
            "{import} is of another version: this service has {VERSION}; build the plugin with its WIT files"
        ));
    }
    match name {
        "types" | "log" | "settings" => Ok(()),
        "call-control" if world == World::CallScript => Ok(()),
        "call-control" => {
            Err(format!("{import} is for call scripts; a {} has no caller on the line", world.as_str()))
        }
        _ => match Grant::parse(name) {
            Some(grant) => {
                *asked = asked.with(grant);
                Ok(())
            }
            None => Err(format!("there is no interface {name} in hookswitch:plugin@{VERSION}")),
        },
    }
}

/// What serves instead of a part of WASI.
fn instead(wasi: &str) -> &'static str {
    match wasi.split('/').next().unwrap_or_default() {
        "http" | "sockets" => "use the interface http, with the host among the plugin's grants",
        "clocks" => "the time is in the input (`at`, `local`)",
        "random" => "randomness is in the input (`seed`)",
        "filesystem" | "keyvalue" | "blobstore" => "use the interface kv",
        "logging" => "use the interface log",
        "config" => "use the interface settings",
        "cli" | "io" => {
            "use log for output and settings for the environment; build with `hookswitch plugin build`, which leaves \
             WASI out"
        }
        _ => "see the WIT files for what there is",
    }
}

/// Logic of the fuzz target `plugin_upload`: whatever comes in, nothing panics.
pub fn fuzz(bytes: &[u8]) {
    for world in World::ALL {
        for language in [Language::Component, Language::JavaScript] {
            if let Err(refusal) = inspect(bytes, language, world) {
                assert!(!refusal.text.is_empty());
            }
        }
    }
}
