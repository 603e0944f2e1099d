//! Routing data in memory: tenants whole, and which tenant owns which number. A warm call touches no database.
//!
//! A change replaces a tenant's data in one step, after the new data has been read: while the database is away, what
//! was known stays known. Other processes' changes are seen by [`Memory::refresh`], which compares versions.
//!
//! Plain maps behind one lock: a cache that keeps its entries in order of use pays for that order in the middle of
//! calls, and the more so the more entries it has. What remains of that growth is cold memory: so a number leads straight
//! to its rules (figures in `benches/README.md`). When there are more numbers than may be kept, whole tenants that no call
//! has asked for lately make room.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::data::{DidRules, Digits, TenantRules};
use super::platform::Platform;
use super::store::load;
use crate::base::ids::{Number, TenantId};
use crate::base::metrics::{Metrics, Outcome};
use crate::base::shutdown::Stopping;
use crate::config::limits::routing as limits;
use crate::db::Db;
use crate::plugins::Plugins;
use crate::sandbox::World;
use crate::tenants;

/// What memory and database know of a number or tenant.
#[derive(Clone, Debug)]
pub enum Found<T = Arc<TenantRules>> {
    /// Its data.
    Rules(T),
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
    /// What the operator says of numbers, which every tenant's data leads to.
    pub platform: Arc<Platform>,
    /// Whose programs have to be ready before a tenant's new data is.
    plugins: Arc<Plugins>,
    known: RwLock<Known>,
    most_dids: usize,
    unknown: Cache<Digits, ()>,
    lookups: Semaphore,
    deadline: Duration,
}

/// What is in memory. Invariant: every number in `owners` leads to a tenant that is in `tenants`.
#[derive(Debug, Default)]
struct Known {
    tenants: HashMap<TenantId, Arc<TenantRules>>,
    owners: HashMap<Digits, Owner>,
    /// Tenants that made room for others: a call brings them back, a refresh does not, or the two would take turns.
    made_room: HashSet<TenantId>,
    /// How many tenants have been put in place so far: the time by which use is told.
    puts: u64,
}

/// A number's rules and its tenant's.
type Owner = (Arc<TenantRules>, Arc<DidRules>);

impl Known {
    fn used(&self, rules: &Arc<TenantRules>) -> Arc<TenantRules> {
        // Usually unchanged: then other threads' copies of the line stay valid.
        if rules.used.load(Ordering::Relaxed) != self.puts {
            rules.used.store(self.puts, Ordering::Relaxed);
        }
        Arc::clone(rules)
    }

    /// Puts a tenant in the place of what was known, and drops tenants that are out of use while there are more than
    /// `most` numbers.
    fn put(&mut self, rules: Arc<TenantRules>, most: usize) {
        let tenant = rules.tenant.clone();
        self.made_room.remove(&tenant);
        // As if last asked for before this: a tenant that a call has asked for since the last change stands above it.
        rules.used.store(self.puts, Ordering::Relaxed);
        self.puts += 1;
        for (number, did) in &rules.dids {
            self.owners.insert(*number, (Arc::clone(&rules), Arc::clone(did)));
        }
        if let Some(before) = self.tenants.insert(tenant.clone(), Arc::clone(&rules)) {
            self.disown(&before, |number| rules.dids.contains_key(number));
        }
        while self.owners.len() > most || self.tenants.len() > most {
            let others = self.tenants.iter().filter(|(id, _)| **id != tenant);
            let Some(oldest) = others.min_by_key(|(_, rules)| rules.used.load(Ordering::Relaxed)) else {
                return;
            };
            let oldest = oldest.0.clone();
            self.forget(&oldest);
            self.made_room.insert(oldest);
        }
    }

    fn forget(&mut self, tenant: &TenantId) {
        if let Some(before) = self.tenants.remove(tenant) {
            self.disown(&before, |_| false);
        }
    }

    /// A number that moved to another tenant meanwhile stays there.
    fn disown(&mut self, before: &TenantRules, keep: impl Fn(&Digits) -> bool) {
        for number in before.dids.keys().filter(|number| !keep(number)) {
            if self.owners.get(number).is_some_and(|(rules, _)| rules.tenant == before.tenant) {
                self.owners.remove(number);
            }
        }
    }
}

impl Memory {
    /// Empty memory for at most `most_dids` DIDs, and as many tenants; one tenant is kept whatever its size.
    pub fn new(
        db: Db,
        metrics: Arc<Metrics>,
        plugins: Arc<Plugins>,
        most_dids: u64,
        deadline: Duration,
    ) -> Self {
        Self {
            db,
            metrics,
            platform: Arc::default(),
            plugins,
            known: RwLock::default(),
            most_dids: usize::try_from(most_dids).unwrap_or(usize::MAX),
            unknown: Cache::builder()
                .max_capacity(limits::UNKNOWN_NUMBERS)
                .time_to_live(limits::UNKNOWN_TIME)
                .build(),
            lookups: Semaphore::new(limits::LOOKUPS),
            deadline,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_owner(&self, number: &Number) -> Option<Owner> {
        let known = self.read();
        let (rules, did) = known.owners.get(&Digits::from(number))?;
        Some((known.used(rules), Arc::clone(did)))
    }

    /// A tenant's data, if it is in memory. No call asks for it: so it counts as no use of it.
    pub fn look(&self, tenant: &TenantId) -> Option<Arc<TenantRules>> {
        self.read().tenants.get(tenant).map(Arc::clone)
    }

    fn known_tenant(&self, tenant: &TenantId) -> Option<Arc<TenantRules>> {
        let known = self.read();
        known.tenants.get(tenant).map(|rules| known.used(rules))
    }

    /// A number's rules and its tenant's. From memory when they are there; else from the database, within the deadline.
    pub async fn by_number(&self, number: &Number) -> Found<Owner> {
        if let Some(owner) = self.known_owner(number) {
            self.count("hit");
            return Found::Rules(owner);
        }
        if self.unknown.contains_key(&Digits::from(number)) {
            self.count("unknown");
            return Found::Nobody;
        }
        let ask = async {
            self.platform.ready(&self.db).await?;
            let Some(tenant) = load::owner(&self.db, number).await? else { return Ok(None) };
            let rules = self.load(&tenant, Duration::ZERO).await?;
            // A row that can't be used is nobody's.
            Ok(rules.and_then(|rules| {
                let did = rules.dids.get(&Digits::from(number)).map(Arc::clone)?;
                Some((rules, did))
            }))
        };
        let found = self.within_deadline(ask).await;
        if matches!(found, Found::Nobody) {
            self.unknown.insert(Digits::from(number), ());
        }
        found
    }

    /// A tenant's data. From memory when it is there; else from the database, within the deadline.
    pub async fn by_tenant(&self, tenant: &TenantId) -> Found {
        if let Some(rules) = self.known_tenant(tenant) {
            self.count("hit");
            return Found::Rules(rules);
        }
        self.within_deadline(self.load(tenant, Duration::ZERO)).await
    }

    async fn within_deadline<T>(&self, ask: impl Future<Output = sqlx::Result<Option<T>>>) -> Found<T> {
        let Ok(_permit) = self.lookups.try_acquire() else {
            self.count("refused");
            return Found::Unavailable;
        };
        match tokio::time::timeout(self.deadline, Box::pin(ask)).await {
            Ok(Ok(Some(found))) => {
                self.count("miss");
                Found::Rules(found)
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
        self.load(tenant, limits::PREPARE_TIME).await
    }

    /// As [`Memory::reload`]; `wait`: how long the old data may stay in its place until new plugins are ready to run. A
    /// call that needs the data now does not wait: until its plugin is ready it takes the DID's fallback.
    async fn load(&self, tenant: &TenantId, wait: Duration) -> sqlx::Result<Option<Arc<TenantRules>>> {
        self.platform.ready(&self.db).await?;
        let Some(mut rules) = load::tenant(&self.db, tenant).await? else {
            self.write().forget(tenant);
            return Ok(None);
        };
        rules.platform = Arc::clone(&self.platform);
        let rules = Arc::new(rules);
        if !rules.plugins.is_empty() {
            let (plugins, its) = (Arc::clone(&self.plugins), Arc::clone(&rules));
            let preparing = tokio::spawn(async move {
                let mut setups: Vec<_> = its.plugins.values().map(Arc::clone).collect();
                // Nobody waits for a ticketer, and one in Python takes the compiler for seconds.
                setups.sort_by_key(|setup| setup.kind == World::Ticketer);
                plugins.prepare(&its.tenant, &setups).await;
            });
            if tokio::time::timeout(wait, preparing).await.is_err() && !wait.is_zero() {
                tracing::warn!(tenant.id = %tenant, "plugins are not ready yet; their calls take the DID's fallback");
            }
        }
        self.put(Arc::clone(&rules));
        Ok(Some(rules))
    }

    /// Puts a tenant's data in the place of what was known. Older data than what is there is dropped.
    pub fn put(&self, rules: Arc<TenantRules>) {
        {
            let mut known = self.write();
            if known.tenants.get(&rules.tenant).is_some_and(|before| before.version > rules.version) {
                return;
            }
            known.put(Arc::clone(&rules), self.most_dids);
        }
        for number in rules.dids.keys() {
            self.unknown.invalidate(number);
        }
    }

    /// Reads every tenant whose version differs from what is known. At the first call that is every tenant. Tenants
    /// that made room for others stay away until a call asks for them.
    ///
    /// # Errors
    /// When the database is away; what was known stays.
    pub async fn refresh(&self) -> sqlx::Result<usize> {
        self.platform.refresh(&self.db).await?;
        let versions: HashMap<TenantId, i64> =
            tenants::store::versions(&self.db).await?.into_iter().collect();
        {
            let mut known = self.write();
            let gone: Vec<TenantId> =
                known.tenants.keys().filter(|id| !versions.contains_key(*id)).cloned().collect();
            for tenant in gone {
                known.forget(&tenant);
            }
            known.made_room.retain(|id| versions.contains_key(id));
        }
        let mut read = 0;
        for (tenant, version) in versions {
            let is_stale = {
                let known = self.read();
                let before = known.tenants.get(&tenant).map(|rules| rules.version);
                before != Some(version) && !known.made_room.contains(&tenant)
            };
            if is_stale {
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
        let known = self.read();
        (known.tenants.len() as u64, known.owners.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::base::clock::Clock;
    use crate::base::ids::IdSource;
    use crate::routing::data::NumberList;
    use crate::tenants::TenantStatus;

    fn number(n: u32) -> Number {
        Number::parse(&format!("+1555000{n:04}")).unwrap()
    }

    fn did(n: u32) -> (Digits, Arc<DidRules>) {
        let rules = DidRules {
            id: IdSource::new(Clock::system()).next(),
            number: Digits::from(&number(n)),
            active: true,
            max_calls: 0,
            record: false,
            language: String::new(),
            schedule: None,
            schedule_missing: false,
            plugin: None,
            webhook: None,
            primary: None,
            overflow: Vec::new(),
            fallback: None,
            closed: None,
            holiday: None,
            limit: None,
            inactive: None,
        };
        (rules.number, Arc::new(rules))
    }

    fn tenant(id: &str, dids: std::ops::Range<u32>) -> Arc<TenantRules> {
        Arc::new(TenantRules {
            tenant: TenantId::parse(id).unwrap(),
            version: 1,
            used: AtomicU64::default(),
            status: TenantStatus::Active,
            max_calls: 0,
            language: String::new(),
            fallback: None,
            blocked: None,
            block: NumberList::default(),
            allow: NumberList::default(),
            dids: dids.map(did).collect(),
            endpoints: HashMap::new(),
            queues: HashMap::new(),
            mailboxes: HashSet::new(),
            menus: HashMap::new(),
            outbound: Vec::new(),
            plugins: HashMap::new(),
            announcement: None,
            max_outbound_calls: 0,
            max_outbound_rate: 0,
            country: String::new(),
            platform: Arc::default(),
            zone: chrono_tz::UTC,
        })
    }

    fn owner(known: &Known, n: u32) -> Option<String> {
        known.owners.get(&Digits::from(&number(n))).map(|(rules, _)| known.used(rules).tenant.to_string())
    }

    #[test]
    fn the_tenant_that_no_call_asked_for_makes_room() {
        let mut known = Known::default();
        known.put(tenant("a", 0..4), 10);
        known.put(tenant("b", 4..8), 10);
        assert_eq!(owner(&known, 0).as_deref(), Some("a"));
        known.put(tenant("c", 8..12), 10);
        assert_eq!(owner(&known, 0).as_deref(), Some("a"));
        assert_eq!(owner(&known, 4), None);
        assert_eq!((known.tenants.len(), known.owners.len()), (2, 8));
        known.put(tenant("large", 20..50), 10);
        assert_eq!((known.tenants.len(), known.owners.len()), (1, 30));
    }

    #[test]
    fn numbers_that_left_are_forgotten_and_those_that_moved_stay() {
        let mut known = Known::default();
        known.put(tenant("a", 0..4), 100);
        known.put(tenant("b", 3..6), 100);
        known.put(tenant("a", 0..2), 100);
        assert_eq!((owner(&known, 2), owner(&known, 3).as_deref()), (None, Some("b")));
        known.forget(&TenantId::parse("b").unwrap());
        assert_eq!((owner(&known, 1).as_deref(), owner(&known, 3)), (Some("a"), None));
    }
}
