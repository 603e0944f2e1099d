//! The files of a journal: names, order, reading on from a place, removal. Every file but the newest is complete.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::frame::{self, Decoded, HEADER, Record};
use crate::config::limits::journal::{DRAIN_BATCH, DRAIN_BYTES};

/// A file of the journal, named by the first sequence it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.journal"))
}

/// All files, oldest first.
pub(super) fn list(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let first = path.file_name().and_then(|n| n.to_str()?.strip_suffix(".journal")?.parse().ok());
        if let Some(first) = first {
            segments.push(Segment { first, path });
        }
    }
    segments.sort_by_key(|s| s.first);
    Ok(segments)
}

/// Bytes of all files together.
pub(super) fn bytes(folder: &Path) -> io::Result<u64> {
    list(folder)?.iter().map(|s| fs::metadata(&s.path).map(|m| m.len())).sum()
}

/// The greatest sequence in the files, and 0 when there is none. Reads the newest file that holds a record.
pub(super) fn last_sequence(folder: &Path) -> io::Result<u64> {
    for segment in list(folder)?.iter().rev() {
        let bytes = fs::read(&segment.path)?;
        let mut at = HEADER.len();
        let mut last = None;
        while at < bytes.len() {
            match frame::decode(&bytes[at..]) {
                Decoded::Record(record, length) => {
                    last = Some(record.sequence);
                    at += length;
                }
                _ => at = frame::resync(&bytes, at + 1, false),
            }
        }
        if let Some(last) = last {
            return Ok(last);
        }
        // An empty file still says how far the numbers had come.
        if segment.first > 1 {
            return Ok(segment.first - 1);
        }
    }
    Ok(0)
}

/// Reads records in order and remembers where it stands.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    open: Option<(Segment, File, u64)>,
    /// Records at or below this are skipped: they are in the database.
    after: u64,
    /// Bytes that were skipped because they held no record.
    pub(super) damaged_bytes: u64,
}

impl Reader {
    pub(super) fn new(folder: &Path, after: u64) -> Self {
        Self { folder: folder.to_owned(), open: None, after, damaged_bytes: 0 }
    }

    /// The next records in order, at most a batch and none beyond `until`; empty when there is nothing new.
    pub(super) fn next(&mut self, until: u64) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        while self.after < until && records.is_empty() {
            if self.open.is_none() && !self.open_next(0)? {
                break;
            }
            match self.read_some(until, &mut records)? {
                // Records, or a stretch of old or rotten ones that was passed over.
                Stretch::Some => {}
                Stretch::WaitForMore => break,
                Stretch::End(segment) => {
                    if !self.open_next(segment + 1)? {
                        break;
                    }
                }
            }
        }
        if let Some(last) = records.last() {
            self.after = last.sequence;
        }
        Ok(records)
    }

    /// Opens the first file whose number is at least `least` and which may hold what is wanted.
    fn open_next(&mut self, least: u64) -> io::Result<bool> {
        let all = list(&self.folder)?;
        let mut candidates = all.iter().enumerate().filter(|(_, s)| s.first >= least).map(|(n, _)| n);
        // A file is of no use when the next one starts at or below the first record wanted.
        let wanted = self.after + 1;
        let found = candidates.find(|&n| all.get(n + 1).is_none_or(|next| next.first > wanted));
        let Some(segment) = found.and_then(|n| all.get(n)) else { return Ok(false) };
        let file = File::open(&segment.path)?;
        self.open = Some((segment.clone(), file, HEADER.len() as u64));
        Ok(true)
    }

    /// Reads a stretch of the open file.
    fn read_some(&mut self, until: u64, records: &mut Vec<Record>) -> io::Result<Stretch> {
        let Some((segment, file, place)) = &mut self.open else { return Ok(Stretch::WaitForMore) };
        // Asked before reading: a file that has a successor grows no more.
        let complete = list(&self.folder)?.iter().any(|s| s.first > segment.first);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(*place))?;
        file.take(DRAIN_BYTES as u64).read_to_end(&mut bytes)?;
        let full = bytes.len() == DRAIN_BYTES;
        // More bytes follow or may follow: what ends here half may go on there.
        let goes_on = full || !complete;
        let mut at = 0;
        while at < bytes.len() && records.len() < DRAIN_BATCH {
            match frame::decode(&bytes[at..]) {
                Decoded::Record(record, _) if record.sequence > until => break,
                Decoded::Record(record, length) => {
                    at += length;
                    if record.sequence > self.after {
                        records.push(record);
                    }
                }
                Decoded::Partial if goes_on => break,
                _ => {
                    let next = frame::resync(&bytes, at + 1, goes_on);
                    self.damaged_bytes += (next - at) as u64;
                    at = next;
                }
            }
        }
        *place += at as u64;
        Ok(match at {
            _ if complete && !full && at == bytes.len() => Stretch::End(segment.first),
            0 => Stretch::WaitForMore,
            _ => Stretch::Some,
        })
    }
}

/// What a look into the open file gave.
enum Stretch {
    /// The place moved on.
    Some,
    /// Nothing new yet.
    WaitForMore,
    /// The end of a file, by its number, that grows no more.
    End(u64),
}

/// Removes every file that holds only records at or below `done`; never the newest.
pub(super) fn remove_done(folder: &Path, done: u64) -> io::Result<u64> {
    let all = list(folder)?;
    let mut freed = 0;
    for pair in all.windows(2) {
        if pair[1].first <= done + 1 {
            let length = fs::metadata(&pair[0].path).map(|m| m.len());
            match length.and_then(|length| fs::remove_file(&pair[0].path).map(|()| length)) {
                Ok(length) => freed += length,
                // The other thread was faster, and counts it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(freed)
}
