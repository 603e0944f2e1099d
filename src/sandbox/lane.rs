//! The plugins' own threads, for runs that take long. They get a processor only when nobody else wants it, so nothing
//! that others wait for may be held there: what a run asks the host is answered on the threads of the service.

use std::cell::OnceCell;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};

use super::host::{Answer, Ask, Host};
use super::types::Failure;
use crate::base::priority;

thread_local! {
    /// On the plugins' own threads: whose threads answer.
    static HOME: OnceCell<Handle> = const { OnceCell::new() };
}

/// Starts the threads. Answers come from the runtime that this is called on; without one, from these threads.
pub(super) fn start(threads: usize) -> std::io::Result<Runtime> {
    let home = Handle::try_current().ok();
    Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_name("plugin")
        .on_thread_start(move || {
            priority::come_last();
            if let Some(home) = home.clone() {
                // A thread starts once.
                HOME.with(|its| drop(its.set(home)));
            }
        })
        .enable_all()
        .build()
}

/// Asks the host. A transaction, a connection and the thread that SQLite starts for it would otherwise wait with the run.
pub(super) async fn ask(host: Arc<dyn Host>, ask: &Ask) -> Result<Answer, Failure> {
    let Some(home) = HOME.with(|its| its.get().cloned()) else { return host.ask(ask).await };
    let ask = ask.clone();
    let answer = Task(home.spawn(async move { host.ask(&ask).await })).end().await;
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "what a plugin asked was not answered");
        Err(Failure::Other(("unavailable".into(), "the service failed to answer".into())))
    })
}

/// A task that ends when nobody waits for it any more.
pub(super) struct Task<T>(pub(super) JoinHandle<T>);

impl<T> Task<T> {
    pub(super) async fn end(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
