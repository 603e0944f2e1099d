//! What Asterisk writes into the database itself (`res_odbc`): triggers note it in `ara_inbox` within Asterisk's own
//! statement, and it is taken from there in its order. A note goes in the transaction in which its change and events come,
//! so each counts once, whoever dies; of several nodes the one counts that removes it.

use serde_json::json;

use super::Parts;
use super::queue_log::Skew;
use crate::base::ids::{Id, TenantId, split_global_name};
use crate::base::shutdown::Stopping;
use crate::config::limits::db::INSERT_ROWS;
use crate::config::limits::realtime as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};
use crate::endpoints::registrations::{self, Seen, With};
use crate::queues::asterisk::{self as queues, Paused};
use crate::queues::{log, log_store};

/// A note, oldest first by `id`. What its columns say depends on its kind; see the migration that makes the table.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
struct Note {
    id: i64,
    kind: String,
    time: String,
    callid: String,
    queuename: String,
    agent: String,
    event: String,
    data1: String,
    data2: String,
    data3: String,
    data4: String,
    data5: String,
}

/// What was done with a note.
#[derive(Debug)]
enum Taken {
    /// There was something to do; the tenant's events go so far, if there is a new one.
    Done(TenantId, Option<i64>),
    /// It is nobody's, or says nothing new.
    Nothing,
    /// Another node did it.
    Elsewhere,
}

/// Notes behind one, [`limits::INBOX_NOTES`] at most.
async fn behind(db: &Db, after: i64) -> sqlx::Result<Vec<Note>> {
    const SQL: &str = "SELECT id, kind, time, callid, queuename, agent, event, data1, data2, data3, data4, data5 \
         FROM ara_inbox WHERE id > ? ORDER BY id LIMIT ?";
    db_read!(db, |p| sqlx::query_as(SQL).bind(after).bind(limits::INBOX_NOTES).fetch_all(p).await)
}

/// Whether it was this transaction that removed a note.
async fn remove(tx: &mut Tx, id: i64) -> sqlx::Result<bool> {
    const SQL: &str = "DELETE FROM ara_inbox WHERE id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(id).execute(c).await.map(|done| done.rows_affected() == 1))
}

/// Removes notes that say nothing, many with one statement: Asterisk writes one for every member of a queue that it loads.
async fn forget(db: &Db, idle: &[&Note]) -> sqlx::Result<()> {
    for notes in idle.chunks(INSERT_ROWS) {
        let sql = format!("DELETE FROM ara_inbox WHERE id IN (?{})", ", ?".repeat(notes.len() - 1));
        db_write!(db, |p| {
            let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
            for note in notes {
                query = query.bind(note.id);
            }
            query.execute(p).await.map(drop)
        })?;
    }
    Ok(())
}

/// Takes what comes, until `stopping`.
pub(super) async fn run(parts: &Parts, skew: &Skew, mut stopping: Stopping) {
    let mut stuck = Stuck::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(limits::INBOX_TIME) => {}
            () = stopping.stopped() => return,
        }
        drain(parts, skew, &mut stuck).await;
    }
}

/// A note that can't be taken although the database answers, and since when.
#[derive(Debug, Default)]
pub(super) struct Stuck(Option<(i64, i64)>);

impl Stuck {
    /// Takes note that a note failed; whether it is the first time.
    fn begins(&mut self, id: i64, now_us: i64) -> bool {
        let is_new = self.0.is_none_or(|(same, _)| same != id);
        if is_new {
            self.0 = Some((id, now_us));
        }
        is_new
    }

    /// Whether a note has failed for so long that those behind it should wait no more.
    fn is_hopeless(&self, id: i64, now_us: i64) -> bool {
        let patience_us = i64::try_from(limits::INBOX_PATIENCE.as_micros()).unwrap_or(i64::MAX);
        self.0.is_some_and(|(same, since_us)| same == id && now_us - since_us > patience_us)
    }
}

/// Takes all that is there, in its order.
pub(super) async fn drain(parts: &Parts, skew: &Skew, stuck: &mut Stuck) {
    let mut after = 0;
    loop {
        let notes = match behind(&parts.db, after).await {
            Ok(notes) => notes,
            Err(error) => return tracing::debug!(%error, "what Asterisk wrote can't be read"),
        };
        let (idle, news): (Vec<&Note>, Vec<&Note>) = notes.iter().partition(|note| note.is_idle());
        if let Err(error) = forget(&parts.db, &idle).await {
            return tracing::debug!(%error, "what Asterisk wrote waits for the database");
        }
        for (n, note) in news.iter().enumerate() {
            let is_last = !news[n + 1..].iter().any(|other| note.is_followed_by(other));
            // In order: behind one that can't be taken the others wait.
            if !take(parts, (note, is_last), skew, stuck).await {
                return;
            }
        }
        match notes.last() {
            Some(last) if i64::try_from(notes.len()) == Ok(limits::INBOX_NOTES) => after = last.id,
            _ => return,
        }
    }
}

impl Note {
    /// Whether it says what is known here anyway.
    fn is_idle(&self) -> bool {
        self.kind == "log" && log::is_own(&self.callid)
    }

    /// Whether another note of the same registrations is newer.
    fn is_followed_by(&self, other: &Self) -> bool {
        self.kind == other.kind && self.agent == other.agent
    }

    /// The row of `queue_log` that it is.
    fn columns(&self) -> Vec<(String, String)> {
        [
            ("time", &self.time),
            ("callid", &self.callid),
            ("queuename", &self.queuename),
            ("agent", &self.agent),
            ("event", &self.event),
            ("data1", &self.data1),
            ("data2", &self.data2),
            ("data3", &self.data3),
            ("data4", &self.data4),
            ("data5", &self.data5),
        ]
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .into()
    }
}

/// A value without ODBC's coding of what stands between values there; `^00` is one that is set and empty.
fn decode(value: &str) -> String {
    value.replace("^00", "").replace("^3B", ";").replace("^5E", "^")
}

/// Whether a note needs no second look.
async fn take(parts: &Parts, (note, is_last): (&Note, bool), skew: &Skew, stuck: &mut Stuck) -> bool {
    let taken = match take_one(parts, (note, is_last), skew).await {
        Ok(taken) => taken,
        Err(error) => return is_given_up(parts, note, stuck, &error).await,
    };
    if let Taken::Done(tenant, position) = taken {
        if let Some(position) = position {
            parts.events.news.tell(&tenant, position);
        }
        if note.kind == "member"
            && let Err(error) = parts.router.memory.reload(&tenant).await
        {
            // It is taken; memory is as new with its next refresh.
            tracing::debug!(%error, "a member's pause is not in memory yet");
        }
    }
    true
}

/// Removes a note that will never be taken.
async fn is_given_up(parts: &Parts, note: &Note, stuck: &mut Stuck, error: &sqlx::Error) -> bool {
    let now_us = parts.clock.now_us();
    if db::is_unavailable(error) {
        tracing::debug!(%error, "what Asterisk wrote waits for the database");
        return false;
    }
    if !db::is_data_error(error) && !stuck.is_hopeless(note.id, now_us) {
        if stuck.begins(note.id, now_us) {
            tracing::warn!(%error, note.kind, "what Asterisk wrote can't be taken; it is tried again");
        }
        return false;
    }
    let removed = async {
        let mut tx = parts.db.begin().await?;
        remove(&mut tx, note.id).await?;
        tx.commit().await
    };
    match removed.await {
        Ok(()) => {
            tracing::error!(%error, ?note, "what Asterisk wrote is lost: it can't be taken");
            true
        }
        Err(error) => {
            tracing::debug!(%error, "what Asterisk wrote waits for the database");
            false
        }
    }
}

async fn take_one(parts: &Parts, (note, is_last): (&Note, bool), skew: &Skew) -> sqlx::Result<Taken> {
    let mut tx = parts.db.begin().await?;
    if !remove(&mut tx, note.id).await? {
        return Ok(Taken::Elsewhere);
    }
    let taken = match note.kind.as_str() {
        "contact" => contact(parts, &mut tx, note, is_last).await?,
        "member" => member(parts, &mut tx, note).await?,
        _ => log_row(parts, &mut tx, note, skew).await?,
    };
    tx.commit().await?;
    Ok(taken)
}

async fn contact(parts: &Parts, tx: &mut Tx, note: &Note, is_last: bool) -> sqlx::Result<Taken> {
    let Ok((tenant, name)) = split_global_name(&note.agent) else { return Ok(Taken::Nothing) };
    let some = |value: &str| Some(decode(value)).filter(|value| !value.is_empty());
    let seen = Seen {
        until_s: note.data1.parse().ok(),
        from: json!({"user_agent": some(&note.data2), "address": some(&note.data3)}),
        is_last,
    };
    let with = With { ids: &parts.router.ids, events: &parts.events, now_us: parts.clock.now_us() };
    let position = registrations::seen(tx, with, (&tenant, &name), seen).await?;
    Ok(Taken::Done(tenant, position))
}

async fn member(parts: &Parts, tx: &mut Tx, note: &Note) -> sqlx::Result<Taken> {
    let Ok(id) = Id::parse(&note.callid) else { return Ok(Taken::Nothing) };
    let Some(tenant) = queues::owner(&parts.db, &id).await? else { return Ok(Taken::Nothing) };
    let told = Paused {
        paused: Some(note.data1 == "1").filter(|_| !note.data1.is_empty()),
        reason: Some(decode(&note.data2).chars().take(limits::PAUSE_REASON_CHARACTERS).collect())
            .filter(|_| !note.data2.is_empty()),
        penalty: note.data3.parse().ok(),
    };
    let with = (&parts.router.ids, &*parts.events);
    let written = queues::write(tx, with, (&tenant, parts.clock.now_us()), &id, told).await?;
    Ok(written.map_or(Taken::Nothing, |position| Taken::Done(tenant, position)))
}

async fn log_row(parts: &Parts, tx: &mut Tx, note: &Note, skew: &Skew) -> sqlx::Result<Taken> {
    let (tenant, row) = match log::read(&note.columns()) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(Taken::Nothing),
        Err(error) => {
            tracing::warn!(%error, "Asterisk wrote a row of queue_log that can't be read");
            return Ok(Taken::Nothing);
        }
    };
    skew.look(parts.clock.now_us(), row.at_us);
    let with = (&parts.router.ids, &*parts.events);
    Ok(match log_store::add(tx, with, (&tenant, parts.clock.now_us()), &row).await? {
        log_store::Written::New(position) => Taken::Done(tenant, position),
        log_store::Written::Again | log_store::Written::Nobodys => Taken::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        for text in ["", "a;b", "^;", "^3B", "^5E3B;^", "plain"] {
            let coded = text.replace('^', "^5E").replace(';', "^3B");
            assert!(!coded.contains(';'), "{coded}");
            assert_eq!(decode(&coded), text);
        }
    }

    #[test]
    fn a_note_is_given_up_after_a_while_and_only_then() {
        let mut stuck = Stuck::default();
        let patience = i64::try_from(limits::INBOX_PATIENCE.as_micros()).unwrap();
        assert!(!stuck.is_hopeless(7, patience + 1) && stuck.begins(7, 0));
        assert!(!stuck.begins(7, 1), "told once");
        assert!(!stuck.is_hopeless(7, patience) && stuck.is_hopeless(7, patience + 1));
        assert!(!stuck.is_hopeless(8, patience + 1), "another one");
        assert!(stuck.begins(8, patience) && stuck.begins(7, patience));
        assert!(!stuck.is_hopeless(7, patience + 1), "anew");
    }
}
