//! Tenants' plugins: what a file, a run and a tenant may cost.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Bytes of an uploaded component: one of Rust has 20 KiB, of JavaScript 12 MiB and of Python 18 MiB.
pub const COMPONENT_BYTES: usize = 32 * MIB;
/// Bytes of a router's component that needs no leave of the operator's: one of Rust has 20 KiB to 1 MiB; one that brings
/// a language's whole runtime is set up anew for each call, and takes 0.3 to 1 ms.
pub const ROUTER_BYTES: usize = 4 * MIB;
/// Bytes of JavaScript uploaded as text. A run reads its byte code anew, some 4 µs for each KiB.
pub const SCRIPT_BYTES: usize = 256 * KIB;
/// Time for a component to become native code: 10 s of one processor for JavaScript's or Python's; the compiler gives way
/// to calls, so it may get a tenth of one.
pub const COMPILE_TIME: Duration = Duration::from_secs(120);
/// Time for a request that may wait for the compiler: [`COMPILE_TIME`], and a minute for 32 MiB to come in, for the files
/// that are compiled before it, and for the examples.
pub const UPLOAD_TIME: Duration = Duration::from_secs(180);
/// Uploads that wait for the one compiler; the next is told to come again.
pub const COMPILE_QUEUE: usize = 8;

/// How often a running plugin is looked at: the precision of its processor limit.
pub const TICK: Duration = Duration::from_millis(1);
/// The ticker sleeps when nothing ran for so long.
pub const TICKER_IDLE: Duration = Duration::from_secs(1);
/// How long a plugin that needed more than a tick starts on the plugins' own threads and not beside the call.
pub const HEAVY: Duration = Duration::from_secs(10);

/// Processor time of a router's run: 1,000 times what one of Rust needs, 20 times one of Python.
pub const ROUTER_CPU: Duration = Duration::from_millis(20);
/// Processor time of a ticketer's run; nobody waits for it.
pub const TICKETER_CPU: Duration = Duration::from_millis(100);
/// Processor time of a call script between two waits for the caller, and in all.
pub const SCRIPT_CPU: Duration = Duration::from_millis(100);
/// Wall time of a router's run with its host calls: a caller hears nothing meanwhile.
pub const ROUTER_WALL: Duration = Duration::from_millis(250);
/// Wall time of a ticketer's run with its host calls.
pub const TICKETER_WALL: Duration = Duration::from_secs(5);
/// Wall time of a call script, its caller's time included.
pub const SCRIPT_WALL: Duration = Duration::from_secs(3600);
/// Instructions (wasmtime's fuel) of a router's run: the number that is the same on every machine. A run of Rust takes
/// some 30 thousand, of JavaScript as text 200 thousand, of a JavaScript component 3 million.
pub const ROUTER_FUEL: u64 = 50_000_000;
/// Instructions of a ticketer's run.
pub const TICKETER_FUEL: u64 = 250_000_000;
/// Instructions of a call script.
pub const SCRIPT_FUEL: u64 = 250_000_000;
/// Linear memory of a run: JavaScript and Python components begin at 9 and 12 MiB.
pub const MEMORY_BYTES: usize = 32 * MIB;
/// Elements of a run's tables: Python's need 5,674, JavaScript's 7,691.
pub const TABLE_ELEMENTS: usize = 10_000;
/// A guest's stack.
pub const STACK_BYTES: usize = 512 * KIB;
/// Stack of the fiber that a run lives on: the guest's and what host functions need on top.
pub const FIBER_STACK_BYTES: usize = MIB;
/// Bytes that go over between host and guest in one call: an input of 64 KiB with its lists, an answer of 64 KiB.
pub const COPIED_BYTES: usize = 256 * KIB;
/// Host calls of a run; log and settings do not count.
pub const HOST_CALLS: u32 = 64;
/// Host calls of a call script, which speaks to its caller by them.
pub const SCRIPT_HOST_CALLS: u32 = 1_000;
/// HTTP requests of a run.
pub const HTTP_CALLS: u32 = 4;
/// Bytes of an HTTP answer's body that a plugin gets.
pub const HTTP_BODY_BYTES: usize = 64 * KIB;
/// Bytes of log of a run, and lines.
pub const LOG_BYTES: usize = 4 * KIB;
/// Lines of log of a run.
pub const LOG_LINES: usize = 200;
/// Bytes of one host call's text argument: a key, a value, a body.
pub const ARGUMENT_BYTES: usize = 64 * KIB;
/// Bytes of host calls and their answers that are kept with a run, so that it can be replayed.
pub const TRAIL_BYTES: usize = 32 * KIB;
/// Characters of a run's error text.
pub const TEXT_CHARACTERS: usize = 1_000;

/// Runs of one tenant at a time; most wait for a host call then.
pub const RUNS: usize = 16;
/// Runs of one tenant on the plugins' own threads at a time; the others wait for their turn within their wall time.
pub const HEAVY_RUNS: usize = 2;
/// Runs of one tenant that wait for a turn; one more is refused as busy.
pub const RUNS_WAITING: usize = 32;
/// Call scripts of one tenant at a time. One of JavaScript as text holds its dirty pages, less than 1 MiB.
pub const SCRIPTS: usize = 200;
/// Routers and ticketers of all tenants at a time: places of the pool.
pub const POOL_RUNS: u32 = 128;
/// Call scripts of all tenants at a time: places of the pool.
pub const POOL_SCRIPTS: u32 = 1_000;
/// Core instances of one component: Python's has 38.
pub const CORE_INSTANCES: u32 = 40;
/// Bytes of a place's memory that are cleaned rather than given back, so that the next run finds them.
pub const KEEP_RESIDENT_BYTES: usize = MIB;
/// The same of tables.
pub const KEEP_TABLE_BYTES: usize = 64 * KIB;
/// Places that stay warm: more would keep [`KEEP_RESIDENT_BYTES`] each.
pub const WARM_SLOTS: u32 = 16;
/// A memory image up to this size is mapped and not copied: JavaScript's has 9 MiB.
pub const IMAGE_BYTES: u64 = 64 * MIB as u64;
/// Bytes of an instance's own data: Python's needs 242 KiB.
pub const CORE_INSTANCE_BYTES: usize = 512 * KIB;
/// Bytes of a component instance's own data: Python's needs 411 KiB.
pub const COMPONENT_INSTANCE_BYTES: usize = MIB;

/// Plugins of a tenant.
pub const PLUGINS: i64 = 100;
/// Files of a plugin's versions that are kept beside those in use: more than anybody rolls back.
pub const VERSIONS_KEPT: usize = 20;
/// Bytes of a file that go into one row: what a database takes in one statement has limits of its own (MariaDB: 16 MiB).
pub const PART_BYTES: usize = MIB;
/// Examples that a plugin's versions must pass; an upload waits for all of them.
pub const EXAMPLES: i64 = 50;
/// Bytes of an example's or test's input, and of what is expected, as JSON.
pub const INPUT_BYTES: usize = 64 * KIB;
/// Bytes of the answers that an example gives to host calls: a run's whole trail.
pub const ANSWERS_BYTES: usize = 2 * TRAIL_BYTES;
/// Settings of a plugin.
pub const SETTINGS: usize = 100;
/// Characters of a setting's name.
pub const SETTING_NAME_CHARACTERS: usize = 64;
/// Bytes of a plugin's settings as JSON: all of them are copied into a run that asks for all.
pub const SETTINGS_BYTES: usize = 32 * KIB;
/// Hosts that a plugin may be allowed to ask.
pub const HTTP_HOSTS: usize = 50;
/// Types of events that a ticketer listens to.
pub const EVENT_PATTERNS: usize = 50;
/// Callers whose calls go to the canary version.
pub const CANARY_NUMBERS: usize = 100;

/// Failures of a version within [`FAILURE_TIME`] that park it.
pub const FAILURES: usize = 5;
/// See [`FAILURES`].
pub const FAILURE_TIME: Duration = Duration::from_secs(30);
/// How long a parked plugin is not asked; then one run tries whether it is well again.
pub const PARKED_TIME: Duration = Duration::from_secs(60);
/// A version that fails so soon after it was activated is rolled back rather than parked.
pub const ROLLBACK_TIME: Duration = Duration::from_secs(24 * 3600);
/// A version that goes on failing is told of again after this time.
pub const FAILED_TIME: Duration = Duration::from_secs(3600);
/// What must be written about plugins and waits for the database: each is a plugin that failed or is well again.
pub const NOTICES: usize = 1_000;
/// Pause before the database is tried again.
pub const RETRY_TIME: Duration = Duration::from_secs(5);

/// Shadow runs that wait; more are dropped and counted, since nobody's call depends on them.
pub const SHADOWS_WAITING: usize = 200;
/// Shadow runs at a time: half a tenant's share, so that a busy shadow leaves the pool to calls.
pub const SHADOWS: usize = 8;
/// Results of shadow runs that are written in one transaction.
pub const SHADOW_ROWS: usize = 50;
/// Differences that a shadow's report shows.
pub const DIFFERENCES: i64 = 20;

/// Runs that are kept of a plugin.
pub const RUNS_KEPT: i64 = 10_000;
/// How long runs are kept, in microseconds.
pub const RUNS_US: i64 = 30 * 86_400 * 1_000_000;
/// Rows that one statement removes.
pub const PURGE_ROWS: i64 = 1_000;

/// Keys that a plugin may keep values under.
pub const KV_KEYS: i64 = 1_000;
/// Bytes of a key.
pub const KV_KEY_BYTES: usize = 100;
/// Bytes of a value.
pub const KV_VALUE_BYTES: usize = 16 * KIB;
/// Seconds that a value may stay at most when it says how long: ten years.
pub const KV_TTL_S: u32 = 315_360_000;
/// Tickets that a plugin is shown at a time.
pub const TICKETS_SHOWN: i64 = 20;

/// Pauses before an event is shown again to a ticketer that failed on it. After one more failure it is passed over.
pub const SHOW_PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// Pause before a ticketer is tried again that could not be asked at all: parked, or not loaded yet.
pub const SHOW_LATER: Duration = Duration::from_secs(5);
/// How long a process may show a ticketer its events without a word: another takes over when it died. Many times the wall
/// time of a run.
pub const SHOW_LEASE: Duration = Duration::from_secs(30);
/// How long one ticketer has its turn, in runs that follow each other; the last one may take as long as a run may.
pub const SHOW_TURN: Duration = Duration::from_secs(1);
/// Events that a ticketer's turn reads at a time: half a megabyte where they are of the usual size.
pub const SHOW_EVENTS: usize = 200;
/// Ticketers of a process that run at a time: a quarter of the pool, the rest is for calls.
pub const SHOWN_TO: usize = 32;
/// Of these, of one tenant: a quarter of its runs.
pub const SHOWN_TO_TENANT: usize = 4;
/// How often it is looked whether a pause is over.
pub const SHOW_TICK: Duration = Duration::from_millis(200);
/// How often all ticketers look for events that nobody told of.
pub const SHOW_LOOK: Duration = Duration::from_secs(60);
/// How long a process that ends lets runs of ticketers end: as long as one may take.
pub const SHOW_DRAIN: Duration = Duration::from_secs(6);
/// Bytes of a note that a plugin leaves in a ticket: as a draft's body, and its event is told whole.
pub const NOTE_BYTES: usize = 16 * KIB;
/// Bytes of a linked id that are written as they stand into what names a ticket's origin, which has 190 characters.
pub const LINKED_BYTES: usize = 100;
/// Variables that the dialplan may tell plugins of a call.
pub const VARIABLES: usize = 16;
