//! Removes sounds whose rows say that they are deleted: the sound goes, then the row forgets its key. A process that dies in
//! between removes what is gone already.

use super::Storage;
use crate::base::clock::Clock;
use crate::config::limits::sound as limits;
use crate::db::{Db, db_read, db_write};

/// Statements of a table whose rows have a sound: `tenant_id`, `id`, `storage_key`, and `remove_at` in microseconds since 1970
/// UTC.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    /// Finds tenant, id and key of rows that are due at a time, so many at most.
    pub due: &'static str,
    /// Forgets the key of a tenant's row.
    pub gone: &'static str,
    /// Makes a row due later: when, tenant, id.
    pub later: &'static str,
}

impl Storage {
    /// Removes the sounds that are due. Returns how many.
    ///
    /// # Errors
    /// When the database is away. A store that is away is tried again later.
    pub async fn sweep(&self, db: &Db, clock: &Clock, rows: Rows) -> sqlx::Result<usize> {
        let Rows { due, gone, later } = rows;
        let mut done = 0;
        loop {
            let now_us = clock.now_us();
            let found: Vec<(String, String, String)> =
                db_read!(db, |p| sqlx::query_as(due).bind(now_us).bind(limits::BATCH).fetch_all(p).await)?;
            for (tenant, id, key) in &found {
                if self.let_go(key).await {
                    db_write!(db, |p| sqlx::query(gone).bind(tenant).bind(id).execute(p).await.map(drop))?;
                    done += 1;
                } else {
                    let later_us = now_us + limits::COPY_WAIT_MOST_S * 1_000_000;
                    db_write!(db, |p| sqlx::query(later)
                        .bind(later_us)
                        .bind(tenant)
                        .bind(id)
                        .execute(p)
                        .await
                        .map(drop))?;
                }
            }
            if found.is_empty() {
                return Ok(done);
            }
        }
    }
}
