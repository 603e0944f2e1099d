//! A call script's caller: what the plugin asks for goes over the open AGI connection, one thing after the other, while
//! the plugin sleeps.
//!
//! Invariants: after the caller has gone nothing is sent any more and every question is answered `hung-up`; before each
//! step the dialplan's watchdog is set anew, as menus do; names, numbers and targets are checked before they reach
//! Asterisk.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::super::catalogue::Record;
use super::super::command::Deadline;
use super::super::reply::{Digit, Recorded, Reply};
use super::super::{Command, CommandError};
use super::phone::{AgiPhone, KEYS};
use crate::base::clock::Clock;
use crate::base::ids::{Id, Sound};
use crate::config::limits::script as limits;
use crate::routing::ivr::{Heard, Phone as _};
use crate::routing::types::Action;
use crate::routing::{Router, ScriptPlace, trace::Trace};
use crate::sandbox::types::{DialStatus, Failure, GatherOptions, Gathered, Prompt, Recording, Target};
use crate::sandbox::{Answer, Answering, Ask, Host, variable_name, variable_value};

type Done<T> = Result<T, Failure>;

/// What a plugin wants done, and where to say how it went.
pub(super) struct Wanted {
    ask: Ask,
    answer: oneshot::Sender<Done<Answer>>,
}

/// The plugin's end.
pub(super) struct Control(mpsc::Sender<Wanted>);

/// Both ends of the line between a plugin and its caller.
pub(super) fn control() -> (Arc<Control>, mpsc::Receiver<Wanted>) {
    let (send, receive) = mpsc::channel(1);
    (Arc::new(Control(send)), receive)
}

impl Host for Control {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let wanted = Wanted { ask: ask.clone(), answer };
            if self.0.send(wanted).await.is_err() {
                return Err(Failure::HungUp);
            }
            answered.await.unwrap_or(Err(Failure::HungUp))
        })
    }
}

/// The caller's end.
pub(super) struct Caller<'a> {
    phone: AgiPhone<'a>,
    router: &'a Router,
    /// Whose call it is; `None`: nobody's, and it can be sent nowhere.
    place: Option<ScriptPlace>,
    call: Option<Id>,
    clock: &'a Clock,
    recordings: u32,
    gone: bool,
}

impl<'a> Caller<'a> {
    pub(super) fn new(
        (phone, router): (AgiPhone<'a>, &'a Router),
        place: Option<ScriptPlace>,
        call: Option<Id>,
        clock: &'a Clock,
    ) -> Self {
        Self { phone, router, place, call, clock, recordings: 0, gone: false }
    }

    /// Does what a run asks for until it is over.
    pub(super) async fn serve(
        &mut self,
        mut asks: mpsc::Receiver<Wanted>,
        run: impl Future<Output = Trace>,
    ) -> Trace {
        let mut run = std::pin::pin!(run);
        loop {
            let wanted = tokio::select! {
                trace = &mut run => return trace,
                Some(wanted) = asks.recv() => wanted,
            };
            let done = self.one(&wanted.ask).await;
            self.gone |= done == Err(Failure::HungUp);
            // A run that was ended meanwhile does not hear it.
            let _ = wanted.answer.send(done);
        }
    }

    async fn one(&mut self, ask: &Ask) -> Done<Answer> {
        if self.gone {
            return Err(Failure::HungUp);
        }
        match ask {
            Ask::Answer => {
                self.send(Command::answer()).await?;
                Ok(Answer::Nothing)
            }
            Ask::Play { prompts, interrupt_on } => {
                let heard = self.prompts(prompts, keys(interrupt_on)?).await?;
                Ok(Answer::Text(heard.map(|key| char::from(key).to_string())))
            }
            Ask::Say { prompts } => {
                self.prompts(prompts, "").await?;
                Ok(Answer::Nothing)
            }
            Ask::Gather(options) => self.gather(options).await.map(Answer::Gathered),
            Ask::Record { max_seconds, terminators, beep } => {
                self.record(*max_seconds, terminators, *beep).await.map(Answer::Recording)
            }
            Ask::Dial { target, timeout } => self.dial(target, *timeout).await.map(Answer::Dialled),
            Ask::GetVariable { name } => {
                let reply = self.send(Command::get_variable(&variable(name)?)).await?;
                let value = reply.ok().ok().and_then(super::super::Answer::into_value);
                Ok(Answer::Text(value.map(|value| String::from_utf8_lossy(&value).into_owned())))
            }
            Ask::SetVariable { name, value } => {
                variable_value(value).map_err(invalid)?;
                self.send(Command::set_variable(&variable(name)?, value)).await?;
                Ok(Answer::Nothing)
            }
            Ask::Now => Ok(Answer::Moment(u64::try_from(self.clock.now_us() / 1_000).unwrap_or_default())),
            _ => Err(Failure::Other(("internal".into(), "this is no question for a caller".into()))),
        }
    }

    async fn send(&mut self, command: Result<Command, CommandError>) -> Done<Reply> {
        self.phone.ask(command).await.ok_or(Failure::HungUp)
    }

    async fn watch(&mut self, seconds: u32) -> Done<()> {
        self.phone.watch(f64::from(seconds)).await.ok_or(Failure::HungUp)
    }

    /// Plays all; a key of `keys` ends it.
    async fn prompts(&mut self, prompts: &[Prompt], keys: &str) -> Done<Option<u8>> {
        if prompts.len() > limits::PROMPTS {
            return Err(invalid(format!("up to {} prompts at a time", limits::PROMPTS)));
        }
        for prompt in prompts {
            if let Some(key) = self.prompt(prompt, keys).await? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    async fn prompt(&mut self, prompt: &Prompt, keys: &str) -> Done<Option<u8>> {
        let command = match prompt {
            Prompt::Sound(name) => {
                let sound = Sound::parse(name).map_err(|error| invalid(error.to_string()))?;
                for one in sound.as_str().split('&').filter(|one| !one.is_empty()) {
                    match self.phone.play_one(one, keys).await {
                        Heard::Silence => {}
                        Heard::Digit(key) => return Ok(Some(key)),
                        Heard::Gone => return Err(Failure::HungUp),
                    }
                }
                return Ok(None);
            }
            Prompt::Silence(ms) => return self.silence((*ms).min(limits::SILENCE_MS), keys).await,
            Prompt::Digits(text) => Command::say_digits(spoken(text, |c| "0123456789*#".contains(c))?, keys),
            Prompt::Letters(text) => {
                Command::say_alpha(spoken(text, |c| c.is_ascii_alphanumeric() || c == ' ')?, keys)
            }
            Prompt::Number(number) => Command::say_number(*number, keys, None),
            Prompt::Moment(ms) => {
                let unix = i64::try_from(ms / 1_000).unwrap_or_default();
                let zone = self.place.as_ref().map(|place| place.rules.zone.name());
                Command::say_datetime(unix, keys, Some("ABdY 'digits/at' IMp"), zone)
            }
        };
        self.watch(limits::SPOKEN_S).await?;
        match self.send(command).await?.ok().map(|answer| answer.digit()) {
            Ok(Digit::Pressed(key)) => Ok(Some(key)),
            Ok(Digit::None) => Ok(None),
            Ok(Digit::Failed) | Err(_) => self.still_there().await.map(|()| None),
        }
    }

    /// Asterisk tells of a hang-up in front of its next answer.
    async fn still_there(&mut self) -> Done<()> {
        self.send(Command::noop(None)).await?;
        if self.phone.hung_up() { Err(Failure::HungUp) } else { Ok(()) }
    }

    async fn silence(&mut self, ms: u32, keys: &str) -> Done<Option<u8>> {
        match self.phone.digit(ms).await {
            // A key that does not count ends the silence all the same: there is no better command for it.
            Heard::Digit(key) => Ok(Some(key).filter(|key| keys.as_bytes().contains(key))),
            Heard::Silence => Ok(None),
            Heard::Gone => Err(Failure::HungUp),
        }
    }

    async fn gather(&mut self, options: &GatherOptions) -> Done<Gathered> {
        within("maxDigits", u32::from(options.max_digits), 1, limits::DIGITS)?;
        within("timeout", options.timeout, 1, limits::KEY_S)?;
        within("pause", options.pause, 1, limits::KEY_S)?;
        let ends = keys(&options.terminators)?;
        let mut key = self.prompts(&options.prompts, KEYS).await?;
        let mut digits = String::new();
        loop {
            let pressed = match key.take() {
                Some(key) => key,
                None => {
                    let wait = if digits.is_empty() { options.timeout } else { options.pause };
                    match self.phone.digit(wait * 1_000).await {
                        Heard::Digit(key) => key,
                        Heard::Silence => return Ok(Gathered { digits, terminator: None }),
                        Heard::Gone => return Err(Failure::HungUp),
                    }
                }
            };
            let pressed = char::from(pressed);
            if ends.contains(pressed) {
                return Ok(Gathered { digits, terminator: Some(pressed.to_string()) });
            }
            digits.push(pressed);
            if digits.len() == usize::from(options.max_digits) {
                return Ok(Gathered { digits, terminator: None });
            }
        }
    }

    /// Into the folder of recordings, beside those of conversations.
    async fn record(&mut self, seconds: u32, terminators: &str, beep: bool) -> Done<Recording> {
        within("maxSeconds", seconds, 1, limits::RECORD_S)?;
        let ends = keys(terminators)?;
        let Some(call) = self.call.clone() else {
            return Err(Failure::Other((
                "no-call-id".into(),
                "a call without an id can't be recorded".into(),
            )));
        };
        let folder = self.send(Command::get_variable("ASTSPOOLDIR")).await?;
        let folder = folder.ok().ok().and_then(super::super::Answer::into_value).unwrap_or_default();
        self.recordings += 1;
        let id = format!("{call}-{}", self.recordings);
        let file = format!("{}/monitor/{id}", String::from_utf8_lossy(&folder));
        self.watch(seconds + limits::SPOKEN_S).await?;
        let began = self.clock.now_us();
        let record = Record {
            file: &file,
            format: "wav",
            digits: ends,
            timeout_ms: Some(seconds * 1_000),
            offset: None,
            beep,
            silence_s: None,
        };
        let reply = self.send(Command::record_file(record)).await?;
        let took = u32::try_from((self.clock.now_us() - began) / 1_000).unwrap_or(u32::MAX);
        match reply.ok().map(|answer| (answer.recorded(), answer.endpos)) {
            Ok((Recorded::Digit(_) | Recorded::Timeout, samples)) => {
                let exact = samples.and_then(|samples| u32::try_from(samples / 8).ok());
                Ok(Recording { id, milliseconds: exact.unwrap_or(took) })
            }
            Ok((Recorded::Hangup, _)) => Err(Failure::HungUp),
            _ => {
                Err(Failure::Other(("not-recorded".into(), "Asterisk could not write the recording".into())))
            }
        }
    }

    async fn dial(&mut self, target: &Target, timeout: u32) -> Done<DialStatus> {
        within("timeout", timeout, 1, limits::DIAL_S)?;
        let Some(place) = &self.place else { return Err(Failure::NotFound) };
        let call = self.call.as_ref().ok_or(Failure::NotFound)?;
        let (action, to, trunk) = place.reach(self.router, call, target, timeout)?;
        let (application, arguments, status) = match action {
            Action::Endpoint => ("Dial", format!("PJSIP/{to},{timeout},g"), "DIALSTATUS"),
            Action::Queue => ("Queue", format!("{to},c,,,{timeout}"), "QUEUESTATUS"),
            Action::External if let Some(trunk) = trunk => {
                ("Dial", format!("PJSIP/{to}@{trunk},{timeout},g"), "DIALSTATUS")
            }
            Action::External => {
                let trunk = self.send(Command::get_variable("HS_TRUNK")).await?;
                let trunk = trunk.ok().ok().and_then(super::super::Answer::into_value).unwrap_or_default();
                let trunk = String::from_utf8_lossy(&trunk).replace("%s", &to);
                ("Dial", format!("{trunk},{timeout},g"), "DIALSTATUS")
            }
            _ => return Err(invalid("dial reaches an endpoint, a number outside or a queue".into())),
        };
        // A conversation is not to be cut off by the watchdog.
        self.watch(timeout + limits::TALK_S).await?;
        let command = Command::exec(application, Some(&arguments));
        self.send(command.map(|command| command.with_deadline(Deadline::Endless))).await?;
        self.still_there().await?;
        let reply = self.send(Command::get_variable(status)).await?;
        let status = reply.ok().ok().and_then(super::super::Answer::into_value).unwrap_or_default();
        Ok(match status.as_slice() {
            b"ANSWER" | b"CONTINUE" => DialStatus::Answered,
            // A queue says nothing when somebody answered.
            b"" if action == Action::Queue => DialStatus::Answered,
            b"BUSY" | b"FULL" => DialStatus::Busy,
            b"NOANSWER" | b"TIMEOUT" => DialStatus::NoAnswer,
            b"CANCEL" => DialStatus::Cancelled,
            _ => DialStatus::Unavailable,
        })
    }
}

fn invalid(text: String) -> Failure {
    Failure::Invalid(text)
}

fn within(name: &str, value: u32, least: u32, most: u32) -> Done<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(invalid(format!("{name} is {least} to {most}")))
}

/// Keys of a telephone.
fn keys(text: &str) -> Done<&str> {
    if text.chars().all(|key| KEYS.contains(key)) {
        return Ok(text);
    }
    Err(invalid(format!("{text:?} are not keys, which are {KEYS}")))
}

/// A text that is read out.
fn spoken(text: &str, fits: impl Fn(char) -> bool) -> Done<&str> {
    if !text.is_empty() && text.len() <= limits::SPOKEN_CHARACTERS && text.chars().all(fits) {
        return Ok(text);
    }
    Err(invalid(format!("{:?} can't be read out", text.chars().take(40).collect::<String>())))
}

/// The channel's name of a plugin's variable.
fn variable(name: &str) -> Done<String> {
    variable_name(name).map_err(invalid)?;
    Ok(format!("HS_V_{name}"))
}
