//! A component from a core module, without any program outside.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata, metadata};

use super::wit;
use super::{Kind, said};
use crate::app::Error;

/// Makes a component that imports no more than these interfaces.
pub(super) fn encode(core: &[u8], kind: Kind, interfaces: &[&str]) -> Result<Vec<u8>, Error> {
    let (resolve, world) = wit::resolve(kind, interfaces)?;
    // What the compiler noted is the union of all kinds; the manifest knows better.
    let (stripped, _) = metadata::decode(core).map_err(said)?;
    let mut core = stripped.unwrap_or_else(|| core.to_vec());
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).map_err(said)?;
    ComponentEncoder::default().module(&core).and_then(|encoder| encoder.validate(true).encode()).map_err(
        |error| {
            let text = format!("{error:#}");
            let hint = if text.contains("wasi") {
                "; there is no WASI: build for wasm32-unknown-unknown, and take time and chance from the input"
            } else if text.contains("import") {
                "; ask for every interface that the plugin uses in `grants` of plugin.toml"
            } else {
                ""
            };
            Error::Said(format!("the module can't become a component: {text}{hint}"))
        },
    )
}

/// The interfaces that a component imports, without package and version, and without `types`.
#[cfg(test)]
pub(super) fn imports(component: &[u8]) -> Vec<String> {
    let wit_component::DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap()
    else {
        panic!("not a component");
    };
    let mut names: Vec<String> = resolve.worlds[world]
        .imports
        .keys()
        .map(|key| resolve.name_world_key(key))
        .filter_map(|name| Some(name.split_once('/')?.1.split('@').next()?.to_owned()))
        .filter(|name| name != "types")
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: &str = r#"(module
        (import "hookswitch:plugin/log@1.0.0" "write" (func (param i32 i32 i32)))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "route-call") (param i32) (result i32) i32.const 0))"#;

    #[test]
    fn a_component_imports_what_its_module_uses() {
        let core = wat::parse_str(LOGS).unwrap();
        let component = encode(&core, Kind::Router, &["log", "settings", "kv"]).unwrap();
        assert_eq!(imports(&component), ["log"]);
    }

    #[test]
    fn a_missing_grant_is_named() {
        let core = wat::parse_str(LOGS.replace("/log@", "/kv@").replace("write", "get")).unwrap();
        let problem = encode(&core, Kind::Router, &["log", "settings"]).unwrap_err().to_string();
        assert!(
            problem.contains("hookswitch:plugin/kv@1.0.0") && problem.contains("plugin.toml"),
            "{problem}"
        );
    }

    #[test]
    fn wasi_is_refused_with_advice() {
        let core = LOGS.replace("hookswitch:plugin/log@1.0.0", "wasi_snapshot_preview1");
        let core = wat::parse_str(core.replace("write", "fd_write")).unwrap();
        let problem = encode(&core, Kind::Router, &["log"]).unwrap_err().to_string();
        assert!(problem.contains("there is no WASI"), "{problem}");
    }
}
