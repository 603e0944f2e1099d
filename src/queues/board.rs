//! Wallboards: the numbers of each queue, told as `queue.stats` when they have changed.
//!
//! Once a second it is looked for tenants in which something happened (rows of the log, events of queues, agents or phones, a
//! rest or a day that is over), and for these alone the numbers are made. What was told last stands in `queue_stats`, and a
//! queue is told of under its row's lock: nodes that share a database may all look, each change is told once, no queue more
//! than once a second, and never with older numbers than before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono_tz::Tz;
use moka::sync::Cache;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::api::QUEUES;
use super::day::Day;
use super::live::end_gone;
use super::log_store;
use super::report::{Ask, Interval, Queue, mean};
use super::seat::{Presence, Seat};
use super::state::{Line, State};
use crate::agents::{AgentStatus, Parts};
use crate::api::check::show_time;
use crate::api::{Field, Null, Record, rules};
use crate::base::ids::TenantId;
use crate::base::shutdown::Stopping;
use crate::config::limits::{agents as walls, queues as limits};
use crate::db::{Db, Tx, db_read, db_tx};
use crate::events::{Data, Draft, Kind, outbox};
use crate::tenants;

const fn count(name: &'static str, doc: &'static str) -> Field {
    Field::int(name, 0, i64::MAX, doc).server()
}

/// The numbers of a queue.
pub static STATS: [Field; 17] = [
    Field::id("queue_id", "The queue.").server(),
    Field::rule("queue", &rules::NAME, "Its name.").server(),
    count("waiting", "Callers who wait."),
    Field::time("longest_wait_since", "Since when the first of them waits; null: nobody.")
        .nullable(Null::Null)
        .server(),
    count("talking", "Callers who talk with a member."),
    count("agents_available", "Members who could answer now."),
    count("agents_busy", "Members who talk, rest after a call, or are busy otherwise."),
    count("agents_paused", "Members whom the queue leaves out."),
    count("agents_offline", "Members who are signed out, or whose phone is not registered."),
    Field::time("day", "When the tenant's day began, which the numbers below are of.").server(),
    count("offered", "Everybody who entered."),
    count("answered", "Callers whom a member answered."),
    count("abandoned", "Callers who hung up, not early."),
    count("abandoned_short", "Callers who hung up within five seconds."),
    Field::json(
        "service_level",
        &PERCENT,
        "Answered in time, of all offered but who gave up early, in percent; null of none.",
    )
    .nullable(Null::Null)
    .server(),
    Field::int("service_level_s", 0, i64::MAX, "Seconds within which a call should be answered.").server(),
    Field::int("answer_average_ms", 0, i64::MAX, "Average speed of answer, in milliseconds; null of none.")
        .nullable(Null::Null)
        .server(),
];

static PERCENT: crate::api::Shape = crate::api::Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":["number","null"],"minimum":0,"maximum":100}"#,
    example: "87.5",
};

/// The type of events that tells the numbers of a queue.
pub fn kinds() -> Vec<Kind> {
    vec![Kind {
        name: "queue.stats".into(),
        doc: "The numbers of a queue are others; told at most once a second for each queue. GET /queues/live has all of them, \
              and the cursor from which these go on."
            .into(),
        key: "queue:<queue_id>".into(),
        data: Data::Fields("QueueStats", &STATS),
        readers: QUEUES.may.read,
        own: None,
        chapter: "queues".into(),
    }]
}

/// What is known of all tenants.
pub struct Wall {
    tenants: Cache<TenantId, Arc<Mutex<Known>>>,
    watch: Mutex<Watch>,
    lost_us: i64,
}

impl std::fmt::Debug for Wall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wall").finish_non_exhaustive()
    }
}

/// One tenant.
#[derive(Default)]
struct Known {
    live: State,
    day: Option<Day>,
    /// Up to when rows were written that are known, microseconds since 1970 UTC.
    seen_us: i64,
}

/// Where to look.
#[derive(Default)]
struct Watch {
    /// Up to when was looked; `None`: never.
    since_us: Option<i64>,
    /// How far each tenant's events have been looked at.
    positions: HashMap<TenantId, i64>,
    /// When the numbers of a tenant change by themselves.
    due: BTreeMap<TenantId, i64>,
}

/// The numbers of a tenant's queues.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// By the queues' ids.
    pub queues: BTreeMap<String, Record>,
    /// When they change by themselves.
    due_us: i64,
    /// When it was so.
    as_of_us: i64,
}

#[derive(sqlx::FromRow)]
struct Settings {
    id: String,
    name: String,
    service_level_s: i64,
    wrapup_s: i64,
}

#[derive(sqlx::FromRow)]
struct Member {
    queue_id: String,
    name: String,
    registered: bool,
    /// What the agent does; empty: nobody sits there, or the state was never set.
    agent_state: String,
    #[sqlx(flatten)]
    seat: Seat,
}

impl Wall {
    /// Empty memory; a caller of whom nothing is heard for `lost_us` microseconds is gone.
    pub fn new(lost_us: i64) -> Self {
        let tenants = Cache::builder().max_capacity(walls::WALL_TENANTS).build();
        Self { tenants, watch: Mutex::default(), lost_us }
    }

    /// The numbers of a tenant as they are now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn look(&self, db: &Db, (tenant, now_us): (&TenantId, i64)) -> sqlx::Result<Numbers> {
        let zone = tenants::tenant_of(db, tenant).await?.and_then(|tenant| tenant.zone.parse().ok());
        let (queues, members) = (settings(db, tenant).await?, members(db, tenant).await?);
        let time = Interval::Day.around(now_us, zone.unwrap_or(Tz::UTC));
        let ask = Ask {
            from_us: time.0,
            to_us: time.1,
            interval: None,
            zone: Tz::UTC,
            short_us: limits::SHORT_ABANDON_S * 1_000_000,
            levels: queues.iter().map(|queue| (queue.name.clone(), queue.service_level_s)).collect(),
        };
        let known = self.tenants.get_with(tenant.clone(), Arc::default);
        let mut known = known.lock().await;
        known.read(db, (tenant, now_us), time, self.lost_us).await?;
        let Known { live, day, .. } = &mut *known;
        end_gone(db, (tenant, now_us), live).await?;
        live.forget(now_us, self.lost_us);
        let so_far = match day {
            Some(day) => {
                day.settle(now_us, &ask);
                day.so_far(&ask)
            }
            None => HashMap::new(),
        };
        Ok(numbers((&queues, &members), live, &so_far, (now_us, time)))
    }

    /// Looks until `stopping`.
    pub async fn run(self: Arc<Self>, parts: Parts, mut stopping: Stopping) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(walls::WALL_TIME) => {}
                () = stopping.stopped() => return,
            }
            if let Err(error) = self.round(&parts).await {
                tracing::debug!(%error, "queues' numbers can't be looked for");
            }
        }
    }

    /// Tells of every queue whose numbers have changed. Returns how many.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&self, parts: &Parts) -> sqlx::Result<usize> {
        let mut watch = self.watch.lock().await;
        let (now_us, mut told) = (parts.clock.now_us(), 0);
        for tenant in watch.moved(&parts.db, now_us).await? {
            match self.tell(parts, &mut watch, (&tenant, now_us)).await {
                Ok(some) => told += some,
                Err(error) => {
                    tracing::debug!(%error, tenant.id = %tenant, "a tenant's queues can't be told of yet");
                    watch.due.insert(tenant, now_us);
                }
            }
        }
        Ok(told)
    }

    async fn tell(
        &self,
        parts: &Parts,
        watch: &mut Watch,
        (tenant, now_us): (&TenantId, i64),
    ) -> sqlx::Result<usize> {
        let numbers = self.look(&parts.db, (tenant, now_us)).await?;
        watch.due.insert(tenant.clone(), numbers.due_us);
        let known = known(&parts.db, tenant).await?;
        let is_news = |(id, stats): &(&String, &Record)| {
            known.get(*id) != Some(&Value::Object((*stats).clone()).to_string())
        };
        let news: Vec<(&String, &Record)> = numbers.queues.iter().filter(is_news).collect();
        if news.is_empty() {
            return Ok(0);
        }
        let mut tx = parts.db.begin().await?;
        let mut drafts = Vec::new();
        for (id, stats) in news {
            match turn(&mut tx, tenant, (id, stats), numbers.as_of_us).await? {
                Turn::Told => drafts.push(draft(id, stats, now_us)),
                Turn::Known => {}
                // Another node has just told it: looked at again.
                Turn::TooSoon => drop(watch.due.insert(tenant.clone(), now_us)),
            }
        }
        let told = drafts.len();
        let position = parts.events.write_after(&mut tx, &parts.ids, (tenant, now_us), drafts, &[]).await?;
        tx.commit().await?;
        if let Some(position) = position {
            parts.events.news.tell(tenant, position);
        }
        Ok(told)
    }
}

impl Known {
    /// Takes what was written since the last look.
    async fn read(
        &mut self,
        db: &Db,
        (tenant, now_us): (&TenantId, i64),
        time: (i64, i64),
        lost_us: i64,
    ) -> sqlx::Result<()> {
        let whole_us = now_us - limits::RING_S * 1_000_000;
        if self.day.as_ref().is_some_and(|day| day.time == time) && self.seen_us > whole_us {
            let since_us = self.seen_us.min(now_us) - limits::LIVE_OVERLAP_US;
            for (row, written_us) in log_store::written_since(db, tenant, since_us).await? {
                self.live.take(row.clone(), written_us);
                if let Some(day) = &mut self.day {
                    day.take(row, written_us);
                }
            }
        } else {
            let mut day = Day::new(time);
            // Callers who entered before midnight belong to the day before, with all their rows.
            let from_us = time.0 - limits::REPORT_AROUND_US;
            let rows = log_store::between(db, tenant, "", (from_us, i64::MAX)).await?;
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) > limits::REPORT_ROWS {
                tracing::warn!(tenant.id = %tenant, "the log of the day is too long for the wallboard's sums");
            }
            rows.into_iter().for_each(|row| day.take(row, now_us));
            self.live = State::default();
            for (row, written_us) in log_store::alive(db, tenant, (now_us - lost_us, whole_us)).await? {
                self.live.take(row, written_us);
            }
            self.day = Some(day);
        }
        self.seen_us = now_us;
        Ok(())
    }
}

impl Watch {
    /// Tenants in which something has happened since the last time.
    async fn moved(&mut self, db: &Db, now_us: i64) -> sqlx::Result<BTreeSet<TenantId>> {
        const WRITTEN: &str = "SELECT DISTINCT tenant_id FROM queue_log WHERE created_at >= ?";
        const EVER: &str = "SELECT DISTINCT tenant_id FROM queue_stats";
        let named = |names: Vec<String>| names.into_iter().filter_map(|name| TenantId::parse(&name).ok());
        let mut moved: BTreeSet<TenantId> = BTreeSet::new();
        // Our clock may have stepped back.
        let since_us = self.since_us.unwrap_or(now_us).min(now_us);
        if self.since_us.is_none() {
            // Much may have happened while nobody looked.
            moved.extend(named(db_read!(db, |p| sqlx::query_scalar(EVER).fetch_all(p).await)?));
        }
        let from_us = since_us - walls::WALL_OVERLAP_US;
        moved.extend(named(db_read!(db, |p| sqlx::query_scalar(WRITTEN).bind(from_us).fetch_all(p).await)?));
        let mut positions = Vec::new();
        for head in outbox::heads(db, from_us).await? {
            let is_new = match self.positions.get(&head.tenant) {
                Some(seen) if head.position <= *seen => false,
                Some(seen) => is_about_queues(db, &head.tenant, (*seen, head.position)).await?,
                None => true,
            };
            if is_new {
                moved.insert(head.tenant.clone());
            }
            positions.push((head.tenant, head.position));
        }
        // Only now: after an error above all of it is looked at again.
        self.positions.extend(positions);
        moved.extend(self.due.iter().filter(|(_, due)| **due <= now_us).map(|(tenant, _)| tenant.clone()));
        self.since_us = Some(now_us);
        Ok(moved)
    }
}

/// Whether events of a tenant behind one position and up to another are about what the numbers are made of.
async fn is_about_queues(db: &Db, tenant: &TenantId, (after, to): (i64, i64)) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM events WHERE tenant_id = ? AND position > ? AND position <= ? \
         AND kind <> 'queue.stats' AND (kind LIKE 'queue%' OR kind LIKE 'agent.%' OR kind LIKE 'endpoint.%')";
    let found: i64 = db_read!(db, |p| sqlx::query_scalar(SQL)
        .bind(tenant.as_str())
        .bind(after)
        .bind(to)
        .fetch_one(p)
        .await)?;
    Ok(found > 0)
}

async fn settings(db: &Db, tenant: &TenantId) -> sqlx::Result<Vec<Settings>> {
    const SQL: &str =
        "SELECT id, name, service_level_s, wrapup_s FROM queues WHERE tenant_id = ? ORDER BY name LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(walls::WALL_QUEUES).fetch_all(p).await)
}

async fn members(db: &Db, tenant: &TenantId) -> sqlx::Result<Vec<Member>> {
    const SQL: &str = "SELECT m.queue_id, e.name, e.registered, COALESCE(a.state, '') AS agent_state, m.paused, m.pause_reason, \
         a.seat_state AS state, a.seat_reason AS reason, m.seat_id FROM queue_members m \
         JOIN endpoints e ON e.id = COALESCE(NULLIF(m.seat_id, ''), m.endpoint_id) AND e.tenant_id = m.tenant_id \
         LEFT JOIN agent_states a ON a.tenant_id = m.tenant_id AND a.user_id = m.user_id WHERE m.tenant_id = ? LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).bind(walls::WALL_MEMBERS).fetch_all(p).await)
}

/// How many members do what.
#[derive(Default)]
struct Staff {
    available: i64,
    busy: i64,
    paused: i64,
    offline: i64,
}

fn numbers(
    (queues, members): (&[Settings], &[Member]),
    live: &State,
    so_far: &HashMap<String, Queue>,
    (now_us, day): (i64, (i64, i64)),
) -> Numbers {
    let (lines, talks, ends) = (live.lines(), live.talks(), live.all_ends());
    // Callers may be gone without a row of the log that says so.
    let due_us = if lines.is_empty() { day.1 } else { day.1.min(now_us + limits::LIVE_CHECK_US) };
    let mut made = Numbers { queues: BTreeMap::new(), due_us, as_of_us: now_us };
    for queue in queues {
        let mut staff = Staff::default();
        for member in members.iter().filter(|member| member.queue_id == queue.id) {
            let ended = ends.get(&(queue.name.clone(), member.name.clone()));
            let rests_until = ended.map(|at| at + queue.wrapup_s * 1_000_000).filter(|until| *until > now_us);
            let presence = member.seat.presence();
            let is_busy =
                talks.contains_key(&member.name) || member.agent_state == AgentStatus::Busy.as_str();
            match presence {
                Presence::LoggedOut => staff.offline += 1,
                _ if is_busy => staff.busy += 1,
                Presence::Paused(_) => staff.paused += 1,
                Presence::Ready if !member.registered => staff.offline += 1,
                Presence::Ready => match rests_until {
                    Some(until_us) => {
                        staff.busy += 1;
                        made.due_us = made.due_us.min(until_us);
                    }
                    None => staff.available += 1,
                },
            }
        }
        let stats = shown(queue, lines.get(&queue.name), so_far.get(&queue.name), (&staff, day.0));
        made.queues.insert(queue.id.clone(), stats);
    }
    made
}

fn shown(
    queue: &Settings,
    line: Option<&Line>,
    did: Option<&Queue>,
    (staff, day_us): (&Staff, i64),
) -> Record {
    let (none, nothing) = (Line::default(), Queue::default());
    let (line, did) = (line.unwrap_or(&none), did.unwrap_or(&nothing));
    let first = line.waiting.first().map(|visit| show_time(visit.entered_us()));
    let average = mean(did.answered_wait_us, did.answered).map(|us| us / 1_000);
    let values = [
        ("queue_id", json!(queue.id)),
        ("queue", json!(queue.name)),
        ("waiting", json!(line.waiting.len())),
        ("longest_wait_since", json!(first)),
        ("talking", json!(line.talking.len())),
        ("agents_available", json!(staff.available)),
        ("agents_busy", json!(staff.busy)),
        ("agents_paused", json!(staff.paused)),
        ("agents_offline", json!(staff.offline)),
        ("day", json!(show_time(day_us))),
        ("offered", json!(did.offered)),
        ("answered", json!(did.answered)),
        ("abandoned", json!(did.abandoned)),
        ("abandoned_short", json!(did.abandoned_short)),
        ("service_level", json!(did.level_of_offered())),
        ("service_level_s", json!(queue.service_level_s)),
        ("answer_average_ms", json!(average)),
    ];
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What was told of a tenant's queues, by id.
async fn known(db: &Db, tenant: &TenantId) -> sqlx::Result<HashMap<String, String>> {
    const SQL: &str = "SELECT queue_id, data FROM queue_stats WHERE tenant_id = ?";
    let rows: Vec<(String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(tenant.as_str()).fetch_all(p).await)?;
    Ok(rows.into_iter().collect())
}

/// What becomes of a queue's numbers.
enum Turn {
    /// They are to be told.
    Told,
    /// They were told, by this node or another.
    Known,
    /// Something was told less than a second ago, or is newer.
    TooSoon,
}

async fn turn(
    tx: &mut Tx,
    tenant: &TenantId,
    (queue, stats): (&str, &Record),
    as_of_us: i64,
) -> sqlx::Result<Turn> {
    const SQLITE: &str = "SELECT as_of, data FROM queue_stats WHERE tenant_id = ? AND queue_id = ?";
    const MYSQL: &str = "SELECT as_of, data FROM queue_stats WHERE tenant_id = ? AND queue_id = ? FOR UPDATE";
    const CHANGE: &str = "UPDATE queue_stats SET as_of = ?, data = ? WHERE tenant_id = ? AND queue_id = ?";
    const FIRST: &str = "INSERT INTO queue_stats (as_of, data, tenant_id, queue_id) VALUES (?, ?, ?, ?)";
    let read = tx.pick(SQLITE, MYSQL);
    let before: Option<(i64, String)> =
        db_tx!(&mut *tx, |c| sqlx::query_as(read).bind(tenant.as_str()).bind(queue).fetch_optional(c).await)?;
    let text = Value::Object(stats.clone()).to_string();
    let second_us = i64::try_from(walls::WALL_TIME.as_micros()).unwrap_or(i64::MAX);
    match &before {
        Some((_, data)) if *data == text => return Ok(Turn::Known),
        // A round may come some milliseconds early. What was told in the future was told before a clock stepped back.
        Some((at_us, _)) if *at_us <= as_of_us && *at_us + second_us - second_us / 10 > as_of_us => {
            return Ok(Turn::TooSoon);
        }
        _ => {}
    }
    let write = if before.is_some() { CHANGE } else { FIRST };
    db_tx!(tx, |c| sqlx::query(write)
        .bind(as_of_us)
        .bind(&text)
        .bind(tenant.as_str())
        .bind(queue)
        .execute(c)
        .await
        .map(drop))?;
    Ok(Turn::Told)
}

fn draft(queue: &str, stats: &Record, at_us: i64) -> Draft {
    let key = format!("queue:{queue}");
    Draft { kind: "queue.stats".into(), key, at_us, owners: None, data: stats.clone() }
}
