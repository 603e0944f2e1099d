//! One channel of a call.

use crate::ari::event::{Channel, Told};
use crate::base::ids::{Id, Name, TenantId, split_global_name};

/// Variables that `asterisk/ari/ari.conf` has every channel tell (`channelvars`).
pub mod variables {
    /// Asterisk's linkedid.
    pub const LINKEDID: &str = "CHANNEL(linkedid)";
    /// The call that the dialplan of this channel runs.
    pub const CALL: &str = "HS_CALL_ID";
    /// Whose it is.
    pub const TENANT: &str = "HS_TENANT";
    /// `1`: another channel carries that call on.
    pub const ELSEWHERE: &str = "HS_ELSEWHERE";
    /// What we do with the channel, see [`super::Place`].
    pub const PLACE: &str = "HS_LIVE";
}

/// What a channel is to its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A phone, or a line of the carrier.
    Phone,
    /// Half of a pair inside Asterisk, whose other half dials.
    Local,
    /// Listens to another channel.
    Snoop,
}

/// What we do with a channel that Asterisk's dialplan has handed to us (`HS_LIVE`). It is written on the channel itself, so
/// that it outlives us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// The dialplan has it.
    #[default]
    Dialplan,
    /// It talks in our bridge.
    Talk,
    /// It hears music until its peer comes back.
    Held,
    /// It hears music until who is asked first answers, or does not.
    Waits,
    /// It hears music in a slot, from which anybody may take it.
    Parked(Slot),
    /// It was called to be asked before the call is handed to it.
    Asked,
    /// It listens; how much it may say is in the word.
    Monitor(Mode),
}

/// Where somebody is parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Its number.
    pub number: u16,
    /// When whoever is in it goes back to who put him there, seconds since 1970 UTC.
    pub until_s: i64,
    /// Who that was: the endpoint, as Asterisk names it; empty: none of the tenant's.
    pub by: String,
}

impl Slot {
    /// Reads `<number>:<until>:<by>`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let number = parts.next()?.parse().ok()?;
        let until_s = parts.next()?.parse().ok()?;
        Some(Self { number, until_s, by: parts.next()?.to_owned() })
    }
}

/// How a supervisor takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Hears both.
    Listen,
    /// Hears both, and the agent hears him.
    Whisper,
    /// Talks with both.
    Barge,
}

impl Mode {
    /// In the words of the API.
    pub const WORDS: &[&str] = &["listen", "whisper", "barge"];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Whisper => "whisper",
            Self::Barge => "barge",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Listen, Self::Whisper, Self::Barge].into_iter().find(|mode| mode.as_str() == word)
    }
}

impl Place {
    /// As it stands on the channel.
    pub fn to_text(&self) -> String {
        match self {
            Self::Dialplan => String::new(),
            Self::Talk => "talk".into(),
            Self::Held => "held".into(),
            Self::Waits => "waits".into(),
            Self::Parked(slot) => format!("parked:{}:{}:{}", slot.number, slot.until_s, slot.by),
            Self::Asked => "asked".into(),
            Self::Monitor(mode) => format!("monitor:{}", mode.as_str()),
        }
    }

    /// Reads it; what is not ours is the dialplan's.
    pub fn parse(text: &str) -> Self {
        match text.split_once(':').unwrap_or((text, "")) {
            ("talk", _) => Self::Talk,
            ("held", _) => Self::Held,
            ("waits", _) => Self::Waits,
            ("asked", _) => Self::Asked,
            ("parked", slot) => Slot::parse(slot).map_or(Self::Held, Self::Parked),
            ("monitor", mode) => Mode::parse(mode).map_or(Self::Dialplan, Self::Monitor),
            _ => Self::Dialplan,
        }
    }
}

/// A live channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Leg {
    /// Asterisk's id of the channel.
    pub id: String,
    /// Its name, such as `PJSIP/acme-101-00000002`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Asterisk's state: `Down`, `Ring`, `Ringing`, `Up` ...
    pub state: String,
    /// Asterisk's linkedid.
    pub linkedid: String,
    /// The call whose dialplan runs on it.
    pub call: Option<Id>,
    /// Whose call that is.
    pub tenant: Option<TenantId>,
    /// Whether another one carries on the call that it ran: what it says of that call does not count any more.
    pub(in crate::calls) handed_on: bool,
    /// The tenant's endpoint at its far end; `None`: a line of the carrier's.
    pub endpoint: Option<(TenantId, Name)>,
    /// Who it is: number and name.
    pub party: (String, String),
    /// The number of who is at the other end.
    pub connected: String,
    /// The number that it dialled, where a dialplan runs on it.
    pub dialled: String,
    /// The application that the dialplan runs on it now.
    pub application: String,
    /// When it came to be, microseconds since 1970 UTC.
    pub created_us: i64,
    /// When it was answered, as far as we saw it; microseconds since 1970 UTC.
    pub answered_us: Option<i64>,
    /// Whether it was ever answered, seen or not.
    pub was_up: bool,
    /// Since when its phone holds the other side; microseconds since 1970 UTC.
    pub holds_us: Option<i64>,
    /// Whether it may hold without our knowing: an Asterisk that is looked at as a whole does not say.
    pub(in crate::calls) may_hold: bool,
    /// Since when it talks with somebody; microseconds since 1970 UTC.
    pub talks_us: Option<i64>,
    /// Whether it has ever talked.
    pub talked: bool,
    /// The bridge it is in.
    pub bridge: Option<String>,
    /// The channel that dialled it.
    pub dialled_by: Option<String>,
    /// Whether Asterisk's dialplan has handed it to us.
    pub ours: bool,
    /// By which Asterisk's connection; two may lead to the same one.
    pub(in crate::calls) ours_by: Option<String>,
    /// How often that was told: whoever waits for it to happen waits for one more.
    pub starts: u32,
    /// What we do with it.
    pub place: Place,
    /// Whether we have said so since it came to us: what was told before that comes late.
    pub placed: bool,
    /// Connections that see it, by the name of their Asterisk.
    pub seen_by: Vec<String>,
    /// The connection for a single call that alone tells of it: its end will not be told.
    pub(in crate::calls) only_by: Option<String>,
    /// The last word on it, microseconds since 1970 UTC, and by which connection.
    pub(in crate::calls) told_us: i64,
    pub(in crate::calls) told_by: String,
}

/// Where a word on a channel comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct By<'a> {
    pub(super) asterisk: &'a str,
    /// The application of a connection for a single call; `None`: a connection for all.
    pub(super) call: Option<&'a str>,
}

impl<'a> By<'a> {
    pub(super) fn of(asterisk: &'a str, told: &'a Told) -> Self {
        let application = told.application.as_str();
        Self { asterisk, call: application.contains(':').then_some(application) }
    }

    /// The connection. Only within one the order of words is that of what happened.
    fn connection(&self) -> &'a str {
        self.call.unwrap_or(self.asterisk)
    }
}

impl Leg {
    /// Whether it has been answered and is there.
    pub fn is_up(&self) -> bool {
        self.state == "Up"
    }

    /// As it is told alone.
    #[cfg(test)]
    pub(crate) fn new(channel: &Channel, at_us: i64) -> Self {
        let mut leg = Self::begin(channel, at_us);
        leg.take(By { asterisk: "", call: None }, channel, at_us);
        leg
    }

    /// A channel that was not known before, of which nothing was taken yet.
    pub(super) fn begin(channel: &Channel, at_us: i64) -> Self {
        Self {
            id: channel.id.clone(),
            name: channel.name.clone(),
            kind: kind(&channel.name),
            state: String::new(),
            linkedid: channel.id.clone(),
            call: None,
            tenant: None,
            handed_on: false,
            endpoint: endpoint(&channel.name),
            party: (String::new(), String::new()),
            connected: String::new(),
            dialled: String::new(),
            application: String::new(),
            created_us: if channel.creationtime > 0 { channel.creationtime } else { at_us },
            answered_us: None,
            was_up: false,
            holds_us: None,
            may_hold: false,
            talks_us: None,
            talked: false,
            bridge: None,
            dialled_by: None,
            ours: false,
            ours_by: None,
            starts: 0,
            place: Place::Dialplan,
            placed: false,
            seen_by: Vec::new(),
            only_by: None,
            told_us: i64::MIN,
            told_by: String::new(),
        }
    }

    /// Takes what Asterisk says of it now. What another connection said later stays: by one alone it comes in its order,
    /// whatever Asterisk's clock does.
    pub(super) fn take(&mut self, by: By<'_>, channel: &Channel, at_us: i64) {
        if self.told_by != by.connection() {
            if at_us < self.told_us {
                return;
            }
            by.connection().clone_into(&mut self.told_by);
        }
        self.told_us = at_us;
        self.was_up |= channel.state == "Up";
        if channel.state == "Up" && self.state != "Up" && !self.state.is_empty() {
            self.answered_us = Some(at_us);
        }
        self.state.clone_from(&channel.state);
        self.name.clone_from(&channel.name);
        self.party = (channel.caller.number.clone(), channel.caller.name.clone());
        self.connected.clone_from(&channel.connected.number);
        self.application.clone_from(&channel.dialplan.app_name);
        // The shipped dialplan keeps the number as extension; its helpers are called `s`.
        if channel.dialplan.exten.len() > 1 {
            self.dialled.clone_from(&channel.dialplan.exten);
        }
        let told = |name: &str| channel.channelvars.get(name).map(String::as_str).filter(|v| !v.is_empty());
        if let Some(linkedid) = told(variables::LINKEDID) {
            linkedid.clone_into(&mut self.linkedid);
        }
        // What was told before a hand-over may come late; of a channel that is new it is the last word.
        self.handed_on |= self.seen_by.is_empty() && told(variables::ELSEWHERE) == Some("1");
        if let Some(call) =
            told(variables::CALL).and_then(|id| Id::parse(id).ok()).filter(|_| !self.handed_on)
        {
            self.call = Some(call);
        }
        if let Some(tenant) = told(variables::TENANT).and_then(|id| TenantId::parse(id).ok()) {
            self.tenant = Some(tenant);
        }
        if !self.placed
            && let Some(place) = channel.channelvars.get(variables::PLACE)
        {
            self.place = Place::parse(place);
        }
    }

    /// It is ours by an Asterisk's connection.
    pub(super) fn comes(&mut self, asterisk: &str) {
        (self.ours, self.ours_by) = (true, Some(asterisk.to_owned()));
    }

    /// It is not ours any more, if it was by this one.
    pub(super) fn leaves(&mut self, asterisk: &str) {
        if self.ours_by.as_deref() == Some(asterisk) {
            (self.ours, self.ours_by) = (false, None);
        }
    }

    /// Whether this Asterisk's connection sees it.
    pub(super) fn is_seen_by(&self, asterisk: &str) -> bool {
        self.seen_by.iter().any(|name| name == asterisk)
    }

    /// Whether it is ours, or will be.
    pub fn is_in_hand(&self) -> bool {
        self.ours || self.place != Place::Dialplan
    }

    /// Whether it counts as somebody who talks.
    pub fn can_talk(&self) -> bool {
        self.state == "Up" && self.kind != Kind::Snoop
    }

    /// The number of the slot it is parked in.
    pub fn slot(&self) -> Option<u16> {
        match &self.place {
            Place::Parked(slot) => Some(slot.number),
            _ => None,
        }
    }

    /// Whether it rings.
    pub fn is_ringing(&self) -> bool {
        self.state == "Ringing"
    }

    /// Whether it is called by a dialplan and has not come into a talk yet: it rings, or was answered a moment ago.
    pub fn is_called(&self) -> bool {
        let rings = self.is_ringing() || (self.state == "Up" && !self.talked && self.dialled_by.is_some());
        rings && self.call.is_none() && self.kind == Kind::Phone && !self.ours
    }
}

fn kind(name: &str) -> Kind {
    match name.split('/').next() {
        Some("Local") => Kind::Local,
        Some("Snoop") => Kind::Snoop,
        _ => Kind::Phone,
    }
}

/// The endpoint in a channel's name: `PJSIP/acme-101-00000002`. Asterisk counts channels in at least eight hexadecimal
/// digits.
pub fn endpoint(channel: &str) -> Option<(TenantId, Name)> {
    let (name, counter) = channel.strip_prefix("PJSIP/")?.rsplit_once('-')?;
    let counts = counter.len() >= 8 && counter.bytes().all(|b| b.is_ascii_hexdigit());
    split_global_name(name).ok().filter(|_| counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_in_the_names_of_channels() {
        let named = |text: &str| endpoint(text).map(|(tenant, name)| format!("{tenant} {name}"));
        assert_eq!(named("PJSIP/acme-101-0000002a").as_deref(), Some("acme 101"));
        assert_eq!(named("PJSIP/acme-front-desk-0000002a").as_deref(), Some("acme front-desk"));
        for other in
            ["PJSIP/carrier-0000002a", "PJSIP/acme-101", "Local/acme-101-0000002a", "PJSIP/acme-101-x", ""]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }

    #[test]
    fn places_are_read_as_they_were_written() {
        for place in [
            Place::Dialplan,
            Place::Talk,
            Place::Held,
            Place::Waits,
            Place::Parked(Slot { number: 701, until_s: 1_795_686_447, by: "acme-front-desk".into() }),
            Place::Parked(Slot { number: 702, until_s: 0, by: String::new() }),
            Place::Asked,
            Place::Monitor(Mode::Whisper),
        ] {
            assert_eq!(Place::parse(&place.to_text()), place);
        }
        for other in ["x", "monitor:", "monitor:x"] {
            assert_eq!(Place::parse(other), Place::Dialplan, "{other}");
        }
        assert_eq!(Place::parse("parked:x"), Place::Held);
        assert!(Mode::WORDS.iter().all(|word| Mode::parse(word).is_some_and(|mode| mode.as_str() == *word)));
    }
}
