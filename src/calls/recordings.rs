//! Recordings: a row when it is decided that a call is recorded, its sound in the store once the call is over.
//!
//! A recording has its call's id: there is one of a call, however often it is told. What is still to be done stands in the
//! row, so a process that dies leaves it to the next one. Asterisk's file is removed only when the row says that the sound
//! is in the store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio::sync::watch;

use super::api::RECORDINGS;
use crate::api::store::{self, Scope};
use crate::api::{Doing, crud};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::sound as limits;
use crate::db::{self, Db, Tx, db_read, db_tx, db_write};
use crate::events::Events;
use crate::storage::wav::{self, Wav};
use crate::storage::{self, Storage, StorageError, Stored};
use crate::tenants;

use super::fit;

/// What the tables of calls need to know of sounds.
#[derive(Clone, Debug, Default)]
pub struct Sounds {
    /// Whether Asterisk's recordings are taken over: only then has a call one.
    pub kept: bool,
    /// Told when calls have ended.
    pub ended: watch::Sender<()>,
}

/// Makes the recordings of calls that are recorded; one that is there stays as it is.
pub(super) async fn begin(tx: &mut Tx, node: &str, calls: &[String], now_us: i64) -> sqlx::Result<()> {
    for piece in db::pieces(calls.len()).map(|piece| &calls[piece]) {
        // Only what is missing is inserted: on MariaDB a condition in the statement would lock the gap where others insert.
        let known = known(tx, piece).await?;
        let missing: BTreeSet<&String> = piece.iter().filter(|id| !known.contains(id)).collect();
        let missing: Vec<&String> = missing.into_iter().collect();
        match insert(tx, node, &missing, now_us).await {
            // A call that came to another process too, which was faster with one of them.
            Err(error) if db::is_unique_violation(&error) => {
                for id in missing {
                    match insert(tx, node, &[id], now_us).await {
                        Err(error) if db::is_unique_violation(&error) => {}
                        done => done?,
                    }
                }
            }
            done => done?,
        }
    }
    Ok(())
}

async fn known(tx: &mut Tx, calls: &[String]) -> sqlx::Result<Vec<String>> {
    let sql = format!("SELECT id FROM call_recordings WHERE id IN ({})", db::places(calls.len()));
    db_tx!(tx, |c| {
        let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
        for id in calls {
            query = query.bind(id);
        }
        query.fetch_all(c).await
    })
}

async fn insert(tx: &mut Tx, node: &str, calls: &[&String], now_us: i64) -> sqlx::Result<()> {
    const INSERT: &str = "INSERT INTO call_recordings (id, tenant_id, call_id, linkedid, queue, status, format, started_at, \
         metadata, node_id, copy_at, created_at, updated_at) \
         SELECT c.id, c.tenant_id, c.id, c.linkedid, \
         CASE WHEN c.action = 'queue' THEN SUBSTR(c.target, LENGTH(c.tenant_id) + 2, 19) ELSE '' END, \
         'recording', 'wav', c.started_at, '{}', ?, ?, ?, ? FROM calls c JOIN tenants t ON t.id = c.tenant_id \
         WHERE c.id IN (?)";
    if calls.is_empty() {
        return Ok(());
    }
    let sql = INSERT.replace("(?)", &format!("({})", db::places(calls.len())));
    db_tx!(tx, |c| {
        let mut query =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(node).bind(now_us).bind(now_us).bind(now_us);
        for id in calls {
            query = query.bind(id.as_str());
        }
        query.execute(c).await.map(drop)
    })
}

/// A recording's sound.
pub fn stored<'a>(db: &'a Db, tenant: &'a TenantId, id: &'a Id) -> Doing<'a, sqlx::Result<Option<Stored>>> {
    const SQL: &str = "SELECT storage_key, format, sha256 FROM call_recordings \
         WHERE tenant_id = ? AND id = ? AND status = 'completed' AND deleted_at = 0";
    Box::pin(async move {
        let found: Option<(String, String, String)> = db_read!(db, |p| sqlx::query_as(SQL)
            .bind(tenant.as_str())
            .bind(id.as_str())
            .fetch_optional(p)
            .await)?;
        // One that is not completed is there, and has no sound.
        Ok(Some(found.map_or_else(
            || Stored { key: String::new(), format: String::new(), sha256: String::new() },
            |(key, format, sha256)| Stored { key, format, sha256 },
        )))
    })
}

/// Takes recordings over.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Ids of events.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Where sounds go.
    pub storage: Storage,
    /// Asterisk's spool.
    pub spool: PathBuf,
    /// Whose recordings: the node that decided the calls has their files.
    pub node: Id,
}

/// A recording of a call that is over.
#[derive(Clone, Debug, sqlx::FromRow)]
struct Due {
    id: String,
    tenant_id: String,
    copy_tries: i64,
    ended_at: i64,
    answered_at: Option<i64>,
}

/// What becomes of a recording that is looked at.
#[derive(Debug)]
enum Became {
    /// It is looked at again after so many seconds; another try is counted, with its reason.
    Later(i64, Option<String>),
    /// It is in the store.
    Kept(storage::Kept, Wav),
    /// There will be none.
    Failed(String),
}

impl Recorder {
    /// Works until `stopping`, as soon as a call has ended.
    pub async fn run(self, mut ended: watch::Receiver<()>, mut stopping: Stopping) {
        self.tidy().await;
        loop {
            let rest = match self.round().await {
                Ok(true) => limits::LOOK_REST,
                Ok(false) => limits::LOOK_TIME,
                Err(error) => {
                    tracing::warn!(%error, "recordings can't be taken over now");
                    limits::LOOK_REST
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // Whoever told is gone only when the service ends.
                Ok(()) = ended.changed() => tokio::time::sleep(limits::SETTLE_TIME).await,
                () = stopping.stopped() => return,
            }
        }
    }

    /// One look at everything that is due. Returns whether something is not finished.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&self) -> sqlx::Result<bool> {
        const DUE: &str = "SELECT r.id, r.tenant_id, CAST(r.copy_tries AS SIGNED) AS copy_tries, c.ended_at, c.answered_at \
             FROM call_recordings r JOIN calls c ON c.id = r.call_id WHERE r.status = 'recording' AND r.node_id = ? \
             AND r.copy_at <= ? AND c.ended_at IS NOT NULL ORDER BY r.copy_at LIMIT ?";
        const WAITING: &str = "SELECT COUNT(*) FROM call_recordings r JOIN calls c ON c.id = r.call_id \
             WHERE r.copy_at > 0 AND r.status = 'recording' AND r.node_id = ? AND c.ended_at IS NOT NULL";
        loop {
            let due: Vec<Due> = db_read!(&self.db, |p| sqlx::query_as(DUE)
                .bind(self.node.as_str())
                .bind(self.clock.now_us())
                .bind(limits::BATCH)
                .fetch_all(p)
                .await)?;
            let found = due.len();
            let done: Vec<sqlx::Result<()>> = futures_util::stream::iter(due)
                .map(|one| async move { self.take(&one).await })
                .buffer_unordered(limits::COPIES)
                .collect()
                .await;
            done.into_iter().collect::<sqlx::Result<()>>()?;
            if i64::try_from(found).unwrap_or(i64::MAX) < limits::BATCH {
                break;
            }
        }
        let waiting: i64 =
            db_read!(&self.db, |p| sqlx::query_scalar(WAITING).bind(self.node.as_str()).fetch_one(p).await)?;
        Ok(waiting > 0)
    }

    fn file(&self, id: &str) -> PathBuf {
        self.spool.join("monitor").join(format!("{id}.wav"))
    }

    async fn take(&self, due: &Due) -> sqlx::Result<()> {
        let Ok(tenant) = TenantId::parse(&due.tenant_id) else { return Ok(()) };
        let file = self.file(&due.id);
        let is_over = match self.look(due, &tenant, &file).await? {
            Became::Later(seconds, reason) => {
                self.postpone(due, seconds, reason).await?;
                false
            }
            Became::Kept(kept, wav) => self.finish(due, &tenant, Ok((kept, wav))).await?,
            Became::Failed(why) => self.finish(due, &tenant, Err(why)).await?,
        };
        if is_over {
            remove(&file).await;
        }
        Ok(())
    }

    async fn look(&self, due: &Due, tenant: &TenantId, file: &Path) -> sqlx::Result<Became> {
        let since_s = (self.clock.now_us() - due.ended_at) / 1_000_000;
        let wav = match wav::look(file).await {
            Ok(wav) => wav,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(match since_s < limits::FILE_S {
                    true => Became::Later(1, None),
                    false if due.answered_at.is_none() => Became::Failed(NOBODY_TALKED.into()),
                    false => Became::Failed("Asterisk left no recording.".into()),
                });
            }
            Err(error) => return Ok(retry(due, format!("The recording can't be read: {error}"))),
        };
        if !wav.is_whole && since_s < limits::UNCLOSED_S {
            return Ok(Became::Later(1, None));
        }
        if !tenants::has_space(&self.db, tenant, wav.bytes).await? {
            return Ok(Became::Failed("The tenant's storage is full (max_storage_mib).".into()));
        }
        let key = storage::key(tenant, "recordings", &format!("{}.wav", due.id));
        let copying = self.storage.keep(&key, file, limits::SOUND_BYTES);
        Ok(match tokio::time::timeout(limits::COPY_TIME, copying).await {
            Ok(Ok(kept)) => Became::Kept(kept, wav),
            Ok(Err(StorageError::TooLarge)) => {
                Became::Failed("The recording is larger than one may be.".into())
            }
            Ok(Err(error)) => retry(due, error.to_string()),
            Err(_) => retry(due, "The store took too long.".into()),
        })
    }

    async fn postpone(&self, due: &Due, seconds: i64, reason: Option<String>) -> sqlx::Result<()> {
        const SQL: &str = "UPDATE call_recordings SET copy_at = ?, copy_tries = copy_tries + ?, error = ? \
             WHERE tenant_id = ? AND id = ? AND status = 'recording'";
        if let Some(reason) = &reason {
            tracing::warn!(call.id = due.id, reason, "a recording waits for the store");
        }
        db_write!(&self.db, |p| sqlx::query(SQL)
            .bind(self.clock.now_us() + seconds * 1_000_000)
            .bind(i64::from(reason.is_some()))
            .bind(fit(reason.as_deref().unwrap_or_default(), limits::REASON_CHARACTERS))
            .bind(&due.tenant_id)
            .bind(&due.id)
            .execute(p)
            .await
            .map(drop))
    }

    /// Writes down how it ended, and tells. Returns whether the row says so, by this or an earlier write.
    async fn finish(
        &self,
        due: &Due,
        tenant: &TenantId,
        ended: Result<(storage::Kept, Wav), String>,
    ) -> sqlx::Result<bool> {
        let now_us = self.clock.now_us();
        let (scope, mut tx) = (Scope::tenant(tenant), self.db.begin().await?);
        let before = store::get_locked(&mut tx, &RECORDINGS, &scope, &due.id).await?.unwrap_or_default();
        let changed = match &ended {
            Ok((kept, wav)) => complete(&mut tx, due, (kept, wav), now_us).await?,
            Err(why) => fail(&mut tx, due, why, now_us).await?,
        };
        if !changed {
            return Ok(true);
        }
        let word = match &ended {
            Ok(_) => "complete",
            // A call that nobody answered had nothing to record: that is no failure to be told of.
            Err(why) if why == NOBODY_TALKED => "close",
            Err(_) => "fail",
        };
        let after = store::get_locked(&mut tx, &RECORDINGS, &scope, &due.id).await?.unwrap_or_default();
        let line = crud::line(&RECORDINGS, word, due.id.clone(), before, after);
        let position = self.events.write(&mut tx, &self.ids, (tenant, now_us), &[line]).await?;
        tx.commit().await?;
        if let Some(position) = position {
            self.events.news.tell(tenant, position);
        }
        Ok(true)
    }

    /// Removes files that a process which died left behind: their rows say that they are done with. Files without a row are
    /// the operator's own.
    async fn tidy(&self) {
        const SQL: &str = "SELECT status FROM call_recordings WHERE id = ? AND node_id = ?";
        let Ok(mut files) = tokio::fs::read_dir(self.spool.join("monitor")).await else { return };
        while let Ok(Some(file)) = files.next_entry().await {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".wav").and_then(|id| Id::parse(id).ok()) else { continue };
            let read = async {
                let status: Option<String> = db_read!(&self.db, |p| sqlx::query_scalar(SQL)
                    .bind(id.as_str())
                    .bind(self.node.as_str())
                    .fetch_optional(p)
                    .await)?;
                Ok::<_, sqlx::Error>(status)
            };
            match read.await {
                Ok(Some(status)) if status != "recording" => remove(&file.path()).await,
                Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "old recordings can't be looked for"),
            }
        }
    }
}

const NOBODY_TALKED: &str = "Nobody talked: there was nothing to record.";

fn retry(due: &Due, reason: String) -> Became {
    if due.copy_tries >= limits::COPY_TRIES {
        return Became::Failed(reason);
    }
    Became::Later(limits::wait_s(due.copy_tries + 1), Some(reason))
}

async fn remove(file: &Path) {
    match tokio::fs::remove_file(file).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "a recording that was taken over can't be removed");
        }
        _ => {}
    }
}

async fn complete(
    tx: &mut Tx,
    due: &Due,
    (kept, wav): (&storage::Kept, &Wav),
    now_us: i64,
) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE call_recordings SET status = 'completed', storage_key = ?, bytes = ?, sha256 = ?, \
         duration_ms = ?, ended_at = ?, error = '', copy_at = NULL, updated_at = ?, \
         agent_id = COALESCE(agent_id, (SELECT agent_id FROM cdrs WHERE cdrs.id = call_recordings.call_id)), \
         expires_at = (SELECT call_recordings.started_at + t.recording_days * 86400000000 FROM tenants t \
         WHERE t.id = call_recordings.tenant_id) WHERE tenant_id = ? AND id = ? AND status = 'recording'";
    const CDR: &str = "UPDATE cdrs SET recording_id = ? WHERE tenant_id = ? AND id = ?";
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let changed = db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(&kept.key)
        .bind(number(kept.bytes))
        .bind(&kept.sha256)
        .bind(number(wav.duration_ms))
        .bind(due.ended_at)
        .bind(now_us)
        .bind(&due.tenant_id)
        .bind(&due.id)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if changed == 0 {
        return Ok(false);
    }
    db_tx!(tx, |c| sqlx::query(CDR)
        .bind(&due.id)
        .bind(&due.tenant_id)
        .bind(&due.id)
        .execute(c)
        .await
        .map(drop))?;
    Ok(true)
}

async fn fail(tx: &mut Tx, due: &Due, why: &str, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str = "UPDATE call_recordings SET status = 'failed', error = ?, ended_at = ?, copy_at = NULL, \
         updated_at = ? WHERE tenant_id = ? AND id = ? AND status = 'recording'";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(fit(why, limits::REASON_CHARACTERS))
        .bind(due.ended_at)
        .bind(now_us)
        .bind(&due.tenant_id)
        .bind(&due.id)
        .execute(c)
        .await
        .map(|done| done.rows_affected() > 0))
}
