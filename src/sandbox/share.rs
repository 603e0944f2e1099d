//! A tenant's share of the sandbox: how many of its runs there are at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::World;
use crate::config::limits::plugins as limits;

/// One for each tenant, given with every run.
#[derive(Debug)]
pub struct Share {
    runs: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    scripts: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            runs: Arc::new(Semaphore::new(limits::RUNS)),
            heavy: Arc::new(Semaphore::new(limits::HEAVY_RUNS)),
            scripts: Arc::new(Semaphore::new(limits::SCRIPTS)),
            waiting: AtomicUsize::new(0),
        }
    }
}

impl Share {
    /// A place for a run; `None`: there is none, and none in time.
    pub(super) async fn enter(&self, world: World, wait: Duration) -> Option<OwnedSemaphorePermit> {
        if world == World::CallScript {
            return Arc::clone(&self.scripts).try_acquire_owned().ok();
        }
        match Arc::clone(&self.runs).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => self.queue(&self.runs, wait).await,
        }
    }

    /// A place among the tenant's runs that take long.
    pub(super) async fn heavy(&self, wait: Duration) -> Option<OwnedSemaphorePermit> {
        self.queue(&self.heavy, wait).await
    }

    async fn queue(&self, places: &Arc<Semaphore>, wait: Duration) -> Option<OwnedSemaphorePermit> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= limits::RUNS_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let _waits = Waits(&self.waiting);
        tokio::time::timeout(wait, Arc::clone(places).acquire_owned()).await.ok()?.ok()
    }
}

/// One that waits, also when whoever waited gave up.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
