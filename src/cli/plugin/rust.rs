//! Rust: cargo makes a core module, the kit makes the component.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::manifest::Manifest;
use super::{at, component, said, tools};
use crate::app::Error;

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler and the sources of its standard library, which go together.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How core modules are made on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The compiler has the target.
    Installed,
    /// The standard library is built along; with this linker where cargo's own is needed.
    Debian(Option<PathBuf>),
}

/// The component of a crate.
pub(super) fn build(folder: &Path, manifest: &Manifest) -> Result<Vec<u8>, Error> {
    let module = core_module(folder, &toolchain()?)?;
    let core = std::fs::read(&module).map_err(at(&module))?;
    component::encode(&core, manifest.kind, &manifest.interfaces())
}

/// What there is, or what to install.
pub(super) fn toolchain() -> Result<Toolchain, Error> {
    if tools::find("cargo").is_none() {
        return Err(said("cargo is missing: install Rust from https://rustup.rs"));
    }
    let root = sysroot("rustc");
    if root.as_ref().is_some_and(|root| root.join("lib/rustlib").join(TARGET).join("lib").is_dir()) {
        return Ok(Toolchain::Installed);
    }
    let has_sources = sysroot(DEBIAN_RUSTC)
        .is_some_and(|root| root.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file());
    if !has_sources {
        return Err(Error::Said(format!(
            "the Rust target {TARGET} is missing: run `rustup target add {TARGET}`, or on Debian \
             `apt-get install --no-install-recommends rustc-web rust-web-src`"
        )));
    }
    // Debian's compiler looks for a linker of its own name; rustup brings one that fits.
    let linker = root.and_then(|root| {
        let hosts = std::fs::read_dir(root.join("lib/rustlib")).ok()?;
        hosts.flatten().map(|host| host.path().join("bin/rust-lld")).find(|linker| linker.is_file())
    });
    Ok(Toolchain::Debian(linker.or_else(|| tools::find("wasm-ld")).or_else(|| tools::find("wasm-ld-19"))))
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let out = Command::new(rustc).args(["--print", "sysroot"]).output().ok()?;
    out.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()))
}

/// Builds the crate and returns where its module is.
fn core_module(folder: &Path, toolchain: &Toolchain) -> Result<PathBuf, Error> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(folder).args(["build", "--release", "--lib", "--target", TARGET]);
    cargo.arg("--message-format=json-render-diagnostics");
    if let Toolchain::Debian(linker) = toolchain {
        cargo.arg("-Zbuild-std=std,panic_abort").env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        if let Some(linker) = linker {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
    }
    let output = tools::output(&mut cargo)?;
    artifact(&output).ok_or_else(|| {
        said("cargo made no .wasm file: Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`")
    })
}

/// The last module that cargo tells of: the crate itself comes after what it depends on.
fn artifact(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let names = message.get("filenames")?.as_array()?.iter().filter_map(Value::as_str);
            names.map(PathBuf::from).find(|name| name.extension().is_some_and(|end| end == "wasm"))
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_module_is_the_plugin() {
        let messages = "{\"reason\":\"compiler-artifact\",\"filenames\":[\"/a/libx.rlib\"]}\nnoise\n\
            {\"filenames\":[\"/a/dep.wasm\"]}\n{\"filenames\":[\"/a/it.rlib\",\"/a/it.wasm\"]}\n{\"reason\":\"done\"}";
        assert_eq!(artifact(messages), Some("/a/it.wasm".into()));
        assert_eq!(artifact(""), None);
    }
}
