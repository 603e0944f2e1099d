//! One channel of a call.

use crate::ari::event::Channel;
use crate::base::ids::{Id, Name, TenantId, split_global_name};

/// Variables that `asterisk/ari/ari.conf` has every channel tell (`channelvars`).
pub mod variables {
    /// Asterisk's linkedid.
    pub const LINKEDID: &str = "CHANNEL(linkedid)";
    /// The call that the dialplan of this channel runs.
    pub const CALL: &str = "HS_CALL_ID";
    /// Whose it is.
    pub const TENANT: &str = "HS_TENANT";
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
    /// Since when its phone holds the other side; microseconds since 1970 UTC.
    pub holds_us: Option<i64>,
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
    /// What we do with it.
    pub place: Place,
    /// Connections that see it, by the name of their Asterisk.
    pub seen_by: Vec<String>,
    /// The last word on it, microseconds since 1970 UTC.
    pub told_us: i64,
}

impl Leg {
    /// Whether it has been answered and is there.
    pub fn is_up(&self) -> bool {
        self.state == "Up"
    }

    /// A channel that was not known before.
    pub fn new(channel: &Channel, at_us: i64) -> Self {
        let mut leg = Self {
            id: channel.id.clone(),
            name: channel.name.clone(),
            kind: kind(&channel.name),
            state: String::new(),
            linkedid: channel.id.clone(),
            call: None,
            tenant: None,
            endpoint: endpoint(&channel.name),
            party: (String::new(), String::new()),
            connected: String::new(),
            dialled: String::new(),
            application: String::new(),
            created_us: if channel.creationtime > 0 { channel.creationtime } else { at_us },
            answered_us: None,
            holds_us: None,
            talks_us: None,
            talked: false,
            bridge: None,
            dialled_by: None,
            ours: false,
            place: Place::Dialplan,
            seen_by: Vec::new(),
            told_us: i64::MIN,
        };
        leg.take(channel, at_us);
        leg
    }

    /// Takes what Asterisk says of it now. What is older than the last word changes nothing.
    pub fn take(&mut self, channel: &Channel, at_us: i64) {
        if at_us < self.told_us {
            return;
        }
        self.told_us = at_us;
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
        if let Some(call) = told(variables::CALL).and_then(|id| Id::parse(id).ok()) {
            self.call = Some(call);
        }
        if let Some(tenant) = told(variables::TENANT).and_then(|id| TenantId::parse(id).ok()) {
            self.tenant = Some(tenant);
        }
        if let Some(place) = channel.channelvars.get(variables::PLACE) {
            self.place = Place::parse(place);
        }
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
