//! What looks after callbacks.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use crate::base::clock::Clock;
use crate::base::ids::Id;
use crate::base::shutdown::Stopping;
use crate::calls::control::{Control, Outside, Refusal};
use crate::config::Config;
use crate::config::limits::queues as limits;
use crate::db::Db;
use crate::events::Events;
use crate::queues::callback::{DialError, Dialler, Due};
use crate::queues::callback_desk::Callbacks;
use crate::queues::live::LiveQueues;
use crate::routing::Router;

/// Calls back over ARI.
#[derive(Debug)]
struct OverAri {
    control: Arc<Control>,
    desk: Weak<Callbacks>,
}

impl Dialler for OverAri {
    fn is_ready(&self) -> bool {
        self.control.is_connected()
    }

    fn dial<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<(), DialError>> {
        Box::pin(async move {
            let (id, number) = (due.id.as_str(), due.number.as_str());
            let out = Outside {
                tenant: &due.tenant,
                number: &due.number,
                context: "hookswitch-called-back",
                variables: &[("HS_CALLBACK", id), ("HS_NUMBER", number)],
                shows: &due.shows,
                ring_s: limits::CALLBACK_RING_S,
            };
            let channel = self.control.outside(&out).await.map_err(|why| match why {
                Refusal::NoPbx => DialError::NotReady,
                Refusal::Away(why) => DialError::Unknown(why.to_string()),
                other => DialError::Refused(other.to_string()),
            })?;
            let (control, desk, due) = (Arc::clone(&self.control), Weak::clone(&self.desk), due.clone());
            // Asterisk says nothing to the dialplan of a phone that nobody took up. Who waits here in vain because this process
            // ends is waited for by another: the claim runs out.
            tokio::spawn(async move {
                let within = Duration::from_secs(limits::CALLBACK_RING_S.into());
                // Of one that nobody told of nothing is known: the claim runs out.
                if control.reached(&channel, within).await != Some(false) {
                    return;
                }
                let Some(desk) = desk.upgrade() else { return };
                if let Err(error) = desk.failed(&due.tenant, &due.id, "no-answer").await {
                    tracing::warn!(%error, "a callback that nobody answered waits until its claim runs out");
                }
            });
            Ok(())
        })
    }
}

/// Callbacks of this node; without a configured Asterisk it calls nobody.
pub(super) fn desk(
    config: &Config,
    (db, clock): (&Db, &Clock),
    events: &Arc<Events>,
    (router, control): (&Arc<Router>, &Arc<Control>),
    node: &Id,
) -> Arc<Callbacks> {
    let lost_us = i64::try_from(config.lost_call.as_micros()).unwrap_or(i64::MAX);
    Arc::new_cyclic(|desk| {
        let over_ari = || -> Arc<dyn Dialler> {
            Arc::new(OverAri { control: Arc::clone(control), desk: Weak::clone(desk) })
        };
        Callbacks {
            db: db.clone(),
            clock: clock.clone(),
            ids: router.ids.clone(),
            events: Arc::clone(events),
            router: Arc::clone(router),
            live: Arc::new(LiveQueues::new(lost_us)),
            dialler: (!config.ari.is_empty()).then(over_ari),
            node: node.clone(),
            counted: Mutex::default(),
        }
    })
}

/// Starts it.
pub(super) fn background(callbacks: &Arc<Callbacks>, keep: &Stopping) -> JoinHandle<()> {
    tokio::spawn(Arc::clone(callbacks).run(keep.clone()))
}
