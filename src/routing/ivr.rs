//! Menus: what a caller hears and presses until it is clear where the call goes. The dialogue is written against
//! [`Phone`], so the same code runs on an AGI connection, in the simulator and in a replay.
//!
//! Invariants: a menu asks at most `max_tries` times; a dialogue enters at most [`limits::HOPS`] menus; a hang-up
//! ends it at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use super::data::TenantRules;
use super::trace::Recorder;
use super::types::{Destination, Place};
use crate::base::ids::{Name, Sound};
use crate::config::limits::ivr as limits;

/// One menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Its name within the tenant.
    pub name: Name,
    /// What is said, by language; the entry of the empty language serves where none fits.
    pub prompts: BTreeMap<String, Sound>,
    /// Said after a wrong choice.
    pub invalid: Option<Sound>,
    /// Said before the call ends here.
    pub goodbye: Option<Sound>,
    /// Time to press the first digit once the prompt is over.
    pub first_digit_ms: u32,
    /// Time to press the next digit while more than one choice is possible.
    pub inter_digit_ms: u32,
    /// How often the menu asks.
    pub max_tries: u32,
    /// Whether extensions of the tenant can be dialled.
    pub direct_dial: bool,
    /// Choices by the digits that make them.
    pub options: BTreeMap<String, Choice>,
}

/// What a choice does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The call goes on there; another menu is a destination too.
    Go(Destination),
    /// The menu says its prompt again; this is no failed try.
    Repeat,
    /// Back to the menu before.
    Back,
    /// Goodbye and hang up.
    Goodbye,
}

/// What came from the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A key: `0` to `9`, `*`, `#`, `A` to `D`.
    Digit(u8),
    /// Nothing in time.
    Silence,
    /// The caller hung up.
    Gone,
}

/// Somebody to talk to.
pub trait Phone: Send {
    /// Plays a sound. A key ends it early and is returned when `interruptible`.
    fn play(&mut self, sound: &Sound, interruptible: bool) -> impl Future<Output = Heard> + Send;
    /// Waits for a key.
    fn digit(&mut self, wait_ms: u32) -> impl Future<Output = Heard> + Send;
}

/// How a dialogue ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The caller chose a place.
    Go(Destination),
    /// The caller chose to end.
    Goodbye,
    /// No usable choice in all tries.
    NoInput,
    /// Too many menus in one dialogue.
    Loop,
    /// The caller hung up.
    Gone,
}

/// What digits pressed so far mean.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// A choice, and nothing longer starts with it.
    Final(Choice),
    /// A choice, but more digits could make another.
    Perhaps(Choice),
    /// No choice yet.
    Partial,
    /// No choice starts like this.
    Nothing,
}

impl Menu {
    fn meaning(&self, rules: &TenantRules, digits: &str) -> Meaning {
        let own = self.options.get(digits).cloned();
        let longer = self.options.keys().any(|k| k.len() > digits.len() && k.starts_with(digits));
        let (dialled, longer_dialled) = if self.direct_dial {
            let choice = rules.by_extension(digits).map(|(_, to)| Choice::Go(to));
            let names = rules.endpoints.keys().map(Name::as_str);
            let queues = rules.queues.values().map(|q| q.extension.as_str());
            (choice, names.chain(queues).any(|n| n.len() > digits.len() && n.starts_with(digits)))
        } else {
            (None, false)
        };
        // The menu's own choice wins over an extension of the same digits.
        match (own.or(dialled), longer || longer_dialled) {
            (Some(choice), false) => Meaning::Final(choice),
            (Some(choice), true) => Meaning::Perhaps(choice),
            (None, true) => Meaning::Partial,
            (None, false) => Meaning::Nothing,
        }
    }

    fn prompt(&self, language: &str) -> Option<&Sound> {
        let short = language.split(['-', '_']).next().unwrap_or_default();
        self.prompts.get(language).or_else(|| self.prompts.get(short)).or_else(|| self.prompts.get(""))
    }
}

/// Runs a dialogue that starts in `menu`.
pub async fn run(
    rules: &TenantRules,
    menu: &Arc<Menu>,
    language: &str,
    phone: &mut impl Phone,
    steps: &mut Recorder,
) -> Outcome {
    let mut path = vec![Arc::clone(menu)];
    for _ in 0..limits::HOPS {
        let Some(menu) = path.last().map(Arc::clone) else { break };
        let choice = match ask(rules, &menu, language, phone, steps).await {
            Asked::Choice(choice) => choice,
            Asked::NoInput => return Outcome::NoInput,
            Asked::Gone => return Outcome::Gone,
        };
        match choice {
            Choice::Go(Destination { place: Place::Ivr(name), message, .. }) => {
                if let Some(message) = message
                    && phone.play(&message, false).await == Heard::Gone
                {
                    return Outcome::Gone;
                }
                match rules.menus.get(&name) {
                    Some(next) => path.push(Arc::clone(next)),
                    // The menu speaks again, as after a wrong choice.
                    None => steps.step("ivr", "no-such-menu", name.to_string()),
                }
            }
            Choice::Go(to) => return Outcome::Go(to),
            Choice::Goodbye => {
                if let Some(goodbye) = &menu.goodbye
                    && phone.play(goodbye, false).await == Heard::Gone
                {
                    return Outcome::Gone;
                }
                return Outcome::Goodbye;
            }
            Choice::Back if path.len() > 1 => drop(path.pop()),
            Choice::Back | Choice::Repeat => {}
        }
    }
    steps.step("ivr", "too-many-menus", limits::HOPS.to_string());
    Outcome::Loop
}

enum Asked {
    Choice(Choice),
    NoInput,
    Gone,
}

async fn ask(
    rules: &TenantRules,
    menu: &Menu,
    language: &str,
    phone: &mut impl Phone,
    steps: &mut Recorder,
) -> Asked {
    for attempt in 1..=menu.max_tries.clamp(1, limits::TRIES_MOST) {
        let mut heard = match menu.prompt(language) {
            Some(prompt) => phone.play(prompt, true).await,
            None => Heard::Silence,
        };
        if heard == Heard::Silence {
            heard = phone.digit(menu.first_digit_ms).await;
        }
        let mut digits = String::new();
        let choice = loop {
            match heard {
                Heard::Gone => {
                    steps.step("ivr", "caller-gone", menu.name.to_string());
                    return Asked::Gone;
                }
                Heard::Silence => {
                    break match menu.meaning(rules, &digits) {
                        Meaning::Perhaps(choice) => Some(choice),
                        _ => None,
                    };
                }
                Heard::Digit(digit) => digits.push(char::from(digit)),
            }
            match menu.meaning(rules, &digits) {
                Meaning::Final(choice) => break Some(choice),
                Meaning::Nothing => break None,
                Meaning::Perhaps(_) | Meaning::Partial if digits.len() >= limits::DIGITS_MOST => break None,
                Meaning::Perhaps(_) | Meaning::Partial => heard = phone.digit(menu.inter_digit_ms).await,
            }
        };
        if let Some(choice) = choice {
            steps.step("ivr", "chosen", format!("{} {digits}", menu.name));
            return Asked::Choice(choice);
        }
        let outcome = if digits.is_empty() { "no-input" } else { "invalid" };
        steps.step("ivr", outcome, format!("{} {digits} try {attempt}", menu.name));
        if let Some(invalid) = menu.invalid.as_ref().filter(|_| !digits.is_empty())
            && phone.play(invalid, false).await == Heard::Gone
        {
            return Asked::Gone;
        }
    }
    Asked::NoInput
}

/// A phone that says what it was told to: the simulator's caller, and a recorded one.
#[derive(Debug)]
pub struct ScriptedPhone {
    keys: std::iter::Peekable<std::vec::IntoIter<u8>>,
}

impl ScriptedPhone {
    /// A caller that presses `keys` one after another as soon as asked; `-` stands for a wait that runs out.
    pub fn new(keys: &str) -> Self {
        Self { keys: keys.bytes().collect::<Vec<_>>().into_iter().peekable() }
    }

    fn next(&mut self) -> Heard {
        match self.keys.next() {
            None | Some(b'-') => Heard::Silence,
            Some(b'!') => Heard::Gone,
            Some(key) => Heard::Digit(key),
        }
    }
}

impl Phone for ScriptedPhone {
    async fn play(&mut self, _: &Sound, interruptible: bool) -> Heard {
        // Keys wait while a sound can't be interrupted; a hang-up does not.
        if interruptible || self.keys.peek() == Some(&b'!') { self.next() } else { Heard::Silence }
    }

    async fn digit(&mut self, _: u32) -> Heard {
        self.next()
    }
}

/// Writes down what another phone hears, so that the dialogue can be replayed by a [`ScriptedPhone`].
#[derive(Debug)]
pub struct RecordingPhone<'a, P> {
    phone: &'a mut P,
    /// The keys so far, in the writing of [`ScriptedPhone::new`].
    pub keys: String,
}

impl<'a, P: Phone> RecordingPhone<'a, P> {
    /// Listens to `phone`.
    pub fn new(phone: &'a mut P) -> Self {
        Self { phone, keys: String::new() }
    }

    fn note(&mut self, heard: Heard) -> Heard {
        self.keys.push(match heard {
            Heard::Digit(key) => char::from(key),
            Heard::Silence => '-',
            Heard::Gone => '!',
        });
        heard
    }
}

impl<P: Phone> Phone for RecordingPhone<'_, P> {
    async fn play(&mut self, sound: &Sound, interruptible: bool) -> Heard {
        let heard = self.phone.play(sound, interruptible).await;
        // A sound that can't be interrupted hears nothing but a hang-up, and a replay does not ask for it.
        if interruptible || heard == Heard::Gone { self.note(heard) } else { heard }
    }

    async fn digit(&mut self, wait_ms: u32) -> Heard {
        let heard = self.phone.digit(wait_ms).await;
        self.note(heard)
    }
}
