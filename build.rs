//! Builds the JavaScript engine in where `scripts/build-plugins` has made it: the file that HOOKSWITCH_JS_ENGINE_WASM
//! names, or plugins/dist/js-engine.wasm. Without it a service loads the file that the setting `plugins.js_engine` names,
//! or says that it has none.

use std::path::PathBuf;

fn main() {
    println!("cargo:rustc-check-cfg=cfg(js_engine)");
    println!("cargo:rerun-if-env-changed=HOOKSWITCH_JS_ENGINE_WASM");
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let file = std::env::var_os("HOOKSWITCH_JS_ENGINE_WASM")
        .map_or_else(|| here.join("plugins/dist/js-engine.wasm"), PathBuf::from);
    println!("cargo:rerun-if-changed={}", file.display());
    if file.is_file() {
        println!("cargo:rustc-cfg=js_engine");
        println!("cargo:rustc-env=HOOKSWITCH_JS_ENGINE_FILE={}", file.display());
    }
}
