//! The decision alone, warm, through `Router::route`: 100,000 numbers of 1,000 tenants beside 100 numbers of one.
//!
//! Each call is to a random number, so that the large set pays for its cache misses. Every tenant has opening hours, a
//! block list of 105 patterns and an allow list, and every call passes all checks to its static queue.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints, or cannot go on"
)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics"
)]

mod support;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use std::collections::{HashMap, HashSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hookswitch::base::clock::Clock;
use hookswitch::base::ids::{IdSource, Name, Number, TenantId};
use hookswitch::base::metrics::Metrics;
use hookswitch::calls::live::Live;
use hookswitch::contacts::Names;
use hookswitch::db::Db;
use hookswitch::outgoing::{Client, Guard};
use hookswitch::plugins::Plugins;
use hookswitch::routing::callback::CallbackRules;
use hookswitch::routing::data::{DidRules, Digits, NumberList, QueueRules, TenantRules};
use hookswitch::routing::memory::Memory;
use hookswitch::routing::schedule::Schedule;
use hookswitch::routing::types::{Action, Destination, Inputs, Place};
use hookswitch::routing::{CallIds, Mode, Paces, Router};
use hookswitch::tenants::TenantStatus;
use support::{Report, argument, median, now, percentile};

/// 2023-11-14 22:13:20 UTC, within the opening hours.
const AT_US: i64 = 1_700_000_000_000_000;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run())
}

async fn run() -> ExitCode {
    let (rounds, calls) = (argument("--rounds", 7.0) as usize, argument("--calls", 100_000.0) as usize);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}", folder.path().join("empty.db").display());
    let db = Db::connect(&url, 1).await.expect("a database");
    db.migrate().await.expect("tables, for callers' names");
    let (small, large) = (filled(&db, 1, 100), filled(&db, 1_000, 100));
    let (mut p50s, mut p99s, mut ratios, mut hots, mut small_p99s) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..=rounds {
        let mut few = time(&small, 1, calls).await;
        let hot = time(&large, 1, calls).await;
        let mut many = time(&large, 1_000, calls).await;
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let ratio = mean(&many) / mean(&few);
        if n > 0 {
            ratios.push(ratio);
            hots.push(mean(&hot) / mean(&few));
            p50s.push(percentile(&mut many, 0.5));
            p99s.push(percentile(&mut many, 0.99));
            small_p99s.push(percentile(&mut few, 0.99));
            eprintln!("mean {:.2} and {:.2} µs", mean(&few), mean(&many));
        }
    }
    let mut report = Report::new();
    report.note("p50, 100,000 DIDs of 1,000 tenants", format!("{:.1} µs", median(&p50s)));
    let p99 = median(&p99s);
    report.goal("p99, 100,000 DIDs of 1,000 tenants", format!("{p99:.1} µs"), "< 20 µs", p99 < 20.0);
    report.note("p99, 100 DIDs of one tenant", format!("{:.1} µs", median(&small_p99s)));
    let growth = median(&ratios);
    report.goal("mean, 100,000 DIDs ÷ 100 DIDs", format!("{growth:.2}"), "≤ 1.5", growth <= 1.5);
    let hot = median(&hots);
    report.goal("the same, all calls to one of the 1,000 tenants", format!("{hot:.2}"), "≤ 1.5", hot <= 1.5);
    let (tenants, dids) = large.memory.known();
    report.goal(
        "in memory after it",
        format!("{tenants} tenants, {dids} DIDs"),
        "all",
        (tenants, dids) == (1_000, 100_000),
    );
    report.end("The decision alone")
}

fn number(tenant: usize, did: usize) -> String {
    format!("+1555{tenant:04}{did:03}")
}

/// A router that knows `tenants` tenants with `dids` numbers each.
fn filled(db: &Db, tenants: usize, dids: usize) -> Router {
    let metrics = Arc::new(Metrics::default());
    let clock = Clock::system();
    let plugins = Plugins::off(db.clone(), clock.clone());
    // As configured by default: room for a million numbers.
    let memory = Memory::new(
        db.clone(),
        Arc::clone(&metrics),
        Arc::clone(&plugins),
        1_000_000,
        Duration::from_secs(1),
    );
    let ids = IdSource::new(clock.clone());
    for t in 0..tenants {
        memory.put(Arc::new(tenant(t, dids, &ids)));
    }
    assert_eq!(memory.known(), (tenants as u64, (tenants * dids) as u64), "nothing is evicted");
    let client = Client::new(Guard::parse("").expect("no exceptions")).expect("TLS");
    Router {
        plugins,
        memory,
        names: Names::new(db.clone()),
        live: Arc::new(Live::default()),
        paces: Paces::default(),
        metrics,
        ids,
        clock,
        client,
        unknown: None,
    }
}

fn tenant(t: usize, dids: usize, ids: &IdSource) -> TenantRules {
    let mut block = NumberList::default();
    for n in 0..100 {
        assert!(block.insert(&format!("+4930{t:04}{n:03}"), 0));
    }
    for prefix in ["+881*", "+882*", "+979*", "+4490*", "+49900*"] {
        assert!(block.insert(prefix, 0));
    }
    let mut allow = NumberList::default();
    assert!(allow.insert("+15557770001", 0));
    let support = Name::parse("support").expect("a name");
    let hours = serde_json::json!({
        "zone": "America/New_York",
        "weekly": (["mon", "tue", "wed", "thu", "fri", "sat", "sun"])
            .map(|day| serde_json::json!({"day": day, "from": "00:00", "to": "24:00"})),
    });
    let schedule: Schedule = serde_json::from_value(hours).expect("opening hours");
    let schedule = Arc::new(schedule);
    let did = |d: usize| {
        let number = Number::parse(&number(t, d)).expect("a number");
        let rules = DidRules {
            id: ids.next(),
            number: Digits::from(&number),
            active: true,
            max_calls: 10,
            record: false,
            language: String::new(),
            schedule: Some(Arc::clone(&schedule)),
            schedule_missing: false,
            plugin: None,
            webhook: None,
            primary: Some(Destination::to(Place::Queue(support.clone()))),
            overflow: Vec::new(),
            fallback: None,
            closed: None,
            holiday: None,
            limit: None,
            inactive: None,
        };
        (rules.number, Arc::new(rules))
    };
    TenantRules {
        tenant: TenantId::parse(&format!("tenant{t}")).expect("a tenant id"),
        version: 1,
        used: AtomicU64::default(),
        status: TenantStatus::Active,
        max_calls: 1_000,
        language: "en".to_owned(),
        fallback: None,
        blocked: None,
        block,
        allow,
        dids: (0..dids).map(did).collect(),
        endpoints: HashMap::new(),
        queues: HashMap::from([(
            support.clone(),
            QueueRules {
                active: true,
                max_wait_s: 300,
                extension: String::new(),
                record: false,
                announcement: None,
                callback: CallbackRules::default(),
            },
        )]),
        mailboxes: HashSet::new(),
        menus: HashMap::new(),
        outbound: Vec::new(),
        plugins: HashMap::new(),
        announcement: None,
        max_outbound_calls: 0,
        max_outbound_rate: 0,
        country: String::new(),
        platform: Arc::default(),
        zone: chrono_tz::UTC,
    }
}

/// Microseconds of each of `calls` decisions.
async fn time(router: &Router, tenants: usize, calls: usize) -> Vec<f64> {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        // xorshift64: which number is not what is measured.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let inputs = Inputs {
            at_us: AT_US,
            dialled: number(seed as usize % tenants, (seed >> 32) as usize % 100),
            caller: "+15557770009".into(),
            caller_name: "Caller".into(),
            language: "en".into(),
            ..Inputs::default()
        };
        let id = router.ids.next();
        let call = CallIds { id, uniqueid: "1763870000.17".into(), linkedid: "1763870000.17".into() };
        let start = now();
        let trace = router.route(&call, inputs, Mode::Live).await;
        took.push(start.elapsed().as_secs_f64() * 1e6);
        // A decided call counts as alive; here there is one at a time.
        router.live.remove(&call.id);
        assert_eq!(trace.decision.action, Action::Queue, "{trace:?}");
    }
    took
}
