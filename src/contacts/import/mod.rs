//! Contacts from a CSV file, in the background: so many lines per transaction, with the progress in the same one.
//!
//! The file lies in the data directory until it is done, and that folder is the list of what is to do: a process that
//! was killed goes on behind the last line that is in the database, and no other node takes its files.

pub mod api;
mod apply;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::shutdown::Stopping;
use crate::base::words::words;
use crate::config::limits::contacts as limits;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::events::Events;

use super::names::Names;
use super::phone;
use crate::api::store::{self, Scope};
use crate::api::{Audited, crud};
use apply::{Applied, Apply};
use rows::{Rows, report};

pub use rows::Wrong;

words! {
    /// How far an import is.
    pub enum ImportStatus {
        /// It waits.
        Queued = "queued",
        /// Lines are read.
        Running = "running",
        /// All lines were read; some may have failed.
        Done = "done",
        /// It can't go on.
        Failed = "failed",
    }
}

/// A file of records that is read in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What is read in: `contacts`.
    pub kind: String,
    /// How far it is.
    pub status: ImportStatus,
    /// The file's name as sent.
    pub file_name: Option<String>,
    /// Lines beside the header.
    pub total: u64,
    /// Lines that were read.
    pub done: u64,
    /// Records that were made.
    pub created_count: u64,
    /// Records that were changed.
    pub updated_count: u64,
    /// Lines that could not be taken.
    pub failed_count: u64,
    /// What was wrong, the first [`limits::REPORT_FAULTS`] of it.
    pub report: Vec<Wrong>,
    /// The user who sent it.
    pub created_by: Option<Id>,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When it last went on.
    pub updated_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Reads files in.
#[derive(Clone, Debug)]
pub struct Importer {
    /// Where contacts are.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// Names of callers, which change with it.
    pub names: Names,
    /// What its changes tell.
    pub events: Arc<Events>,
    /// Where the files are.
    pub data_dir: PathBuf,
}

/// A file that waits; its name says everything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    tenant: TenantId,
    id: Id,
    region: String,
}

impl Job {
    fn file_name(&self) -> String {
        format!("{}.{}.{}.csv", self.tenant, self.id, self.region)
    }

    fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('.').collect();
        let [tenant, id, region, "csv"] = parts[..] else { return None };
        Some(Self {
            tenant: TenantId::parse(tenant).ok()?,
            id: Id::parse(id).ok()?,
            region: region.to_owned(),
        })
    }
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("imports")
}

/// The columns of a row that show its progress.
#[derive(sqlx::FromRow)]
struct Progress {
    status: String,
    done: i64,
    created_count: i64,
    updated_count: i64,
    failed_count: i64,
    report: String,
}

impl Importer {
    /// Reads files in until `stopping`.
    pub async fn run(self, stopping: Stopping) {
        let mut wait = stopping.clone();
        while !stopping.is_stopping() {
            if let Err(error) = self.work(&stopping).await {
                tracing::warn!(%error, "imports can't go on; they will be tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(limits::IMPORT_LOOK_TIME) => {}
                () = wait.stopped() => {}
            }
        }
    }

    /// Reads in every file that waits, the oldest first. Returns how many are done.
    ///
    /// # Errors
    /// When the database is away or the folder can't be read; what is left waits.
    pub async fn work(&self, stopping: &Stopping) -> std::io::Result<usize> {
        let mut jobs = Vec::new();
        let mut entries = match tokio::fs::read_dir(folder(&self.data_dir)).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        while let Some(entry) = entries.next_entry().await? {
            jobs.extend(Job::parse(&entry.file_name().to_string_lossy()));
        }
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        let mut done = 0;
        for job in jobs {
            done += usize::from(self.job(&job, stopping).await?);
        }
        Ok(done)
    }

    async fn job(&self, job: &Job, stopping: &Stopping) -> std::io::Result<bool> {
        let path = folder(&self.data_dir).join(job.file_name());
        let other = std::io::Error::other;
        let Some(progress) = self.progress(job).await.map_err(other)? else {
            // Its request has not committed yet, or failed.
            let age_us = self.clock.now_us() - job.id.made_us();
            if u128::try_from(age_us).unwrap_or(0) > limits::IMPORT_WITHOUT_ROW_TIME.as_micros() {
                tokio::fs::remove_file(&path).await?;
            }
            return Ok(false);
        };
        let is_open = matches!(progress.status.as_str(), "queued" | "running");
        if is_open {
            let file = tokio::fs::read(&path).await?;
            if !self.read_in(job, progress, &file, stopping).await? {
                return Ok(false);
            }
        }
        tokio::fs::remove_file(&path).await?;
        Ok(is_open)
    }

    async fn progress(&self, job: &Job) -> sqlx::Result<Option<Progress>> {
        const SQL: &str = "SELECT status, done, created_count, updated_count, failed_count, report FROM imports \
             WHERE tenant_id = ? AND id = ?";
        Ok(db_read!(&self.db, |p| sqlx::query_as(SQL)
            .bind(job.tenant.as_str())
            .bind(job.id.as_str())
            .fetch_optional(p)
            .await?))
    }

    /// Returns whether it came to its end.
    async fn read_in(
        &self,
        job: &Job,
        mut progress: Progress,
        file: &[u8],
        stopping: &Stopping,
    ) -> std::io::Result<bool> {
        let Ok(mut rows) = Rows::new(file, phone::region(&job.region)) else {
            self.give_up(job, "The file can't be read any more.").await.map_err(std::io::Error::other)?;
            return Ok(true);
        };
        rows.skip(u64::try_from(progress.done).unwrap_or(0));
        loop {
            if stopping.is_stopping() {
                return Ok(false);
            }
            match self.batch(job, &mut progress, &mut rows).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) if crate::db::is_unavailable(&error) => return Err(std::io::Error::other(error)),
                Err(error) => {
                    tracing::error!(%error, import.id = %job.id, "an import met what it can't pass");
                    let why = "The database refused a line; the lines up to `done` are in.";
                    self.give_up(job, why).await.map_err(std::io::Error::other)?;
                    return Ok(true);
                }
            }
            // Others want the database too.
            tokio::time::sleep(limits::IMPORT_REST).await;
        }
    }

    /// Some lines in one transaction. Returns whether these were the last.
    async fn batch(&self, job: &Job, progress: &mut Progress, rows: &mut Rows<'_>) -> sqlx::Result<bool> {
        let mut tx = self.db.begin().await?;
        let (mut lines, mut is_end) = (0, false);
        let mut apply = Apply {
            tx: &mut tx,
            tenant: &job.tenant,
            ids: &self.ids,
            now_us: self.clock.now_us(),
            tags: Default::default(),
            applied: Applied::default(),
        };
        while lines < limits::IMPORT_BATCH {
            let Some((line, row)) = rows.next() else {
                is_end = true;
                break;
            };
            lines += 1;
            apply.line(line, row).await?;
        }
        let applied = apply.applied;
        let was = progress.done;
        progress.done += lines;
        progress.created_count += applied.created;
        progress.updated_count += applied.updated;
        progress.failed_count += applied.failed;
        progress.report = longer(&progress.report, applied.wrong);
        let status = if is_end { ImportStatus::Done } else { ImportStatus::Running };
        if !self.note(&mut tx, job, (was, status), progress).await? {
            // The tenant is gone, or somebody else reads the same file: nothing of this batch lasts.
            tracing::warn!(import.id = %job.id, "an import was taken away");
            return Ok(true);
        }
        let mut told = applied.told;
        if is_end {
            told.push(self.finished(&mut tx, job).await?);
        }
        let now_us = self.clock.now_us();
        let position = self.events.write(&mut tx, &self.ids, (&job.tenant, now_us), &told).await?;
        tx.commit().await?;
        position.inspect(|position| self.events.news.tell(&job.tenant, *position));
        for (before, after) in &applied.changes {
            self.names.forget_contact(&job.tenant, [before, after]);
        }
        Ok(is_end)
    }

    /// Writes the progress down, if it still is what it was.
    async fn note(
        &self,
        tx: &mut Tx,
        job: &Job,
        (was, status): (i64, ImportStatus),
        progress: &Progress,
    ) -> sqlx::Result<bool> {
        const SQL: &str = "UPDATE imports SET status = ?, done = ?, created_count = ?, updated_count = ?, \
             failed_count = ?, report = ?, updated_at = ?, finished_at = ? WHERE tenant_id = ? AND id = ? AND done = ?";
        let now_us = self.clock.now_us();
        let changed = db_tx!(tx, |c| sqlx::query(SQL)
            .bind(status.as_str())
            .bind(progress.done)
            .bind(progress.created_count)
            .bind(progress.updated_count)
            .bind(progress.failed_count)
            .bind(&progress.report)
            .bind(now_us)
            .bind((status == ImportStatus::Done).then_some(now_us))
            .bind(job.tenant.as_str())
            .bind(job.id.as_str())
            .bind(was)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(changed == 1)
    }

    async fn give_up(&self, job: &Job, why: &str) -> sqlx::Result<()> {
        const SQL: &str = "UPDATE imports SET status = ?, report = ?, updated_at = ?, finished_at = ? \
             WHERE tenant_id = ? AND id = ?";
        let Some(progress) = self.progress(job).await? else { return Ok(()) };
        let mut faults: Vec<Wrong> = serde_json::from_str(&progress.report).unwrap_or_default();
        faults.insert(0, Wrong { line: 0, field: String::new(), detail: why.to_owned() });
        let now_us = self.clock.now_us();
        let mut tx = self.db.begin().await?;
        db_tx!(&mut tx, |c| sqlx::query(SQL)
            .bind(ImportStatus::Failed.as_str())
            .bind(report(&faults).to_string())
            .bind(now_us)
            .bind(now_us)
            .bind(job.tenant.as_str())
            .bind(job.id.as_str())
            .execute(c)
            .await
            .map(drop))?;
        let told = [self.finished(&mut tx, job).await?];
        let position = self.events.write(&mut tx, &self.ids, (&job.tenant, now_us), &told).await?;
        tx.commit().await?;
        position.inspect(|position| self.events.news.tell(&job.tenant, *position));
        Ok(())
    }

    /// What the end of an import tells.
    async fn finished(&self, tx: &mut Tx, job: &Job) -> sqlx::Result<Audited> {
        let scope = Scope::tenant(&job.tenant);
        let record = store::get_locked(tx, &api::IMPORTS, &scope, job.id.as_str()).await?.unwrap_or_default();
        Ok(crud::line(&api::IMPORTS, "finish", job.id.to_string(), record.clone(), record))
    }
}

/// A report with further faults, as far as there is room.
fn longer(text: &str, more: Vec<Wrong>) -> String {
    let mut faults: Vec<Wrong> = serde_json::from_str(text).unwrap_or_default();
    let room = limits::REPORT_FAULTS.saturating_sub(faults.len());
    faults.extend(more.into_iter().take(room));
    report(&faults).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_what_it_is() {
        let job = Job {
            tenant: TenantId::parse("acme_1").unwrap(),
            id: Id::parse("01arz3ndektsv4rrffq69g5fav").unwrap(),
            region: "DE".into(),
        };
        assert_eq!(Job::parse(&job.file_name()), Some(job));
        for odd in ["", "acme.csv", "a.b.c.csv", "acme.01arz3ndektsv4rrffq69g5fav.de.part", ".."] {
            assert_eq!(Job::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_report_has_an_end() {
        let wrong = |line| Wrong { line, field: "email".into(), detail: "x".into() };
        let some = longer("[]", (0..5).map(wrong).collect());
        assert_eq!(serde_json::from_str::<Vec<Wrong>>(&some).unwrap().len(), 5);
        let all = longer(&some, (0..10_000).map(wrong).collect());
        assert_eq!(serde_json::from_str::<Vec<Wrong>>(&all).unwrap().len(), limits::REPORT_FAULTS);
    }
}
