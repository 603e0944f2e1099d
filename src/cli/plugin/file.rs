//! What an author wants tried: a built component, a script, or a folder with plugin.toml; and a sandbox of his own, the
//! same as the service's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::manifest::{self, Manifest};
use super::{Kind, Language as Author, at, said};
use crate::app::Error;
use crate::sandbox::{Inspected, Language, Options, Program, Refusal, Sandbox, World, inspect};

/// A file with its kind.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) bytes: Bytes,
    pub(super) language: Language,
    pub(super) world: World,
    pub(super) manifest: Option<Manifest>,
}

impl From<Kind> for World {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Router => Self::Router,
            Kind::Ticketer => Self::Ticketer,
            Kind::CallScript => Self::CallScript,
        }
    }
}

impl File {
    /// Reads a file, or what a folder's plugin.toml says is to be uploaded. The kind is the manifest's, or found out.
    pub(super) fn read(path: &Path, kind: Option<Kind>) -> Result<Self, Error> {
        let manifest = match path.is_dir() {
            true => Some(Manifest::read(path)?),
            false => None,
        };
        let file = match &manifest {
            Some(manifest) if manifest.language == Author::Js => manifest.source(path),
            Some(manifest) => path.join("dist").join(format!("{}.wasm", manifest.name)),
            None => path.to_owned(),
        };
        let bytes = std::fs::read(&file).map_err(|error| match manifest {
            Some(_) => {
                Error::Said(format!("{}: {error}; run `hookswitch plugin build` first", file.display()))
            }
            None => at(&file)(error),
        })?;
        let is_script = file.extension().is_some_and(|e| e == "js" || e == "mjs");
        let language = if is_script { Language::JavaScript } else { Language::Component };
        let bytes = Bytes::from(bytes);
        let known = kind.or_else(|| manifest.as_ref().map(|manifest| manifest.kind)).map(World::from);
        let world = match known {
            Some(world) => world,
            None => found_out(&bytes, language).ok_or_else(|| {
                Error::Said(format!(
                    "{}: what kind it is can't be told; say --kind, or keep it beside a {}",
                    file.display(),
                    manifest::FILE
                ))
            })?,
        };
        Ok(Self { path: file, bytes, language, world, manifest })
    }

    /// What the service would say of it before it compiles anything.
    pub(super) fn inspect(&self) -> Result<Inspected, Error> {
        inspect(&self.bytes, self.language, self.world).map_err(|refusal| self.refused(&refusal))
    }

    pub(super) fn refused(&self, refusal: &Refusal) -> Error {
        Error::Said(format!("{}: refused ({}): {}", self.path.display(), refusal.code, refusal.text))
    }
}

/// The kind of a component by its export; of a script by the name of its function.
fn found_out(bytes: &[u8], language: Language) -> Option<World> {
    World::ALL.into_iter().find(|world| match language {
        Language::Component => inspect(bytes, language, *world).is_ok(),
        Language::JavaScript => {
            String::from_utf8_lossy(bytes).contains(&format!("function {}", world.function()))
        }
    })
}

/// A sandbox with a folder of its own, which goes with it.
pub(super) struct Bench {
    pub(super) sandbox: Arc<Sandbox>,
    folder: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// With the JavaScript engine that is built in, or that `engine` names.
    pub(super) fn open(engine: Option<&Path>) -> Result<Self, Error> {
        let secret = crate::base::secret::Secret::random().map_err(said)?;
        let folder = std::env::temp_dir().join(format!("hookswitch-kit-{}", &secret.expose()[..16]));
        let mut key = [0; 32];
        key.copy_from_slice(&secret.expose().as_bytes()[..32]);
        let js_engine = match engine {
            Some(path) => Some(Bytes::from(std::fs::read(path).map_err(at(path))?)),
            None => crate::sandbox::js_engine(),
        };
        let options = Options { folder: folder.clone(), key, js_engine, threads: 2 };
        let sandbox = Sandbox::open(options).map_err(Error::Said)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
        Ok(Self { sandbox, folder, runtime })
    }

    /// Makes a program, as an upload would.
    pub(super) fn load(&self, file: &File) -> Result<Arc<Program>, Error> {
        let loading = self.sandbox.load(file.bytes.clone(), file.language, file.world);
        self.wait(loading).map_err(|refusal| file.refused(&refusal))
    }

    /// Waits for something of the sandbox.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, "the kit's folder stays");
        }
    }
}
