//! Python: componentize-py puts the interpreter and the author's file into one component.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::Manifest;
use super::{Kind, at, said, tools, wit};
use crate::app::Error;

const ENTRY: &str = include_str!("../../../plugins/wrappers/entry.py");

/// The component of a file.
pub(super) fn build(folder: &Path, source: &Path, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let program = program(folder)?;
    let work = folder.join(".hookswitch/build");
    std::fs::create_dir_all(&work).map_err(at(&work))?;
    wit::write(&work.join("wit"), manifest.kind, &manifest.interfaces())?;
    let text = std::fs::read_to_string(source).map_err(at(source))?;
    for (name, text) in [("entry.py", entry(manifest.kind)), ("plugin.py", text)] {
        let path = work.join(name);
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    let out = work.join("out.wasm");
    let mut command = Command::new(program);
    command.current_dir(&work).args([
        "-q",
        "-d",
        "wit",
        "-w",
        wit::WORLD,
        "componentize",
        "--stub-wasi",
        "entry",
    ]);
    tools::output(command.args(["-o", "out.wasm"]))?;
    std::fs::read(&out).map_err(at(&out))
}

/// The wrapper, with the one function that the world exports.
fn entry(kind: Kind) -> String {
    ENTRY.replace("route_call", &kind.function().replace('-', "_"))
}

fn program(folder: &Path) -> Result<PathBuf, Error> {
    let name = "componentize-py";
    let folder = std::path::absolute(folder).map_err(said)?;
    let own = folder.ancestors().map(|place| place.join(".venv/bin").join(name));
    let cached =
        tools::cache().map(|cache| cache.join(format!("{name}-{}/bin/{name}", tools::COMPONENTIZE_PY)));
    own.chain(cached).find(|file| file.is_file()).or_else(|| tools::find(name)).ok_or_else(|| {
        Error::Said(format!(
            "componentize-py is missing: run `python3 -m venv .venv && .venv/bin/pip install \
             componentize-py=={}` in {} (on Debian first `apt-get install python3-venv`)",
            tools::COMPONENTIZE_PY,
            folder.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapper_has_the_function_of_its_kind() {
        assert!(entry(Kind::Ticketer).contains("def on_event(self"));
        assert!(!entry(Kind::Ticketer).contains("route_call"));
        assert!(entry(Kind::Router).contains("plugin.route_call("));
    }
}
