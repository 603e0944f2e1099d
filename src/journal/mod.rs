//! The journal: what a call's answer depends on is written to a file before the answer leaves, and moves from there
//! into the database in order, exactly once. The engine knows no domain: a record is bytes.
//!
//! - One thread writes: whatever waits goes to the file with one `write`. A `kill -9` loses nothing that was written.
//! - Another thread syncs at most `sync` after a write: a power cut loses at most that stretch and the sync's own time.
//! - [`drain::run`] reads the files and hands batches to a [`drain::Sink`], whose transaction also stores the position.
//! - The files together are bounded. When they are full or the disk fails, [`Journal::append`] says so and the caller
//!   goes on without the record: a ringing phone beats a complete history.

pub mod drain;
mod frame;
mod gate;
mod segments;
mod writer;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::sync::watch;

use crate::base::ids::Id;
use crate::config::limits::journal as limits;

use gate::Gate;

pub use frame::Record;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its files lie.
    pub folder: PathBuf,
    /// Bytes of all files at most.
    pub max_bytes: u64,
    /// Bytes of one file; [`limits::SEGMENT_BYTES`] outside tests.
    pub segment_bytes: u64,
    /// Longest time between a write and its sync.
    pub sync: Duration,
    /// How long [`Journal::append`] waits.
    pub deadline: Duration,
}

/// Why a record is not, or perhaps not, in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// All bytes are used up; the database has been away for long.
    #[error("the journal is full")]
    Full,
    /// The disk refused the write.
    #[error("the journal can't be written")]
    Disk,
    /// The write took longer than the deadline; it may still happen.
    #[error("the journal is slow")]
    Late,
    /// The record is larger than [`limits::RECORD_BYTES`].
    #[error("the record is too large for the journal")]
    TooLarge,
}

/// What the journal counts; read by `/metrics`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records written.
    pub written: AtomicU64,
    /// Records that could not be written in time or at all.
    pub lost: AtomicU64,
    /// Records moved into the database.
    pub drained: AtomicU64,
    /// Records the database refused; they lie in `rejected.jsonl`.
    pub rejected: AtomicU64,
    /// Bytes on disk.
    pub bytes: AtomicU64,
    /// Bytes that held no record when read.
    pub damaged_bytes: AtomicU64,
    /// Syncs to the disk.
    pub syncs: AtomicU64,
}

/// A handle on the journal; cheap to clone.
#[derive(Clone)]
pub struct Journal {
    gate: Gate,
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    node: Id,
    stats: Stats,
    /// The last sequence that is in a file.
    written: watch::Sender<u64>,
    /// The last sequence that is in the database.
    position: AtomicU64,
    /// Held while the process lives, so that no second one uses the folder.
    _lock: File,
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// A journal's folder, taken for this process, before its first record.
#[derive(Debug)]
pub struct Folder {
    options: Options,
    node: Id,
    lock: File,
}

impl Folder {
    /// Takes the folder and makes it when missing. `new_node` names a node whose folder is new; the name stays with
    /// the folder.
    ///
    /// # Errors
    /// When the folder can't be used, or another process uses it.
    pub fn take(mut options: Options, new_node: impl FnOnce() -> Id) -> io::Result<Self> {
        fs::create_dir_all(&options.folder)?;
        let lock = lock(&options.folder)?;
        let node = node_id(&options.folder, new_node)?;
        // The newest file is never removed: it must not be all that the bytes allow.
        options.segment_bytes = options.segment_bytes.min(options.max_bytes / 4);
        Ok(Self { options, node, lock })
    }

    /// Which node this folder belongs to: ask the database for its position.
    pub fn node(&self) -> &Id {
        &self.node
    }

    /// Starts the journal's threads. `position` is the node's last sequence in the database: numbers go on behind it
    /// even when the files end earlier (a power cut took what was moved but not synced, a rotten tail, files removed
    /// by hand), because a number used twice would be a record that never moves.
    ///
    /// # Errors
    /// When the files can't be read or a new one can't be made.
    pub fn open(self, position: u64) -> io::Result<Journal> {
        let folder = self.options.folder.clone();
        let last = segments::last_sequence(&folder)?.max(position);
        let (queue, batches) = sync_channel(limits::BATCHES);
        let (written, _) = watch::channel(last);
        let shared = Arc::new(Shared {
            options: self.options,
            node: self.node,
            stats: Stats::default(),
            written,
            position: AtomicU64::new(position),
            _lock: self.lock,
        });
        writer::start(Arc::clone(&shared), batches, last)?;
        Ok(Journal { gate: Gate::new(queue), shared })
    }
}

impl Journal {
    /// Writes a record and returns its sequence once it is in the file (not yet synced).
    ///
    /// # Errors
    /// When it could not be written, or not within the deadline; counted in [`Stats::lost`].
    pub async fn append(&self, payload: Vec<u8>) -> Result<u64, AppendError> {
        let result = self.try_append(payload).await;
        if result.is_err() {
            self.shared.stats.lost.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn try_append(&self, payload: Vec<u8>) -> Result<u64, AppendError> {
        if payload.is_empty() || payload.len() > limits::RECORD_BYTES {
            return Err(AppendError::TooLarge);
        }
        let answer = self.gate.add(payload)?;
        match tokio::time::timeout(self.shared.options.deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(AppendError::Disk),
            Err(_) => Err(AppendError::Late),
        }
    }

    /// Which node this journal belongs to; sequences count within it.
    pub fn node(&self) -> &Id {
        &self.shared.node
    }

    /// What has been counted.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// The last sequence that is in the database, as far as this process knows.
    pub fn drained(&self) -> u64 {
        self.shared.position.load(Ordering::Relaxed)
    }

    /// The last sequence that is in a file.
    pub fn last_written(&self) -> u64 {
        *self.shared.written.borrow()
    }
}

/// Takes the folder for this process.
fn lock(folder: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "{} is in use by another hookswitch process; give each its own data directory",
            folder.display()
        ))),
        Err(fs::TryLockError::Error(e)) => Err(e),
    }
}

fn node_id(folder: &Path, new_node: impl FnOnce() -> Id) -> io::Result<Id> {
    let path = folder.join("node");
    match fs::read_to_string(&path) {
        Ok(text) => Id::parse(text.trim()).map_err(|e| io::Error::other(format!("{}: {e}", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let node = new_node();
            let part = path.with_extension("part");
            fs::write(&part, node.as_str())?;
            File::open(&part)?.sync_all()?;
            fs::rename(&part, &path)?;
            Ok(node)
        }
        Err(e) => Err(e),
    }
}
