//! Click to call: the phone of whoever clicked rings first, then the number is called as if that phone had dialled it, by
//! the same rules.

use serde_json::json;

use super::{Control, Refusal};
use crate::ari::Request;
use crate::base::ids::{Id, Name, Number, TenantId, global_name};
use crate::calls::{CallAndDecision, Decided, Direction, Record, Started};
use crate::config::limits::live as limits;

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
    /// Seconds it rings.
    pub ring_s: u32,
}

/// The context that dials for a phone.
const CLICK: &str = "hookswitch-click";

/// The channel of a call that we begin: the Asterisk it is on can be read out of it.
pub(super) fn clicked(asterisk: &str, call: &str) -> String {
    format!("hs-{asterisk}-{call}")
}

impl Control {
    /// Begins a call. Its id is ours, and on record before Asterisk is asked. Returns it.
    ///
    /// # Errors
    /// When the number leads nowhere by the rules, the endpoint can't be called, or Asterisk is away.
    pub async fn click(&self, click: &Click) -> Result<Id, Refusal> {
        let is_outside = self.may(&click.tenant, &click.from, &click.to).await?;
        let asterisk = self.any()?;
        let (id, at_us) = (self.ids.next(), self.clock.now_us());
        let channel = clicked(asterisk.name(), id.as_str());
        let endpoint = global_name(&click.tenant, &click.from);
        let direction = if is_outside { Direction::Outbound } else { Direction::Internal };
        let started = Started {
            id: id.clone(),
            direction,
            did: click.to.clone(),
            caller: click.from.to_string(),
            caller_name: String::new(),
            channel: String::new(),
            uniqueid: channel.clone(),
            linkedid: channel.clone(),
            language: String::new(),
            at_us,
        };
        let decided = Decided {
            id: id.clone(),
            tenant: Some(click.tenant.clone()),
            hook: "originate".into(),
            action: "endpoint".into(),
            target: endpoint.clone(),
            reason: "click-to-call".into(),
            at_us,
            record: false,
            trace: json!({ "hook": "originate", "steps": [], "to": click.to }),
            runs: Vec::new(),
        };
        self.router.live.add(&id, Some(&click.tenant), &click.to);
        self.write(&Record::Began(CallAndDecision { started, decided })).await;
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
        let request = Request::post("channels")
            .with("endpoint", way.replacen("%s", out.number.as_str(), 1))
            .with("context", out.context)
            .with("extension", "s")
            .with("priority", 1)
            .with("timeout", out.ring_s)
            .with("channelId", &channel)
            .json(json!({ "variables": variables }));
        self.ask(&asterisk, request).await?;
        Ok(channel)
    }

    /// Whether somebody answers on a channel that was called, within a time.
    pub async fn reached(&self, channel: &str, within: std::time::Duration) -> bool {
        let start = self.clock.now_us();
        let up = |leg: &super::Leg| leg.state == "Up";
        loop {
            let seen = self.board.until(|table| match table.leg(channel) {
                Some(leg) => up(leg).then_some(true),
                None => Some(false),
            });
            if let Some(answered) = seen.await {
                return answered;
            }
            let waited_us = u128::from((self.clock.now_us() - start).max(0).unsigned_abs());
            if waited_us > within.as_micros() {
                return false;
            }
        }
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
