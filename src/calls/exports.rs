//! Call detail records as CSV files, made in the background: a page of records at a time, on the disk before the row says
//! so.
//!
//! The files lie in the data directory until they expire, and that folder is the list of what is to do: a process that was
//! killed cuts its file where the row says it is whole and goes on from there, and no other node takes its files.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::api::{CDRS, EXPORTS};
use crate::api::page::{Cursor, Position};
use crate::api::store::{self, Filter, List, Scope};
use crate::api::{Field, OpenFile, Record, crud, list};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::shutdown::Stopping;
use crate::base::words::words;
use crate::config::limits::calls as limits;
use crate::db::{Db, db_read, db_tx, db_write};
use crate::events::Events;

words! {
    /// How far an export is.
    pub enum ExportStatus {
        /// It waits.
        Queued = "queued",
        /// Records are written.
        Running = "running",
        /// The file is whole.
        Completed = "completed",
        /// It can't go on.
        Failed = "failed",
    }
}

/// A file; its name says whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Whose.
    pub tenant: TenantId,
    /// The export.
    pub id: Id,
}

/// Where the files are. Whoever keeps them elsewhere changes this.
#[derive(Clone, Debug)]
pub struct Files(PathBuf);

impl Files {
    /// The files of a data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("exports"))
    }

    fn path(&self, job: &Job) -> PathBuf {
        self.0.join(format!("{}.{}.csv", job.tenant, job.id))
    }

    fn parse(name: &str) -> Option<Job> {
        let parts: Vec<&str> = name.split('.').collect();
        let [tenant, id, "csv"] = parts[..] else { return None };
        Some(Job { tenant: TenantId::parse(tenant).ok()?, id: Id::parse(id).ok()? })
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn create(&self, job: &Job) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        std::fs::File::create(self.path(job)).map(drop)
    }

    /// The files there are, the oldest first.
    fn all(&self) -> std::io::Result<Vec<Job>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut jobs = Vec::new();
        for entry in entries {
            jobs.extend(Self::parse(&entry?.file_name().to_string_lossy()));
        }
        jobs.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(jobs)
    }

    /// Writes behind the first `at` bytes, whatever followed them, down to the disk.
    fn append(&self, job: &Job, at: u64, bytes: &[u8]) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().append(true).open(self.path(job))?;
        if file.metadata()?.len() < at {
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                "the file is shorter than it was",
            ));
        }
        file.set_len(at)?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Opens a file of so many bytes.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(&self, job: &Job, bytes: u64) -> std::io::Result<OpenFile> {
        Ok(OpenFile { file: Arc::new(std::fs::File::open(self.path(job))?), bytes })
    }

    fn remove(&self, job: &Job) -> std::io::Result<()> {
        std::fs::remove_file(self.path(job))
    }
}

/// The conditions that an export was asked with, as filters of the list. What was written after the request does not
/// belong to it.
///
/// # Errors
/// The filter's name, and what is wrong with it.
pub fn filters(asked: &Record, until_us: i64) -> Result<Vec<Filter>, (String, String)> {
    let mut all = Vec::new();
    for (name, value) in asked {
        let text = value.as_str().unwrap_or_default();
        all.push(list::filter(&CDRS, name, text).map_err(|why| (name.clone(), why))?);
    }
    let made =
        CDRS.field("created_at").ok_or_else(|| ("created_at".to_owned(), "No such field.".to_owned()))?;
    all.push(Filter { field: made, operator: "<", value: store::Bind::Int(until_us) });
    Ok(all)
}

/// A page's list, from the oldest call on.
pub fn pages(filters: Vec<Filter>, after: Option<Cursor>) -> Option<List<'static>> {
    let sort: &'static Field = CDRS.field("started_at")?;
    Some(List {
        sort,
        descending: false,
        limit: limits::EXPORT_PAGE,
        after,
        filters,
        search: None,
        whole: true,
    })
}

/// A cell that no spreadsheet reads as a formula, whatever white space stands in front.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let begins = |text: &str| text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if begins(&text) || begins(text.trim_start()) { format!("'{text}") } else { text }
}

/// Lines as RFC 4180 has them; the names of the columns in front of the first.
fn csv(columns: &[String], records: &[Record], is_first: bool) -> Result<Vec<u8>, csv::Error> {
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if is_first {
        csv.write_record(columns)?;
    }
    for record in records {
        csv.write_record(columns.iter().map(|column| cell(record.get(column).unwrap_or(&Value::Null))))?;
    }
    csv.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// Makes the files.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// Where the records are.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids of events.
    pub ids: IdSource,
    /// What an export's end tells.
    pub events: Arc<Events>,
    /// Where the files are.
    pub data_dir: PathBuf,
}

/// The columns of a row that a step needs.
#[derive(sqlx::FromRow)]
struct Progress {
    status: String,
    filters: String,
    columns: String,
    done: i64,
    bytes: i64,
    after_at: Option<i64>,
    after_id: String,
    created_at: i64,
}

/// Where an export stands after a step.
struct Step {
    status: ExportStatus,
    done: i64,
    bytes: i64,
    after: Option<(i64, String)>,
    error: &'static str,
}

impl Exporter {
    /// Makes files until `stopping`.
    pub async fn run(self, stopping: Stopping) {
        let mut wait = stopping.clone();
        while !stopping.is_stopping() {
            if let Err(error) = self.work(&stopping).await {
                tracing::warn!(%error, "exports can't go on; they will be tried again");
            }
            tokio::select! {
                () = tokio::time::sleep(limits::EXPORT_LOOK_TIME) => {}
                () = wait.stopped() => {}
            }
        }
    }

    /// Makes every file that waits, a page of each in turn, and removes what has expired.
    ///
    /// # Errors
    /// When the database or the folder is away; what is left waits.
    pub async fn work(&self, stopping: &Stopping) -> std::io::Result<()> {
        self.expire().await.map_err(std::io::Error::other)?;
        let files = Files::of(&self.data_dir);
        loop {
            let mut goes_on = false;
            for job in files.all()? {
                if stopping.is_stopping() {
                    return Ok(());
                }
                goes_on |= self.step(&files, &job).await?;
            }
            if !goes_on {
                return Ok(());
            }
            // Others want the database too.
            tokio::time::sleep(limits::EXPORT_REST).await;
        }
    }

    async fn expire(&self) -> sqlx::Result<()> {
        const SQL: &str = "DELETE FROM cdr_exports WHERE expires_at <= ?";
        let now_us = self.clock.now_us();
        db_write!(&self.db, |p| sqlx::query(SQL).bind(now_us).execute(p).await.map(drop))
    }

    /// Writes one page of a file that is open. Returns whether more follows.
    async fn step(&self, files: &Files, job: &Job) -> std::io::Result<bool> {
        let Some(progress) = self.progress(job).await.map_err(std::io::Error::other)? else {
            // Its request has not committed yet or failed, or it was given up.
            if self.clock.now_us() - job.id.made_us() > limits::EXPORT_WITHOUT_ROW_US {
                files.remove(job)?;
            }
            return Ok(false);
        };
        if !["queued", "running"].contains(&progress.status.as_str()) {
            return Ok(false);
        }
        let step = match self.page(files, job, &progress).await {
            Ok(step) => step,
            Err(error) if crate::db::is_unavailable(&error) => return Err(std::io::Error::other(error)),
            Err(error) => {
                tracing::error!(%error, export.id = %job.id, "an export met what it can't pass");
                let Progress { done, bytes, .. } = progress;
                let why = "The file can't be written any more; ask for it again.";
                Step { status: ExportStatus::Failed, done, bytes, after: None, error: why }
            }
        };
        let goes_on = step.status == ExportStatus::Running;
        Ok(self.note(job, progress.done, step).await.map_err(std::io::Error::other)? && goes_on)
    }

    async fn progress(&self, job: &Job) -> sqlx::Result<Option<Progress>> {
        const SQL: &str = "SELECT status, filters, columns, done, bytes, after_at, after_id, created_at FROM cdr_exports \
             WHERE tenant_id = ? AND id = ?";
        db_read!(&self.db, |p| sqlx::query_as(SQL)
            .bind(job.tenant.as_str())
            .bind(job.id.as_str())
            .fetch_optional(p)
            .await)
    }

    async fn page(&self, files: &Files, job: &Job, progress: &Progress) -> sqlx::Result<Step> {
        let read = |error: serde_json::Error| sqlx::Error::Decode(error.into());
        let asked: Record = serde_json::from_str(&progress.filters).map_err(read)?;
        let columns: Vec<String> = serde_json::from_str(&progress.columns).map_err(read)?;
        let filters =
            filters(&asked, progress.created_at).map_err(|(_, why)| sqlx::Error::Decode(why.into()))?;
        let after = progress.after_at.map(|at_us| Cursor {
            query: 0,
            key: Position::Int(at_us),
            id: progress.after_id.clone(),
            back: false,
        });
        let list = pages(filters, after).ok_or(sqlx::Error::RowNotFound)?;
        let page = store::list(&self.db, &CDRS, &Scope::tenant(&job.tenant), &list).await?;
        let text =
            csv(&columns, &page.records, progress.bytes == 0).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let (files, job, at) = (files.clone(), job.clone(), u64::try_from(progress.bytes).unwrap_or(0));
        let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
        let written = tokio::task::spawn_blocking(move || files.append(&job, at, &text)).await;
        written.map_err(|e| sqlx::Error::Encode(e.into()))?.map_err(|e| sqlx::Error::Encode(e.into()))?;
        let done = progress.done + i64::try_from(page.records.len()).unwrap_or(0);
        // As many as may be were counted; records that came behind the count are cut off.
        let is_whole = !page.more || done >= limits::EXPORT_ROWS;
        let after = page.ends.and_then(|(_, last)| match last.key {
            Position::Int(at_us) => Some((at_us, last.id)),
            Position::Text(_) => None,
        });
        let status = if is_whole { ExportStatus::Completed } else { ExportStatus::Running };
        Ok(Step { status, done, bytes: progress.bytes + length, after, error: "" })
    }

    /// Writes down how far it is, if it still was so far. Its end is told. Returns whether it still is there.
    async fn note(&self, job: &Job, was: i64, step: Step) -> sqlx::Result<bool> {
        const SQL: &str = "UPDATE cdr_exports SET status = ?, done = ?, bytes = ?, after_at = ?, after_id = ?, error = ?, \
             updated_at = ?, finished_at = ? WHERE tenant_id = ? AND id = ? AND done = ? AND finished_at IS NULL";
        let now_us = self.clock.now_us();
        let is_end = step.status != ExportStatus::Running;
        let (after_at, after_id) = step.after.unzip();
        let mut tx = self.db.begin().await?;
        let changed = db_tx!(&mut tx, |c| sqlx::query(SQL)
            .bind(step.status.as_str())
            .bind(step.done)
            .bind(step.bytes)
            .bind(after_at)
            .bind(after_id.unwrap_or_default())
            .bind(step.error)
            .bind(now_us)
            .bind(is_end.then_some(now_us))
            .bind(job.tenant.as_str())
            .bind(job.id.as_str())
            .bind(was)
            .execute(c)
            .await
            .map(|done| done.rows_affected()))?;
        if changed != 1 {
            tracing::info!(export.id = %job.id, "an export was given up");
            return Ok(false);
        }
        let mut told = Vec::new();
        if is_end {
            let scope = Scope::tenant(&job.tenant);
            let record =
                store::get_locked(&mut tx, &EXPORTS, &scope, job.id.as_str()).await?.unwrap_or_default();
            told.push(crud::line(&EXPORTS, "finish", job.id.to_string(), record.clone(), record));
        }
        let position = self.events.write(&mut tx, &self.ids, (&job.tenant, now_us), &told).await?;
        tx.commit().await?;
        position.inspect(|position| self.events.news.tell(&job.tenant, *position));
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_those_of_the_rfc_and_no_cell_is_a_formula() {
        let record = |values: Value| values.as_object().cloned().unwrap();
        let columns = ["a", "b"].map(str::to_owned);
        let records = [
            record(json!({"a": "two\nlines, \"quoted\"", "b": null, "c": "not asked for"})),
            record(json!({"a": "=1+1", "b": 7})),
            record(json!({"a": "+15557770001", "b": true})),
            record(json!({"a": "\t=1", "b": -1})),
            record(json!({"a": " @x", "b": {"k": "v"}})),
            record(json!({"a": "Zoë 🙂", "b": ""})),
        ];
        let text = String::from_utf8(csv(&columns, &records, true).unwrap()).unwrap();
        let expected = "a,b\r\n\"two\nlines, \"\"quoted\"\"\",\r\n'=1+1,7\r\n'+15557770001,true\r\n'\t=1,'-1\r\n' @x,\
                        \"{\"\"k\"\":\"\"v\"\"}\"\r\nZoë 🙂,\r\n";
        assert_eq!(text, expected);
        assert_eq!(csv(&columns, &[], false).unwrap(), b"");
    }

    #[test]
    fn a_files_name_says_whose_it_is() {
        let job = Job {
            tenant: TenantId::parse("acme_1").unwrap(),
            id: Id::parse("01arz3ndektsv4rrffq69g5fav").unwrap(),
        };
        let path = Files::of(Path::new("/x")).path(&job);
        assert_eq!(Files::parse(&path.file_name().unwrap().to_string_lossy()), Some(job));
        for odd in ["", "acme.csv", "a.b.c.csv", "acme.01arz3ndektsv4rrffq69g5fav.part", ".."] {
            assert_eq!(Files::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_follows_the_known_part_of_a_file_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::of(folder.path());
        let job = Job {
            tenant: TenantId::parse("acme").unwrap(),
            id: Id::parse("01arz3ndektsv4rrffq69g5fav").unwrap(),
        };
        files.create(&job).unwrap();
        files.append(&job, 0, b"whole").unwrap();
        files.append(&job, 5, b" and torn").unwrap();
        files.append(&job, 5, b" again").unwrap();
        assert_eq!(std::fs::read(files.path(&job)).unwrap(), b"whole again");
        assert!(files.append(&job, 99, b"x").is_err());
        assert_eq!(files.all().unwrap(), [job]);
    }
}
