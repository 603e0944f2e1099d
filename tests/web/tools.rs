//! Programs that the tests run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where things that are kept between runs lie.
pub(crate) fn cache() -> PathBuf {
    let set = std::env::var_os("HOOKSWITCH_CACHE").map(PathBuf::from);
    let home = || {
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or(std::env::home_dir().map(|h| h.join(".cache")))
    };
    set.or_else(|| home().map(|h| h.join("hookswitch"))).expect("a home folder")
}

/// Runs a program and returns what it printed; fails with all of it when the program does.
#[track_caller]
pub(crate) fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}; run scripts/lab-install"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
