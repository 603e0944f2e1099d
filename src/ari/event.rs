//! What Asterisk tells, as types: every event of Asterisk 22.10 and the objects in them, read out of its JSON.
//!
//! Names and meanings are Asterisk's own (`rest-api/api-docs/events.json`), times are microseconds since 1970 UTC. Reading is
//! pure and never panics: fields that are not known are passed over, text and numbers that are missing are empty. Only what an
//! event is about (its channel, its bridge) must be there: a call without an id is worse than none.

use std::collections::HashMap;

use chrono::DateTime;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What stands in a channel for caller and connected line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Party {
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    #[serde(deserialize_with = "or_default")]
    pub number: String,
}

/// Where a channel is in the dialplan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Dialplan {
    #[serde(deserialize_with = "or_default")]
    pub context: String,
    #[serde(deserialize_with = "or_default")]
    pub exten: String,
    #[serde(deserialize_with = "or_default")]
    pub priority: i64,
    #[serde(deserialize_with = "or_default")]
    pub app_name: String,
    #[serde(deserialize_with = "or_default")]
    pub app_data: String,
}

/// One leg of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Channel {
    /// Asterisk's uniqueid, or what whoever made the channel chose.
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// `Down`, `Ring`, `Ringing`, `Up`, `Busy` and others.
    #[serde(default, deserialize_with = "or_default")]
    pub state: String,
    /// Of SIP: the Call-ID.
    #[serde(default, deserialize_with = "or_default")]
    pub protocol_id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub caller: Party,
    #[serde(default, deserialize_with = "or_default")]
    pub connected: Party,
    #[serde(default, deserialize_with = "or_default")]
    pub accountcode: String,
    #[serde(default, deserialize_with = "or_default")]
    pub dialplan: Dialplan,
    /// Microseconds since 1970 UTC; Asterisk says milliseconds.
    #[serde(default, deserialize_with = "time_us")]
    pub creationtime: i64,
    #[serde(default, deserialize_with = "or_default")]
    pub language: String,
    /// Those of `channelvars` in `ari.conf`.
    #[serde(default, deserialize_with = "texts")]
    pub channelvars: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub caller_rdnis: String,
    #[serde(default, deserialize_with = "or_default")]
    pub tenantid: String,
}

/// What joins channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Bridge {
    pub id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub technology: String,
    #[serde(default, deserialize_with = "or_default")]
    pub bridge_type: String,
    #[serde(default, deserialize_with = "or_default")]
    pub bridge_class: String,
    #[serde(default, deserialize_with = "or_default")]
    pub creator: String,
    #[serde(default, deserialize_with = "or_default")]
    pub name: String,
    /// Ids.
    #[serde(default, deserialize_with = "or_default")]
    pub channels: Vec<String>,
    /// Microseconds since 1970 UTC.
    #[serde(default, deserialize_with = "time_us")]
    pub creationtime: i64,
}

/// A sound that is played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Playback {
    pub id: String,
    #[serde(default)]
    pub media_uri: String,
    #[serde(default)]
    pub next_media_uri: String,
    #[serde(default)]
    pub target_uri: String,
    #[serde(default)]
    pub language: String,
    /// `queued`, `playing`, `continuing`, `done`, `failed` (a file that is not there, of which the request said nothing).
    #[serde(default)]
    pub state: String,
}

/// A recording that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct LiveRecording {
    pub name: String,
    #[serde(default)]
    pub format: String,
    #[serde(default)]
    pub target_uri: String,
    #[serde(default)]
    pub state: String,
    /// Seconds.
    #[serde(default)]
    pub duration: i64,
    /// Seconds.
    #[serde(default)]
    pub talking_duration: i64,
    /// Seconds.
    #[serde(default)]
    pub silence_duration: i64,
    /// Why it failed.
    #[serde(default)]
    pub cause: String,
}

/// A phone or trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Endpoint {
    pub technology: String,
    pub resource: String,
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    pub channel_ids: Vec<String>,
}

/// Where an endpoint has registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct ContactInfo {
    pub uri: String,
    /// `Reachable`, `Unreachable`, `NonQualified`, `Removed` and others.
    pub contact_status: String,
    pub aor: String,
    /// Microseconds, as text.
    #[serde(deserialize_with = "or_default")]
    pub roundtrip_usec: String,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct Peer {
    pub peer_status: String,
    pub cause: String,
    pub address: String,
    pub port: String,
    pub time: String,
}

/// What a lamp shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct DeviceState {
    pub name: String,
    pub state: String,
}

/// An attended transfer: the parties' channels, and what they were joined by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct AttendedTransfer {
    pub transferer_first_leg: Channel,
    pub transferer_second_leg: Channel,
    pub replace_channel: Option<Channel>,
    pub transferee: Option<Channel>,
    pub transfer_target: Option<Channel>,
    #[serde(default)]
    pub result: String,
    #[serde(default)]
    pub is_external: bool,
    pub transferer_first_leg_bridge: Option<Bridge>,
    pub transferer_second_leg_bridge: Option<Bridge>,
    #[serde(default)]
    pub destination_type: String,
    #[serde(default)]
    pub destination_bridge: String,
    #[serde(default)]
    pub destination_application: String,
    pub destination_link_first_leg: Option<Channel>,
    pub destination_link_second_leg: Option<Channel>,
    pub destination_threeway_channel: Option<Channel>,
    pub destination_threeway_bridge: Option<Bridge>,
}

/// A blind transfer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct BlindTransfer {
    /// Who transfers.
    pub channel: Channel,
    pub replace_channel: Option<Channel>,
    pub transferee: Option<Channel>,
    #[serde(default)]
    pub exten: String,
    #[serde(default)]
    pub context: String,
    #[serde(default)]
    pub result: String,
    #[serde(default)]
    pub is_external: bool,
    pub bridge: Option<Bridge>,
}

/// An answer to a request over the socket; Asterisk counts it among the events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are Asterisk's")]
pub struct RestResponse {
    pub transaction_id: String,
    pub request_id: String,
    pub status_code: u16,
    pub reason_phrase: String,
    pub uri: String,
    pub content_type: String,
    /// JSON, as text.
    #[serde(deserialize_with = "or_default")]
    pub message_body: String,
}

/// One event as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Which application it was sent to: ours, or `<ours>:<channel name>` of a connection for one call.
    pub application: String,
    /// Which Asterisk says it: its entity id.
    pub asterisk_id: String,
    /// When it happened, by Asterisk's clock: microseconds since 1970 UTC, of which Asterisk says milliseconds.
    pub at_us: i64,
    /// What happened.
    pub event: Event,
}

/// A text that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or without `type`.
    #[error("not an event: {0}")]
    Shape(String),
    /// A type that is known, without what it is about, or with a value of another kind.
    #[error("{kind}: {why}")]
    Fields {
        /// The type.
        kind: String,
        /// What is wrong.
        why: String,
    },
}

macro_rules! events {
    ($($(#[$docs:meta])* $name:ident $body:tt,)*) => {
        /// What happened. The fields are Asterisk's.
        #[derive(Clone, Debug, PartialEq, Deserialize)]
        #[serde(tag = "type")]
        #[expect(missing_docs, reason = "the fields are Asterisk's")]
        pub enum Event {
            $($(#[$docs])* $name $body,)*
            /// A type of a newer Asterisk, or none of ours, and all that it says.
            #[serde(skip)]
            Unknown { kind: String, body: Value },
        }

        /// The types that [`parse`] knows: all of Asterisk 22.10.
        pub const KINDS: &[&str] = &[$(stringify!($name)),*];

        impl Event {
            /// Its type, as Asterisk writes it.
            pub fn kind(&self) -> &str {
                match self {
                    $(Self::$name { .. } => stringify!($name),)*
                    Self::Unknown { kind, .. } => kind,
                }
            }
        }
    };
}

events! {
    /// `move` did not find the other application.
    ApplicationMoveFailed { channel: Channel, #[serde(default)] destination: String, #[serde(default)] args: Vec<String> },
    /// Asterisk has connected, and serves the application from now on.
    ApplicationRegistered {},
    /// Another connection has taken the application.
    ApplicationReplaced {},
    /// The configuration no longer has the application.
    ApplicationUnregistered {},
    /// A transfer after a question.
    BridgeAttendedTransfer { #[serde(flatten)] transfer: Box<AttendedTransfer> },
    /// A transfer without one.
    BridgeBlindTransfer { #[serde(flatten)] transfer: Box<BlindTransfer> },
    /// A bridge is there.
    BridgeCreated { bridge: Bridge },
    /// A bridge is gone.
    BridgeDestroyed { bridge: Bridge },
    /// A bridge took the channels of another.
    BridgeMerged { bridge: Bridge, bridge_from: Bridge },
    /// Another picture is shown.
    BridgeVideoSourceChanged { bridge: Bridge, #[serde(default)] old_video_source_id: String },
    /// `StasisBroadcast()` offers a call.
    CallBroadcast { channel: Channel },
    /// Somebody took a call that was offered.
    CallClaimed { channel: Channel },
    /// The caller's number or name changed.
    ChannelCallerId {
        #[serde(default)] caller_presentation: i64,
        #[serde(default)] caller_presentation_txt: String,
        channel: Channel,
    },
    /// The other side's number or name changed.
    ChannelConnectedLine { channel: Channel },
    /// A channel is there.
    ChannelCreated { channel: Channel },
    /// A channel is gone, and why (Q.850).
    ChannelDestroyed { #[serde(default)] cause: i64, #[serde(default)] cause_txt: String, channel: Channel },
    /// A step in the dialplan.
    ChannelDialplan { #[serde(default)] dialplan_app: String, #[serde(default)] dialplan_app_data: String, channel: Channel },
    /// A key was pressed and let go.
    ChannelDtmfReceived { #[serde(default)] digit: String, #[serde(default)] duration_ms: i64, channel: Channel },
    /// A channel has entered a bridge.
    ChannelEnteredBridge { bridge: Bridge, channel: Option<Channel> },
    /// Somebody wants a channel to end.
    ChannelHangupRequest { #[serde(default)] cause: i64, #[serde(default)] soft: bool, channel: Channel },
    /// A phone put its call on hold.
    ChannelHold { #[serde(default, deserialize_with = "or_default")] musicclass: String, channel: Channel },
    /// A channel has left a bridge.
    ChannelLeftBridge { bridge: Bridge, channel: Channel },
    /// It rings, it is up.
    ChannelStateChange { channel: Channel },
    /// Silence.
    ChannelTalkingFinished { #[serde(default)] duration: i64, channel: Channel },
    /// A voice.
    ChannelTalkingStarted { channel: Channel },
    /// A tone that was listened for.
    ChannelToneDetected { channel: Channel },
    /// A phone asks for a transfer that the application is to make.
    ChannelTransfer { #[serde(default)] state: String, #[serde(default)] refer_to: Value, #[serde(default)] referred_by: Value },
    /// A phone took its call back from hold.
    ChannelUnhold { channel: Channel },
    /// Somebody's own event.
    ChannelUserevent {
        #[serde(default)] eventname: String,
        #[serde(default)] userevent: Value,
        channel: Option<Channel>,
        bridge: Option<Bridge>,
        endpoint: Option<Endpoint>,
    },
    /// A variable was set; a global one without channel.
    ChannelVarset { #[serde(default)] variable: String, #[serde(default)] value: String, channel: Option<Channel> },
    /// A registration changed, or its phone is reached or not.
    ContactStatusChange { endpoint: Endpoint, #[serde(default)] contact_info: ContactInfo },
    /// A lamp changed.
    DeviceStateChanged { device_state: DeviceState },
    /// A dialling began (`dialstatus` is empty), went on or ended.
    Dial {
        caller: Option<Channel>,
        peer: Channel,
        #[serde(default)] forward: String,
        forwarded: Option<Box<Channel>>,
        #[serde(default)] dialstring: String,
        #[serde(default)] dialstatus: String,
    },
    /// An endpoint is online or offline. Asterisk 22 does not send it: see the next and `ContactStatusChange`.
    EndpointStateChange { endpoint: Endpoint },
    /// An endpoint is reached or not.
    PeerStatusChange { endpoint: Endpoint, #[serde(default)] peer: Peer },
    /// The next sound of a list.
    PlaybackContinuing { playback: Playback },
    /// A sound has ended, or could not be played.
    PlaybackFinished { playback: Playback },
    /// A sound is played.
    PlaybackStarted { playback: Playback },
    /// An answer to a request.
    RESTResponse { #[serde(flatten)] answer: RestResponse },
    /// A recording failed.
    RecordingFailed { recording: LiveRecording },
    /// A recording has ended.
    RecordingFinished { recording: LiveRecording },
    /// A recording runs.
    RecordingStarted { recording: LiveRecording },
    /// A channel has left the application.
    StasisEnd { channel: Channel },
    /// A channel has entered the application.
    StasisStart { #[serde(default)] args: Vec<String>, channel: Channel, replace_channel: Option<Channel> },
    /// A text message.
    TextMessageReceived { #[serde(default)] message: Value, endpoint: Option<Endpoint> },
}

/// What stands around every event.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    application: String,
    #[serde(default, deserialize_with = "or_default")]
    asterisk_id: String,
    #[serde(default, deserialize_with = "time_us")]
    timestamp: i64,
}

/// Reads one text frame. Its time is 0 where Asterisk says none that can be read.
///
/// # Errors
/// When it is no event, or one of a known type without what it is about.
pub fn parse(text: &str) -> Result<Told, ParseError> {
    let head: Head = serde_json::from_str(text).map_err(|e| ParseError::Shape(e.to_string()))?;
    let event = if KINDS.contains(&head.kind.as_str()) {
        serde_json::from_str(text)
            .map_err(|e| ParseError::Fields { kind: head.kind.clone(), why: e.to_string() })?
    } else {
        let body = serde_json::from_str(text).map_err(|e| ParseError::Shape(e.to_string()))?;
        Event::Unknown { kind: head.kind, body }
    };
    Ok(Told { application: head.application, asterisk_id: head.asterisk_id, at_us: head.timestamp, event })
}

/// `null` is as good as nothing: Asterisk writes it for some texts that are not set.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// As [`or_default`], of each of them.
fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<HashMap<String, String>, D::Error> {
    let texts: Option<HashMap<String, Option<String>>> = Option::deserialize(from)?;
    Ok(texts.unwrap_or_default().into_iter().map(|(name, text)| (name, text.unwrap_or_default())).collect())
}

/// `2026-11-22T11:09:10.142+0000`; 0 for anything else.
fn time_us<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text: Option<std::borrow::Cow<'_, str>> = Option::deserialize(from)?;
    let time = text.and_then(|text| DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M:%S%.f%z").ok());
    Ok(time.map_or(0, |time| time.timestamp_micros()))
}

/// What the fuzz target runs: whatever comes is read or refused, and a known type keeps its name.
#[doc(hidden)]
pub fn fuzz(text: &str) {
    if let Ok(told) = parse(text) {
        let known = KINDS.contains(&told.event.kind());
        assert_eq!(known, !matches!(told.event, Event::Unknown { .. }), "{text}");
    }
}

#[cfg(test)]
mod tests;
