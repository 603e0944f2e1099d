//! Sessions that ended while access tokens of theirs still live. In memory, asked by every request; the database is
//! asked once a second by a background task, for what other processes ended.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use crate::base::ids::Id;
use crate::config::limits::auth as limits;
use crate::db::{Db, db_read};

/// How long a session is remembered after its end: until its last access token is dead everywhere. Microseconds.
const KEPT_US: i64 = (limits::ACCESS_S + 2 * limits::LEEWAY_S) * 1_000_000 + limits::REVOKED_OVERLAP_US;

#[derive(Debug, Default)]
struct Known {
    /// Session and when it ended, microseconds.
    ended: HashMap<Id, i64>,
    /// When the database was last asked with success, microseconds; 0: never.
    asked_us: i64,
}

/// Sessions that ended a short time ago.
#[derive(Debug, Default)]
pub struct Revoked {
    known: RwLock<Known>,
}

impl Revoked {
    /// Whether a session ended. No I/O.
    pub fn contains(&self, session: &Id) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).ended.contains_key(session)
    }

    /// Adds sessions that this process ended, as the functions of [`super::session`] return them. Called after the
    /// transaction has lasted.
    pub fn add(&self, sessions: &[Id], now_us: i64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.ended.extend(sessions.iter().map(|id| (id.clone(), now_us)));
    }

    /// Adds what other processes ended and forgets what is too old to matter. Called before the first request is taken,
    /// then each second. Returns how many are known.
    ///
    /// # Errors
    /// When the database is away; what was known stays known, and the next call catches up.
    pub async fn refresh(&self, db: &Db, now_us: i64) -> sqlx::Result<usize> {
        const SQL: &str = "SELECT id, revoked_at FROM sessions WHERE revoked_at > ?";
        let oldest = now_us - KEPT_US;
        let asked_us = self.known.read().unwrap_or_else(PoisonError::into_inner).asked_us;
        let since = oldest.max(asked_us - limits::REVOKED_OVERLAP_US);
        let rows: Vec<(String, i64)> = db_read!(db, |p| sqlx::query_as(SQL).bind(since).fetch_all(p).await)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.ended.extend(rows.into_iter().filter_map(|(id, us)| Some((Id::parse(&id).ok()?, us))));
        known.ended.retain(|_, us| *us > oldest);
        known.asked_us = known.asked_us.max(now_us);
        Ok(known.ended.len())
    }
}
