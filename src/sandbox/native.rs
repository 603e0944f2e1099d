//! Native code on disk, made of uploads by this service and mapped again by it. The only file with `unsafe` in it.
//!
//! Native code runs with all the rights of the process, so nothing but what [`Native::keep`] wrote may get in. Files
//! lie in a folder that only the service's user can enter; a file's name holds the digest of the upload, the engine's
//! compatibility and a keyed digest of both and of the file's own bytes, which only somebody with the service's secret can
//! make. A file that was cut short, damaged, forged or put in another's place is thus as good as none, and is made anew
//! from the upload.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder, and the key of its files' digests.
pub(super) struct Native {
    folder: PathBuf,
    key: [u8; 32],
}

impl Native {
    /// Makes the folder where it is missing.
    pub(super) fn open(folder: PathBuf, key: [u8; 32]) -> std::io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, key })
    }

    /// The beginning of a file's name.
    fn stem(digest: &str, compatibility: u64) -> String {
        format!("{digest}-{compatibility:016x}-")
    }

    fn tag(&self, stem: &str, bytes: &[u8]) -> String {
        // A key of 32 bytes is always taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return String::new() };
        // A stem is always as long as any other.
        mac.update(stem.as_bytes());
        mac.update(bytes);
        crate::base::hex::hex(&mac.finalize().into_bytes()[..16])
    }

    /// The component of an upload, if its native code is here and whole.
    pub(super) fn find(&self, engine: &Engine, digest: &str, compatibility: u64) -> Option<Component> {
        let stem = Self::stem(digest, compatibility);
        for entry in std::fs::read_dir(&self.folder).ok()?.flatten() {
            let name = entry.file_name();
            let Some(tag) = name.to_str().and_then(|n| n.strip_prefix(&stem)?.strip_suffix(".cwasm")) else {
                continue;
            };
            let path = entry.path();
            match std::fs::read(&path) {
                Ok(bytes) if self.tag(&stem, &bytes) == tag => {}
                Ok(_) => {
                    tracing::error!(plugin.digest = %digest, "native code on disk is damaged; it is made anew");
                    remove(&path);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(plugin.digest = %digest, %error, "native code on disk can't be read");
                    continue;
                }
            }
            match load(engine, &path) {
                Ok(component) => return Some(component),
                Err(error) => {
                    tracing::warn!(plugin.digest = %digest, error = %format!("{error:#}"), "native code can't be mapped");
                    remove(&path);
                }
            }
        }
        None
    }

    /// Keeps native code, and gives the component mapped from what was kept: so its pages are the file's, which the
    /// kernel can drop, and not the process's own.
    pub(super) fn keep(
        &self,
        component: &Component,
        digest: &str,
        compatibility: u64,
    ) -> wasmtime::Result<Component> {
        let bytes = component.serialize()?;
        let stem = Self::stem(digest, compatibility);
        let name = format!("{stem}{}.cwasm", self.tag(&stem, &bytes));
        let (path, unfinished) = (self.folder.join(&name), self.folder.join(format!(".{name}.new")));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, &path)?;
        load(component.engine(), &path)
    }

    /// Forgets native code that no active version needs.
    pub(super) fn sweep(&self, needed: &dyn Fn(&str) -> bool) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let digest = name.to_str().and_then(|name| name.split('-').next()).unwrap_or_default();
            if !needed(digest) {
                remove(&entry.path());
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, "a file of native code can't be removed");
    }
}

/// Maps a file that [`Native`] vouches for.
#[expect(unsafe_code, reason = "native code is run; see the module's document for why it can be trusted")]
fn load(engine: &Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file's bytes were checked against a keyed digest, or written by this process a moment ago, and the
    // folder belongs to the service's user alone, so nobody changes them while they are mapped.
    unsafe { Component::deserialize_file(engine, path) }
}
