//! Which sockets are open: counted by user and tenant, and looked at each second by one task for all of them. So an idle
//! socket has no timer of its own, and a session that ends closes its sockets within that second.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use super::Options;
use super::frames::Closing;
use crate::api::Caller;
use crate::auth::Auth;
use crate::base::ids::{Id, TenantId};
use crate::base::secret::Secret;
use crate::config::limits::sockets as limits;

/// What a socket stands on at the moment.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// The session of its access token.
    pub(super) session: Option<Id>,
    /// When that token ends, microseconds.
    pub(super) expires_us: Option<i64>,
    /// Its key.
    pub(super) key: Option<Secret>,
    /// Whether the client was told that the token ends.
    told: bool,
}

impl Proof {
    /// Of who came with `token`, which ends at that second.
    pub(super) fn new(caller: &Caller, token: Secret, expires_s: Option<i64>) -> Self {
        Self {
            session: caller.session.clone(),
            expires_us: expires_s.map(|s| s * 1_000_000),
            key: caller.user().is_none().then_some(token),
            told: false,
        }
    }
}

/// One open socket.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) caller: Caller,
    proof: Mutex<Proof>,
    /// Bits of [`EXPIRING`] and [`PING`].
    asked: AtomicU8,
    closing: OnceLock<Closing>,
    wake: Notify,
    /// The check at which the client was heard last.
    heard: AtomicU64,
    /// Whether it was heard since that was last written down.
    fresh: AtomicBool,
}

/// Tell the client that its token ends.
pub(super) const EXPIRING: u8 = 1;
/// Ask whether it lives.
pub(super) const PING: u8 = 2;

impl Entry {
    /// Returns when there is something to do: bits of what, and why to close.
    pub(super) async fn woken(&self) -> (u8, Option<Closing>) {
        self.wake.notified().await;
        (self.asked.swap(0, Ordering::SeqCst), self.closing())
    }

    /// Why it is to be closed.
    pub(super) fn closing(&self) -> Option<Closing> {
        self.closing.get().copied()
    }

    /// Closes it; the first reason counts.
    pub(super) fn close(&self, closing: Closing) {
        if self.closing.set(closing).is_ok() {
            self.wake.notify_one();
        }
    }

    fn ask(&self, what: u8) {
        self.asked.fetch_or(what, Ordering::SeqCst);
        self.wake.notify_one();
    }

    /// When its token ends, microseconds.
    pub(super) fn expires_us(&self) -> Option<i64> {
        self.proof().expires_us
    }

    /// Puts it on another token.
    pub(super) fn renew(&self, proof: Proof) {
        *self.proof() = proof;
    }

    fn proof(&self) -> MutexGuard<'_, Proof> {
        self.proof.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks nothing but memory.
    fn check(&self, auth: &Auth, now_us: i64, number: u64) {
        let mut proof = self.proof();
        if proof.session.as_ref().is_some_and(|session| auth.revoked.contains(session)) {
            self.close(Closing::SESSION_ENDED);
        }
        let left_us = proof.expires_us.map(|end| end - now_us);
        if left_us.is_some_and(|left| left <= 0) {
            self.close(Closing::EXPIRED);
        } else if left_us.is_some_and(|left| left <= limits::EXPIRING_US) && !proof.told {
            proof.told = true;
            self.ask(EXPIRING);
        }
        drop(proof);
        let silent = number.saturating_sub(self.heard.load(Ordering::Relaxed));
        if silent >= limits::DEAD_CHECKS {
            self.close(Closing::DEAD);
        } else if silent > 0 && silent.is_multiple_of(limits::PING_CHECKS) {
            self.ask(PING);
        }
    }
}

#[derive(Debug, Default)]
struct Open {
    entries: HashMap<Id, Arc<Entry>>,
    of_one: HashMap<Id, usize>,
    of_tenant: HashMap<TenantId, usize>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Registry {
    open: Mutex<Open>,
    /// How often they were looked at.
    checks: AtomicU64,
}

impl Registry {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a socket of somebody's in a tenant, unless there are too many.
    pub(super) fn join(
        &self,
        id: Id,
        (caller, tenant): (Caller, &TenantId),
        proof: Proof,
        options: &Options,
    ) -> Result<Arc<Entry>, Closing> {
        let mut open = self.open();
        if open.of_one.get(caller.id()).is_some_and(|n| *n >= options.of_one) {
            return Err(Closing::TOO_MANY);
        }
        if open.of_tenant.get(tenant).is_some_and(|n| *n >= options.of_tenant) {
            return Err(Closing::TOO_MANY_OF_TENANT);
        }
        *open.of_one.entry(caller.id().clone()).or_default() += 1;
        *open.of_tenant.entry(tenant.clone()).or_default() += 1;
        let entry = Arc::new(Entry {
            id,
            caller,
            proof: Mutex::new(proof),
            asked: AtomicU8::new(0),
            closing: OnceLock::new(),
            wake: Notify::new(),
            heard: AtomicU64::new(self.number()),
            fresh: AtomicBool::new(false),
        });
        open.entries.insert(entry.id.clone(), Arc::clone(&entry));
        Ok(entry)
    }

    /// Takes one out; `false`: it was out already.
    pub(super) fn leave(&self, entry: &Entry) -> bool {
        let mut open = self.open();
        let was_in = open.entries.remove(&entry.id).is_some();
        if was_in {
            less(&mut open.of_one, entry.caller.id());
            if let Some(tenant) = &entry.caller.tenant {
                less(&mut open.of_tenant, tenant);
            }
        }
        was_in
    }

    /// The number of the last check.
    pub(super) fn number(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// Notes that a client was heard.
    pub(super) fn heard(&self, entry: &Entry) {
        entry.heard.store(self.number(), Ordering::Relaxed);
        entry.fresh.store(true, Ordering::Relaxed);
    }

    /// Looks at each.
    pub(super) fn check(&self, auth: &Auth, now_us: i64) {
        let number = self.checks.fetch_add(1, Ordering::Relaxed) + 1;
        self.open().entries.values().for_each(|entry| entry.check(auth, now_us, number));
    }

    /// Each of them.
    pub(super) fn all(&self) -> Vec<Arc<Entry>> {
        self.open().entries.values().cloned().collect()
    }

    /// Those whose client was heard since this was asked last.
    pub(super) fn fresh(&self) -> Vec<Id> {
        let open = self.open();
        let fresh = open.entries.values().filter(|entry| entry.fresh.swap(false, Ordering::Relaxed));
        fresh.map(|entry| entry.id.clone()).collect()
    }

    /// One key's text of each, with its sockets.
    pub(super) fn keys(&self) -> Vec<(Secret, Vec<Arc<Entry>>)> {
        let mut keys: HashMap<Id, (Secret, Vec<Arc<Entry>>)> = HashMap::new();
        for entry in self.open().entries.values() {
            let Some(text) = entry.proof().key.clone() else { continue };
            let known = keys.entry(entry.caller.id().clone()).or_insert_with(|| (text, Vec::new()));
            known.1.push(Arc::clone(entry));
        }
        keys.into_values().collect()
    }
}

fn less<K: Hash + Eq + Clone>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Slot::Occupied(mut slot) = counts.entry(key.clone()) {
        *slot.get_mut() -= 1;
        if *slot.get() == 0 {
            slot.remove();
        }
    }
}
