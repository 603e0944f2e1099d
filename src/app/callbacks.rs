//! What looks after callbacks.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::base::ids::Id;
use crate::base::shutdown::Stopping;
use crate::config::Config;
use crate::db::Db;
use crate::events::Events;
use crate::queues::callback_desk::Callbacks;
use crate::queues::live::LiveQueues;
use crate::routing::Router;

/// Callbacks of this node, which calls nobody by itself.
pub(super) fn desk(
    config: &Config,
    (db, clock): (&Db, &Clock),
    events: &Arc<Events>,
    router: &Arc<Router>,
    node: &Id,
) -> Arc<Callbacks> {
    let lost_us = i64::try_from(config.lost_call.as_micros()).unwrap_or(i64::MAX);
    Arc::new(Callbacks {
        db: db.clone(),
        clock: clock.clone(),
        ids: router.ids.clone(),
        events: Arc::clone(events),
        router: Arc::clone(router),
        live: Arc::new(LiveQueues::new(lost_us)),
        dialler: None,
        node: node.clone(),
    })
}

/// Starts it.
pub(super) fn background(callbacks: &Arc<Callbacks>, keep: &Stopping) -> JoinHandle<()> {
    tokio::spawn(Arc::clone(callbacks).run(keep.clone()))
}
