//! Calls that are alive, counted per tenant and per DID: what the limits look at. Kept in memory and rebuilt at the
//! start from what the database and the journal know.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::ids::{Id, TenantId};
use crate::config::limits::routing::LIVE_CALLS;

/// All live calls of this node.
#[derive(Debug, Default)]
pub struct Live {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By id: ids rise with time, so the first is the oldest.
    calls: BTreeMap<Id, (Option<TenantId>, String)>,
    tenants: HashMap<TenantId, u32>,
    dids: HashMap<String, u32>,
}

impl Live {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls of a tenant and of a number at this moment.
    pub fn counts(&self, tenant: &TenantId, did: &str) -> (u32, u32) {
        let inner = self.inner();
        (inner.tenants.get(tenant).copied().unwrap_or(0), inner.dids.get(did).copied().unwrap_or(0))
    }

    /// Adds a call. Adding it twice counts once.
    pub fn add(&self, id: &Id, tenant: Option<&TenantId>, did: &str) {
        let mut inner = self.inner();
        if inner.calls.contains_key(id) {
            return;
        }
        if inner.calls.len() >= LIVE_CALLS
            && let Some((oldest, _)) = inner.calls.first_key_value()
        {
            let oldest = oldest.clone();
            inner.remove(&oldest);
        }
        if let Some(tenant) = tenant {
            *inner.tenants.entry(tenant.clone()).or_default() += 1;
        }
        *inner.dids.entry(did.to_owned()).or_default() += 1;
        inner.calls.insert(id.clone(), (tenant.cloned(), did.to_owned()));
    }

    /// Removes a call. Removing it twice is harmless.
    pub fn remove(&self, id: &Id) {
        self.inner().remove(id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner().calls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn remove(&mut self, id: &Id) {
        let Some((tenant, did)) = self.calls.remove(id) else { return };
        if let Some(tenant) = tenant {
            subtract(&mut self.tenants, &tenant);
        }
        subtract(&mut self.dids, &did);
    }
}

/// Takes one off and drops the entry at zero, so that the map holds only what is alive.
fn subtract<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::ids::IdSource;

    #[test]
    fn counts_follow_the_calls() {
        let ids = IdSource::new(Clock::system());
        let live = Live::default();
        let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
        let (a, b, c) = (ids.next(), ids.next(), ids.next());
        live.add(&a, Some(&acme), "+1");
        live.add(&a, Some(&acme), "+1");
        live.add(&b, Some(&acme), "+2");
        live.add(&c, None, "+3");
        assert_eq!(live.counts(&acme, "+1"), (2, 1));
        assert_eq!(live.counts(&globex, "+3"), (0, 1));
        live.remove(&a);
        live.remove(&a);
        assert_eq!(live.counts(&acme, "+1"), (1, 0));
        live.remove(&b);
        live.remove(&c);
        assert!(live.is_empty() && live.inner().tenants.is_empty() && live.inner().dids.is_empty());
    }
}
