//! Calls that are alive, counted per tenant and per DID: what the limits look at. Kept in memory and rebuilt at the
//! start from what the database and the journal know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// Those of them that have gone outside, by id, with whose limit they count against; and how many each tenant has.
    outside: BTreeMap<Id, TenantId>,
    leaving: HashMap<TenantId, u32>,
    /// Those of them that go on without the channel on which they began.
    carried_on: BTreeSet<Id>,
}

impl Live {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls of a tenant and of a number at this moment.
    pub fn counts(&self, tenant: &TenantId, did: &str) -> (u32, u32) {
        self.inner().counts(tenant, did)
    }

    /// Adds a call and returns how many others its tenant and number have: one step, so that of two calls that come
    /// together only one takes the last place, however long their decisions take. A call that comes in again (it was
    /// transferred) does not stand in its own way.
    pub fn enter(&self, id: &Id, tenant: &TenantId, did: &str) -> (u32, u32) {
        let mut inner = self.inner();
        let before = inner.calls.get(id).cloned();
        inner.remove(id);
        let counts = inner.counts(tenant, did);
        let (owner, number) = before.unwrap_or_else(|| (Some(tenant.clone()), did.to_owned()));
        inner.add(id, owner.as_ref(), &number);
        counts
    }

    /// As [`Live::counts`] of a tenant, without the call `id`.
    pub fn others(&self, id: &Id, tenant: &TenantId) -> u32 {
        let inner = self.inner();
        let own = inner.calls.get(id).is_some_and(|(owner, _)| owner.as_ref() == Some(tenant));
        inner.counts(tenant, "").0 - u32::from(own)
    }

    /// Notes that a call goes outside, and returns how many others of the tenant are there: one step, as [`Live::enter`].
    pub fn go_out(&self, id: &Id, tenant: &TenantId) -> u32 {
        let mut inner = self.inner();
        inner.come_back(id);
        let others = inner.leaving.get(tenant).copied().unwrap_or(0);
        inner.outside.insert(id.clone(), tenant.clone());
        *inner.leaving.entry(tenant.clone()).or_default() += 1;
        others
    }

    /// Notes that a call is not outside any more, or never went.
    pub fn come_back(&self, id: &Id) {
        self.inner().come_back(id);
    }

    /// Calls of a tenant that are outside.
    pub fn outside(&self, tenant: &TenantId) -> u32 {
        self.inner().leaving.get(tenant).copied().unwrap_or(0)
    }

    /// A call that was refused lives on, but takes no place: callers who hear that all lines are busy must not be what
    /// keeps the lines busy.
    pub fn give_back(&self, id: &Id) {
        let mut inner = self.inner();
        inner.remove(id);
        inner.add(id, None, "");
    }

    /// Up to `most` calls whose ids are greater than `after`, in their order.
    pub fn some_after(&self, after: Option<&Id>, most: usize) -> Vec<Id> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.inner().calls.range::<Id, _>((from, Unbounded)).take(most).map(|(id, _)| id.clone()).collect()
    }

    /// Adds a call. Adding it twice counts once.
    pub fn add(&self, id: &Id, tenant: Option<&TenantId>, did: &str) {
        self.inner().add(id, tenant, did);
    }

    /// Forgets calls whose ids were made before `before_us`: nobody told us of their end.
    pub fn expire(&self, before_us: i64) -> usize {
        let mut inner = self.inner();
        let old: Vec<Id> = inner.calls.keys().take_while(|id| id.made_us() < before_us).cloned().collect();
        old.iter().for_each(|id| inner.remove(id));
        let lost = inner.outside.keys().take_while(|id| id.made_us() < before_us).cloned();
        lost.collect::<Vec<Id>>().iter().for_each(|id| inner.come_back(id));
        old.len()
    }

    /// Removes a call. Removing it twice is harmless.
    pub fn remove(&self, id: &Id) {
        self.inner().remove(id);
    }

    /// A call goes on without the channel on which it began: that one's end is not the call's.
    pub fn carry_on(&self, id: &Id) {
        let mut inner = self.inner();
        if inner.calls.contains_key(id) {
            inner.carried_on.insert(id.clone());
        }
    }

    /// Whether a call goes on without the channel on which it began.
    pub fn is_carried_on(&self, id: &Id) -> bool {
        self.inner().carried_on.contains(id)
    }

    /// Whose calls there are.
    pub fn tenants(&self) -> BTreeSet<TenantId> {
        self.inner().tenants.keys().cloned().collect()
    }

    /// Whether a call is among them.
    pub fn has(&self, id: &Id) -> bool {
        self.inner().calls.contains_key(id)
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
    fn counts(&self, tenant: &TenantId, did: &str) -> (u32, u32) {
        (self.tenants.get(tenant).copied().unwrap_or(0), self.dids.get(did).copied().unwrap_or(0))
    }

    fn add(&mut self, id: &Id, tenant: Option<&TenantId>, did: &str) {
        if self.calls.contains_key(id) {
            return;
        }
        if self.calls.len() >= LIVE_CALLS
            && let Some((oldest, _)) = self.calls.first_key_value()
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
        if let Some(tenant) = tenant {
            *self.tenants.entry(tenant.clone()).or_default() += 1;
        }
        *self.dids.entry(did.to_owned()).or_default() += 1;
        self.calls.insert(id.clone(), (tenant.cloned(), did.to_owned()));
    }

    fn come_back(&mut self, id: &Id) {
        if let Some(tenant) = self.outside.remove(id) {
            subtract(&mut self.leaving, &tenant);
        }
    }

    fn remove(&mut self, id: &Id) {
        self.come_back(id);
        self.carried_on.remove(id);
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
    use crate::base::clock::{Clock, from_us};
    use crate::base::ids::IdSource;

    #[test]
    fn a_call_is_carried_on_until_it_ends() {
        let live = Live::default();
        let id = IdSource::new(Clock::system()).next();
        live.carry_on(&id);
        assert!(!live.is_carried_on(&id), "one that is not alive");
        live.enter(&id, &TenantId::parse("acme").unwrap(), "+15550001000");
        live.carry_on(&id);
        assert!(live.is_carried_on(&id));
        live.remove(&id);
        assert!(!live.is_carried_on(&id));
    }

    #[test]
    fn counts_follow_the_calls() {
        let clock = Clock::manual(from_us(1_700_000_000_000_000));
        let ids = IdSource::new(clock.clone());
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
        clock.set(from_us(1_700_000_001_000_000));
        let d = ids.next();
        assert_eq!(live.enter(&d, &acme, "+2"), (1, 1));
        assert_eq!(live.expire(d.made_us()), 2, "b and c are older than d");
        assert_eq!(live.expire(i64::MAX), 1);
        live.add(&b, Some(&acme), "+2");
        live.add(&c, None, "+3");
        assert_eq!(live.some_after(None, 9), [b.clone(), c.clone()]);
        assert_eq!(live.some_after(Some(&b), 9), std::slice::from_ref(&c));
        live.remove(&b);
        live.remove(&c);
        assert!(live.is_empty() && live.inner().tenants.is_empty() && live.inner().dids.is_empty());
    }

    #[test]
    fn calls_outside_are_counted_until_they_come_back_or_end() {
        let ids = IdSource::new(Clock::manual(from_us(1_700_000_000_000_000)));
        let live = Live::default();
        let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
        let (a, b, c) = (ids.next(), ids.next(), ids.next());
        assert_eq!((live.go_out(&a, &acme), live.go_out(&a, &acme), live.outside(&acme)), (0, 0, 1));
        live.add(&a, Some(&acme), "+1");
        assert_eq!((live.go_out(&b, &acme), live.go_out(&c, &globex)), (1, 0));
        live.come_back(&b);
        live.come_back(&b);
        assert_eq!((live.outside(&acme), live.outside(&globex)), (1, 1));
        live.remove(&a);
        live.expire(i64::MAX);
        assert!(live.inner().outside.is_empty() && live.inner().leaving.is_empty());
    }

    #[test]
    fn a_call_is_not_in_its_own_way_and_a_refused_one_in_nobodys() {
        let ids = IdSource::new(Clock::manual(from_us(1_700_000_000_000_000)));
        let live = Live::default();
        let acme = TenantId::parse("acme").unwrap();
        let (a, b) = (ids.next(), ids.next());
        assert_eq!(live.enter(&a, &acme, "+1"), (0, 0));
        assert_eq!((live.enter(&a, &acme, "+1"), live.others(&a, &acme)), ((0, 0), 0));
        assert_eq!((live.enter(&b, &acme, "+1"), live.others(&b, &acme)), ((1, 1), 1));
        live.give_back(&b);
        assert_eq!((live.counts(&acme, "+1"), live.len()), ((1, 1), 2));
        assert_eq!((live.enter(&b, &acme, "+1"), live.counts(&acme, "+1")), ((1, 1), (1, 1)));
        live.remove(&b);
        live.remove(&a);
        assert!(live.is_empty() && live.inner().tenants.is_empty() && live.inner().dids.is_empty());
    }
}
