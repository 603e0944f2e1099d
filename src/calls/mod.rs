//! Calls: which are alive now, what is written down about each, and how they get into the database.
//!
//! What happens to a call is a [`Record`] in the journal; [`store`] turns records into rows.

pub mod api;
pub mod board;
pub mod cdr;
pub mod control;
pub mod events;
pub mod exports;
pub mod happened;
pub mod legs;
pub mod legs_store;
pub mod live;
pub mod open;
pub mod recordings;
mod records;
pub mod retention;
pub mod stats;
mod stats_store;
pub mod store;
pub mod table;

use serde::{Deserialize, Serialize};

use crate::base::ids::{Id, TenantId};
use crate::plugins::Run;

pub use store::{linkedid, living_at, traces};

/// How a call came to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From a trunk to a DID.
    Inbound,
    /// From an endpoint to another.
    Internal,
    /// From an endpoint to a number outside.
    Outbound,
}

impl Direction {
    /// The text kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Internal => "internal",
            Self::Outbound => "outbound",
        }
    }
}

/// A call as it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its id, `HS_CALL_ID`.
    pub id: Id,
    /// How it came.
    pub direction: Direction,
    /// The number as dialled.
    pub did: String,
    /// The caller's number; empty when withheld.
    pub caller: String,
    /// The caller's name.
    pub caller_name: String,
    /// Asterisk's channel.
    pub channel: String,
    /// Asterisk's uniqueid of the channel.
    pub uniqueid: String,
    /// Asterisk's linkedid: the same for all channels of a call.
    pub linkedid: String,
    /// Language of the channel.
    pub language: String,
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
}

/// What the call does now, and the trace of why (made by routing; from here on JSON that is kept as it is). Whoever
/// writes gives the trace itself as `T`, so that it is turned into JSON once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decided<T = Box<serde_json::value::RawValue>> {
    /// The call.
    pub id: Id,
    /// Its tenant; `None`: the number is nobody's.
    pub tenant: Option<TenantId>,
    /// The hook that asked.
    pub hook: String,
    /// `HS_ACTION`.
    pub action: String,
    /// `HS_TARGET`.
    pub target: String,
    /// `HS_REASON`.
    pub reason: String,
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
    /// Whether the call is recorded from here on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub record: bool,
    /// The trace.
    pub trace: T,
    /// Runs of plugins on the way to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
}

/// A call as it ended. What Asterisk did not say is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The call; `None`: the dialplan never got an id, `uniqueid` tells which.
    pub id: Option<Id>,
    /// Asterisk's uniqueid of the channel.
    pub uniqueid: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// Asterisk's channel; empty: it was known when the call began.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub channel: String,
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
    /// Who told: `hook`, `late` (kept by Asterisk while we were away), `legs` (Asterisk's own records), `live` (Asterisk's events),
    /// `lost` (nobody did).
    pub by: String,
    /// Q.850 cause.
    pub cause: Option<i64>,
    /// ANSWERED, NO ANSWER, BUSY, FAILED or CONGESTION.
    pub disposition: String,
    /// When it was answered, microseconds since 1970 UTC.
    pub answered_us: Option<i64>,
    /// Whole length in milliseconds.
    pub duration_ms: Option<i64>,
    /// Answered length in milliseconds.
    pub billed_ms: Option<i64>,
    /// The channel that talked to the caller last; of a call without talk the one that was called last.
    pub answered_by: String,
    /// DIALSTATUS.
    pub dial_status: String,
    /// QUEUESTATUS.
    pub queue_status: String,
    /// VMSTATUS.
    pub voicemail_status: String,
    /// Whether somebody had it recorded by a key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
    /// Why the dialplan took the operator's fallback; empty when it did not.
    pub fallback: String,
    /// Number dialled, for a call that we never decided.
    pub did: String,
    /// Caller's number, for a call that we never decided.
    pub caller: String,
    /// How long somebody talked to the caller, all parts together, in milliseconds.
    #[serde(default)]
    pub talk_ms: Option<i64>,
    /// Whether who talked to the caller handed the call on.
    #[serde(default)]
    pub transferred: bool,
}

/// A line of the journal about calls. Externally tagged: only so can the trace stay unparsed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record<T = Box<serde_json::value::RawValue>> {
    /// A call began and was decided.
    Began(CallAndDecision<T>),
    /// A later decision of the same call.
    Moved(Decided<T>),
    /// A call ended.
    Ended(Ended),
    /// Something happened to a living call.
    Seen(Seen),
}

/// An event of a living call, of which the call's row says nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Whose call.
    pub tenant: TenantId,
    /// What orders it: `call:<id>`.
    pub key: String,
    /// The event's type.
    pub kind: String,
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
    /// What it says.
    pub data: crate::api::Record,
}

/// The first record of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CallAndDecision<T = Box<serde_json::value::RawValue>> {
    /// The call as it began.
    pub started: Started,
    /// What it does now.
    pub decided: Decided<T>,
}

/// A length of talk as the dialplan reckons it, seconds with decimals, in milliseconds.
pub fn talk_ms(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    // Far below 2^53; what is longer than a call can be is no length.
    (0.0..1e9).contains(&seconds).then(|| (seconds * 1e3).round() as i64)
}

/// Cuts a text to `most` characters, and drops control characters, so that both databases take it.
pub fn fit(text: &str, most: usize) -> String {
    // The usual case, and several times as fast.
    if text.len() <= most && text.bytes().all(|b| (b' '..0x7f).contains(&b)) {
        return text.to_owned();
    }
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_talk() {
        assert_eq!((talk_ms("0"), talk_ms("02.3450000001"), talk_ms("0 ")), (Some(0), Some(2_345), None));
        assert_eq!(
            (talk_ms("-1"), talk_ms("inf"), talk_ms("NaN"), talk_ms("1e300")),
            (None, None, None, None)
        );
    }

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(fit("añb\u{0}c\nd", 3), "añb");
        assert_eq!(fit("a\nb", 10), "ab");
    }
}
