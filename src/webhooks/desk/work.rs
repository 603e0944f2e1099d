//! What happens beside the desk, and reports back to it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use super::state::Lane;
use super::{Done, Loaded, Room, Wake};
use crate::base::ids::{Id, TenantId};
use crate::base::shutdown::Stopping;
use crate::config::limits::events::HEADS_OVERLAP_US;
use crate::config::limits::webhooks as limits;
use crate::db::db_read;
use crate::webhooks::catch_up as catching_up;
use crate::webhooks::endpoint::{self, Endpoint};
use crate::webhooks::{Delivery, Parts, fan_out, send as sending, store};

/// Starts what runs as long as the desk: handing events out, and looking at endpoints and other processes.
pub(super) fn start(
    parts: &Parts,
    desk: &UnboundedSender<Wake>,
    room: &Arc<Room>,
    stopping: &Stopping,
) -> Vec<JoinHandle<()>> {
    let fan = fan(parts.clone(), desk.clone(), Arc::clone(room), stopping.clone());
    let watch = watch(parts.clone(), desk.clone(), stopping.clone());
    vec![tokio::spawn(fan), tokio::spawn(watch)]
}

/// Takes what the run before had in its hands out of them.
pub(super) async fn begin(parts: &Parts, stopping: &mut Stopping) {
    let begun = async || {
        store::live(&parts.db, &parts.node, parts.clock.now_us() + limits::ALIVE_US).await?;
        store::release(&parts.db, parts.node.as_str()).await
    };
    while let Err(error) = begun().await {
        tracing::warn!(%error, "deliveries of the run before can't be taken up; again later");
        tokio::select! {
            () = tokio::time::sleep(limits::AWAY_TIME) => {}
            () = stopping.stopped() => return,
        }
    }
}

/// Leaves everything to others, at the end of a process: they need not wait until it counts as dead.
pub(super) async fn end(parts: &Parts) {
    let left = async {
        store::release(&parts.db, parts.node.as_str()).await?;
        store::live(&parts.db, &parts.node, 0).await
    };
    if let Err(error) = left.await {
        tracing::info!(%error, "deliveries can't be left to other processes; they take them over in a minute");
    }
}

/// Hands events out as they come, tenant by tenant in turn.
async fn fan(parts: Parts, desk: UnboundedSender<Wake>, room: Arc<Room>, mut stopping: Stopping) {
    let mut news = parts.events.news.listen();
    let mut nudges = parts.events.news.nudges();
    let mut dirty: HashSet<TenantId> =
        parts.events.news.known().into_iter().map(|newer| newer.tenant).collect();
    let stats = Arc::clone(&parts.stats);
    let left = |webhook: &str| room.left(&stats, webhook);
    while !stopping.is_stopping() {
        if dirty.is_empty() {
            tokio::select! {
                told = news.recv() => match told {
                    Ok(newer) => drop(dirty.insert(newer.tenant)),
                    Err(RecvError::Lagged(_)) => dirty.extend(parts.events.news.known().into_iter().map(|n| n.tenant)),
                    Err(RecvError::Closed) => return,
                },
                // Missed ones are found by the next look at what was changed.
                nudged = nudges.recv() => drop(nudged.map(|webhook| desk.send(Wake::Nudged(webhook)))),
                () = stopping.stopped() => return,
            }
        }
        while let Ok(webhook) = nudges.try_recv() {
            let _ = desk.send(Wake::Nudged(webhook));
        }
        while let Ok(newer) = news.try_recv() {
            dirty.insert(newer.tenant);
        }
        for tenant in std::mem::take(&mut dirty) {
            match step(&parts, &desk, &tenant, (&room, &left)).await {
                Ok(true) => drop(dirty.insert(tenant)),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, tenant.id = %tenant, "events can't be handed out to webhooks; again later");
                    // A row that can't be read is no reason to keep others waiting: the next event tries again.
                    if !matches!(error, fan_out::Error::Away(sqlx::Error::Decode(_))) {
                        dirty.insert(tenant);
                        tokio::time::sleep(limits::AWAY_TIME).await;
                    }
                    if let fan_out::Error::Doubt(handed, _) = error {
                        leave(&parts, &desk, handed.kept).await;
                        handed.behind.into_iter().for_each(|webhook| drop(desk.send(Wake::Nudged(webhook))));
                    }
                }
            }
        }
    }
}

/// Leaves deliveries to the database again, however long it takes, and has it looked at what is due there.
async fn leave(parts: &Parts, desk: &UnboundedSender<Wake>, deliveries: Vec<Delivery>) {
    let ids: Vec<Id> = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
    while let Err(error) = store::give_back(&parts.db, &parts.node, &ids).await {
        tracing::warn!(%error, deliveries = ids.len(), "deliveries can't be given back; again later");
        tokio::time::sleep(limits::AWAY_TIME).await;
    }
    let webhooks: HashSet<Id> = deliveries.into_iter().map(|delivery| delivery.webhook).collect();
    for webhook in webhooks {
        let _ = desk.send(Wake::Nudged(webhook));
    }
}

/// Hands some events of a tenant out. Returns whether there may be more.
async fn step(
    parts: &Parts,
    desk: &UnboundedSender<Wake>,
    tenant: &TenantId,
    (room, left): (&Room, &(dyn Fn(&str) -> usize + Send + Sync)),
) -> Result<bool, fan_out::Error> {
    const CURSOR: &str = "SELECT position FROM webhook_cursors WHERE tenant_id = ?";
    // Most tenants have no endpoints: the writer is not asked for them.
    let cursor: Option<i64> =
        db_read!(&parts.db, |p| sqlx::query_scalar(CURSOR).bind(tenant.as_str()).fetch_optional(p).await)?;
    if cursor.is_none_or(|position| position >= parts.events.news.position(tenant)) {
        return Ok(false);
    }
    let handed = fan_out::step(parts, tenant, left).await?;
    let unfinished = handed.unfinished;
    handed.kept.iter().for_each(|delivery| room.take(&delivery.webhook));
    if handed.changed {
        // What was changed counts for what was handed out after it. When that fails, the next look finds it.
        if let Err(error) = refresh(parts, desk, parts.clock.now_us() - HEADS_OVERLAP_US).await {
            tracing::warn!(%error, "changed endpoints can't be read; again later");
        }
    }
    let _ = desk.send(Wake::Handed(handed));
    Ok(unfinished)
}

/// Reads the endpoints that were changed since then.
async fn refresh(parts: &Parts, desk: &UnboundedSender<Wake>, since_us: i64) -> sqlx::Result<()> {
    let changed = endpoint::changed(&parts.db, &parts.auth, since_us).await?;
    let _ = desk.send(Wake::Endpoints(changed));
    Ok(())
}

/// Looks now and then which endpoints others changed, and which processes died.
async fn watch(parts: Parts, desk: UnboundedSender<Wake>, mut stopping: Stopping) {
    let mut since_us = i64::MIN;
    loop {
        let began = parts.clock.now_us();
        let looked = async {
            store::live(&parts.db, &parts.node, began + limits::ALIVE_US).await?;
            if store::take_over(&parts.db, began).await? > 0 {
                let _ = desk.send(Wake::Orphaned);
            }
            refresh(&parts, &desk, since_us).await
        };
        let pause = match looked.await {
            Ok(()) => {
                since_us = began - HEADS_OVERLAP_US;
                limits::REFRESH
            }
            Err(error) => {
                tracing::warn!(%error, "endpoints of webhooks can't be read; again later");
                limits::AWAY_TIME
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stopping.stopped() => return,
        }
    }
}

/// Sends one delivery.
pub(super) fn send(
    parts: &Parts,
    desk: &UnboundedSender<Wake>,
    endpoint: Arc<Endpoint>,
    delivery: Delivery,
    lane: Lane,
) {
    let (client, clock, desk) = (parts.client.clone(), parts.clock.clone(), desk.clone());
    tokio::spawn(async move {
        let mut lane = lane;
        let attempt = {
            let attempt = sending::attempt(&client, &clock, &endpoint, &delivery.event);
            tokio::pin!(attempt);
            match lane {
                Lane::Slow => attempt.await,
                Lane::Fresh => match tokio::time::timeout(limits::SLOW_TIME, attempt.as_mut()).await {
                    Ok(attempt) => attempt,
                    Err(_) => {
                        lane = Lane::Slow;
                        let _ = desk.send(Wake::Slow(delivery.webhook.clone()));
                        attempt.await
                    }
                },
            }
        };
        let _ = desk.send(Wake::Done(Box::new(Done { delivery, endpoint, attempt, lane })));
    });
}

/// Reads what is due of an endpoint, and makes deliveries of what it is behind, at most so many of each; none more than is
/// due where that is more.
pub(super) fn load(
    parts: &Parts,
    desk: &UnboundedSender<Wake>,
    webhook: Id,
    (most_due, most_new): (usize, usize),
) {
    let (parts, desk) = (parts.clone(), desk.clone());
    tokio::spawn(async move {
        let (deliveries, more, behind, stuck, next_us) = (Vec::new(), false, false, false, None);
        let mut loaded = Loaded { webhook, deliveries, more, behind, stuck, next_us };
        if most_due > 0
            && let Err(error) = read(&parts, &desk, &mut loaded, most_due).await
        {
            tracing::warn!(%error, webhook.id = %loaded.webhook, "deliveries can't be read; again later");
            loaded.more = true;
            tokio::time::sleep(limits::AWAY_TIME).await;
        }
        if most_new > 0 {
            let most = most_new.saturating_sub(loaded.deliveries.len());
            catch_up(&parts, &desk, &mut loaded, most).await;
        }
        let _ = desk.send(Wake::Loaded(loaded));
    });
}

/// Makes deliveries of what an endpoint is behind.
async fn catch_up(parts: &Parts, desk: &UnboundedSender<Wake>, loaded: &mut Loaded, most: usize) {
    loaded.behind = true;
    if most == 0 || loaded.more {
        // First what was there before.
        return;
    }
    match catching_up::step(parts, &loaded.webhook, most).await {
        Ok(caught) => {
            (loaded.behind, loaded.stuck) = (caught.behind, caught.stuck);
            loaded.deliveries.extend(caught.kept);
        }
        Err(error) => {
            tracing::warn!(%error, webhook.id = %loaded.webhook, "an endpoint can't catch up; again later");
            tokio::time::sleep(limits::AWAY_TIME).await;
            if let fan_out::Error::Doubt(handed, _) = error {
                leave(parts, desk, handed.kept).await;
            }
        }
    }
}

async fn read(
    parts: &Parts,
    desk: &UnboundedSender<Wake>,
    loaded: &mut Loaded,
    most: usize,
) -> sqlx::Result<()> {
    let (webhook, now_us) = (&loaded.webhook, parts.clock.now_us());
    let due = store::due(&parts.db, webhook, now_us, most).await?;
    loaded.more = due.len() >= most;
    loaded.next_us = if loaded.more { None } else { store::next_due(&parts.db, webhook, now_us).await? };
    if due.is_empty() {
        return Ok(());
    }
    match store::claim(&parts.db, &parts.node, webhook, due.clone()).await {
        Ok(deliveries) => {
            loaded.deliveries = deliveries;
            Ok(())
        }
        Err(error) => {
            // The answer may have got lost: nobody else would ever send them.
            leave(parts, desk, due).await;
            Err(error)
        }
    }
}

/// Reads one endpoint that the desk does not know yet.
pub(super) fn ask(parts: &Parts, desk: &UnboundedSender<Wake>, webhook: Id) {
    let (parts, desk) = (parts.clone(), desk.clone());
    tokio::spawn(async move {
        loop {
            match endpoint::one(&parts.db, &parts.auth, &webhook).await {
                Ok(found) => {
                    let _ = desk.send(match found {
                        Some(found) => Wake::Endpoints(vec![found]),
                        None => Wake::Unusable(webhook),
                    });
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, webhook.id = %webhook, "an endpoint can't be read; again later");
                    tokio::time::sleep(limits::AWAY_TIME).await;
                }
            }
        }
    });
}

/// Leaves deliveries to the database again.
pub(super) fn give_back(parts: &Parts, desk: &UnboundedSender<Wake>, deliveries: Vec<Delivery>) {
    if deliveries.is_empty() {
        return;
    }
    let (parts, desk) = (parts.clone(), desk.clone());
    tokio::spawn(async move { leave(&parts, &desk, deliveries).await });
}
