//! The thread on which Asterisk's questions are answered.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{App, Error, at};
use crate::agi::session::Sessions;
use crate::agi::{AgiStats, DrainReport, Server, ServerOptions};
use crate::base::descriptors;
use crate::base::shutdown::{self, Stopper};
use crate::config::limits;

/// How many AGI connections fit under the limit of file descriptors, with some kept for journal, database and HTTP.
fn agi_connections(wanted: u64, descriptors: u64) -> u64 {
    let fit = descriptors
        .saturating_sub(limits::agi::DESCRIPTORS_KEPT)
        .max(limits::agi::DESCRIPTORS_KEPT.min(descriptors) / 2);
    if fit < wanted {
        tracing::warn!(
            agi.wanted = wanted,
            agi.connections = fit,
            process.descriptors = descriptors,
            "fewer AGI connections than agi.max_connections: raise the limit of file descriptors (LimitNOFILE)"
        );
    }
    fit.min(wanted)
}

/// FastAGI has a thread of its own: nothing else in the process can hold a call up, and one thread without work
/// stealing costs less per call than a pool (about a sixth, measured on bare servers).
pub(super) struct AgiThread {
    thread: std::thread::JoinHandle<DrainReport>,
    stopper: Stopper,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// What it counts.
    pub(super) stats: Arc<AgiStats>,
}

impl AgiThread {
    pub(super) fn start(app: &App) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let options = ServerOptions {
            allow: app.config.agi_allow.clone(),
            max_connections: agi_connections(app.config.agi_connections as u64, descriptors::raise_limit()),
            ..ServerOptions::default()
        };
        let server = {
            let _inside = runtime.enter();
            Server::bind(app.config.agi_listen, options)
        };
        let server = match server {
            Ok(server) => server,
            Err(error) => {
                // Dropped here, inside another runtime, it would panic.
                runtime.shutdown_background();
                return Err(at("agi.listen", app.config.agi_listen, &error));
            }
        };
        let (address, stats) = (server.local_addr()?, server.stats());
        let sessions = Sessions::new(app.journal.clone(), Arc::clone(&app.callbacks));
        let (stopper, stopping) = shutdown::channel();
        let thread = std::thread::Builder::new()
            .name("agi".into())
            .spawn(move || runtime.block_on(server.serve(sessions, stopping.receiver())))?;
        Ok(Self { thread, stopper, address, stats })
    }

    pub(super) fn stop(self) -> Option<DrainReport> {
        self.stopper.stop();
        self.thread.join().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        assert_eq!(agi_connections(10_000, 1_048_576), 10_000);
        assert_eq!(agi_connections(10_000, 1_024), 1_024 - limits::agi::DESCRIPTORS_KEPT);
        assert_eq!(agi_connections(10_000, 100), 50);
    }
}
