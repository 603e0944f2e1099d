//! Programs outside that some builds need: where they are, how they are run, how to get them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::said;
use crate::app::Error;

/// What makes components of JavaScript, and its version.
pub(super) const COMPONENTIZE_JS: &str = "0.23.0";
/// What makes components of Python, and its version.
pub(super) const COMPONENTIZE_PY: &str = "0.25.1";

/// A program of the search path.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where `scripts/build-plugins` puts the programs that it installs.
pub(super) fn cache() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("HOOKSWITCH_CACHE").or_else(|| {
        Some(from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?.join("hookswitch"))
    })
}

/// Runs a program to its end and returns what it printed; its complaints go to the terminal.
pub(super) fn output(command: &mut Command) -> Result<String, Error> {
    let name = Path::new(command.get_program()).display().to_string();
    let out = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::Said(format!("{name} can't be started: {error}")))?;
    if !out.status.success() {
        return Err(Error::Said(format!("{name} failed ({}); what it said is above", out.status)));
    }
    String::from_utf8(out.stdout).map_err(said)
}
