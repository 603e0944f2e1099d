//! Click to call: the phone of whoever clicked rings first, then the number is called as if that phone had dialled it, by
//! the same rules.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Board, Control, Refusal};
use crate::ari::{Answer, Asterisk, Request};
use crate::base::ids::{Id, Name, Number, TenantId, global_name};
use crate::calls::{CallAndDecision, Decided, Direction, Record, Started};
use crate::config::limits::live as limits;
use crate::routing::{Router, Way};

/// Who calls whom.
#[derive(Clone, Debug)]
pub struct Click {
    /// The tenant.
    pub tenant: TenantId,
    /// The endpoint that rings first.
    pub from: Name,
    /// The number or extension that is called then.
    pub to: String,
    /// The number that is shown to it; empty: as if the endpoint had dialled.
    pub shows: String,
}

impl Click {
    /// What is put on record.
    fn begins(&self, id: &Id, channel: &str, way: Way, at_us: i64) -> CallAndDecision<serde_json::Value> {
        let direction = if way == Way::Inside { Direction::Internal } else { Direction::Outbound };
        let started = Started {
            id: id.clone(),
            direction,
            did: self.to.clone(),
            caller: self.from.to_string(),
            caller_name: String::new(),
            channel: String::new(),
            uniqueid: channel.to_owned(),
            linkedid: channel.to_owned(),
            language: String::new(),
            at_us,
        };
        let decided = Decided {
            id: id.clone(),
            tenant: Some(self.tenant.clone()),
            hook: "originate".into(),
            action: "endpoint".into(),
            target: global_name(&self.tenant, &self.from),
            reason: "click-to-call".into(),
            at_us,
            record: false,
            trace: json!({ "hook": "originate", "steps": [], "to": self.to }),
            runs: Vec::new(),
        };
        CallAndDecision { started, decided }
    }
}

/// A number outside that is called.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// For whom.
    pub tenant: &'a TenantId,
    /// The number.
    pub number: &'a Number,
    /// The dialplan's context in which whoever answers begins, at `s`.
    pub context: &'a str,
    /// What its channel carries.
    pub variables: &'a [(&'a str, &'a str)],
    /// The number that the phone is shown; empty: Asterisk's own.
    pub shows: &'a str,
    /// Seconds it rings.
    pub ring_s: u32,
}

/// The context that dials for a phone.
const CLICK: &str = "hookswitch-click";

/// The channel of a call that we begin: the Asterisk it is on can be read out of it ([`crate::calls::open::made`]).
pub(super) fn clicked(asterisk: &str, call: &str) -> String {
    format!("hs-{asterisk}-{call}")
}

impl Control {
    /// Begins a call. Its id is ours, and on record before Asterisk is asked. Returns it.
    ///
    /// # Errors
    /// When the number leads nowhere by the rules, the tenant has no room for another call, the endpoint can't be called, or
    /// Asterisk is away.
    pub async fn click(self: &Arc<Self>, click: &Click) -> Result<Id, Refusal> {
        let may = self.router.would_dial(&click.tenant, &click.from, &click.to, true).await;
        let refused = |why: String| match Router::is_limit(&why) {
            true => Refusal::Limit(why),
            false => Refusal::Target(why),
        };
        let way = may.map_err(refused)?;
        let endpoint = global_name(&click.tenant, &click.from);
        let asterisk = self.home(&endpoint).await?;
        let id = self.ids.next();
        let channel = clicked(asterisk.name(), id.as_str());
        // Somebody in need takes nobody's place.
        let counted = Some(&click.tenant).filter(|_| way != Way::Emergency);
        self.router.live.add(&id, counted, &click.to);
        self.write(&Record::Began(click.begins(&id, &channel, way, self.clock.now_us()))).await;
        let request = Request::post("channels")
            .with("endpoint", format!("PJSIP/{endpoint}"))
            .with("context", CLICK)
            .with("extension", &click.to)
            .with("priority", 1)
            .with("callerId", format!("{} <{}>", click.to, click.to))
            .with("timeout", limits::RING_S)
            .with("channelId", &channel)
            .json(json!({ "variables": {
                "HS_CALL_ID": id.as_str(),
                "HS_TENANT": click.tenant.as_str(),
                "HS_SHOWS": if click.shows.is_empty() { click.from.as_str() } else { &click.shows },
            } }));
        match self.ask(asterisk.name(), request).await {
            Ok(_) => Ok(id),
            // It may ring all the same: whoever clicked hears that it failed, so it is taken back.
            Err(away @ Refusal::Away(_)) => {
                tokio::spawn(Arc::clone(self).take_back(asterisk.name().to_owned(), id, channel));
                Err(away)
            }
            Err(refusal) => {
                self.never_was(&id, &channel).await;
                Err(match refusal {
                    // Asterisk says no more than that it could not make the channel.
                    Refusal::Pbx(_) => Refusal::Target("endpoint-unavailable".into()),
                    other => other,
                })
            }
        }
    }

    /// Where an endpoint is registered, as far as that is known: it is asked for only where there is a choice.
    async fn home(&self, endpoint: &str) -> Result<&Arc<Asterisk>, Refusal> {
        let connected: Vec<_> = self.links.all().filter(|asterisk| asterisk.is_connected()).collect();
        if let [first, _, ..] = connected.as_slice() {
            for asterisk in &connected {
                let known = Request::get("endpoints").part("PJSIP").part(endpoint);
                // One that does not answer can't be it.
                let is_there = |answer: Answer| answer.body["state"] == "online";
                if self.ask(asterisk.name(), known).await.is_ok_and(is_there) {
                    return Ok(asterisk);
                }
            }
            return Ok(first);
        }
        connected.first().copied().ok_or(Refusal::NoPbx)
    }

    /// Ends a channel of which it is not known whether it was made, once Asterisk can be asked. Where it was, Asterisk's events
    /// tell the end of its call.
    async fn take_back(self: Arc<Self>, asterisk: String, id: Id, channel: String) {
        for _ in 0..limits::TAKE_BACK_TRIES {
            match self.ask(&asterisk, Request::delete("channels").part(&channel)).await {
                Ok(_) => return,
                Err(Refusal::Gone) => return self.never_was(&id, &channel).await,
                Err(_) => tokio::time::sleep(limits::TAKE_BACK_PAUSE).await,
            }
        }
        // The next look at that Asterisk as a whole finds it, or its end.
        tracing::warn!(call.id = %id, "whether a call was made that was to be taken back is not known");
    }

    /// Calls a number outside, and sends whoever answers into the dialplan. Returns the channel; what becomes of it
    /// [`Control::reached`] tells.
    ///
    /// # Errors
    /// When it can't be called, or Asterisk is away.
    pub async fn outside(&self, out: &Outside<'_>) -> Result<String, Refusal> {
        let asterisk = self.any()?.name().to_owned();
        let way = match self.router.trunk(out.tenant, out.number).await {
            Some(trunk) => format!("PJSIP/%s@{trunk}"),
            None => self.global(&asterisk, "HS_TRUNK").await?,
        };
        let channel = format!("hs-out-{}", self.ids.next());
        let variables: serde_json::Map<String, serde_json::Value> =
            out.variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let mut request = Request::post("channels")
            .with("endpoint", way.replacen("%s", out.number.as_str(), 1))
            .with("context", out.context)
            .with("extension", "s")
            .with("priority", 1)
            .with("timeout", out.ring_s)
            .with("channelId", &channel);
        if !out.shows.is_empty() {
            request = request.with("callerId", format!("{0} <{0}>", out.shows));
        }
        let request = request.json(json!({ "variables": variables }));
        self.ask(&asterisk, request).await?;
        Ok(channel)
    }

    /// Whether an Asterisk is connected.
    pub fn is_connected(&self) -> bool {
        self.any().is_ok()
    }

    /// Whether somebody answers on a channel that was called, within a time; `None`: nobody told.
    pub async fn reached(&self, channel: &str, within: Duration) -> Option<bool> {
        reached(&self.board, channel, within).await
    }

    /// A global variable of the dialplan.
    async fn global(&self, asterisk: &str, name: &str) -> Result<String, Refusal> {
        let answer = self.ask(asterisk, Request::get("asterisk/variable").with("variable", name)).await?;
        Ok(answer.body["value"].as_str().unwrap_or_default().to_owned())
    }

    /// A call whose channel was never made.
    async fn never_was(&self, id: &Id, channel: &str) {
        let ended = crate::calls::Ended {
            id: Some(id.clone()),
            uniqueid: channel.to_owned(),
            linkedid: channel.to_owned(),
            at_us: self.clock.now_us(),
            by: "live".into(),
            disposition: "FAILED".into(),
            ..crate::calls::Ended::default()
        };
        self.router.live.remove(id);
        self.write::<serde_json::Value>(&Record::Ended(ended)).await;
    }
}

async fn reached(board: &Board, channel: &str, within: Duration) -> Option<bool> {
    let start = Instant::now();
    // Asterisk's answer overtakes its events: of a channel that was not seen yet nothing is known.
    let mut was_there = false;
    loop {
        let seen = board.until(|table| match table.leg(channel) {
            Some(leg) if leg.is_up() => Some(Some(true)),
            Some(_) if !was_there => Some(None),
            None if was_there => Some(Some(false)),
            _ => None,
        });
        match seen.await {
            Some(Some(answered)) => return Some(answered),
            Some(None) => was_there = true,
            None => {}
        }
        if start.elapsed() > within {
            return was_there.then_some(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ari::event;
    use crate::base::clock::Clock;
    use crate::base::metrics::Metrics;

    /// The table hears of a channel after Asterisk's answer that it was made.
    #[tokio::test(start_paused = true)]
    async fn a_channel_that_is_not_seen_yet_is_not_gone() {
        let (board, _items) = Board::new(Clock::system(), Arc::new(Metrics::default()), None);
        let told = |kind: &str, state: &str| {
            let channel = json!({"id": "out", "name": "PJSIP/carrier-1", "state": state, "protocol_id": "", "accountcode": "",
                "caller": {"name": "", "number": ""}, "connected": {"name": "", "number": ""}, "language": "en",
                "dialplan": {"context": "x", "exten": "s", "priority": 1, "app_name": "", "app_data": ""},
                "creationtime": "2026-11-22T11:09:10.142+0000", "channelvars": {}});
            let event = json!({"type": kind, "application": "hookswitch", "asterisk_id": "x", "channel": channel,
                "timestamp": "2026-11-22T11:10:00.000+0000", "cause": 16, "cause_txt": ""});
            board.table().take("pbx", &event::parse(&event.to_string()).unwrap());
            board.touch();
        };
        for (last, answered) in [("Up", true), ("Down", false)] {
            let waits = reached(&board, "out", Duration::from_secs(25));
            tokio::pin!(waits);
            let early = tokio::time::timeout(Duration::from_secs(1), &mut waits).await;
            assert!(early.is_err(), "{early:?}");
            told("ChannelCreated", "Down");
            assert!(tokio::time::timeout(Duration::from_secs(1), &mut waits).await.is_err());
            told(if answered { "ChannelStateChange" } else { "ChannelDestroyed" }, last);
            assert_eq!(waits.await, Some(answered));
            told("ChannelDestroyed", "Up");
        }
        // One that is never seen may be there all the same: its news is late.
        assert_eq!(reached(&board, "never", Duration::from_secs(25)).await, None);
    }
}
