//! The one task of an Asterisk that tells its [`Watch`]: sets up each new connection, takes the snapshot, and then tells what
//! came meanwhile and what comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::conn::Conn;
use super::event::Channel;
use super::inbox::Step;
use super::rest::{AskError, Request};
use super::{Asterisk, News, Snapshot, Watch};
use crate::base::shutdown::Stopping;
use crate::config::limits::ari as limits;

/// The events that are told. Asterisk is asked to send no others: variables, steps of the dialplan and lamps are most of what it
/// has to say, and keys that callers press (card numbers) are nobody's business.
pub const WANTED: &[&str] = &[
    "ApplicationMoveFailed",
    "ApplicationRegistered",
    "ApplicationReplaced",
    "ApplicationUnregistered",
    "BridgeAttendedTransfer",
    "BridgeBlindTransfer",
    "BridgeCreated",
    "BridgeDestroyed",
    "BridgeMerged",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelCreated",
    "ChannelDestroyed",
    "ChannelEnteredBridge",
    "ChannelHangupRequest",
    "ChannelHold",
    "ChannelLeftBridge",
    "ChannelStateChange",
    "ChannelTransfer",
    "ChannelUnhold",
    "ChannelUserevent",
    "ContactStatusChange",
    "Dial",
    "PeerStatusChange",
    "PlaybackContinuing",
    "PlaybackFinished",
    "PlaybackStarted",
    "RecordingFailed",
    "RecordingFinished",
    "RecordingStarted",
    "StasisEnd",
    "StasisStart",
];

/// Events that are told before other tasks of the thread get their turn.
const TURN: usize = 64;

/// Why a connection is of no use.
#[derive(Debug, thiserror::Error)]
enum MeetError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("{0} was refused: {1} {2}")]
    Refused(String, u16, String),
    #[error("{0} was refused: the user of ari.conf needs read_only = no")]
    ReadOnly(String),
    #[error("it does not end booting")]
    Boots,
    #[error("{0} can't be read: {1}")]
    Unreadable(&'static str, serde_json::Error),
}

/// Tells until `stopping`.
pub(super) async fn run(asterisk: Arc<Asterisk>, watch: Arc<dyn Watch>, mut stopping: Stopping) {
    let (mut at, mut refused, mut known_us) = (None, None, None);
    let mut turn = 0;
    loop {
        match asterisk.inbox.step(at, refused) {
            Step::Tell(heard) => {
                known_us = known_us.max(Some(heard.received_us));
                watch.hear(&asterisk, News::Told(heard.told));
                turn += 1;
                if turn % TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Step::Lost(heard_us) => {
                at = None;
                known_us = known_us.max(heard_us);
                watch.hear(&asterisk, News::Lost);
            }
            Step::Meet { conn, dropped } => {
                if dropped {
                    tracing::warn!(
                        ari.asterisk = asterisk.name(),
                        "events came faster than they were taken; they were thrown away for a snapshot"
                    );
                }
                let start_us = asterisk.clock.now_us();
                let met = tokio::select! {
                    met = meet(&asterisk, &conn) => met,
                    () = stopping.stopped() => return,
                };
                match met {
                    Ok(snapshot) => {
                        let gap = known_us.map(|known| (known, asterisk.clock.now_us()));
                        (at, known_us) = (Some(conn.id), Some(start_us));
                        watch.hear(&asterisk, News::Connected { snapshot, gap });
                    }
                    Err(error) => {
                        tracing::warn!(ari.asterisk = asterisk.name(), %error, "Asterisk's state can't be read");
                        refused = Some(conn.id);
                        // At once, Asterisk would connect again at once.
                        let pause = if conn.is_theirs { limits::RETRY_MOST } else { Duration::ZERO };
                        tokio::spawn(async move {
                            sleep(pause).await;
                            conn.close();
                        });
                    }
                }
            }
            Step::Wait => tokio::select! {
                () = asterisk.inbox.changed() => {}
                () = stopping.stopped() => return,
            },
        }
    }
}

/// Says which events we want, and reads how things stand.
async fn meet(asterisk: &Asterisk, conn: &Conn) -> Result<Snapshot, MeetError> {
    let application = || Request::get("applications").part(asterisk.app());
    // Asterisk's filter holds for its answers too.
    let allowed: Vec<Value> =
        WANTED.iter().chain(&["RESTResponse"]).map(|kind| json!({ "type": kind })).collect();
    let filter = Request::put("applications").part(asterisk.app()).part("eventFilter");
    let (_, mut at_us) = done(conn, filter.json(json!({ "allowed": allowed }))).await?;
    if conn.is_theirs {
        // Whatever `subscribe_all` says: everything but lamps.
        let all = Request::post("applications").part(asterisk.app()).part("subscription");
        at_us = done(conn, all.with("eventSource", "channel:,bridge:,endpoint:")).await?.1;
    }
    // What happened before an answer that came before the question is in what is answered.
    let channels: Vec<Channel> = read("channels", done(conn, Request::get("channels")).await?.0)?;
    let bridges = read("bridges", done(conn, Request::get("bridges")).await?.0)?;
    let subscribed = done(conn, application()).await?.0;
    let channel_ids = ours(asterisk.app(), &channels, &subscribed);
    Ok(Snapshot { channels, bridges, channel_ids, at_us: asterisk.or_now(at_us) })
}

async fn done(conn: &Conn, request: Request) -> Result<(Value, i64), MeetError> {
    let mut left = limits::BOOT_PAUSES;
    loop {
        let (answer, at_us) = conn.ask(&request, limits::SNAPSHOT_TIME).await?;
        return match answer.status {
            200..=299 => Ok((answer.body, at_us)),
            // It connects before it has booted.
            503 if left == 0 => Err(MeetError::Boots),
            503 => {
                left -= 1;
                sleep(limits::BOOT_PAUSE).await;
                continue;
            }
            403 => Err(MeetError::ReadOnly(request.to_string())),
            status => Err(MeetError::Refused(request.to_string(), status, answer.why().to_owned())),
        };
    }
}

fn read<T: DeserializeOwned>(what: &'static str, body: Value) -> Result<T, MeetError> {
    serde_json::from_value(body).map_err(|error| MeetError::Unreadable(what, error))
}

/// The channels in the application. Asterisk lists only what an application has subscribed to, and that is "all" here; so it is
/// where the channel is in the dialplan that tells.
fn ours(app: &str, channels: &[Channel], subscribed: &Value) -> HashSet<String> {
    let listed = subscribed["channel_ids"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let listed: HashSet<&str> = listed.collect();
    let is_ours = |channel: &&Channel| {
        let place = &channel.dialplan;
        let entered = place.app_name == "Stasis" && place.app_data.split(',').next() == Some(app);
        entered || listed.contains(channel.id.as_str())
    };
    channels.iter().filter(is_ours).map(|channel| channel.id.clone()).collect()
}
