//! The journal: every record that was acknowledged reaches the database exactly once and in order, whatever breaks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{Id, IdSource};
use hookswitch::base::shutdown::{self, Stopper};
use hookswitch::calls::open;
use hookswitch::calls::store::{self, Calls};
use hookswitch::calls::{CallAndDecision, Decided, Direction, Ended, Record, Started};
use hookswitch::config::limits::journal as limits;
use hookswitch::db::Db;
use hookswitch::journal::drain::{Sink, SinkError};
use hookswitch::journal::{self, AppendError, Folder, Journal, Options};
use proptest::prelude::*;
use tokio::task::JoinHandle;

use crate::support::{TestDb, both_databases, eventually, tenant};

/// What a sink does with its next batches.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// Says that it is away.
    Away,
    /// Stores the batch, and says that it is away: the answer to the commit got lost.
    AnswerLost,
}

/// A database in memory that fails as told.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    position: u64,
    records: Vec<(u64, Vec<u8>)>,
    faults: Vec<Fault>,
    /// Away until told otherwise.
    away: bool,
    applies: usize,
}

impl Store {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    fn sequences(&self) -> Vec<u64> {
        self.inner().records.iter().map(|(n, _)| *n).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.inner().records.iter().map(|(_, p)| String::from_utf8(p.clone()).unwrap()).collect()
    }
}

impl Sink for Store {
    async fn position(&self, _: &str) -> Result<u64, SinkError> {
        let inner = self.inner();
        if inner.away { Err(SinkError::Away("off".into())) } else { Ok(inner.position) }
    }

    async fn apply(&self, _: &str, from: u64, records: &[journal::Record]) -> Result<(), SinkError> {
        let fault = {
            let mut inner = self.inner();
            inner.applies += 1;
            if inner.away { Some(Fault::Away) } else { inner.faults.pop() }
        };
        if fault == Some(Fault::Away) {
            return Err(SinkError::Away("away".into()));
        }
        let mut inner = self.inner();
        if inner.position != from {
            return Err(SinkError::Away(format!("at {}, not at {from}", inner.position)));
        }
        if records.iter().any(|r| r.payload.starts_with(b"unfit")) {
            return Err(SinkError::Unfit("as told".into()));
        }
        assert!(records.windows(2).all(|w| w[0].sequence < w[1].sequence), "out of order");
        inner.position = records.last().unwrap().sequence;
        inner.records.extend(
            records.iter().filter(|r| !r.payload.is_empty()).map(|r| (r.sequence, r.payload.clone())),
        );
        if fault == Some(Fault::AnswerLost) { Err(SinkError::Away("lost".into())) } else { Ok(()) }
    }
}

fn options(folder: &Path) -> Options {
    Options {
        folder: folder.to_owned(),
        max_bytes: 64 * 1024 * 1024,
        segment_bytes: limits::SEGMENT_BYTES,
        sync: Duration::from_millis(1),
        deadline: Duration::from_secs(20),
    }
}

/// Opens as the service does at its start. The threads of a journal before it may still be ending: they hold the lock.
async fn open_with(options: Options, position: u64) -> Journal {
    let ids = IdSource::new(Clock::system());
    let folder = eventually("the folder", async || Folder::take(options.clone(), || ids.next()).ok()).await;
    folder.open(position).unwrap()
}

async fn open(folder: &Path, store: &Store) -> Journal {
    let position = store.inner().position;
    open_with(options(folder), position).await
}

async fn append(journal: &Journal, text: &str) -> u64 {
    journal.append(text.as_bytes().to_vec()).await.unwrap()
}

/// A running drain, and the word that ends it.
struct Draining {
    stopper: Stopper,
    task: JoinHandle<u64>,
}

fn drain(journal: &Journal, sink: impl Sink) -> Draining {
    let (stopper, stopping) = shutdown::channel();
    Draining { task: tokio::spawn(journal::drain::run(journal.clone(), sink, stopping)), stopper }
}

impl Draining {
    /// Stops as a service does, which flushes, and says what is left.
    async fn stop(self) -> u64 {
        self.stopper.stop();
        self.task.await.unwrap()
    }

    /// Stops as a killed process does.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn caught_up(journal: &Journal) {
    let last = journal.last_written();
    eventually("the journal in the database", async || (journal.drained() >= last).then_some(())).await;
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "journal"))
        .collect();
    found.sort();
    found
}

fn texts(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|n| format!("r{n}")).collect()
}

#[tokio::test]
async fn records_move_in_order_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    let draining = drain(&journal, store.clone());
    for n in 1..=1_000 {
        assert_eq!(append(&journal, &format!("r{n}")).await, n);
    }
    assert_eq!(draining.stop().await, 0);
    assert_eq!(store.texts(), texts(1..=1_000));
    assert_eq!(store.sequences(), (1..=1_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_get_numbers_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    let draining = drain(&journal, store.clone());
    let mut tasks = Vec::new();
    for writer in 0..20 {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move {
            let mut given = Vec::new();
            for n in 0..100 {
                given.push((append(&journal, &format!("{writer} {n}")).await, format!("{writer} {n}")));
            }
            given
        }));
    }
    let mut given = BTreeMap::new();
    for task in tasks {
        given.extend(task.await.unwrap());
    }
    assert_eq!(draining.stop().await, 0);
    assert_eq!(store.sequences(), (1..=2_000).collect::<Vec<_>>());
    assert_eq!(store.texts(), given.into_values().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_run_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let mut node = None;
    for run in 0..5_u64 {
        let journal = open(dir.path(), &store).await;
        assert_eq!(node.get_or_insert_with(|| journal.node().clone()), journal.node());
        let draining = drain(&journal, store.clone());
        for n in 1..=20 {
            assert_eq!(append(&journal, &format!("r{}", run * 20 + n)).await, run * 20 + n);
        }
        // One run flushes, the next one is killed with whatever it has moved.
        if run % 2 == 0 {
            assert_eq!(draining.stop().await, 0);
        } else {
            draining.kill().await;
        }
    }
    let journal = open(dir.path(), &store).await;
    assert_eq!(drain(&journal, store.clone()).stop().await, 0);
    assert_eq!(store.texts(), texts(1..=100));
    assert_eq!(segments(dir.path()).len(), 1, "what is done is removed");
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    store.inner().faults = vec![Fault::AnswerLost, Fault::Away, Fault::AnswerLost, Fault::Away, Fault::Away];
    let journal = open(dir.path(), &store).await;
    for n in 1..=2_500 {
        append(&journal, &format!("r{n}")).await;
    }
    let draining = drain(&journal, store.clone());
    caught_up(&journal).await;
    draining.kill().await;
    assert_eq!(store.texts(), texts(1..=2_500));
    assert!(store.inner().faults.is_empty());
}

#[tokio::test]
async fn a_database_away_for_long_is_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    store.inner().away = true;
    let small = Options { segment_bytes: 2_000, ..options(dir.path()) };
    let journal = open_with(small.clone(), 0).await;
    let draining = drain(&journal, store.clone());
    for n in 1..=500 {
        append(&journal, &format!("r{n}")).await;
    }
    assert!(store.texts().is_empty() && journal.drained() == 0);
    // The service is stopped meanwhile, and says honestly what it leaves behind.
    assert_eq!(draining.stop().await, 500);
    drop(journal);
    let journal = open_with(small, 0).await;
    let draining = drain(&journal, store.clone());
    append(&journal, "r501").await;
    store.inner().away = false;
    caught_up(&journal).await;
    draining.kill().await;
    assert_eq!(store.texts(), texts(1..=501));
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn an_unfit_record_is_kept_aside_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    for text in ["a", "unfit 1", "b", "c", "unfit 2"] {
        append(&journal, text).await;
    }
    let draining = drain(&journal, store.clone());
    caught_up(&journal).await;
    append(&journal, "d").await;
    assert_eq!(draining.stop().await, 0);
    assert_eq!(store.texts(), ["a", "b", "c", "d"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("rejected.jsonl")).unwrap(), "unfit 1\nunfit 2\n");
    assert_eq!(journal.stats().rejected.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_unfit_record_is_put_aside_once_although_its_skip_fails() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    append(&journal, "unfit").await;
    append(&journal, "b").await;
    /// Away just when the skip of an unfit record is to be stored, twice.
    struct SkipAway(Store, Mutex<u32>);
    impl Sink for SkipAway {
        async fn position(&self, node: &str) -> Result<u64, SinkError> {
            self.0.position(node).await
        }
        async fn apply(&self, node: &str, from: u64, records: &[journal::Record]) -> Result<(), SinkError> {
            if records[0].payload.is_empty() && *self.1.lock().unwrap() < 2 {
                *self.1.lock().unwrap() += 1;
                return Err(SinkError::Away("now".into()));
            }
            self.0.apply(node, from, records).await
        }
    }
    let draining = drain(&journal, SkipAway(store.clone(), Mutex::new(0)));
    caught_up(&journal).await;
    draining.kill().await;
    assert_eq!(store.texts(), ["b"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("rejected.jsonl")).unwrap(), "unfit\n");
}

#[tokio::test]
async fn a_full_journal_refuses_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    store.inner().away = true;
    // Not larger than one file would be: still the bytes must come free again.
    let small = Options { max_bytes: 40_000, ..options(dir.path()) };
    let journal = open_with(small, 0).await;
    let draining = drain(&journal, store.clone());
    let mut written = 0;
    let refused = loop {
        match journal.append(vec![b'x'; 1_000]).await {
            Ok(n) => written = n,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert!((30..40).contains(&written), "{written}");
    assert_eq!(journal.stats().lost.load(Ordering::Relaxed), 1);
    let on_disk: u64 = segments(dir.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(on_disk <= 40_000 && on_disk == journal.stats().bytes.load(Ordering::Relaxed));
    for _ in 0..3 {
        store.inner().away = false;
        eventually("room in the journal", async || journal.append(vec![b'y'; 1_000]).await.ok()).await;
        caught_up(&journal).await;
        // Once more to the brim, with the database there: everything drained frees everything.
        for _ in 0..200 {
            let _ = journal.append(vec![b'z'; 1_000]).await;
        }
        caught_up(&journal).await;
        journal.append(vec![b'!'; 9_000]).await.unwrap();
    }
    assert_eq!(draining.stop().await, 0);
    let all = store.sequences();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "a refused record takes no number");
}

#[tokio::test]
async fn files_change_when_they_are_long_and_go_when_they_are_done() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    store.inner().away = true;
    let small = Options { segment_bytes: 1_000, ..options(dir.path()) };
    let journal = open_with(small, 0).await;
    let draining = drain(&journal, store.clone());
    for n in 1..=100 {
        append(&journal, &format!("r{n}")).await;
    }
    let many = segments(dir.path());
    assert!(many.len() > 1 && many.iter().all(|p| p.metadata().unwrap().len() <= 1_000), "{many:?}");
    store.inner().away = false;
    caught_up(&journal).await;
    let draining_bytes = journal.stats().bytes.load(Ordering::Relaxed);
    draining.kill().await;
    assert_eq!(store.texts(), texts(1..=100));
    let left = segments(dir.path());
    assert_eq!(left.len(), 1);
    assert_eq!(draining_bytes, left[0].metadata().unwrap().len());
}

/// The reader passes over far more than it reads at once when most of a long file is in the database already.
#[tokio::test]
async fn a_long_file_that_is_mostly_done_does_not_stop_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    let large = vec![b'x'; 200 * 1024];
    for _ in 0..30 {
        journal.append(large.clone()).await.unwrap();
    }
    append(&journal, "last").await;
    drop(journal);
    store.inner().position = 30;
    let journal = open(dir.path(), &store).await;
    let draining = drain(&journal, store.clone());
    caught_up(&journal).await;
    assert_eq!(store.texts(), ["last"]);
    draining.kill().await;
}

#[tokio::test]
async fn sizes_at_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    assert_eq!(journal.append(Vec::new()).await, Err(AppendError::TooLarge));
    assert_eq!(journal.append(vec![1; limits::RECORD_BYTES + 1]).await, Err(AppendError::TooLarge));
    let draining = drain(&journal, store.clone());
    // More than is read at once, in records that end anywhere.
    let mut sizes = Vec::new();
    for n in 0..40 {
        let size = limits::RECORD_BYTES - n * 31;
        journal.append(vec![b'x'; size]).await.unwrap();
        sizes.push(size);
    }
    assert_eq!(draining.stop().await, 0);
    assert_eq!(store.inner().records.iter().map(|(_, p)| p.len()).collect::<Vec<_>>(), sizes);
}

#[tokio::test]
async fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let ids = IdSource::new(Clock::system());
    let journal = open(dir.path(), &Store::default()).await;
    let second = Folder::take(options(dir.path()), || ids.next()).unwrap_err().to_string();
    assert!(second.contains("in use by another hookswitch process"), "{second}");
    drop(journal);
    eventually("the lock", async || Folder::take(options(dir.path()), || ids.next()).ok()).await;
}

#[tokio::test]
async fn a_node_file_that_is_none_is_an_error_not_a_new_node() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("node"), "not an id\n").unwrap();
    let ids = IdSource::new(Clock::system());
    let error = Folder::take(options(dir.path()), || ids.next()).unwrap_err().to_string();
    assert!(error.contains("node") && error.contains("not an id"), "{error}");
}

/// A disk that is slow: the caller goes on after the deadline, and a record that was late still moves, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_disk_costs_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    // 80 MB in a few writes take any disk, and any memory, longer than a millisecond.
    let hasty = Options { deadline: Duration::from_millis(1), max_bytes: 1 << 30, ..options(dir.path()) };
    let journal = open_with(hasty, 0).await;
    let mut tasks = Vec::new();
    for _ in 0..400 {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move { journal.append(vec![b'x'; 200 * 1024]).await }));
    }
    let mut late = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => {}
            Err(AppendError::Late) => late += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(late > 0);
    assert_eq!(journal.stats().lost.load(Ordering::Relaxed), late);
    eventually("the last write", async || (journal.last_written() == 400).then_some(())).await;
    assert_eq!(drain(&journal, store.clone()).stop().await, 0);
    assert_eq!(store.sequences(), (1..=400).collect::<Vec<_>>());
}

/// Files that end before the database's position: what a power cut leaves when the last writes were moved but not on
/// the disk yet. The numbers go on behind the database, or new records would be taken for old ones.
#[tokio::test]
async fn numbers_go_on_behind_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::default();
    let journal = open(dir.path(), &store).await;
    for n in 1..=10 {
        append(&journal, &format!("r{n}")).await;
    }
    assert_eq!(drain(&journal, store.clone()).stop().await, 0);
    drop(journal);
    let ids = IdSource::new(Clock::system());
    let at_rest = async || {
        drop(eventually("the folder", async || Folder::take(options(dir.path()), || ids.next()).ok()).await)
    };
    for cut in [40, 8, 3, 0] {
        at_rest().await;
        let file = segments(dir.path()).pop().unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(cut).unwrap();
        let before = store.inner().position;
        let journal = open(dir.path(), &store).await;
        assert_eq!(append(&journal, &format!("after {cut}")).await, before + 1);
        assert_eq!(drain(&journal, store.clone()).stop().await, 0);
    }
    at_rest().await;
    for path in segments(dir.path()) {
        std::fs::remove_file(path).unwrap();
    }
    let journal = open(dir.path(), &store).await;
    append(&journal, "after removal").await;
    assert_eq!(drain(&journal, store.clone()).stop().await, 0);
    let mut expected = texts(1..=10);
    expected.extend(["after 40", "after 8", "after 3", "after 0", "after removal"].map(String::from));
    assert_eq!(store.texts(), expected);
}

/// Breaks a closed journal's files in some way; everything that is still whole must move, nothing twice.
#[derive(Clone, Debug)]
enum Damage {
    TornTail(usize),
    Flip(prop::sample::Index),
    Garbage(usize),
    ZeroFile,
    CutHeader,
}

fn any_damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (1_usize..200).prop_map(Damage::TornTail),
        any::<prop::sample::Index>().prop_map(Damage::Flip),
        (1_usize..5_000).prop_map(Damage::Garbage),
        Just(Damage::ZeroFile),
        Just(Damage::CutHeader),
    ]
}

impl Damage {
    fn to(&self, file: &Path) {
        let mut bytes = std::fs::read(file).unwrap();
        match self {
            Self::TornTail(n) => bytes.truncate(bytes.len().saturating_sub(*n)),
            Self::Flip(bit) if !bytes.is_empty() => {
                let bit = bit.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            Self::Flip(_) => {}
            Self::Garbage(n) => bytes.extend((0..*n).map(|i| (i * 37 % 256) as u8)),
            Self::ZeroFile => bytes.clear(),
            Self::CutHeader => bytes.truncate(3),
        }
        std::fs::write(file, bytes).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Runs of appends with or without moving, each ended by damage to one file.
    #[test]
    fn damage_costs_only_what_it_hits(
        runs in prop::collection::vec((1_u64..40, any::<bool>(), any_damage(), any::<prop::sample::Index>()), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::default();
            let mut acknowledged = Vec::new();
            let mut damages = 0;
            for (run, (count, moves, damage, which)) in runs.iter().enumerate() {
                let small = Options { segment_bytes: 600, ..options(dir.path()) };
                let position = store.inner().position;
                let journal = open_with(small, position).await;
                for n in 0..*count {
                    let text = format!("{run:02} {n:04} {}", "x".repeat((n % 60) as usize));
                    append(&journal, &text).await;
                    acknowledged.push(text);
                }
                if *moves {
                    assert_eq!(drain(&journal, store.clone()).stop().await, 0);
                }
                drop(journal);
                // Its threads end on their own: only then is the file nobody's.
                let ids = IdSource::new(Clock::system());
                drop(eventually("the folder", async || Folder::take(options(dir.path()), || ids.next()).ok()).await);
                let files = segments(dir.path());
                damage.to(&files[which.index(files.len())]);
                damages += 1;
            }
            let journal = open(dir.path(), &store).await;
            append(&journal, "99 the end").await;
            acknowledged.push("99 the end".into());
            assert_eq!(drain(&journal, store.clone()).stop().await, 0);
            let moved = store.texts();
            // In order and once: what moved is a subsequence of what was acknowledged.
            let mut all = acknowledged.iter();
            for text in &moved {
                assert!(all.any(|a| a == text), "{text} twice or out of order: {moved:?}");
            }
            // A flip hits one record; a whole file may be lost with its damage; records elsewhere may not.
            let lost = acknowledged.len() - moved.len();
            assert!(lost <= damages * 30, "{lost} lost by {damages} damages");
            assert_eq!(moved.last().unwrap(), "99 the end", "what is written after damage moves");
            let sequences = store.sequences();
            assert!(sequences.windows(2).all(|w| w[0] < w[1]));
        });
    }
}

/// One flipped bit costs exactly the record it lies in.
#[tokio::test]
async fn a_flipped_bit_costs_one_record() {
    for victim in [1, 50, 100] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::default();
        let journal = open(dir.path(), &store).await;
        for n in 1..=100 {
            append(&journal, &format!("r{n:03}")).await;
        }
        drop(journal);
        let file = segments(dir.path()).pop().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[8 + (victim - 1) * 20 + 17] ^= 4;
        std::fs::write(&file, bytes).unwrap();
        let journal = open(dir.path(), &store).await;
        append(&journal, "after").await;
        assert_eq!(drain(&journal, store.clone()).stop().await, 0);
        let mut expected: Vec<String> =
            (1..=100).filter(|n| *n != victim).map(|n| format!("r{n:03}")).collect();
        expected.push("after".into());
        assert_eq!(store.texts(), expected);
        assert_eq!(journal.stats().damaged_bytes.load(Ordering::Relaxed), 20);
    }
}

/// The record of a call, as a session writes it.
fn began(id: &Id) -> Vec<u8> {
    let trace = serde_json::value::to_raw_value(&serde_json::json!({"steps": []})).unwrap();
    let text = id.to_string();
    let started = Started {
        id: id.clone(),
        direction: Direction::Inbound,
        did: "+15550001000".into(),
        caller: "+15557770009".into(),
        caller_name: "Añ🦀".into(),
        channel: "PJSIP/trunk-1".into(),
        uniqueid: text.clone(),
        linkedid: text,
        language: "en".into(),
        at_us: 1_000_000,
    };
    let decided = Decided {
        id: id.clone(),
        tenant: Some(tenant("acme")),
        hook: "route".into(),
        action: "queue".into(),
        target: "acme-support".into(),
        reason: "static".into(),
        at_us: 1_000_000,
        record: false,
        trace,
        runs: Vec::new(),
    };
    serde_json::to_vec(&Record::Began(CallAndDecision { started, decided })).unwrap()
}

fn ended(id: Option<&Id>, uniqueid: &str, fallback: &str) -> Vec<u8> {
    let ended = Ended {
        id: id.cloned(),
        uniqueid: uniqueid.into(),
        at_us: 5_000_000,
        by: "hook".into(),
        cause: Some(16),
        fallback: fallback.into(),
        did: "+15550001000".into(),
        duration_ms: Some(2_000),
        ..Ended::default()
    };
    serde_json::to_vec(&Record::<()>::Ended(ended)).unwrap()
}

fn calls(db: &Db) -> Calls {
    let clock = Clock::system();
    Calls {
        db: db.clone(),
        ids: IdSource::new(clock.clone()),
        clock,
        live: Arc::default(),
        news: hookswitch::events::News::default(),
        sounds: Default::default(),
    }
}

fn record(sequence: u64, payload: Vec<u8>) -> journal::Record {
    journal::Record { sequence, payload }
}

async fn count(t: &TestDb, what: &str) -> i64 {
    t.number(&format!("SELECT COUNT(*) FROM {what}")).await
}

both_databases! {
    /// Two that move the same journal: one of them is told, at every position, and nothing happens twice.
    async fn a_second_mover_is_refused(t) {
        let (sink, ids) = (calls(&t.db), IdSource::new(Clock::system()));
        let batch = |first: u64| vec![record(first, began(&ids.next())), record(first + 1, began(&ids.next()))];
        for first in [1, 3] {
            let (one, other) = (batch(first), batch(first));
            let second = calls(&t.again().await);
            let (a, b) = tokio::join!(sink.apply("n1", first - 1, &one), second.apply("n1", first - 1, &other));
            let refused = [&a, &b].into_iter().find(|r| r.is_err()).unwrap();
            assert!(matches!(refused, Err(SinkError::Away(_))), "{a:?} {b:?}");
            assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
            assert_eq!(sink.position("n1").await.unwrap(), first + 1);
        }
        assert_eq!(count(&t, "calls").await, 4);
        assert_eq!(count(&t, "call_traces").await, 4);
        // A position that is not the one that holds moves nothing, however often.
        for from in [0, 2, 9] {
            assert!(matches!(sink.apply("n1", from, &batch(from + 1)).await, Err(SinkError::Away(_))), "{from}");
        }
        assert_eq!(count(&t, "calls").await, 4);
    }

    /// What the database refuses for its values is the record's fault; a missing table is the database's.
    async fn faults_are_told_apart(t) {
        let (sink, ids) = (calls(&t.db), IdSource::new(Clock::system()));
        let id = ids.next();
        sink.apply("n1", 0, &[record(1, began(&id))]).await.unwrap();
        let twice = sink.apply("n1", 1, &[record(2, began(&id))]).await;
        assert!(matches!(twice, Err(SinkError::Unfit(_))), "{twice:?}");
        for bad in [&b"{\"began\":1}"[..], b"nonsense", b"\xff\xfe"] {
            let result = sink.apply("n1", 1, &[record(2, bad.to_vec())]).await;
            assert!(matches!(result, Err(SinkError::Unfit(_))), "{result:?}");
        }
        assert_eq!(sink.position("n1").await.unwrap(), 1, "nothing of a refused batch has happened");
        t.execute("ALTER TABLE call_traces RENAME TO elsewhere").await.unwrap();
        let missing = sink.apply("n1", 1, &[record(2, began(&ids.next()))]).await;
        assert!(matches!(missing, Err(SinkError::Away(_))), "{missing:?}");
        t.execute("ALTER TABLE elsewhere RENAME TO call_traces").await.unwrap();
        sink.apply("n1", 1, &[record(2, began(&ids.next()))]).await.unwrap();
        t.db.close().await;
        assert!(matches!(sink.apply("n1", 2, &[record(3, began(&id))]).await, Err(SinkError::Away(_))));
        assert!(matches!(sink.position("n1").await, Err(SinkError::Away(_))));
    }

    /// Texts of any length and kind fit the columns of both databases.
    async fn hostile_texts_fit(t) {
        let (sink, ids) = (calls(&t.db), IdSource::new(Clock::system()));
        let id = ids.next();
        let Ok(Record::<Box<serde_json::value::RawValue>>::Began(mut call)) = serde_json::from_slice(&began(&id)) else { panic!() };
        let long = "🦀\u{0}\n'\";--\\%".repeat(400);
        for text in [&mut call.started.did, &mut call.started.caller, &mut call.started.caller_name, &mut call.started.channel,
            &mut call.started.uniqueid, &mut call.started.linkedid, &mut call.started.language, &mut call.decided.hook,
            &mut call.decided.action, &mut call.decided.target, &mut call.decided.reason] {
            long.clone_into(text);
        }
        let payload = serde_json::to_vec(&Record::Began(call)).unwrap();
        let mut end: Record = serde_json::from_slice(&ended(Some(&id), &long, &long)).unwrap();
        let Record::Ended(e) = &mut end else { panic!() };
        for text in [&mut e.by, &mut e.disposition, &mut e.answered_by, &mut e.dial_status, &mut e.queue_status, &mut e.voicemail_status] {
            long.clone_into(text);
        }
        e.cause = Some(i64::MAX);
        let undecided = ended(None, &format!("other {long}"), &long);
        let records = [record(1, payload), record(2, serde_json::to_vec(&end).unwrap()), record(3, undecided)];
        sink.apply("n1", 0, &records).await.unwrap();
        let row = store::get(&t.db, None, &id).await.unwrap().unwrap();
        assert!(row.did.starts_with("🦀'\";--\\%🦀") && row.ended_at == Some(5_000_000));
        assert_eq!(count(&t, "calls").await, 2);
    }

    /// The life of a call's row: one end, a real one beats `lost`, and a late report finds its call by uniqueid.
    async fn an_end_is_set_once(t) {
        let (sink, ids) = (calls(&t.db), IdSource::new(Clock::system()));
        let (a, b, c) = (ids.next(), ids.next(), ids.next());
        let all: Vec<_> = (1..).zip([&a, &b, &c]).map(|(n, id)| record(n, began(id))).collect();
        sink.apply("n1", 0, &all).await.unwrap();
        assert_eq!(open::open_calls(&t.db).await.unwrap().len(), 3);
        assert!(open::close_lost(&calls(&t.db), 1_000_000, 9, 10).await.unwrap().is_empty(), "none began before");
        assert_eq!(open::close_lost(&calls(&t.db), 1_000_001, 9, 1).await.unwrap(), std::slice::from_ref(&a));
        assert_eq!(open::close_lost(&calls(&t.db), 1_000_001, 9, 10).await.unwrap(), [b.clone(), c.clone()]);
        assert!(open::close_lost(&calls(&t.db), 1_000_001, 9, 10).await.unwrap().is_empty());
        let Record::<()>::Ended(nowhere) = serde_json::from_slice(&ended(None, "nor this", "")).unwrap() else { panic!() };
        let nowhere = serde_json::to_vec(&Record::<()>::Ended(Ended { did: String::new(), ..nowhere })).unwrap();
        let ends = [record(4, ended(Some(&a), "", "")), record(5, ended(Some(&a), "", "again")), record(6, ended(None, b.as_str(), "")),
            record(7, ended(None, "never seen", "down")), record(8, ended(None, "never seen", "down")), record(9, ended(None, "left", "")), record(10, nowhere)];
        sink.live.add(&b, Some(&tenant("acme")), "+15550001000");
        sink.live.add(&c, Some(&tenant("acme")), "+15550001000");
        sink.apply("n1", 3, &ends).await.unwrap();
        assert_eq!(sink.live.some_after(None, 9), std::slice::from_ref(&c), "the one told by uniqueid takes no place any more");
        let row = |id: Id| { let db = t.db.clone(); async move { store::get(&db, None, &id).await.unwrap().unwrap() } };
        let (ra, rb, rc) = (row(a).await, row(b).await, row(c.clone()).await);
        assert_eq!((ra.ended_by.as_str(), ra.fallback.as_str(), ra.cause), ("hook", "", Some(16)));
        assert_eq!((rb.ended_by.as_str(), rc.ended_by.as_str()), ("hook", "lost"));
        // The call that nobody decided is there once, with the time it began.
        let undecided = t.texts("SELECT CONCAT(action, ' ', reason, ' ', CAST(started_at AS CHAR)) FROM calls WHERE uniqueid = 'never seen'").await;
        assert_eq!(undecided, ["fallback down 3000000"]);
        // So is the one whose caller left before anybody had decided.
        let left = t.texts("SELECT CONCAT(tenant_id, action, ' ', reason, ' ', fallback, ended_by) FROM calls WHERE uniqueid = 'left'").await;
        assert_eq!(left, ["hangup caller-gone hook"]);
        assert_eq!(count(&t, "calls").await, 5);
        // A tenant sees its own, the operator all.
        assert!(store::get(&t.db, Some(&tenant("acme")), &c).await.unwrap().is_some());
        assert!(store::get(&t.db, Some(&tenant("globex")), &c).await.unwrap().is_none());
        assert_eq!(store::traces(&t.db, Some(&tenant("acme")), &c).await.unwrap().len(), 1);
        assert!(store::traces(&t.db, Some(&tenant("globex")), &c).await.unwrap().is_empty());
    }

    /// A process that is killed while it appends and moves, three times on the same folder.
    async fn a_kill_loses_and_repeats_nothing(t) {
        let folder = t.folder().join("journal");
        let mut acknowledged = Vec::new();
        for round in 0..3_usize {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "journal::child_that_is_killed", "--nocapture"])
                .env("HS_CHILD_FOLDER", &folder)
                .env("HS_CHILD_DATABASE", &t.url)
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let mut own = Vec::new();
            let acknowledgement = |line: std::io::Result<String>| line.ok()?.strip_prefix("ack ").map(str::to_owned);
            while own.len() < 400 + round * 350 {
                let line = lines.next().expect("the child ended by itself");
                own.extend(acknowledgement(line));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            // What it had said before it died counts too; the last line may be torn.
            own.extend(lines.filter_map(acknowledgement).filter(|id| Id::parse(id).is_ok()));
            acknowledged.extend(own);
        }
        let ids = IdSource::new(Clock::system());
        let taken = Folder::take(options(&folder), || ids.next()).unwrap();
        let position = store::position(&t.db, taken.node()).await.unwrap();
        let journal = taken.open(position).unwrap();
        let last = journal.last_written();
        assert_eq!(drain(&journal, calls(&t.db)).stop().await, 0);
        assert_eq!(store::position(&t.db, journal.node()).await.unwrap(), last);
        // Once each: the keys would not have it otherwise, and nothing was refused.
        assert!(!folder.join("rejected.jsonl").exists());
        let known: std::collections::HashSet<String> = t.texts("SELECT id FROM calls").await.into_iter().collect();
        let missing: Vec<_> = acknowledged.iter().filter(|id| !known.contains(*id)).collect();
        assert!(missing.is_empty(), "{} of {} are missing", missing.len(), acknowledged.len());
        assert_eq!(count(&t, "calls").await, i64::try_from(last).unwrap(), "numbers have no gaps");
        assert_eq!(count(&t, "call_traces").await, i64::try_from(last).unwrap());
        assert_eq!(t.number("SELECT MAX(sequence) FROM call_traces").await, i64::try_from(last).unwrap());
    }
}

/// Not a test of its own: the process that `a_kill_loses_and_repeats_nothing` starts and kills.
#[test]
#[ignore = "started by another test"]
fn child_that_is_killed() {
    let (Ok(folder), Ok(url)) = (std::env::var("HS_CHILD_FOLDER"), std::env::var("HS_CHILD_DATABASE")) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::connect(&url, 4).await.unwrap();
        let ids = IdSource::new(Clock::system());
        let small = Options { segment_bytes: 64 * 1024, ..options(Path::new(&folder)) };
        let taken = Folder::take(small, || ids.next()).unwrap();
        let position = store::position(&db, taken.node()).await.unwrap();
        let journal = taken.open(position).unwrap();
        let _draining = drain(&journal, calls(&db));
        let mut tasks = Vec::new();
        for _ in 0..8 {
            let (journal, ids) = (journal.clone(), ids.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let id = ids.next();
                    journal.append(began(&id)).await.unwrap();
                    // As an answer leaves: the moment after which the record must be safe.
                    let mut out = std::io::stdout().lock();
                    out.write_all(format!("ack {id}\n").as_bytes()).unwrap();
                    out.flush().unwrap();
                }
            }));
        }
        // Until the kill.
        tasks.pop().unwrap().await.unwrap();
    });
}
