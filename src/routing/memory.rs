//! Routing data in memory: tenants whole, and which tenant owns which number. A warm call touches no database.
//!
//! A change replaces a tenant's data in one step, after the new data has been read: while the database is away, what
//! was known stays known. Other processes' changes are seen by [`Memory::refresh`], which compares versions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::data::TenantRules;
use super::store::load;
use crate::base::ids::{Number, TenantId};
use crate::base::metrics::{Metrics, Outcome};
use crate::base::shutdown::Stopping;
use crate::config::limits::routing as limits;
use crate::db::Db;
use crate::tenants;

/// What memory and database know of a number or tenant.
#[derive(Clone, Debug)]
pub enum Found {
    /// Its tenant.
    Rules(Arc<TenantRules>),
    /// Nobody's.
    Nobody,
    /// Memory does not know it, and the database did not say in time.
    Unavailable,
}

/// All tenants' routing data.
#[derive(Debug)]
pub struct Memory {
    db: Db,
    metrics: Arc<Metrics>,
    tenants: Cache<TenantId, Arc<TenantRules>>,
    owners: Cache<Number, TenantId>,
    unknown: Cache<Number, ()>,
    lookups: Semaphore,
    deadline: Duration,
}

impl Memory {
    /// Empty memory for at most `most_dids` DIDs.
    pub fn new(db: Db, metrics: Arc<Metrics>, most_dids: u64, deadline: Duration) -> Self {
        let weight = |_: &TenantId, rules: &Arc<TenantRules>| {
            u32::try_from(rules.dids.len()).unwrap_or(u32::MAX).max(1)
        };
        Self {
            db,
            metrics,
            tenants: Cache::builder().weigher(weight).max_capacity(most_dids).build(),
            owners: Cache::new(most_dids),
            unknown: Cache::builder()
                .max_capacity(limits::UNKNOWN_NUMBERS)
                .time_to_live(limits::UNKNOWN_TIME)
                .build(),
            lookups: Semaphore::new(limits::LOOKUPS),
            deadline,
        }
    }

    /// The tenant that owns a number. From memory when it is there; else from the database, within the deadline.
    pub async fn by_number(&self, number: &Number) -> Found {
        if let Some(rules) = self.owners.get(number).and_then(|tenant| self.tenants.get(&tenant)) {
            self.count("hit");
            return Found::Rules(rules);
        }
        if self.unknown.contains_key(number) {
            self.count("unknown");
            return Found::Nobody;
        }
        let ask = async {
            match load::owner(&self.db, number).await? {
                Some(tenant) => self.reload(&tenant).await,
                None => Ok(None),
            }
        };
        let found = self.within_deadline(ask).await;
        if matches!(found, Found::Nobody) {
            self.unknown.insert(number.clone(), ());
        }
        found
    }

    /// A tenant's data. From memory when it is there; else from the database, within the deadline.
    pub async fn by_tenant(&self, tenant: &TenantId) -> Found {
        if let Some(rules) = self.tenants.get(tenant) {
            self.count("hit");
            return Found::Rules(rules);
        }
        self.within_deadline(self.reload(tenant)).await
    }

    async fn within_deadline(
        &self,
        ask: impl Future<Output = sqlx::Result<Option<Arc<TenantRules>>>>,
    ) -> Found {
        let Ok(_permit) = self.lookups.try_acquire() else {
            self.count("refused");
            return Found::Unavailable;
        };
        match tokio::time::timeout(self.deadline, Box::pin(ask)).await {
            Ok(Ok(Some(rules))) => {
                self.count("miss");
                Found::Rules(rules)
            }
            Ok(Ok(None)) => {
                self.count("unknown");
                Found::Nobody
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "a call's routing data can't be read");
                self.count("database");
                Found::Unavailable
            }
            Err(_) => {
                tracing::warn!("a call's routing data did not come in time");
                self.count("database");
                Found::Unavailable
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        self.metrics.lookups.get_or_create(&Outcome { outcome }).inc();
    }

    /// Reads a tenant anew and puts it in the place of what was known. Every change to routing data in this process
    /// ends with this, after its commit.
    ///
    /// # Errors
    /// When the database is away; what was known stays.
    pub async fn reload(&self, tenant: &TenantId) -> sqlx::Result<Option<Arc<TenantRules>>> {
        let Some(rules) = load::tenant(&self.db, tenant).await?.map(Arc::new) else {
            self.forget(tenant);
            return Ok(None);
        };
        self.put(Arc::clone(&rules));
        Ok(Some(rules))
    }

    /// Puts a tenant's data in the place of what was known. Older data than what is there is dropped.
    pub fn put(&self, rules: Arc<TenantRules>) {
        let before = self.tenants.get(&rules.tenant);
        if before.as_ref().is_some_and(|b| b.version > rules.version) {
            return;
        }
        for number in rules.dids.keys() {
            self.owners.insert(number.clone(), rules.tenant.clone());
            self.unknown.invalidate(number);
        }
        let gone = before.iter().flat_map(|b| b.dids.keys()).filter(|n| !rules.dids.contains_key(*n));
        for number in gone {
            self.disown(number, &rules.tenant);
        }
        self.tenants.insert(rules.tenant.clone(), rules);
    }

    fn forget(&self, tenant: &TenantId) {
        let Some(before) = self.tenants.remove(tenant) else { return };
        for number in before.dids.keys() {
            self.disown(number, tenant);
        }
    }

    /// A number that moved to another tenant meanwhile stays there.
    fn disown(&self, number: &Number, tenant: &TenantId) {
        if self.owners.get(number).as_ref() == Some(tenant) {
            self.owners.invalidate(number);
        }
    }

    /// Reads every tenant whose version differs from what is known. At the first call that is every tenant.
    ///
    /// # Errors
    /// When the database is away; what was known stays.
    pub async fn refresh(&self) -> sqlx::Result<usize> {
        let versions: HashMap<TenantId, i64> =
            tenants::store::versions(&self.db).await?.into_iter().collect();
        let gone: Vec<TenantId> = self
            .tenants
            .iter()
            .map(|(id, _)| (*id).clone())
            .filter(|id| !versions.contains_key(id))
            .collect();
        for tenant in gone {
            self.forget(&tenant);
        }
        let mut read = 0;
        for (tenant, version) in versions {
            if self.tenants.get(&tenant).is_none_or(|known| known.version != version) {
                match self.reload(&tenant).await {
                    Ok(_) => read += 1,
                    // One tenant's bad row must not keep the others from being read, nor the service from starting.
                    Err(error @ (sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })) => {
                        tracing::error!(tenant.id = %tenant, %error, "a tenant can't be read");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(read)
    }

    /// Refreshes until `stopping`.
    pub async fn keep_fresh(&self, every: Duration, mut stopping: Stopping) {
        let mut away = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                () = stopping.stopped() => return,
            }
            match self.refresh().await {
                Ok(_) => away = false,
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "routing data can't be refreshed; calls go on with what is known");
                }
                Err(_) => {}
            }
        }
    }

    /// How many tenants and numbers are known.
    pub fn known(&self) -> (u64, u64) {
        self.tenants.run_pending_tasks();
        self.owners.run_pending_tasks();
        (self.tenants.entry_count(), self.owners.entry_count())
    }
}
