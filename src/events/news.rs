//! Who waits for events is woken: at once by this process's own transactions, and by a look at the heads for those of
//! others. Only a hint goes around; what happened is read from the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use super::outbox;
use crate::base::clock::Clock;
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::events as limits;
use crate::db::Db;

/// A tenant has events up to a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Whose.
    pub tenant: TenantId,
    /// At least up to this position.
    pub position: i64,
}

/// Tells and hears of new events; cheap to clone.
#[derive(Clone, Debug)]
pub struct News {
    sender: broadcast::Sender<Newer>,
    /// Endpoints of webhooks that have something to send which no event made.
    nudges: broadcast::Sender<Id>,
    /// The highest position told of each tenant.
    told: Arc<Mutex<HashMap<TenantId, i64>>>,
}

impl Default for News {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(limits::NEWS).0,
            nudges: broadcast::channel(limits::NEWS).0,
            told: Arc::default(),
        }
    }
}

impl News {
    /// Says that a tenant has events up to a position. Called once their transaction lasts.
    pub fn tell(&self, tenant: &TenantId, position: i64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.get_mut(tenant) {
            Some(known) if *known >= position => return,
            Some(known) => *known = position,
            None => drop(told.insert(tenant.clone(), position)),
        }
        drop(told);
        // Nobody listens: fine.
        let _ = self.sender.send(Newer { tenant: tenant.clone(), position });
    }

    /// Says that something is to be sent to an endpoint once more.
    pub fn nudge(&self, webhook: &Id) {
        let _ = self.nudges.send(webhook.clone());
    }

    /// Hears of what is to be sent once more.
    pub fn nudges(&self) -> broadcast::Receiver<Id> {
        self.nudges.subscribe()
    }

    /// Hears of all that is told from now on. Who is too slow misses some, is told so by
    /// [`broadcast::error::RecvError::Lagged`], and asks [`News::known`].
    pub fn listen(&self) -> broadcast::Receiver<Newer> {
        self.sender.subscribe()
    }

    /// The highest position told of each tenant.
    pub fn known(&self) -> Vec<Newer> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().map(|(tenant, position)| Newer { tenant: tenant.clone(), position: *position }).collect()
    }

    /// The highest position told of one tenant; 0 when none was.
    pub fn position(&self, tenant: &TenantId) -> i64 {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).copied().unwrap_or(0)
    }

    /// Looks for events of other processes until `stopping`; the first time for all there ever were.
    pub async fn watch(self, db: Db, clock: Clock, mut stopping: Stopping) {
        let mut since = 0;
        for round in 0_u64.. {
            let began = clock.now_us();
            // Now and then at all of them: another node's clock may be further off than is looked back.
            let from = if round.is_multiple_of(limits::HEADS_ALL) { 0 } else { since };
            match outbox::heads(&db, from).await {
                Ok(heads) => {
                    heads.iter().for_each(|head| self.tell(&head.tenant, head.position));
                    // Clocks of nodes differ, and a transaction lasts a while after it took its time.
                    since = began - limits::HEADS_OVERLAP_US;
                }
                Err(error) => tracing::debug!(%error, "new events of other processes can't be looked for"),
            }
            tokio::select! {
                () = tokio::time::sleep(limits::HEADS_TIME) => {}
                () = stopping.stopped() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_is_told_once_and_in_order() {
        let (news, acme) = (News::default(), TenantId::parse("acme").unwrap());
        let mut heard = news.listen();
        for position in [3, 2, 3, 5] {
            news.tell(&acme, position);
        }
        let told = std::iter::from_fn(|| heard.try_recv().ok()).map(|newer| newer.position);
        assert_eq!(told.collect::<Vec<_>>(), [3, 5]);
        assert_eq!((news.known().len(), news.position(&acme)), (1, 5));
    }
}
