//! `hookswitch plugin build`: from a folder to what can be uploaded.

use std::path::Path;

use super::manifest::Manifest;
use super::{Language, at, javascript, python, rust};
use crate::app::Error;

/// Builds and says what there is now.
pub(super) fn run(folder: &Path, component: bool, out: Option<&Path>) -> Result<String, Error> {
    let manifest = Manifest::read(folder)?;
    let source = manifest.source(folder);
    let bytes = match manifest.language {
        Language::Js if !component => {
            let size = javascript::check(&source, &manifest)?;
            return Ok(format!(
                "{}: {size} bytes of JavaScript, uploaded as they are; nothing to build\n\
                 (`--component` makes a component with an engine of its own)",
                source.display()
            ));
        }
        Language::Js => {
            javascript::check(&source, &manifest)?;
            javascript::build(folder, &source, &manifest)?
        }
        Language::Python => python::build(folder, &source, &manifest)?,
        Language::Rust => rust::build(folder, &manifest)?,
    };
    let path =
        out.map_or_else(|| folder.join("dist").join(format!("{}.wasm", manifest.name)), Path::to_owned);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(at(parent))?;
    }
    std::fs::write(&path, &bytes).map_err(at(&path))?;
    let hosts = match manifest.http_hosts.as_slice() {
        [] => String::new(),
        hosts => format!("; http to {}", hosts.join(", ")),
    };
    let settings: Vec<&str> = manifest.settings.keys().map(String::as_str).collect();
    let settings =
        if settings.is_empty() { String::new() } else { format!("; settings: {}", settings.join(", ")) };
    Ok(format!(
        "{}: {} bytes, a {} that asks for {}{hosts}{settings}",
        path.display(),
        bytes.len(),
        manifest.kind.name(),
        manifest.interfaces().join(", "),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, new, rust};
    use super::*;
    use crate::cli::plugin::component::imports;

    /// From nothing to a component, as an author does it.
    #[test]
    fn a_new_rust_plugin_builds() {
        if let Err(missing) = rust::toolchain() {
            println!("NOT TESTED: building Rust plugins ({missing})");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let folder = new::write(place.path(), "first-steps", Language::Rust, Kind::Router).unwrap();
        let said = run(&folder, false, None).unwrap();
        assert!(said.contains("a router that asks for log, settings"), "{said}");
        let component = std::fs::read(folder.join("dist/first-steps.wasm")).unwrap();
        assert_eq!(imports(&component), ["contacts", "log", "settings"]);
        assert!(component.len() < 100_000, "{} bytes", component.len());
        let sdk = b"hookswitch-plugin ";
        assert!(component.windows(sdk.len()).any(|bytes| bytes == sdk), "the SDK's section is missing");
    }

    #[test]
    fn new_javascript_needs_no_build() {
        let place = tempfile::tempdir().unwrap();
        for kind in [Kind::Router, Kind::Ticketer, Kind::CallScript] {
            let folder = new::write(place.path(), kind.name(), Language::Js, kind).unwrap();
            let said = run(&folder, false, None).unwrap();
            assert!(said.contains("nothing to build"), "{said}");
        }
    }

    #[test]
    fn a_folder_without_a_manifest_is_told_how_to_begin() {
        let place = tempfile::tempdir().unwrap();
        let problem = run(place.path(), false, None).unwrap_err().to_string();
        assert!(problem.contains("hookswitch plugin new"), "{problem}");
    }
}
