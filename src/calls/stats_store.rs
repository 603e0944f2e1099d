//! SQL of the statistics: the database adds up, and only its lines come into memory.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::stats::{Group, Sums};
use crate::base::ids::TenantId;
use crate::base::report::{Interval, between_clock_changes};
use crate::config::limits::calls as limits;
use crate::db::{Db, db_read};

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    /// Calls that began from then on, microseconds since 1970 UTC.
    pub(super) from_us: i64,
    /// Calls that began before then.
    pub(super) to_us: i64,
    pub(super) interval: Interval,
    /// Where days and hours begin.
    pub(super) zone: Tz,
    pub(super) group: Option<Group>,
    /// Only records with these values.
    pub(super) only: Vec<(Group, &'a str)>,
}

/// Begin and end of the interval, and what it is parted by.
pub(super) type Slot = (i64, i64, String);

#[derive(sqlx::FromRow)]
struct Line {
    bucket: i64,
    part: String,
    calls: i64,
    answered: i64,
    unattended: i64,
    no_answer: i64,
    busy: i64,
    failed: i64,
    transferred: i64,
    duration_s: i64,
    billed_s: i64,
    talk_s: i64,
}

/// The part of a statement behind its first two columns; sums are cast, because MariaDB's are decimals.
const SUMS: &str = "COUNT(*) AS calls, \
     CAST(SUM(CASE WHEN disposition = 'ANSWERED' AND dst_channel <> '' THEN 1 ELSE 0 END) AS SIGNED) AS answered, \
     CAST(SUM(CASE WHEN disposition = 'ANSWERED' AND dst_channel = '' THEN 1 ELSE 0 END) AS SIGNED) AS unattended, \
     CAST(SUM(CASE WHEN disposition = 'NO ANSWER' THEN 1 ELSE 0 END) AS SIGNED) AS no_answer, \
     CAST(SUM(CASE WHEN disposition = 'BUSY' THEN 1 ELSE 0 END) AS SIGNED) AS busy, \
     CAST(SUM(CASE WHEN disposition IN ('FAILED', 'CONGESTION') THEN 1 ELSE 0 END) AS SIGNED) AS failed, \
     CAST(SUM(CASE WHEN disposition = 'ANSWERED' AND dst_channel <> '' AND transferred THEN 1 ELSE 0 END) AS SIGNED) \
     AS transferred, CAST(SUM(duration_s) AS SIGNED) AS duration_s, CAST(SUM(billed_s) AS SIGNED) AS billed_s, \
     CAST(SUM(CASE WHEN disposition = 'ANSWERED' AND dst_channel <> '' THEN COALESCE(talk_s, billed_s) ELSE 0 END) \
     AS SIGNED) AS talk_s FROM cdrs WHERE tenant_id = ? AND started_at >= ? AND started_at < ?";

/// The lines, by time and part; one more than may be: there are too many.
///
/// # Errors
/// When the database is away.
pub(super) async fn lines(db: &Db, tenant: &TenantId, ask: &Ask<'_>) -> sqlx::Result<BTreeMap<Slot, Sums>> {
    let mut lines = BTreeMap::new();
    for piece in between_clock_changes(ask.from_us, ask.to_us, ask.zone) {
        for line in add_up(db, tenant, ask, piece).await? {
            // What clocks showed at the begin of the interval may have been before they were set.
            let (from_us, to_us) = ask.interval.around(line.bucket.max(piece.0), ask.zone);
            let sums: &mut Sums = lines.entry((from_us, to_us, line.part.clone())).or_default();
            sums.join(&line.sums());
        }
        if lines.len() > limits::STATS_LINES {
            break;
        }
    }
    Ok(lines)
}

/// As long as clocks are as far ahead of UTC, an interval is a remainder.
async fn add_up(
    db: &Db,
    tenant: &TenantId,
    ask: &Ask<'_>,
    (from_us, to_us, ahead_us): (i64, i64, i64),
) -> sqlx::Result<Vec<Line>> {
    let part = ask.group.map_or("''".to_owned(), |group| format!("COALESCE({}, '')", group.column()));
    let only: String = ask.only.iter().map(|(group, _)| format!(" AND {} = ?", group.column())).collect();
    let sql = format!(
        "SELECT started_at - (started_at + ?) % ? AS bucket, {part} AS part, {SUMS}{only} GROUP BY 1, 2 LIMIT ?"
    );
    let most = i64::try_from(limits::STATS_LINES).unwrap_or(i64::MAX).saturating_add(1);
    db_read!(db, |p| {
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(ahead_us)
            .bind(i64::from(ask.interval.minutes()) * 60_000_000)
            .bind(tenant.as_str())
            .bind(from_us)
            .bind(to_us);
        for (_, value) in &ask.only {
            query = query.bind(*value);
        }
        query.bind(most).fetch_all(p).await
    })
}

impl Line {
    fn sums(&self) -> Sums {
        Sums {
            calls: self.calls,
            answered: self.answered,
            unattended: self.unattended,
            no_answer: self.no_answer,
            busy: self.busy,
            failed: self.failed,
            transferred: self.transferred,
            duration_s: self.duration_s,
            billed_s: self.billed_s,
            talk_s: self.talk_s,
        }
    }
}
