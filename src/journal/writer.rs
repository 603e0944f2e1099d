//! The two threads that touch the disk: one writes what waits, one syncs what was written. Nothing else ever waits for
//! the disk without a deadline.

use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::frame::{self, HEADER};
use super::gate::Batch;
use super::{AppendError, Shared, segments};
use crate::config::limits::journal as limits;

/// Starts both threads; they end when the last [`super::Journal`] is dropped.
pub(super) fn start(shared: Arc<Shared>, batches: Receiver<Batch>, last: u64) -> io::Result<()> {
    // Never written to after a restart: the tail of the old file may be torn.
    let file = Arc::new(new_segment(&shared, last + 1)?);
    shared.stats.bytes.store(segments::bytes(&shared.options.folder)?, Ordering::Relaxed);
    let (dirty, to_sync) = channel::<Arc<File>>();
    let unsynced = Arc::new(AtomicBool::new(false));
    let syncing = (Arc::clone(&shared), Arc::clone(&unsynced));
    std::thread::Builder::new()
        .name("journal-sync".into())
        .spawn(move || sync(&syncing.0, &syncing.1, &to_sync))?;
    std::thread::Builder::new().name("journal-write".into()).spawn(move || {
        Writer { shared, file, length: HEADER.len() as u64, last, dirty, unsynced, buffer: Vec::new() }
            .run(&batches);
    })?;
    Ok(())
}

/// Makes a file under its name in one step: should it fail, the file before is still the newest and may go on.
fn new_segment(shared: &Shared, first: u64) -> io::Result<File> {
    let folder = &shared.options.folder;
    let part = folder.join("next.part");
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Appending, so that a batch that was taken back leaves no hole before the next one.
    let mut file = File::options().create_new(true).append(true).open(&part)?;
    file.write_all(HEADER)?;
    // A file of that name can only be one without a readable record: nothing is lost by starting it anew.
    fs::rename(&part, segments::path(folder, first))?;
    shared.stats.bytes.fetch_add(HEADER.len() as u64, Ordering::Relaxed);
    // So that the name itself survives a power cut.
    if let Err(error) = File::open(folder).and_then(|folder| folder.sync_all()) {
        tracing::warn!(%error, "the name of a new journal file can't be synced to the disk");
    }
    Ok(file)
}

struct Writer {
    shared: Arc<Shared>,
    file: Arc<File>,
    length: u64,
    last: u64,
    dirty: Sender<Arc<File>>,
    /// Raised while a sync of the current file is due.
    unsynced: Arc<AtomicBool>,
    buffer: Vec<u8>,
}

impl Writer {
    fn run(mut self, batches: &Receiver<Batch>) {
        while let Ok(Batch { records, done }) = batches.recv() {
            let first = self.last + 1;
            let result = self.write(&records);
            if result.is_ok() {
                self.last += records.len() as u64;
                self.shared.stats.written.fetch_add(records.len() as u64, Ordering::Relaxed);
                // Before the answer: whoever stops now must find the records among those to be moved.
                self.shared.written.send_replace(self.last);
                if !self.unsynced.swap(true, Ordering::SeqCst) {
                    let _ = self.dirty.send(Arc::clone(&self.file));
                }
            }
            let _ = done.send(result.map(|()| first));
        }
    }

    fn write(&mut self, batch: &[Vec<u8>]) -> Result<(), AppendError> {
        self.buffer.clear();
        for (n, one) in (1..).zip(batch) {
            frame::encode(self.last + n, one, &mut self.buffer);
        }
        let added = self.buffer.len() as u64;
        if self.length + added > self.shared.options.segment_bytes {
            self.rotate();
        }
        if !self.fits(added) && !self.make_room(added) {
            return Err(AppendError::Full);
        }
        if let Err(error) = (&*self.file).write_all(&self.buffer) {
            tracing::error!(%error, "the journal can't be written; calls go on without a record");
            if self.file.set_len(self.length).is_err() {
                // The half-written batch stays: its numbers must not be given to other records.
                self.last += batch.len() as u64;
                self.length += added;
            }
            return Err(AppendError::Disk);
        }
        self.length += added;
        self.shared.stats.bytes.fetch_add(added, Ordering::Relaxed);
        self.buffer.shrink_to(limits::RECORD_BYTES);
        Ok(())
    }

    fn fits(&self, added: u64) -> bool {
        self.shared.stats.bytes.load(Ordering::Relaxed) + added <= self.shared.options.max_bytes
    }

    /// Removes what is in the database already: when everything is, nothing moves any more, and nobody else would.
    fn make_room(&mut self, added: u64) -> bool {
        let position = self.shared.position.load(Ordering::Relaxed);
        if position >= self.last {
            self.rotate();
        }
        match segments::remove_done(&self.shared.options.folder, position) {
            Ok(freed) => drop(self.shared.stats.bytes.fetch_sub(freed, Ordering::Relaxed)),
            Err(error) => tracing::warn!(%error, "a journal file that is done can't be removed"),
        }
        self.fits(added)
    }

    /// Starts a new file, unless this one is new; where that fails, this one grows on.
    fn rotate(&mut self) {
        if self.length <= HEADER.len() as u64 {
            return;
        }
        match new_segment(&self.shared, self.last + 1) {
            Ok(file) => {
                // The old file is synced by the other thread, like any write, and the new one asks for itself.
                let _ = self.dirty.send(Arc::clone(&self.file));
                self.unsynced.store(false, Ordering::SeqCst);
                self.file = Arc::new(file);
                self.length = HEADER.len() as u64;
            }
            Err(error) => tracing::warn!(%error, "the journal can't start a new file; the old one grows on"),
        }
    }
}

/// Syncs files a while after they were told to be dirty, with everything written meanwhile.
fn sync(shared: &Shared, unsynced: &AtomicBool, to_sync: &Receiver<Arc<File>>) {
    while let Ok(file) = to_sync.recv() {
        std::thread::sleep(shared.options.sync);
        // Lowered before the sync: what is written from now on asks for the next one.
        unsynced.store(false, Ordering::SeqCst);
        let mut files = vec![file];
        while let Ok(next) = to_sync.try_recv() {
            if !files.iter().any(|known| Arc::ptr_eq(known, &next)) {
                files.push(next);
            }
        }
        for file in files {
            if let Err(error) = file.sync_data() {
                tracing::error!(%error, "the journal can't be synced to the disk; a power cut would lose records");
            }
            shared.stats.syncs.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Keeps a record that the database refused, so that a person can look at it.
pub(super) fn keep_rejected(shared: &Shared, payload: &[u8]) -> io::Result<()> {
    let mut line = payload.to_vec();
    line.push(b'\n');
    let path = shared.options.folder.join("rejected.jsonl");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(&line)?;
    file.sync_data()
}
