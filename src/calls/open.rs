//! Calls that have no end in the books.

use super::events::Tells;
use super::records::{Closed, Ends};
use super::store::Calls;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::routing::LIVE_CALLS;
use crate::db::{self, Db, db_read, db_tx};

/// Calls that have no end: id, tenant, number.
///
/// # Errors
/// When the database is away.
pub async fn open_calls(db: &Db) -> sqlx::Result<Vec<(Id, Option<TenantId>, String)>> {
    const SQL: &str = "SELECT id, tenant_id, did FROM calls WHERE ended_at IS NULL ORDER BY id LIMIT ?";
    let most = i64::try_from(LIVE_CALLS).unwrap_or(i64::MAX);
    let rows: Vec<(String, String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(most).fetch_all(p).await)?;
    Ok(rows
        .into_iter()
        .filter_map(|(id, tenant, did)| Some((Id::parse(&id).ok()?, TenantId::parse(&tenant).ok(), did)))
        .collect())
}

/// A call that has no end in the books.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct OpenCall {
    /// Its id.
    pub id: String,
    /// Whose; empty: nobody's.
    pub tenant_id: String,
    /// Asterisk's uniqueid of its channel.
    pub uniqueid: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// When it began, microseconds since 1970 UTC.
    pub started_at: i64,
}

/// Calls that began before `before_us` and that have no end. Of all tenants: channels are looked for, and nobody is shown them.
///
/// # Errors
/// When the database is away.
pub async fn open_before(db: &Db, before_us: i64) -> sqlx::Result<Vec<OpenCall>> {
    const SQL: &str = "SELECT id, tenant_id, uniqueid, linkedid, started_at FROM calls WHERE ended_at IS NULL AND started_at < ? \
         ORDER BY id LIMIT ?";
    let most = i64::try_from(LIVE_CALLS).unwrap_or(i64::MAX);
    db_read!(db, |p| sqlx::query_as(SQL).bind(before_us).bind(most).fetch_all(p).await)
}

/// Whether no other process has written calls since then; microseconds since 1970 UTC. Another may watch Asterisks of which this
/// one hears nothing.
///
/// # Errors
/// When the database is away.
pub async fn is_alone(db: &Db, node: &Id, since_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM journal_positions WHERE node_id <> ? AND updated_at >= ?";
    let others: i64 =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(node.as_str()).bind(since_us).fetch_one(p).await)?;
    Ok(others == 0)
}

/// Where a channel was made, as its uniqueid says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// On this Asterisk.
    Here,
    /// On another one, perhaps on one that we do not watch.
    Elsewhere,
    /// By a request of ours, to an Asterisk that some process of ours watches.
    Anywhere,
}

/// Where a channel was made. Asterisk calls its own `<name>-<seconds>.<number>`; without a name (`systemname`) it can't be told
/// from another. Ours are called `hs-<asterisk>-<id>` where a call begins, else `hs-out-<id>`, or `hs-<word>-<call>-<whom>` where a
/// command calls somebody, with `;1` and `;2` for the halves of a pair. `asterisk`: as the settings call it; `name`: as it calls itself.
pub fn made(uniqueid: &str, asterisk: &str, name: &str) -> Made {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let counts = |text: &str| text.split_once('.').is_some_and(|(time, n)| digits(time) && digits(n));
    if !name.is_empty()
        && uniqueid.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')).is_some_and(counts)
    {
        return Made::Here;
    }
    let Some(ours) = uniqueid.strip_prefix("hs-") else { return Made::Elsewhere };
    let ours = ours.strip_suffix(";1").or_else(|| ours.strip_suffix(";2")).unwrap_or(ours);
    // Whom a command calls may be called anything; a call's id is none of an Asterisk's names.
    let mut words = ours.splitn(3, '-').skip(1);
    if let (Some(call), Some(_)) = (words.next(), words.next())
        && Id::parse(call).is_ok()
    {
        return Made::Anywhere;
    }
    match ours.rsplit_once('-') {
        None if Id::parse(ours).is_ok() => Made::Anywhere,
        Some(("out", id)) if Id::parse(id).is_ok() => Made::Anywhere,
        Some((of, id)) if of == asterisk && Id::parse(id).is_ok() => Made::Here,
        _ => Made::Elsewhere,
    }
}

/// When somebody talked to a call's caller first, as it was told, and on which channel; `None`: nobody did.
///
/// # Errors
/// When the database is away.
pub async fn answered(db: &Db, tenant: &TenantId, call: &Id) -> sqlx::Result<Option<(i64, String)>> {
    const SQL: &str = "SELECT at, data FROM events WHERE tenant_id = ? AND event_key = ? AND kind = 'call.answered' \
         ORDER BY sequence LIMIT 1";
    let found: Option<(i64, String)> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(format!("call:{call}"))
        .fetch_optional(p)
        .await)?;
    let channel = |data: &str| {
        let data: serde_json::Value = serde_json::from_str(data).ok()?;
        Some(data["channel"].as_str()?.to_owned())
    };
    Ok(found.map(|(at_us, data)| (at_us, channel(&data).unwrap_or_default())))
}

/// Which of `ids` have an end.
///
/// # Errors
/// When the database is away.
pub async fn ended_among(db: &Db, ids: &[Id]) -> sqlx::Result<Vec<Id>> {
    let mut ended = Vec::new();
    for piece in db::pieces(ids.len()).map(|piece| &ids[piece]) {
        let places = db::places(piece.len());
        let sql = format!("SELECT id FROM calls WHERE id IN ({places}) AND ended_at IS NOT NULL");
        let found: Vec<String> = db_read!(db, |p| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            for id in piece {
                query = query.bind(id.as_str());
            }
            query.fetch_all(p).await
        })?;
        ended.extend(found.iter().filter_map(|id| Id::parse(id).ok()));
    }
    Ok(ended)
}

/// Closes calls that began before `before_us` and have no end, at most `most`. Returns their ids.
///
/// # Errors
/// When the database is away.
pub async fn close_lost(calls: &Calls, before_us: i64, now_us: i64, most: u32) -> sqlx::Result<Vec<Id>> {
    const FIND: &str = "SELECT id FROM calls WHERE ended_at IS NULL AND started_at < ? ORDER BY id LIMIT ?";
    const CLOSE: &str = "UPDATE calls SET ended_at = ?, ended_by = 'lost' WHERE id = ? AND ended_at IS NULL";
    let ids: Vec<String> = db_read!(&calls.db, |p| sqlx::query_scalar(FIND)
        .bind(before_us)
        .bind(i64::from(most))
        .fetch_all(p)
        .await)?;
    let mut closed = Vec::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(closed);
    }
    let mut tx = calls.db.begin().await?;
    let mut ends = Ends::default();
    for id in ids {
        let done = db_tx!(&mut tx, |c| sqlx::query(CLOSE)
            .bind(now_us)
            .bind(&id)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
        ends.add(&id, if done > 0 { Closed::Now } else { Closed::Before });
        closed.extend(Id::parse(&id).ok());
    }
    let mut tells = Tells::default();
    tells.ended(&mut tx, ends.ids()).await?;
    ends.insert(&mut tx, now_us).await?;
    let told = tells.write(&mut tx, &calls.ids, now_us).await?;
    tx.commit().await?;
    told.iter().for_each(|(tenant, position)| calls.news.tell(tenant, *position));
    Ok(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_goes_on_is_another_asterisks() {
        const ID: &str = "01arz3ndektsv4rrffq69g5fav";
        let of = |uniqueid: &str| made(&uniqueid.replace("ID", ID), "pbx", "sip");
        for here in ["sip-1795.7", "hs-pbx-ID", "hs-pbx-ID;2"] {
            assert_eq!(of(here), Made::Here, "{here}");
        }
        for anywhere in [
            "hs-ID",
            "hs-ID;1",
            "hs-ID;2",
            "hs-out-ID",
            "hs-asked-ID-102;2",
            "hs-talk-ID-a-b",
            "hs-monitor-ID-p4955",
        ] {
            assert_eq!(of(anywhere), Made::Anywhere, "{anywhere}");
        }
        for elsewhere in [
            "sip-2-1795.7",
            "sip-1795",
            "sip-1795.",
            "1795.7",
            "hs-pbx-2-ID",
            "hs-pbx-2-ID-x",
            "hs-pbx-",
            "hs-",
            "",
        ] {
            assert_eq!(of(elsewhere), Made::Elsewhere, "{elsewhere}");
        }
        assert_eq!(made("-1795.7", "pbx", ""), Made::Elsewhere);
    }
}
