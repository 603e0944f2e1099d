//! A caller made of keys: for the simulator and the author's kit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::{Answer, Answering, Ask, Host};
use crate::sandbox::types::{DialStatus, Failure, GatherOptions, Gathered, Prompt, Recording};

/// Somebody who presses these keys, one after another: `-` lets a wait run out, `!` hangs up. Without keys left he is
/// silent. What he hears is written down.
#[derive(Debug)]
pub struct Scripted {
    at_ms: u64,
    talk: Mutex<Talk>,
}

#[derive(Debug, Default)]
struct Talk {
    keys: VecDeque<char>,
    heard: Vec<String>,
    variables: std::collections::BTreeMap<String, String>,
    recordings: u32,
    gone: bool,
}

impl Scripted {
    /// With these keys; his clock stands at `at_ms` (milliseconds since 1970 UTC).
    pub fn new(keys: &str, at_ms: u64) -> Self {
        Self { at_ms, talk: Mutex::new(Talk { keys: keys.chars().collect(), ..Talk::default() }) }
    }

    /// What he heard and did, one line each.
    pub fn heard(&self) -> Vec<String> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).heard.clone()
    }

    /// Keys he did not press.
    pub fn left(&self) -> String {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner).keys.iter().collect()
    }
}

impl Host for Scripted {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = talk.answer(ask, self.at_ms);
        Box::pin(std::future::ready(answer))
    }
}

impl Talk {
    fn answer(&mut self, ask: &Ask, at_ms: u64) -> Result<Answer, Failure> {
        if self.gone {
            return Err(Failure::HungUp);
        }
        Ok(match ask {
            Ask::Answer => Answer::Nothing,
            Ask::Play { prompts, interrupt_on } => {
                self.hear(prompts);
                let stops = self.keys.front().is_some_and(|key| interrupt_on.contains(*key));
                Answer::Text(if stops { self.key()?.map(String::from) } else { None })
            }
            Ask::Say { prompts } => {
                self.hear(prompts);
                Answer::Nothing
            }
            Ask::Gather(options) => Answer::Gathered(self.gather(options)?),
            Ask::Record { max_seconds, .. } => {
                self.recordings += 1;
                self.heard.push(format!("is recorded for {max_seconds} s"));
                Answer::Recording(Recording {
                    id: format!("simulated-{}", self.recordings),
                    milliseconds: max_seconds.saturating_mul(1_000),
                })
            }
            Ask::Dial { target, .. } => {
                self.heard.push(format!("is put through to {}, where nobody answers", target.name()));
                Answer::Dialled(DialStatus::NoAnswer)
            }
            Ask::GetVariable { name } => Answer::Text(self.variables.get(name).cloned()),
            Ask::SetVariable { name, value } => {
                self.variables.insert(name.clone(), value.clone());
                Answer::Nothing
            }
            Ask::Now => Answer::Moment(at_ms),
            _ => return Err(Failure::Other(("unavailable".into(), "there is nobody to ask here".into()))),
        })
    }

    fn hear(&mut self, prompts: &[Prompt]) {
        let heard = prompts.iter().map(|prompt| match prompt {
            Prompt::Sound(name) => format!("hears {name}"),
            Prompt::Digits(text) => format!("hears the digits {text}"),
            Prompt::Number(number) => format!("hears the number {number}"),
            Prompt::Letters(text) => format!("hears the letters {text}"),
            Prompt::Moment(ms) => format!("hears the moment {ms}"),
            Prompt::Silence(ms) => format!("hears nothing for {ms} ms"),
        });
        self.heard.extend(heard);
    }

    /// The next key; `None`: silence.
    fn key(&mut self) -> Result<Option<char>, Failure> {
        match self.keys.pop_front() {
            Some('!') => {
                self.gone = true;
                self.heard.push("hangs up".to_owned());
                Err(Failure::HungUp)
            }
            Some('-') | None => Ok(None),
            key => Ok(key),
        }
    }

    fn gather(&mut self, options: &GatherOptions) -> Result<Gathered, Failure> {
        self.hear(&options.prompts);
        let mut gathered = Gathered { digits: String::new(), terminator: None };
        while gathered.digits.len() < usize::from(options.max_digits) {
            let Some(key) = self.key()? else { break };
            if options.terminators.contains(key) {
                gathered.terminator = Some(key.to_string());
                break;
            }
            gathered.digits.push(key);
        }
        self.heard.push(format!("presses {:?}", gathered.digits));
        Ok(gathered)
    }
}
