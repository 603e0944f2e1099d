//! The one task of an Asterisk that tells its [`Watch`]: sets up each new connection, takes the snapshot, and then tells what
//! came meanwhile and what comes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::conn::Conn;
use super::event::{Bridge, Channel};
use super::inbox::{Heard, Step};
use super::rest::{AskError, Request};
use super::{Asterisk, News, Snapshot, Watch};
use crate::base::shutdown::Stopping;
use crate::config::limits::ari as limits;

/// The events that are told, and from which something follows. Asterisk is asked to send no others: variables, steps of the
/// dialplan and lamps are most of what it has to say, and keys that callers press (card numbers) are nobody's business.
pub const WANTED: &[&str] = &[
    "ApplicationMoveFailed",
    "ApplicationRegistered",
    "ApplicationReplaced",
    "ApplicationUnregistered",
    "BridgeAttendedTransfer",
    "BridgeBlindTransfer",
    "BridgeDestroyed",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelCreated",
    "ChannelDestroyed",
    "ChannelEnteredBridge",
    "ChannelHangupRequest",
    "ChannelHold",
    "ChannelLeftBridge",
    "ChannelStateChange",
    "ChannelUnhold",
    "ChannelUserevent",
    "Dial",
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
    #[error("{0} are no list")]
    Unreadable(&'static str),
}

/// How far it was told.
#[derive(Debug, Default)]
struct Known {
    /// The connection that was announced.
    at: Option<u64>,
    /// One of whose Asterisk the state could not be read.
    refused: Option<u64>,
    /// Until when all is known, by our clock, microseconds since 1970 UTC.
    until_us: Option<i64>,
}

impl Known {
    fn told(&mut self, heard: &Heard) {
        // Others tell of single calls, or told before this one.
        if self.at == Some(heard.conn) {
            self.until_us = self.until_us.max(Some(heard.received_us));
        }
    }

    fn lost(&mut self, heard_us: Option<i64>) {
        self.at = None;
        self.until_us = self.until_us.max(heard_us);
    }

    /// A snapshot of `start_us` is taken at `now_us`: since when it was not known what happened.
    fn met(&mut self, conn: u64, (start_us, now_us): (i64, i64)) -> Option<(i64, i64)> {
        let gap = self.until_us.map(|until_us| (until_us, now_us));
        (self.at, self.until_us) = (Some(conn), Some(start_us));
        gap
    }

    /// No snapshot can be had. Returns whether that connection had been announced: events of it were thrown away, so that what is
    /// left of them tells too little.
    fn failed(&mut self, conn: u64) -> bool {
        self.refused = Some(conn);
        self.at.take_if(|at| *at == conn).is_some()
    }
}

/// Tells until `stopping`.
pub(super) async fn run(asterisk: Arc<Asterisk>, watch: Arc<dyn Watch>, mut stopping: Stopping) {
    let mut known = Known::default();
    let mut turn = 0;
    while !stopping.is_stopping() {
        match asterisk.inbox.step(known.at, known.refused) {
            Step::Tell(heard) => {
                known.told(&heard);
                watch.hear(&asterisk, News::Told(heard.told));
                turn += 1;
                if turn % TURN == 0 {
                    tokio::task::yield_now().await;
                }
            }
            Step::CallLeft(application) => watch.hear(&asterisk, News::CallLeft(application)),
            Step::Lost(heard_us) => {
                known.lost(heard_us);
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
                        let gap = known.met(conn.id, (start_us, asterisk.clock.now_us()));
                        watch.hear(&asterisk, News::Connected { snapshot, gap });
                    }
                    Err(error) => {
                        tracing::warn!(ari.asterisk = asterisk.name(), %error, "Asterisk's state can't be read");
                        if known.failed(conn.id) {
                            watch.hear(&asterisk, News::Lost);
                        }
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
    let bridges: Vec<Bridge> = read("bridges", done(conn, Request::get("bridges")).await?.0)?;
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

/// One that can't be read must not hide the others.
fn read<T: DeserializeOwned>(what: &'static str, body: Value) -> Result<Vec<T>, MeetError> {
    let Value::Array(all) = body else { return Err(MeetError::Unreadable(what)) };
    let one = |one: Value| {
        let id = one["id"].as_str().unwrap_or_default().to_owned();
        serde_json::from_value(one)
            .inspect_err(|error| tracing::error!(%error, id, "one of Asterisk's {what} can't be read"))
            .ok()
    };
    Ok(all.into_iter().filter_map(one).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::event::{Event, Told};

    fn heard(conn: u64, received_us: i64) -> Heard {
        let event = Event::ApplicationReplaced {};
        let told = Told { application: "a".into(), asterisk_id: "b".into(), at_us: received_us, event };
        Heard { conn, received_us, told }
    }

    /// What was thrown away is in the gap, however late the state could be read, and whatever came meanwhile.
    #[test]
    fn a_gap_lasts_until_the_state_was_read() {
        let mut known = Known::default();
        assert_eq!(known.met(1, (5, 6)), None);
        known.told(&heard(1, 10));
        // Too many came; the snapshot that is to stand for them fails.
        assert!(known.failed(1), "it has to be told");
        assert_eq!((known.at, known.refused), (None, Some(1)));
        known.told(&heard(1, 20));
        known.told(&heard(7, 30));
        assert!(!known.failed(2), "nobody had been told of it");
        assert_eq!(known.met(3, (40, 41)), Some((10, 41)));
        known.lost(Some(50));
        // A single call's connection tells nothing of the others.
        known.told(&heard(7, 60));
        assert_eq!(known.met(4, (70, 71)), Some((50, 71)));
    }

    #[test]
    fn what_can_not_be_read_hides_nothing_else() {
        let nulls = json!({"id": "a", "name": null, "state": null, "caller": null, "connected": {"name": null, "number": null},
            "dialplan": {"context": null, "exten": null, "priority": null, "app_name": null}, "creationtime": null,
            "channelvars": {"A": null, "B": "b"}});
        let channels: Vec<Channel> =
            read("channels", json!([nulls, {"name": "no id"}, {"id": "b"}])).unwrap();
        assert_eq!(channels.iter().map(|channel| channel.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(channels[0].channelvars.get("B").map(String::as_str), Some("b"));
        let bridges: Vec<Bridge> =
            read("bridges", json!([{"id": "x", "technology": null, "channels": null}, 7])).unwrap();
        assert_eq!(bridges.len(), 1);
        assert!(read::<Bridge>("bridges", json!({})).is_err());
    }
}
