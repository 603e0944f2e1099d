//! The words routing speaks: what is known of a call, where it can go, what was decided. The same values serve the
//! AGI session, the simulator, the replay and the benchmark.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::ids::{IdError, Name, Number, Sound, TenantId};
use crate::config::limits::routing as limits;
use crate::sandbox::Outcome;
use crate::sandbox::types::{Decision as PluginDecision, Field};

/// A dialplan hook that wants a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// A call enters from a trunk.
    Route,
    /// An action ended without reaching a person.
    Next,
    /// A menu runs on the open connection.
    Ivr,
    /// A call script runs on the open connection.
    Script,
    /// A registered endpoint dials.
    Internal,
    /// A caller asks to be called back, or answers.
    Callback,
}

impl Hook {
    /// The name of the script in the AGI URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Next => "next",
            Self::Ivr => "ivr",
            Self::Script => "script",
            Self::Internal => "internal",
            Self::Callback => "callback",
        }
    }
}

/// What a decision depends on besides the tenant's data. Stored in the trace, so that a replay is exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Time of the decision, microseconds since 1970 UTC.
    pub at_us: i64,
    /// The number as dialled.
    pub dialled: String,
    /// The caller's number as Asterisk gave it; empty when withheld.
    pub caller: String,
    /// The caller's name; bytes that were not UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caller_name: String,
    /// The caller's name in the tenant's contacts, looked up meanwhile; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub contact: String,
    /// Language of the channel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// Calls the tenant has at this moment, without this one.
    pub tenant_calls: u32,
    /// Calls the DID has at this moment, without this one.
    pub did_calls: u32,
    /// Calls out that the tenant has at this moment, without this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outbound_calls: u32,
    /// Whether it is one call out too many in this second.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_fast: bool,
    /// `internal`: the endpoint that dials, as Asterisk names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_endpoint: String,
    /// `next`: the action that ended and its status, such as `queue TIMEOUT`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub ended: String,
    /// `ivr`: every digit the caller pressed, in order; `-` where a wait ran out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digits: String,
    /// What the tenant's webhook answered, or the code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookReply>,
    /// What the tenant's plugin answered, or the code of its failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginReply>,
    /// `callback`: what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    /// What the dialplan chose to tell plugins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Field>,
}

/// What came of a wish to be called back, or of calling back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The queue, as Asterisk names it; empty: there is no such callback.
    pub queue: String,
    /// [`Called::TAKEN`], [`Called::ANSWERED`], or why the wish was not taken.
    pub outcome: String,
    /// The place in the line at which the caller enters it, from 1; 0: at the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub position: u32,
    /// Where the call goes on when the queue has not answered it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

impl Called {
    /// The wish was taken.
    pub const TAKEN: &'static str = "taken";
    /// The caller answers.
    pub const ANSWERED: &'static str = "answered";
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What came of a plugin's run, as far as it matters for the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginReply {
    /// Its name.
    pub plugin: String,
    /// Which version ran; 0: none did.
    pub version: u32,
    /// How the run ended.
    pub outcome: Outcome,
    /// Why, for the plugin's author.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// What it decided, when it ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<PluginDecision>,
}

/// What came back from a route webhook, as far as it matters for the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookReply {
    /// An answer that could be read.
    Answer(RawDestination),
    /// A stable code of what went wrong, such as `webhook-timeout`.
    Failed(String),
}

/// A destination as somebody wrote it down: a row, a webhook's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawDestination {
    /// `queue`, `endpoint`, `ivr`, `script`, `external`, `voicemail`, `playback` or `hangup`.
    pub action: String,
    /// Its target: a name of the tenant, a number, a sound, a cause.
    #[serde(default)]
    pub target: String,
    /// Seconds to wait or ring; 0: the target's own.
    #[serde(default)]
    pub timeout_s: u32,
    /// Options of the Asterisk application.
    #[serde(default)]
    pub options: String,
    /// A sound played first.
    #[serde(default)]
    pub message: String,
}

/// A kind of place a call can go to, with its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A queue of the tenant.
    Queue(Name),
    /// An endpoint of the tenant.
    Endpoint(Name),
    /// A menu of the tenant.
    Ivr(Name),
    /// A call script of the tenant: a plugin.
    Script(Name),
    /// A number outside.
    External(Number),
    /// A mailbox of the tenant.
    Voicemail(Name),
    /// An announcement, then the end.
    Playback(Sound),
    /// The end, with a Q.850 cause (1 to 127).
    Hangup(u8),
}

impl Place {
    /// The options of the Asterisk application that a tenant may use: those that stay between the two parties. Without
    /// arguments, so none of them can name a context, an application or a file; and not `d` of Dial and VoiceMail, with
    /// which a key pressed meanwhile starts the dialplan anew, as a second call without an end.
    pub fn options(&self) -> &'static str {
        match self {
            Self::Queue(_) => "cCdhHiIkKnrRtTwWxX",
            Self::Endpoint(_) | Self::External(_) => "cChHiIkKmrRtTwWxX",
            Self::Voicemail(_) => "bus",
            Self::Ivr(_) | Self::Script(_) | Self::Playback(_) | Self::Hangup(_) => "",
        }
    }
}

/// A checked destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where.
    pub place: Place,
    /// Seconds to wait or ring; 0: the target's own.
    pub timeout_s: u32,
    /// Options of the Asterisk application, of those in [`Place::options`].
    pub options: String,
    /// A sound played first.
    pub message: Option<Sound>,
}

/// Why a [`RawDestination`] is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The action is unknown.
    #[error("action {0:?} is none of queue, endpoint, ivr, script, external, voicemail, playback, hangup")]
    Action(String),
    /// The target is not of the action's kind.
    #[error(transparent)]
    Target(#[from] IdError),
    /// The cause is not a Q.850 cause.
    #[error("hangup cause {0:?} is not within 1 to 127")]
    Cause(String),
    /// The options hold a letter that this action does not let a tenant use.
    #[error("options {0:?} are not up to {n} of {1:?}", n = limits::OPTION_CHARS)]
    Options(String, &'static str),
    /// The time-out is too long.
    #[error("time-out of {0} s is longer than a day")]
    Timeout(u32),
}

impl Destination {
    /// A destination without time-out, options or message.
    pub fn to(place: Place) -> Self {
        Self { place, timeout_s: 0, options: String::new(), message: None }
    }

    /// Checks what somebody wrote down.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(raw: &RawDestination) -> Result<Self, DestinationError> {
        let target = raw.target.as_str();
        let place = match raw.action.as_str() {
            "queue" => Place::Queue(Name::parse(target)?),
            "endpoint" => Place::Endpoint(Name::parse(target)?),
            "ivr" => Place::Ivr(Name::parse(target)?),
            "script" => Place::Script(Name::parse(target)?),
            "external" => Place::External(Number::parse(target)?),
            "voicemail" => Place::Voicemail(Name::parse(target)?),
            "playback" => Place::Playback(Sound::parse(target)?),
            "hangup" => match target.parse::<u8>() {
                Ok(cause @ 1..=127) => Place::Hangup(cause),
                _ => return Err(DestinationError::Cause(target.chars().take(20).collect())),
            },
            other => {
                return Err(DestinationError::Action(other.chars().take(limits::OPTION_CHARS).collect()));
            }
        };
        let letters = place.options();
        if raw.options.len() > limits::OPTION_CHARS || !raw.options.chars().all(|c| letters.contains(c)) {
            return Err(DestinationError::Options(
                raw.options.chars().take(limits::OPTION_CHARS).collect(),
                letters,
            ));
        }
        if raw.timeout_s > limits::WAIT_S {
            return Err(DestinationError::Timeout(raw.timeout_s));
        }
        let message = Some(raw.message.as_str()).filter(|m| !m.is_empty()).map(Sound::parse).transpose()?;
        Ok(Self { place, timeout_s: raw.timeout_s, options: raw.options.clone(), message })
    }
}

/// What the dialplan does with the call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Queue(target).
    Queue,
    /// Dial an endpoint.
    Endpoint,
    /// Ask `ivr`.
    Ivr,
    /// Ask `script`.
    Script,
    /// Dial a number over the operator's trunk.
    External,
    /// VoiceMail(target).
    Voicemail,
    /// Play and hang up.
    Playback,
    /// Hang up with the cause in target.
    Hangup,
    /// The fallback that the operator wrote into the dialplan: `HS_ACTION` stays empty.
    Fallback,
}

impl Action {
    /// The value of `HS_ACTION`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Endpoint => "endpoint",
            Self::Ivr => "ivr",
            Self::Script => "script",
            Self::External => "external",
            Self::Voicemail => "voicemail",
            Self::Playback => "playback",
            Self::Hangup => "hangup",
            Self::Fallback => "fallback",
        }
    }
}

/// How far a call has come in its list of destinations. The dialplan carries it back to us (`HS_STATE`), so that
/// `next` needs neither memory nor database, survives a restart and works on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Which list.
    pub origin: Origin,
    /// The entry that was given out last.
    pub stage: Stage,
    /// What a plugin planned to try next, before the entries behind `stage`.
    pub rest: Vec<Planned>,
}

/// A step of a plugin's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Where.
    pub place: Place,
    /// Seconds; 0: the target's own.
    pub timeout_s: u32,
    /// Whether it is recorded; `None`: as the DID says.
    pub record: Option<bool>,
}

impl fmt::Display for Planned {
    /// Such as `q30r-support`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, name): (char, &dyn fmt::Display) = match &self.place {
            Place::Queue(name) => ('q', name),
            Place::Endpoint(name) => ('e', name),
            Place::Ivr(name) => ('i', name),
            Place::Script(name) => ('s', name),
            Place::External(number) => ('x', number),
            Place::Voicemail(name) => ('v', name),
            Place::Playback(sound) => ('p', sound),
            Place::Hangup(cause) => ('h', cause),
        };
        let record = match self.record {
            Some(true) => "r",
            Some(false) => "n",
            None => "",
        };
        write!(f, "{letter}{}{record}-{}", self.timeout_s, name.to_string().replace('&', "^"))
    }
}

impl Planned {
    /// Reads what `Display` wrote.
    fn parse(text: &str) -> Option<Self> {
        let (how, name) = text.split_once('-')?;
        let mut letters = how.chars();
        let letter = letters.next()?;
        let rest = letters.as_str();
        let (digits, record) = match (rest.strip_suffix('r'), rest.strip_suffix('n')) {
            (Some(digits), _) => (digits, Some(true)),
            (_, Some(digits)) => (digits, Some(false)),
            _ => (rest, None),
        };
        let place = match letter {
            'q' => Place::Queue(Name::parse(name).ok()?),
            'e' => Place::Endpoint(Name::parse(name).ok()?),
            'i' => Place::Ivr(Name::parse(name).ok()?),
            's' => Place::Script(Name::parse(name).ok()?),
            'x' => Place::External(Number::parse(name).ok()?),
            'v' => Place::Voicemail(Name::parse(name).ok()?),
            'p' => Place::Playback(Sound::parse(&name.replace('^', "&")).ok()?),
            'h' => Place::Hangup(name.parse().ok()?),
            _ => return None,
        };
        Some(Self { place, timeout_s: digits.parse().ok()?, record })
    }
}

/// Whose list of destinations a call walks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A DID's. The tenant is the one that the call came to: should the number move meanwhile, the call does not.
    Did(TenantId, Number),
    /// The list behind an endpoint of a tenant that was dialled inside: its mailbox.
    Internal(TenantId, Name),
}

/// An entry in a list of destinations; a call only ever moves on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The DID's call script.
    Script,
    /// The static route, or what plugin or webhook chose.
    Primary,
    /// An overflow destination, counted from 0.
    Overflow(u8),
    /// The DID's fallback.
    DidFallback,
    /// The tenant's fallback.
    TenantFallback,
    /// Where calls go outside opening hours or on a holiday.
    Closed,
    /// Where blocked, surplus or unwanted calls go: nothing follows.
    Refused,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Did(tenant, number) => write!(f, "d:{tenant}:{number}:")?,
            Origin::Internal(tenant, name) => write!(f, "i:{tenant}:{name}:")?,
        }
        self.stage.fmt(f)?;
        self.rest.iter().try_for_each(|step| write!(f, "~{step}"))
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script => f.write_str("s"),
            Self::Primary => f.write_str("p"),
            Self::Overflow(n) => write!(f, "o{n}"),
            Self::DidFallback => f.write_str("f"),
            Self::TenantFallback => f.write_str("t"),
            Self::Closed => f.write_str("c"),
            Self::Refused => f.write_str("r"),
        }
    }
}

impl State {
    /// An entry without a plan.
    pub fn at(origin: Origin, stage: Stage) -> Self {
        Self { origin, stage, rest: Vec::new() }
    }

    /// Reads what [`State`]'s `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('~');
        let text = parts.next()?;
        let planned = parts.map(Planned::parse).collect::<Option<Vec<_>>>()?;
        let (rest, stage) = text.rsplit_once(':')?;
        let stage = match stage {
            "s" => Stage::Script,
            "p" => Stage::Primary,
            "f" => Stage::DidFallback,
            "t" => Stage::TenantFallback,
            "c" => Stage::Closed,
            "r" => Stage::Refused,
            other => Stage::Overflow(other.strip_prefix('o')?.parse().ok()?),
        };
        let (kind, rest) = rest.split_once(':')?;
        let (tenant, of) = rest.split_once(':')?;
        let tenant = TenantId::parse(tenant).ok()?;
        let origin = match kind {
            "d" => Origin::Did(tenant, Number::parse(of).ok()?),
            "i" => Origin::Internal(tenant, Name::parse(of).ok()?),
            _ => return None,
        };
        Some(Self { origin, stage, rest: planned })
    }
}

/// What happens to the call now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The tenant, unless nobody owns the number.
    pub tenant: Option<TenantId>,
    /// What the dialplan does.
    pub action: Action,
    /// To what, as Asterisk names it: `acme-support`, `101@acme`, `+1555…`, a menu, a sound, a cause.
    pub target: String,
    /// Seconds to wait or ring; 0: no limit of ours.
    pub timeout_s: u32,
    /// Options of the Asterisk application.
    pub options: String,
    /// The place in a queue's line at which the caller enters it, from 1; 0: at the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub position: u32,
    /// Whether the call is recorded.
    pub record: bool,
    /// Why: a short stable code.
    pub reason: Cow<'static, str>,
    /// A sound played before the recording, once a call; boxed, for few have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announcement: Option<Box<Sound>>,
    /// A sound played first; empty: none.
    pub message: String,
    /// Language of prompts; empty: the channel's.
    pub language: String,
    /// How far the call has come; empty when nothing follows.
    pub state: String,
    /// The tenant's own trunk that an external number is called through, as Asterisk names it; `None`: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Box<str>>,
    /// What a plugin gives the channel, each as `HS_V_<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Field>,
}

/// Stable codes of why a decision is what it is.
pub mod reason {
    #![expect(
        missing_docs,
        reason = "the codes are explained in docs of Decision::reason and in the README table"
    )]
    pub const STATIC: &str = "static";
    pub const OVERFLOW: &str = "overflow";
    pub const FALLBACK: &str = "fallback";
    pub const WEBHOOK: &str = "webhook";
    pub const PLUGIN: &str = "plugin";
    pub const PLUGIN_FAILED: &str = "plugin-failed";
    pub const WEBHOOK_FAILED: &str = "webhook-failed";
    pub const IVR: &str = "ivr";
    pub const IVR_NO_INPUT: &str = "ivr-no-input";
    pub const IVR_LOOP: &str = "ivr-loop";
    pub const IVR_GOODBYE: &str = "ivr-goodbye";
    pub const CALLER_GONE: &str = "caller-gone";
    pub const UNKNOWN_DID: &str = "unknown-did";
    pub const MALFORMED_DID: &str = "malformed-did";
    pub const INACTIVE_DID: &str = "inactive-did";
    pub const SUSPENDED_TENANT: &str = "suspended-tenant";
    pub const TENANT_LIMIT: &str = "tenant-limit";
    pub const DID_LIMIT: &str = "did-limit";
    pub const BLOCKED: &str = "blocked";
    pub const HOLIDAY: &str = "holiday";
    pub const CLOSED: &str = "closed";
    pub const NO_DESTINATION: &str = "no-destination";
    pub const DATA_UNAVAILABLE: &str = "data-unavailable";
    pub const BAD_STATE: &str = "bad-state";
    pub const EXTENSION: &str = "extension";
    pub const VOICEMAIL_CHECK: &str = "voicemail-check";
    pub const OUTBOUND: &str = "outbound";
    pub const OUTBOUND_DENIED: &str = "outbound-denied";
    pub const EMERGENCY: &str = "emergency";
    pub const BLOCKED_DESTINATION: &str = "blocked-destination";
    pub const RATE_LIMIT: &str = "rate-limit";
    pub const OUTBOUND_LIMIT: &str = "outbound-limit";
    pub const CALLBACK: &str = "callback";
    pub const CALLBACK_TAKEN: &str = "callback-taken";
    pub const CALLBACK_REFUSED: &str = "callback-refused";
    pub const CALLBACK_GONE: &str = "callback-gone";
    pub const UNKNOWN_EXTENSION: &str = "unknown-extension";
    pub const UNKNOWN_ENDPOINT: &str = "unknown-endpoint";
    /// Calls that were not let in: they take no place among the live ones.
    pub const REFUSALS: [&str; 8] = [
        INACTIVE_DID,
        SUSPENDED_TENANT,
        TENANT_LIMIT,
        DID_LIMIT,
        BLOCKED,
        BLOCKED_DESTINATION,
        RATE_LIMIT,
        OUTBOUND_LIMIT,
    ];
}

/// Q.850 causes used when nothing better is known; Asterisk turns them into SIP answers.
pub mod cause {
    /// 1, unallocated number (SIP 404).
    pub const UNALLOCATED: u8 = 1;
    /// 16, normal clearing.
    pub const NORMAL: u8 = 16;
    /// 17, user busy (SIP 486): a definite answer that makes no carrier try another way.
    pub const BUSY: u8 = 17;
    /// 19, no answer (SIP 480).
    pub const NO_ANSWER: u8 = 19;
    /// 20, subscriber absent (SIP 480).
    pub const ABSENT: u8 = 20;
    /// 21, call rejected (SIP 403).
    pub const REJECTED: u8 = 21;
    /// 34, no circuit: SIP 503, and the caller hears congestion.
    pub const CONGESTION: u8 = 34;
    /// 41, temporary failure (SIP 500).
    pub const TEMPORARY: u8 = 41;
    /// 42, switching equipment congestion (SIP 503): try again a little later.
    pub const SWITCH_CONGESTION: u8 = 42;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_survive_the_dialplan() {
        for text in [
            "d:acme:+15550001000:p",
            "d:acme:+15550001000:o12",
            "i:acme:101:p",
            "d:acme:+15550001000:f",
            "i:a_b:c-d.e:c",
        ] {
            assert_eq!(State::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "d:acme:+1555:p",
            "d:+15550001000:p",
            "d:acme:+15550001000:",
            "d:acme:+15550001000:o",
            "d:acme:+15550001000:o256",
            "x:acme:101:p",
            "i:acme:p",
        ] {
            assert_eq!(State::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn destinations_are_checked_as_a_whole() {
        let raw = |action: &str, target: &str| RawDestination {
            action: action.into(),
            target: target.into(),
            ..RawDestination::default()
        };
        assert_eq!(Destination::check(&raw("hangup", "17")), Ok(Destination::to(Place::Hangup(17))));
        assert!(Destination::check(&raw("hangup", "0")).is_err());
        assert!(Destination::check(&raw("queue", "Sup port")).is_err());
        assert!(Destination::check(&raw("external", "911")).is_err());
        assert!(Destination::check(&raw("playback", "../../etc/passwd")).is_err());
        assert!(Destination::check(&raw("webhook", "x")).is_err());
        let options = RawDestination { options: "t,U(x)".into(), ..raw("queue", "a") };
        assert!(matches!(Destination::check(&options), Err(DestinationError::Options(..))));
        for (options, ok) in [("tT", true), ("F", false), ("g", false), ("d", false)] {
            let raw = RawDestination { options: options.into(), ..raw("endpoint", "101") };
            assert_eq!(Destination::check(&raw).is_ok(), ok, "{options}");
        }
        let timeout = RawDestination { timeout_s: 86_401, ..raw("queue", "a") };
        assert!(matches!(Destination::check(&timeout), Err(DestinationError::Timeout(_))));
    }
}
