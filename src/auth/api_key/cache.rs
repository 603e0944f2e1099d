//! API keys in memory: what is known of each for some seconds, and when each was last used.
//!
//! The time limit is by our own clock; moka only bounds how many there are. What is written about uses is written by
//! [`ApiKeys::flush`] in the background, never by the request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;

use super::super::secret_text;
use super::{ApiKey, store, text};
use crate::base::clock::Clock;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::auth as limits;
use crate::db::Db;

/// What is known under a hash; a key that nobody has is known as none.
#[derive(Clone, Debug)]
struct Known {
    key: Option<Arc<ApiKey>>,
    read_us: i64,
}

/// The last use of a key.
#[derive(Debug)]
struct Use {
    tenant: TenantId,
    at_us: i64,
    address: String,
    /// Still to be written.
    fresh: bool,
}

/// API keys in memory.
#[derive(Debug)]
pub struct ApiKeys {
    clock: Clock,
    known: Cache<String, Known>,
    /// Counts what was forgotten: whoever read before that must not store what it read.
    forgotten: AtomicU64,
    uses: Mutex<HashMap<Id, Use>>,
}

impl ApiKeys {
    /// Nothing known yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            known: Cache::new(limits::KEYS_CACHED),
            forgotten: AtomicU64::new(0),
            uses: Mutex::default(),
        }
    }

    /// Whether a bearer token is to be taken for an API key, right or wrong.
    pub fn is_key(token: &str) -> bool {
        text::begins(token)
    }

    /// The living key of a text. `None`: no key, revoked, expired, or its tenant is gone.
    ///
    /// # Errors
    /// When it is not in memory and the database is away.
    pub async fn find(&self, db: &Db, text: &str) -> sqlx::Result<Option<Arc<ApiKey>>> {
        if !text::is_well_formed(text) {
            return Ok(None);
        }
        let hash = secret_text::hash(text);
        let now_us = self.clock.now_us();
        let age = |known: &Known| now_us.abs_diff(known.read_us) < limits::KEY_CACHE_US.unsigned_abs();
        let known = match self.known.get(&hash).filter(age) {
            Some(known) => known,
            None => {
                let before = self.forgotten.load(Ordering::SeqCst);
                let key = store::by_hash(db, &hash).await?.map(Arc::new);
                let known = Known { key, read_us: now_us };
                self.known.insert(hash.clone(), known.clone());
                // Revoked while it was being read: this request was first, the next one is not.
                if self.forgotten.load(Ordering::SeqCst) != before {
                    self.known.invalidate(&hash);
                }
                known
            }
        };
        Ok(known.key.filter(|key| key.is_valid(now_us)))
    }

    /// Forgets a key that was changed or revoked, or all that were taken for unknown after one was made. Called after the
    /// transaction has lasted.
    pub fn forget(&self, id: &Id) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        // Found by id among the few thousand there are: revocations are rare.
        for (hash, known) in &self.known {
            if known.key.is_none_or(|key| key.id == *id) {
                self.known.invalidate(hash.as_str());
            }
        }
    }

    /// Notes that a key was used, in memory, at most once in [`limits::KEY_USE_US`].
    pub fn note_use(&self, key: &ApiKey, address: &str) {
        let at_us = self.clock.now_us();
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let last_us = uses.get(&key.id).map_or(key.last_used_us, |last| last.at_us);
        if at_us - last_us < limits::KEY_USE_US {
            return;
        }
        let address = address.chars().take(45).collect();
        uses.insert(key.id.clone(), Use { tenant: key.tenant.clone(), at_us, address, fresh: true });
    }

    /// Writes what was noted, in one transaction. Called each few seconds and at the end. Returns how many were written.
    ///
    /// # Errors
    /// When the database is away; what was noted stays noted.
    pub async fn flush(&self, db: &Db) -> sqlx::Result<usize> {
        let mut fresh: Vec<(Id, TenantId, i64, String)> = {
            let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
            let old_us = self.clock.now_us() - limits::KEY_USE_US;
            uses.retain(|_, last| last.fresh || last.at_us > old_us);
            let fresh = uses.iter().filter(|(_, last)| last.fresh);
            fresh.map(|(id, u)| (id.clone(), u.tenant.clone(), u.at_us, u.address.clone())).collect()
        };
        if fresh.is_empty() {
            return Ok(0);
        }
        // The same order in every process: two of them must not wait for each other.
        fresh.sort();
        let mut tx = db.begin().await?;
        for (id, tenant, at_us, address) in &fresh {
            store::used(&mut tx, tenant, id, (*at_us, address)).await?;
        }
        tx.commit().await?;
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, _, at_us, _) in &fresh {
            if let Some(last) = uses.get_mut(id).filter(|last| last.at_us == *at_us) {
                last.fresh = false;
            }
        }
        Ok(fresh.len())
    }
}
