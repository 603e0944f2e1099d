//! The caller at the other end of an AGI connection, as menus see him.
//!
//! Before each step the dialplan's watchdog is set anew: should this process freeze in the middle, the caller is in the
//! operator's fallback at most [`limits::STEP_MARGIN_S`] after the step should have ended.

use std::time::Duration;

use moka::sync::Cache;
use tokio::net::TcpStream;

use super::super::reply::Digit;
use super::super::{AgiError, Command, CommandError, Conn, Reply};
use crate::base::ids::Sound;
use crate::config::limits::ivr as limits;
use crate::routing::Patience;
use crate::routing::ivr::{Heard, Phone};

/// Seconds that prompts last, learned when one was played to its end.
#[derive(Debug)]
pub(super) struct PromptLengths(Cache<String, f64>);

impl Default for PromptLengths {
    fn default() -> Self {
        Self(Cache::new(limits::PROMPTS_KNOWN))
    }
}

/// An AGI connection as a [`Phone`].
#[derive(Debug)]
pub(super) struct AgiPhone<'a> {
    conn: &'a mut Conn<TcpStream>,
    lengths: &'a PromptLengths,
    language: &'a str,
    watched: bool,
}

/// The dialplan's watchdog while a webhook is asked: it gives a usual decision 2.5 s, and a webhook may take longer.
#[derive(Debug)]
pub(super) struct Watchdog<'a> {
    pub(super) conn: &'a mut Conn<TcpStream>,
    pub(super) watched: bool,
}

impl Patience for Watchdog<'_> {
    async fn wait_for(&mut self, budget: Duration) {
        if !self.watched {
            return;
        }
        let limit = format!("{:.1}", budget.as_secs_f64() + limits::STEP_MARGIN_S);
        let asked = Command::set_variable("TIMEOUT(absolute)", &limit);
        // Whoever has gone is noticed when the answer is sent; the decision is written down all the same.
        if let Ok(command) = asked
            && let Err(error) = self.conn.command(&command).await
        {
            tracing::debug!(%error, "the watchdog can't be set before a webhook");
        }
    }
}

pub(super) const KEYS: &str = "0123456789*#";
/// Asterisk reports positions in samples of 8 kHz sound.
const SAMPLES_A_SECOND: f64 = 8_000.0;

impl<'a> AgiPhone<'a> {
    pub(super) fn new(
        conn: &'a mut Conn<TcpStream>,
        lengths: &'a PromptLengths,
        language: &'a str,
        watched: bool,
    ) -> Self {
        Self { conn, lengths, language, watched }
    }

    /// Sends a command; `None` when the caller or the connection has gone.
    pub(super) async fn ask(&mut self, command: Result<Command, CommandError>) -> Option<Reply> {
        match command {
            Ok(command) => match self.conn.command(&command).await {
                Ok(Reply::Dead) | Err(AgiError::HungUp | AgiError::Closed) => None,
                Ok(reply) => Some(reply),
                Err(error) => {
                    tracing::info!(%error, "a menu lost its caller's connection");
                    None
                }
            },
            Err(error) => {
                tracing::error!(%error, "a menu has a sound that can't be sent");
                None
            }
        }
    }

    pub(super) fn hung_up(&self) -> bool {
        self.conn.hung_up()
    }

    pub(super) async fn watch(&mut self, seconds: f64) -> Option<()> {
        if self.watched {
            let limit = format!("{:.1}", seconds + limits::STEP_MARGIN_S);
            self.ask(Command::set_variable("TIMEOUT(absolute)", &limit)).await?;
        }
        Some(())
    }

    pub(super) async fn play_one(&mut self, sound: &str, keys: &str) -> Heard {
        let key = format!("{}/{sound}", self.language);
        let known = self.lengths.0.get(&key);
        if self.watch(known.unwrap_or(limits::PROMPT_S)).await.is_none() {
            return Heard::Gone;
        }
        let Some(reply) = self.ask(Command::stream_file(sound, keys, None)).await else { return Heard::Gone };
        let Reply::Ok(answer) = reply else {
            tracing::warn!(sound, "Asterisk refused to play a prompt");
            return Heard::Silence;
        };
        match answer.digit() {
            Digit::Pressed(digit) => Heard::Digit(digit),
            Digit::None => {
                if let Some(samples) = answer.endpos.filter(|n| *n > 0 && known.is_none()) {
                    #[expect(
                        clippy::cast_precision_loss,
                        reason = "a prompt has far fewer than 2^52 samples"
                    )]
                    self.lengths.0.insert(key, samples as f64 / SAMPLES_A_SECOND);
                }
                Heard::Silence
            }
            Digit::Failed => {
                // Asterisk tells of a hang-up in front of its next answer, not of this one.
                if self.ask(Command::noop(None)).await.is_none() || self.conn.hung_up() {
                    return Heard::Gone;
                }
                tracing::warn!(sound, "a prompt can't be played; is the file there?");
                Heard::Silence
            }
        }
    }
}

impl Phone for AgiPhone<'_> {
    async fn play(&mut self, sound: &Sound, interruptible: bool) -> Heard {
        let keys = if interruptible { KEYS } else { "" };
        for one in sound.as_str().split('&').filter(|one| !one.is_empty()) {
            match self.play_one(one, keys).await {
                Heard::Silence => {}
                heard => return heard,
            }
        }
        Heard::Silence
    }

    async fn digit(&mut self, wait_ms: u32) -> Heard {
        if self.watch(f64::from(wait_ms) / 1_000.0).await.is_none() {
            return Heard::Gone;
        }
        let Some(reply) = self.ask(Command::wait_for_digit(Some(wait_ms))).await else { return Heard::Gone };
        let Reply::Ok(answer) = reply else { return Heard::Gone };
        match answer.digit() {
            Digit::Pressed(digit) => Heard::Digit(digit),
            Digit::None => Heard::Silence,
            Digit::Failed => Heard::Gone,
        }
    }
}
