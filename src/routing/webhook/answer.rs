//! What a tenant's server may answer, and the check of its text.
//!
//! Fields that are not known here are passed over, so that a server may answer with more than we read today. A known
//! field with a wrong type or content makes the whole answer bad, because half an understood answer would send a
//! caller to the wrong place. Text is limited to characters that cannot change the meaning of a dialplan line.
//! Whether the target exists and belongs to the tenant is for the rules to say.
//!
//! Invariant: no error repeats anything of the answer.

use serde::{Deserialize, Serialize};

use crate::base::ids::Sound;
use crate::config::limits::webhook as limits;

/// What an answer may ask for: the actions of the dialplan contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of the dialplan contract")]
pub enum WebhookAction {
    Queue,
    Endpoint,
    Ivr,
    Script,
    External,
    Voicemail,
    Playback,
    Hangup,
}

impl WebhookAction {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "queue" => Self::Queue,
            "endpoint" => Self::Endpoint,
            "ivr" => Self::Ivr,
            "script" => Self::Script,
            "external" => Self::External,
            "voicemail" => Self::Voicemail,
            "playback" => Self::Playback,
            "hangup" => Self::Hangup,
            _ => return None,
        })
    }
}

/// A checked answer. That its target exists and is the tenant's own is *not* checked here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WebhookAnswer {
    /// What to do.
    pub action: WebhookAction,
    /// With what: 1 to 80 of `A-Z a-z 0-9 _ . + * # @ : / -`; empty only for `hangup`.
    pub target: String,
    /// Seconds to ring or wait, 1 to 7,200; `None` leaves it to the tenant's settings.
    pub timeout_s: Option<u32>,
    /// Options of the action, at most 16 letters and digits; empty for none. Which of them a tenant may use is for the rules.
    pub options: String,
    /// A sound that the caller hears first; empty for none.
    pub message: String,
}

#[derive(Deserialize)]
struct RawAnswer {
    action: String,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    timeout: Option<u32>,
    #[serde(default)]
    options: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

impl WebhookAnswer {
    /// Reads and checks the body of an answer.
    ///
    /// # Errors
    /// A sentence for the tenant's trace, without any of the answer's content.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let raw: RawAnswer = serde_json::from_slice(body).map_err(|error| {
            // serde's own text may quote the answer; its place is enough to find the fault.
            let what = if error.is_data() { "not the expected fields" } else { "not JSON" };
            format!("{what}, line {} column {}", error.line(), error.column())
        })?;
        let action = WebhookAction::named(&raw.action).ok_or("unknown action")?;
        let target = raw.target.unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.+*#@:/-".contains(c);
        if target.len() > limits::TARGET_CHARS || !target.chars().all(plain) {
            return Err("target: at most 80 of A-Z a-z 0-9 _ . + * # @ : / -".to_owned());
        }
        if target.is_empty() && action != WebhookAction::Hangup {
            return Err("target: missing".to_owned());
        }
        if raw.timeout.is_some_and(|seconds| !(1..=limits::ANSWER_TIMEOUT_MAX_S).contains(&seconds)) {
            return Err("timeout: 1 to 7200 seconds".to_owned());
        }
        let options = raw.options.unwrap_or_default();
        if options.len() > limits::OPTIONS_CHARS || !options.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err("options: at most 16 letters and digits".to_owned());
        }
        let message = raw.message.unwrap_or_default();
        if !message.is_empty() && Sound::parse(&message).is_err() {
            return Err("message: a sound's name, 1 to 120 of A-Z a-z 0-9 _ - / & .".to_owned());
        }
        Ok(Self { action, target, timeout_s: raw.timeout, options, message })
    }
}
