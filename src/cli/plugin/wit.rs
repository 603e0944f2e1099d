//! The interface as the kit carries it, and a world that imports only what a plugin asks for.

use std::path::Path;

use wit_parser::{PackageId, Resolve, SourceMap, WorldId};

use super::{Kind, at, said};
use crate::app::Error;

/// Every file of the newest version.
pub(super) const FILES: [(&str, &str); 3] = [
    ("types.wit", include_str!("../../../wit/1.0.0/types.wit")),
    ("grants.wit", include_str!("../../../wit/1.0.0/grants.wit")),
    ("worlds.wit", include_str!("../../../wit/1.0.0/worlds.wit")),
];
const VERSION: &str = "1.0.0";
/// The narrowed world's name.
pub(super) const WORLD: &str = "plugin";

/// A world of this kind that imports these interfaces only. JavaScript and Python import all that their world names,
/// used or not, so that what they ask for must stand in the world.
pub(super) fn narrowed(kind: Kind, interfaces: &[&str]) -> String {
    let (types, signature) = match kind {
        Kind::Router | Kind::CallScript => ("call, decision", "func(call: call) -> result<decision, string>"),
        Kind::Ticketer => {
            ("event, ticket-draft", "func(event: event) -> result<option<ticket-draft>, string>")
        }
    };
    let imports: String = interfaces
        .iter()
        .map(|interface| format!("  import hookswitch:plugin/{interface}@{VERSION};\n"))
        .collect();
    format!(
        "package tenant:plugin;\n\nworld {WORLD} {{\n  use hookswitch:plugin/types@{VERSION}.{{{types}}};\n{imports}  \
         export {}: {signature};\n}}\n",
        kind.function()
    )
}

/// The narrowed world with all that it needs.
pub(super) fn resolve(kind: Kind, interfaces: &[&str]) -> Result<(Resolve, WorldId), Error> {
    let mut resolve = Resolve::default();
    package(&mut resolve)?;
    let tenant = resolve.push_source("plugin.wit", &narrowed(kind, interfaces)).map_err(said)?;
    let world = resolve.select_world(&[tenant], Some(WORLD)).map_err(said)?;
    Ok((resolve, world))
}

/// The interface itself.
pub(super) fn package(resolve: &mut Resolve) -> Result<PackageId, Error> {
    let mut sources = SourceMap::new();
    for (name, text) in FILES {
        sources.push_str(name, text);
    }
    let group = sources.parse().map_err(|(_, error)| said(error))?;
    resolve.push_group(group).map_err(said)
}

/// Writes the narrowed world and the interface as a folder, for programs that read them from one.
pub(super) fn write(folder: &Path, kind: Kind, interfaces: &[&str]) -> Result<(), Error> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(at(folder))?;
    }
    let package = folder.join("deps/hookswitch");
    std::fs::create_dir_all(&package).map_err(at(&package))?;
    for (name, text) in FILES {
        let path = package.join(name);
        std::fs::write(&path, text).map_err(at(&path))?;
    }
    let path = folder.join("plugin.wit");
    std::fs::write(&path, narrowed(kind, interfaces)).map_err(at(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrowed_world_imports_what_was_asked_for_and_no_more() {
        for kind in [Kind::Router, Kind::Ticketer, Kind::CallScript] {
            let (resolve, world) = resolve(kind, &["log", "settings", "kv"]).unwrap();
            let world = &resolve.worlds[world];
            let mut names: Vec<String> =
                world.imports.keys().map(|key| resolve.name_world_key(key)).collect();
            names.retain(|name| name.contains('/'));
            names.sort();
            let mut expected =
                ["kv", "log", "settings", "types"].map(|name| format!("hookswitch:plugin/{name}@1.0.0"));
            expected.sort();
            assert_eq!(names, expected);
            let exports: Vec<String> = world.exports.keys().map(|key| resolve.name_world_key(key)).collect();
            assert_eq!(exports, [kind.function()]);
        }
    }

    /// The narrowed worlds say the same as the real ones.
    #[test]
    fn a_world_with_every_grant_is_the_real_one() {
        let mut all = Resolve::default();
        let package = package(&mut all).unwrap();
        for kind in [Kind::Router, Kind::Ticketer, Kind::CallScript] {
            let real = all.select_world(&[package], Some(kind.name())).unwrap();
            let mut interfaces = vec!["log", "settings", "kv", "contacts", "http", "tickets"];
            if kind == Kind::CallScript {
                interfaces.push("call-control");
            }
            let (narrow, world) = resolve(kind, &interfaces).unwrap();
            let names = |resolve: &Resolve, world: WorldId| {
                let world = &resolve.worlds[world];
                let keys = world.imports.keys().chain(world.exports.keys());
                let mut names: Vec<String> = keys.map(|key| resolve.name_world_key(key)).collect();
                names.sort();
                names
            };
            assert_eq!(names(&narrow, world), names(&all, real));
        }
    }
}
