//! JavaScript: text that needs no build, or a component that carries an engine of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::Manifest;
use super::{at, said, tools, wit};
use crate::app::Error;

const ENTRY: &str = include_str!("../../../plugins/wrappers/entry.js");
const MAKE: &str = include_str!("../../../plugins/wrappers/componentize.mjs");
const PACKAGE: &str = "node_modules/@bytecodealliance/componentize-js";

/// Looks at a text that is going to be uploaded as it is. The service's own engine judges it in full at upload.
pub(super) fn check(source: &Path, manifest: &Manifest) -> Result<u64, Error> {
    let text = std::fs::read_to_string(source).map_err(at(source))?;
    let function = exported(manifest);
    let words =
        |word: &str| text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').any(|w| w == word);
    if !words("export") || !words(&function) {
        return Err(Error::Said(format!(
            "{}: a {} exports a function {function}: `export function {function}(...) {{ ... }}`",
            source.display(),
            manifest.kind.name()
        )));
    }
    Ok(text.len() as u64)
}

/// The author's function as JavaScript writes it, such as `routeCall`.
fn exported(manifest: &Manifest) -> String {
    let mut parts = manifest.kind.function().split('-');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let (head, tail) = part.split_at(1);
        name + &head.to_uppercase() + tail
    })
}

/// The component of a text.
pub(super) fn build(folder: &Path, source: &Path, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let node = tools::find("node").ok_or_else(|| {
        said("node is missing: install Node.js 20 or newer, on Debian `apt-get install nodejs npm`")
    })?;
    let package = package(folder)?;
    let work = folder.join(".hookswitch/build");
    std::fs::create_dir_all(&work).map_err(at(&work))?;
    wit::write(&work.join("wit"), manifest.kind, &manifest.interfaces())?;
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        std::fs::write(&path, text).map_err(at(&path))
    };
    write("entry.js", ENTRY)?;
    write("main.js", &main(manifest))?;
    write("grants.js", &grants(manifest))?;
    write("componentize.mjs", MAKE)?;
    let text = std::fs::read_to_string(source).map_err(at(source))?;
    write("script.js", &text)?;
    let out = work.join("out.wasm");
    let mut command = Command::new(node);
    command.current_dir(&work).arg("componentize.mjs").arg(package).arg("main.js").arg("wit").arg(wit::WORLD);
    tools::output(command.arg("out.wasm"))?;
    std::fs::read(&out).map_err(at(&out))
}

/// The interfaces that the world has, by name.
fn grants(manifest: &Manifest) -> String {
    let name = |interface: &str| interface.replace("call-control", "callControl");
    let mut text = String::new();
    for interface in manifest.interfaces() {
        text += &format!("import * as {} from 'hookswitch:plugin/{interface}@1.0.0';\n", name(interface));
    }
    let names: Vec<String> = manifest.interfaces().into_iter().map(name).collect();
    text + &format!("export const grants = {{ {} }};\n", names.join(", "))
}

/// What the component exports. The wrapper comes first: it makes the globals that the author's file sees.
fn main(manifest: &Manifest) -> String {
    let function = exported(manifest);
    format!(
        "import {{ wrap }} from './entry.js';\nimport * as plugin from './script.js';\n\
         export const {function} = wrap(plugin, '{function}');\n"
    )
}

/// The package that makes components: the author's own, or the one of `scripts/build-plugins`.
fn package(folder: &Path) -> Result<PathBuf, Error> {
    let cached =
        tools::cache().map(|cache| cache.join(format!("componentize-js-{}", tools::COMPONENTIZE_JS)));
    let folder = std::path::absolute(folder).map_err(said)?;
    let mut places = folder.ancestors().map(Path::to_owned).chain(cached).map(|place| place.join(PACKAGE));
    places.find(|place| place.is_dir()).ok_or_else(|| {
        Error::Said(format!(
            "componentize-js is missing: run `npm install --no-save @bytecodealliance/componentize-js@{}` in {}",
            tools::COMPONENTIZE_JS,
            folder.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wrapper_imports_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let text = "name = 'a'\nkind = 'call-script'\nlanguage = 'js'\ngrants = ['kv']";
        std::fs::write(folder.path().join("plugin.toml"), text).unwrap();
        let manifest = Manifest::read(folder.path()).unwrap();
        let made = grants(&manifest);
        assert!(made.contains("import * as callControl from 'hookswitch:plugin/call-control@1.0.0';"));
        assert!(made.ends_with("export const grants = { log, settings, kv, callControl };\n"), "{made}");
        assert!(main(&manifest).ends_with("export const handleCall = wrap(plugin, 'handleCall');\n"));
        let source = folder.path().join("a.js");
        std::fs::write(&source, "export function routeCall() {}").unwrap();
        let problem = check(&source, &manifest).unwrap_err().to_string();
        assert!(problem.contains("exports a function handleCall"), "{problem}");
        std::fs::write(&source, "const handleCall = async () => {};\nexport { handleCall };").unwrap();
        assert!(check(&source, &manifest).is_ok());
    }
}
