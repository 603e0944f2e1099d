//! Answers to what Asterisk reads: from memory where that is as new as the tenant's data, else from the database; what is in
//! memory also serves while the database is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use moka::sync::Cache;
use tokio::sync::Mutex;

use super::Parts;
use super::form::{Condition, Op, Row, beginning, line};
use crate::base::ids::{Name, TenantId, split_global_name};
use crate::config::limits::realtime as limits;
use crate::endpoints::{self, Kind};
use crate::queues::asterisk as queues;
use crate::routing::memory::Found;
use crate::voicemail;

/// The tables that are read by one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    /// Of an endpoint.
    Phone(Kind),
    Queue,
    /// By the queue's name.
    Members,
    /// By `name@tenant`.
    Mailbox,
}

/// The database did not answer in time, and memory has nothing.
#[derive(Debug)]
pub(super) struct Away;

/// Whether the database failed to answer a moment ago.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicI64);

impl Gauge {
    /// Asks the database, within [`limits::READ_TIME`]; not at all when it just failed and `or_else` is there. `None`: it
    /// gave no answer.
    pub(super) async fn ask<T>(
        &self,
        parts: &Parts,
        has_else: bool,
        ask: impl Future<Output = sqlx::Result<T>>,
    ) -> Option<T> {
        let now_us = parts.clock.now_us();
        if has_else && now_us < self.0.load(Ordering::Relaxed) {
            return None;
        }
        match tokio::time::timeout(limits::READ_TIME, Box::pin(ask)).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(error)) => tracing::warn!(%error, "what Asterisk asks can't be read"),
            Err(_) => tracing::warn!("what Asterisk asks can't be read in time"),
        }
        let away = i64::try_from(limits::AWAY_TIME.as_micros()).unwrap_or(i64::MAX);
        self.0.store(parts.clock.now_us().saturating_add(away), Ordering::Relaxed);
        None
    }
}

/// Answers that were given.
pub(super) struct Answers {
    kept: Cache<(Table, Arc<str>), Kept>,
    /// Tenants that there are not: whoever scans for phones asks for many, and must not keep the database busy.
    nobody: Cache<TenantId, ()>,
    /// Addresses of trunks, and when they were read, microseconds since 1970 UTC.
    trunks: Mutex<Option<(i64, Arc<[Row]>)>>,
    gauge: Gauge,
}

/// An answer and the version of the tenant's data that it was read after.
#[derive(Clone)]
struct Kept {
    version: i64,
    rows: Arc<[Row]>,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self {
            kept: Cache::builder().max_capacity(limits::ROWS).build(),
            nobody: Cache::builder()
                .max_capacity(limits::UNKNOWN_TENANTS)
                .time_to_live(limits::UNKNOWN_TIME)
                .build(),
            trunks: Mutex::default(),
            gauge: Gauge::default(),
        }
    }

    /// The addresses of all trunks, read again once a second at most; one reads, the others wait for it.
    pub(super) async fn trunks(&self, parts: &Parts) -> Result<Arc<[Row]>, Away> {
        let mut kept = self.trunks.lock().await;
        let now_us = parts.clock.now_us();
        let young = i64::try_from(limits::TRUNKS_TIME.as_micros()).unwrap_or(i64::MAX);
        if let Some((_, rows)) = kept.as_ref().filter(|(at, _)| (0..young).contains(&(now_us - at))) {
            return Ok(Arc::clone(rows));
        }
        let asked = self.gauge.ask(parts, kept.is_some(), endpoints::trunk_addresses(&parts.db)).await;
        match asked {
            Some(rows) => *kept = Some((now_us, rows.into())),
            None if kept.is_none() => return Err(Away),
            None => {}
        }
        Ok(kept.as_ref().map_or_else(|| Arc::from([]), |(_, rows)| Arc::clone(rows)))
    }

    /// The rows of a name; none: there is no such thing.
    pub(super) async fn of(
        &self,
        parts: &Parts,
        table: Table,
        (tenant, name): (&TenantId, &Name),
    ) -> Result<Arc<[Row]>, Away> {
        let key = (table, Arc::from(format!("{tenant}-{name}")));
        let version = match parts.router.memory.look(tenant) {
            Some(rules) => Some(rules.version),
            None if self.nobody.contains_key(tenant) => return Ok(Arc::new([])),
            None => match parts.router.memory.by_tenant(tenant).await {
                Found::Rules(rules) => Some(rules.version),
                Found::Nobody => {
                    self.nobody.insert(tenant.clone(), ());
                    return Ok(Arc::new([]));
                }
                Found::Unavailable => None,
            },
        };
        let kept = self.kept.get(&key);
        if let Some(kept) = &kept
            && version.is_none_or(|version| version == kept.version)
        {
            return Ok(Arc::clone(&kept.rows));
        }
        match self.gauge.ask(parts, kept.is_some(), read(parts, table, tenant, name)).await {
            Some(rows) => {
                let rows: Arc<[Row]> = rows.into();
                if let Some(version) = version {
                    self.kept.insert(key, Kept { version, rows: Arc::clone(&rows) });
                }
                Ok(rows)
            }
            // What it was before is better than nothing: the phone rings.
            None => kept.map(|kept| kept.rows).ok_or(Away),
        }
    }
}

async fn read(parts: &Parts, table: Table, tenant: &TenantId, name: &Name) -> sqlx::Result<Vec<Row>> {
    let db = &parts.db;
    Ok(match table {
        Table::Phone(kind) => endpoints::row(db, tenant, kind, name).await?.into_iter().collect(),
        Table::Queue => queues::row(db, tenant, name).await?.into_iter().collect(),
        Table::Members => queues::members(db, tenant, name).await?,
        Table::Mailbox => voicemail::store::row(db, tenant, name).await?.into_iter().collect(),
    })
}

/// The only value that a column may have, if the conditions say so.
pub(super) fn value<'c>(conditions: &'c [Condition], column: &str) -> Option<&'c str> {
    conditions.iter().find(|c| c.column == column && c.op == Op::Is).map(|c| c.value.as_str())
}

/// Rows that meet all conditions, as lines; `one`: the first of them.
pub(super) fn lines(rows: &[Row], conditions: &[Condition], one: bool) -> String {
    let fitting = rows.iter().filter(|row| conditions.iter().all(|condition| condition.is_met(row)));
    fitting.take(if one { 1 } else { usize::MAX }).map(line).collect()
}

/// The tenant and name of an id in Asterisk; `None`: nobody has such a one.
pub(super) fn owner(id: &str) -> Option<(TenantId, Name)> {
    split_global_name(id).ok()
}

/// The endpoint whose registrations a condition asks for: `id LIKE=acme-101;@%`.
pub(super) fn registrar(conditions: &[Condition]) -> Option<(TenantId, Name)> {
    let asked = conditions.iter().find_map(|condition| match (condition.column.as_str(), condition.op) {
        ("id", Op::Is) => Some(condition.value.clone()),
        // An underscore in a name is one, whether Asterisk escaped it or not.
        ("id", Op::Like) => Some(beginning(&condition.value.replace("\\_", "_").replace('_', "\\_"))),
        ("endpoint", Op::Is) => Some(format!("{};", condition.value)),
        _ => None,
    })?;
    owner(asked.split_once(';')?.0)
}

#[cfg(test)]
mod tests {
    use super::super::form::conditions;
    use super::*;

    #[test]
    fn registrations_are_asked_for_by_the_beginning_of_their_ids() {
        let asked = |text: &str| {
            registrar(&conditions(text.as_bytes()).unwrap()).map(|(tenant, name)| format!("{tenant} {name}"))
        };
        for text in [
            "id%20LIKE=a_b-c_d%3B%40%25",
            "id%20LIKE=a%5C_b-c%5C_d%3B%40%25",
            "id=a_b-c_d%3B%40ff",
            "endpoint=a_b-c_d",
        ] {
            assert_eq!(asked(text).as_deref(), Some("a_b c_d"), "{text}");
        }
        for text in
            ["id%20LIKE=%25", "id%20LIKE=phone1%3B%40%25", "id=acme-101", "expiration_time%20%3C%3D=1"]
        {
            assert_eq!(asked(text), None, "{text}");
        }
    }
}
