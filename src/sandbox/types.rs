//! The words of `wit/1.0.0`, once for both doors: the component model's binary form and the JSON that scripts see.

use serde::{Deserialize, Serialize};
use wasmtime::component::{ComponentType, Lift, Lower};

/// `field`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// `wall-time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct WallTime {
    /// Year.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 1 is Monday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Minutes east of UTC.
    pub offset: i16,
}

/// `party`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Party {
    /// E.164 or an extension.
    #[serde(default)]
    pub number: Option<String>,
    /// Name.
    #[serde(default)]
    pub name: Option<String>,
}

/// `direction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From outside.
    #[default]
    #[component(name = "inbound")]
    Inbound,
    /// To outside.
    #[component(name = "outbound")]
    Outbound,
    /// Between endpoints.
    #[component(name = "internal")]
    Internal,
}

/// `call`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// The call's id.
    pub id: String,
    /// Asterisk's linkedid.
    #[component(name = "linked-id")]
    pub linked_id: String,
    /// How it came.
    pub direction: Direction,
    /// Who calls.
    pub caller: Party,
    /// The number that was dialled.
    pub dialled: String,
    /// Language of the channel.
    #[serde(default)]
    pub language: String,
    /// Now, milliseconds since 1970 UTC.
    pub at: u64,
    /// The same on the tenant's wall.
    #[serde(default)]
    pub local: WallTime,
    /// For decisions by chance.
    #[serde(default)]
    pub seed: u64,
    /// From the dialplan.
    #[serde(default)]
    pub variables: Vec<Field>,
}

/// `target`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(tag = "tag", content = "val", rename_all = "kebab-case")]
pub enum Target {
    /// A queue.
    #[component(name = "queue")]
    Queue(String),
    /// An endpoint.
    #[component(name = "endpoint")]
    Endpoint(String),
    /// A menu.
    #[component(name = "ivr")]
    Ivr(String),
    /// A call script.
    #[component(name = "script")]
    Script(String),
    /// A number outside.
    #[component(name = "external")]
    External(String),
    /// A mailbox.
    #[component(name = "voicemail")]
    Voicemail(String),
    /// A sound, then the end.
    #[component(name = "playback")]
    Playback(String),
}

impl Target {
    /// The name or number.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue(name)
            | Self::Endpoint(name)
            | Self::Ivr(name)
            | Self::Script(name)
            | Self::External(name)
            | Self::Voicemail(name)
            | Self::Playback(name) => name,
        }
    }
}

/// `step`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Where.
    pub target: Target,
    /// Seconds.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Whether it is recorded.
    #[serde(default)]
    pub record: Option<bool>,
}

/// `plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// In their order.
    pub steps: Vec<Step>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// For the channel.
    #[serde(default)]
    pub variables: Vec<Field>,
}

/// `hangup-cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
pub enum HangupCause {
    /// 16.
    #[component(name = "normal")]
    Normal,
    /// 17.
    #[component(name = "busy")]
    Busy,
    /// 21.
    #[component(name = "rejected")]
    Rejected,
    /// 1.
    #[component(name = "unallocated")]
    Unallocated,
    /// 19.
    #[component(name = "no-answer")]
    NoAnswer,
    /// 34.
    #[component(name = "congestion")]
    Congestion,
}

/// `farewell`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Farewell {
    /// Cause.
    pub cause: HangupCause,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `decision`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(tag = "tag", content = "val", rename_all = "kebab-case")]
pub enum Decision {
    /// Nothing to say.
    #[component(name = "pass")]
    Pass,
    /// There.
    #[component(name = "route")]
    Route(Plan),
    /// The end.
    #[component(name = "hang-up")]
    HangUp(Farewell),
}

/// `event`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Event {
    /// `evt_...`.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Milliseconds since 1970 UTC.
    pub at: u64,
    /// The same on the tenant's wall.
    #[serde(default)]
    pub local: WallTime,
    /// What it is about.
    pub key: String,
    /// Its number within the key.
    pub sequence: u64,
    /// For decisions by chance.
    #[serde(default)]
    pub seed: u64,
    /// JSON.
    pub data: String,
}

/// `priority`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum Priority {
    #[component(name = "low")]
    Low,
    #[component(name = "normal")]
    Normal,
    #[component(name = "high")]
    High,
    #[component(name = "urgent")]
    Urgent,
}

/// `ticket-draft`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct TicketDraft {
    /// The plugin's own word for why.
    pub rule: String,
    /// Subject.
    pub subject: String,
    /// Body.
    #[serde(default)]
    pub body: String,
    /// Priority.
    #[serde(default = "normal")]
    pub priority: Priority,
    /// Number of whom it is about.
    #[serde(default)]
    pub contact: Option<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Custom fields.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// What a script's draft has that says nothing of it.
fn normal() -> Priority {
    Priority::Normal
}

/// `failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(tag = "tag", content = "val", rename_all = "kebab-case")]
pub enum Failure {
    /// Not granted.
    #[component(name = "denied")]
    Denied(String),
    /// Not there.
    #[component(name = "not-found")]
    NotFound,
    /// No sense in it.
    #[component(name = "invalid")]
    Invalid(String),
    /// A limit is reached.
    #[component(name = "limit")]
    Limit(String),
    /// Too late.
    #[component(name = "timeout")]
    Timeout,
    /// The caller is gone.
    #[component(name = "hung-up")]
    HungUp,
    /// A code and a text.
    #[component(name = "other")]
    Other((String, String)),
}

/// `log.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// `contacts.contact`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Contact {
    /// Its id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Company.
    #[serde(default)]
    pub company: Option<String>,
    /// E.164.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Custom fields.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// `http.request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method.
    pub method: String,
    /// URL.
    pub url: String,
    /// Headers.
    #[serde(default)]
    pub headers: Vec<Field>,
    /// Body.
    #[serde(default)]
    pub body: Option<String>,
    /// Milliseconds.
    #[serde(default)]
    pub timeout: Option<u32>,
}

/// `http.response`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<Field>,
    /// Body.
    pub body: String,
}

/// `tickets.ticket`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Ticket {
    /// Its id.
    pub id: String,
    /// Subject.
    pub subject: String,
    /// Status.
    pub status: String,
    /// Priority.
    pub priority: Priority,
    /// Milliseconds since 1970 UTC.
    pub created: u64,
    /// Tags.
    pub tags: Vec<String>,
}

/// `call-control.prompt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(variant)]
#[serde(tag = "tag", content = "val", rename_all = "kebab-case")]
pub enum Prompt {
    /// A sound.
    #[component(name = "sound")]
    Sound(String),
    /// Digit by digit.
    #[component(name = "digits")]
    Digits(String),
    /// A number.
    #[component(name = "number")]
    Number(i64),
    /// Spelled.
    #[component(name = "letters")]
    Letters(String),
    /// Date and time.
    #[component(name = "moment")]
    Moment(u64),
    /// Milliseconds of nothing.
    #[component(name = "silence")]
    Silence(u32),
}

/// `call-control.gather-options`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatherOptions {
    /// Played until the first key.
    #[serde(default)]
    pub prompts: Vec<Prompt>,
    /// 1 to 32.
    #[component(name = "max-digits")]
    pub max_digits: u8,
    /// Seconds to the first key.
    pub timeout: u32,
    /// Seconds to each further key.
    pub pause: u32,
    /// Keys that end it.
    #[serde(default)]
    pub terminators: String,
}

/// `call-control.gathered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Gathered {
    /// Without the terminator.
    pub digits: String,
    /// The key that ended it.
    #[serde(default)]
    pub terminator: Option<String>,
}

/// `call-control.recording`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Recording {
    /// Its name.
    pub id: String,
    /// Length.
    pub milliseconds: u32,
}

/// `call-control.dial-status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words explain themselves")]
pub enum DialStatus {
    #[component(name = "answered")]
    Answered,
    #[component(name = "busy")]
    Busy,
    #[component(name = "no-answer")]
    NoAnswer,
    #[component(name = "unavailable")]
    Unavailable,
    #[component(name = "cancelled")]
    Cancelled,
}
