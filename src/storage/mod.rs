//! Where sounds are kept: a folder of this machine, or a bucket of an S3-compatible service.
//!
//! An engine: it knows keys and bytes, and nothing of calls. A key begins with its tenant. A sound is there whole or not at
//! all: the store shows it only once its last byte has been written. [`sign`] makes the URLs under which one can be had
//! without a token.

pub mod api;
mod s3;
pub mod sign;
mod sweep;
pub mod wav;

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::base::ids::TenantId;
use crate::base::secret::Secret;
use crate::config::limits::sound as limits;

pub use api::Lookup;
pub use sign::Signer;
pub use sweep::Rows;

/// What an operator says about the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageSettings {
    /// `s3://bucket/prefix`, `file:///folder`, or empty for the folder below.
    pub url: String,
    /// The folder when there is no URL.
    pub folder: PathBuf,
    /// Where an S3-compatible service answers; empty: Amazon's own.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The key's id; empty: as the environment of the machine says.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
}

/// Why a sound can't be kept, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is none under this key.
    #[error("the store has no such sound")]
    Missing,
    /// It is larger than one may be.
    #[error("the sound is larger than allowed")]
    TooLarge,
    /// The file that was to be kept can't be read.
    #[error("the file can't be read: {0}")]
    Source(#[from] std::io::Error),
    /// The store is away, full, or refuses.
    #[error("the store can't be used: {0}")]
    Away(String),
}

impl From<object_store::Error> for StorageError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Away(other.to_string()),
        }
    }
}

/// What was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A sound that is in the store, as its row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key; empty: it is not there yet, or no more.
    pub key: String,
    /// Its format, such as `wav`.
    pub format: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A part of a sound, on its way.
pub struct Reading {
    /// Length of the whole sound.
    pub whole: u64,
    /// Which bytes come.
    pub range: std::ops::Range<u64>,
    /// They.
    pub stream: BoxStream<'static, object_store::Result<Bytes>>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("whole", &self.whole)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

/// The store.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
}

/// The key of one of a tenant's sounds.
pub fn key(tenant: &TenantId, kind: &str, name: &str) -> String {
    format!("{tenant}/{kind}/{name}")
}

impl Storage {
    /// Opens the store that the settings name. Nothing is asked of a bucket yet: it may be away.
    ///
    /// # Errors
    /// When the settings are wrong or the folder can't be made.
    pub fn open(settings: &StorageSettings) -> Result<Self, String> {
        let store: Arc<dyn ObjectStore> = match settings.url.split_once("://") {
            None if settings.url.is_empty() => folder(&settings.folder)?,
            Some(("file", path)) => folder(FilePath::new(path))?,
            Some(("s3", place)) => {
                let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
                let bucket = s3::bucket(settings, bucket)?;
                Arc::new(PrefixStore::new(bucket, Path::parse(prefix).map_err(|e| e.to_string())?))
            }
            _ => return Err("it begins with neither file:// nor s3://".to_owned()),
        };
        Ok(Self { store })
    }

    /// Copies a file into the store, and says what it was. A part of one is never seen under the key.
    ///
    /// # Errors
    /// When the file can't be read, has more than `most` bytes, or the store is away.
    pub async fn keep(&self, key: &str, file: &FilePath, most: u64) -> Result<Kept, StorageError> {
        let path = Path::parse(key).map_err(|e| StorageError::Away(e.to_string()))?;
        let mut from = tokio::fs::File::open(file).await?;
        let mut to = BufWriter::with_capacity(Arc::clone(&self.store), path, limits::PART_BYTES);
        let copied = copy(&mut from, &mut to, most).await;
        if copied.is_err() {
            // What was begun is nothing that anybody sees; it is only rubbish.
            let _ = to.abort().await;
        }
        let (bytes, sha256) = copied?;
        to.shutdown().await.map_err(|e| StorageError::Away(e.to_string()))?;
        Ok(Kept { key: key.to_owned(), bytes, sha256 })
    }

    /// Reads a sound, or a range of it: from a byte on, or `(from, behind the last)`.
    ///
    /// # Errors
    /// When there is none, the range is not in it, or the store is away.
    pub async fn read(&self, key: &str, range: Option<(u64, u64)>) -> Result<Reading, StorageError> {
        let path = Path::parse(key).map_err(|e| StorageError::Away(e.to_string()))?;
        let range = range.map(|(from, to)| GetRange::Bounded(from..to));
        let options = GetOptions { range, ..GetOptions::default() };
        let found = self.store.get_opts(&path, options).await?;
        Ok(Reading { whole: found.meta.size, range: found.range.clone(), stream: found.into_stream() })
    }

    /// The length of a sound.
    ///
    /// # Errors
    /// When there is none, or the store is away.
    pub async fn size(&self, key: &str) -> Result<u64, StorageError> {
        let path = Path::parse(key).map_err(|e| StorageError::Away(e.to_string()))?;
        Ok(self.store.head(&path).await?.size)
    }

    /// A whole sound of at most `most` bytes.
    ///
    /// # Errors
    /// As [`Storage::read`]; when it is larger.
    pub async fn bytes(&self, key: &str, most: u64) -> Result<Bytes, StorageError> {
        let mut reading = self.read(key, None).await?;
        if reading.whole > most {
            return Err(StorageError::TooLarge);
        }
        let mut all = BytesMut::new();
        while let Some(piece) = reading.stream.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }

    /// Removes a sound, if there is a key. Returns whether it is gone; why not is told.
    pub async fn let_go(&self, key: &str) -> bool {
        if key.is_empty() {
            return true;
        }
        match tokio::time::timeout(limits::READ_TIME, self.remove(key)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, key, "a deleted sound can't be removed yet");
                false
            }
            Err(_) => {
                tracing::warn!(key, "a deleted sound can't be removed yet: the store took too long");
                false
            }
        }
    }

    /// Whose sounds there are.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, StorageError> {
        let listed = self.store.list_with_delimiter(None).await?;
        Ok(listed.common_prefixes.iter().filter_map(|path| TenantId::parse(path.as_ref()).ok()).collect())
    }

    /// Removes everything of a tenant. Returns how many sounds it were.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn clear(&self, tenant: &TenantId) -> Result<usize, StorageError> {
        let (mut removed, mut all) = (0, self.store.list(Some(&Path::from(tenant.as_str()))));
        while let Some(found) = all.next().await {
            self.store.delete(&found?.location).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Removes a sound; one that is not there is removed.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        let path = Path::parse(key).map_err(|e| StorageError::Away(e.to_string()))?;
        match self.store.delete(&path).await.map_err(StorageError::from) {
            Err(StorageError::Missing) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn folder(path: &FilePath) -> Result<Arc<dyn ObjectStore>, String> {
    std::fs::create_dir_all(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|e| e.to_string())?;
    // A power cut must not leave a row with a checksum and a file without bytes.
    Ok(Arc::new(store.with_fsync(true)))
}

async fn copy(
    from: &mut tokio::fs::File,
    to: &mut BufWriter,
    most: u64,
) -> Result<(u64, String), StorageError> {
    let (mut bytes, mut hash) = (0, Sha256::new());
    loop {
        let mut piece = BytesMut::with_capacity(limits::READ_BYTES);
        if from.read_buf(&mut piece).await? == 0 {
            break;
        }
        bytes += piece.len() as u64;
        if bytes > most {
            return Err(StorageError::TooLarge);
        }
        hash.update(&piece);
        to.put(piece.freeze()).await?;
    }
    Ok((bytes, crate::base::hex::hex(&hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(folder: &FilePath) -> Storage {
        Storage::open(&StorageSettings { folder: folder.to_owned(), ..StorageSettings::default() }).unwrap()
    }

    #[tokio::test]
    async fn a_sound_is_kept_whole_or_not_at_all() {
        let place = tempfile::tempdir().unwrap();
        let (store, file) = (store(&place.path().join("store")), place.path().join("a.wav"));
        std::fs::write(&file, vec![7_u8; 3 * limits::READ_BYTES + 1]).unwrap();
        let key = key(&TenantId::parse("acme").unwrap(), "recordings", "x.wav");
        let too_large = store.keep(&key, &file, 2 * limits::READ_BYTES as u64).await;
        assert!(matches!(too_large, Err(StorageError::TooLarge)), "{too_large:?}");
        assert!(matches!(store.read(&key, None).await, Err(StorageError::Missing)));
        let kept = store.keep(&key, &file, u64::MAX).await.unwrap();
        assert_eq!(kept.sha256, crate::base::hex::hex(&Sha256::digest(std::fs::read(&file).unwrap())));
        assert_eq!(store.bytes(&key, kept.bytes).await.unwrap(), std::fs::read(&file).unwrap());
        assert!(matches!(store.bytes(&key, kept.bytes - 1).await, Err(StorageError::TooLarge)));
        let part = store.read(&key, Some((1, 4))).await.unwrap();
        assert_eq!((part.whole, part.range), (kept.bytes, 1..4));
        store.remove(&key).await.unwrap();
        store.remove(&key).await.unwrap();
        assert!(matches!(store.read(&key, None).await, Err(StorageError::Missing)));
        let gone = store.keep(&key, &place.path().join("nothing"), 1).await;
        assert!(matches!(gone, Err(StorageError::Source(_))), "{gone:?}");
    }

    #[test]
    fn a_url_of_another_kind_is_refused() {
        let settings = StorageSettings { url: "ftp://x".into(), ..StorageSettings::default() };
        assert!(Storage::open(&settings).is_err());
    }
}
