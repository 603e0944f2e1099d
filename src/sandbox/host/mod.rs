//! What a plugin can ask for while it runs. Everything but log and settings goes through one gate ([`gate`]), which
//! counts, checks the grant, keeps the time and writes down question and answer, so that a run can be replayed.
//!
//! The sandbox knows no domain: it asks a [`Host`], which the application fills.

mod binary;
mod door;
mod gate;
mod scripted;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use super::grants::Grant;
use super::types::{
    Contact, DialStatus, Failure, GatherOptions, Gathered, Prompt, Recording, Request, Response, Target,
    Ticket,
};

pub(super) use binary::link;
pub(super) use door::link as link_door;
pub use scripted::Scripted;

/// Answers what plugins ask for.
pub trait Host: Send + Sync {
    /// Does it, or says why not. The caller waits no longer than the run may take; what is dropped then must leave
    /// nothing half done.
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a>;

    /// The same by a run about `subject`, a call or event: whoever is asked again in a run that is repeated does what has
    /// an effect once.
    fn ask_about<'a>(&'a self, ask: &'a Ask, _subject: &'a str) -> Answering<'a> {
        self.ask(ask)
    }
}

/// An answer to come.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// Something a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// `kv.get`.
    KvGet {
        /// Key.
        key: String,
    },
    /// `kv.set`.
    KvSet {
        /// Key.
        key: String,
        /// Value.
        value: String,
        /// Seconds it stays.
        ttl: Option<u32>,
    },
    /// `kv.delete`.
    KvDelete {
        /// Key.
        key: String,
    },
    /// `kv.increment`.
    KvIncrement {
        /// Key.
        key: String,
        /// Summand.
        by: i64,
        /// Seconds it stays.
        ttl: Option<u32>,
    },
    /// `contacts.by-number`.
    ContactByNumber {
        /// E.164.
        number: String,
    },
    /// `http.send`.
    HttpSend(Request),
    /// `tickets.open-for`.
    TicketsOpenFor {
        /// E.164.
        number: String,
    },
    /// `tickets.comment`.
    TicketComment {
        /// Ticket.
        id: String,
        /// Text.
        text: String,
    },
    /// `call-control.answer`.
    Answer,
    /// `call-control.play`.
    Play {
        /// In their order.
        prompts: Vec<Prompt>,
        /// Keys that stop it.
        interrupt_on: String,
    },
    /// `call-control.say`.
    Say {
        /// In their order.
        prompts: Vec<Prompt>,
    },
    /// `call-control.gather`.
    Gather(GatherOptions),
    /// `call-control.record`.
    Record {
        /// At most.
        max_seconds: u32,
        /// Keys that end it.
        terminators: String,
        /// Whether a tone comes first.
        beep: bool,
    },
    /// `call-control.dial`.
    Dial {
        /// Where.
        target: Target,
        /// Seconds.
        timeout: u32,
    },
    /// `call-control.get-variable`.
    GetVariable {
        /// Without `HS_V_`.
        name: String,
    },
    /// `call-control.set-variable`.
    SetVariable {
        /// Without `HS_V_`.
        name: String,
        /// Value.
        value: String,
    },
    /// `call-control.now`.
    Now,
}

impl Ask {
    /// The grant it needs; `None`: it belongs to call scripts and needs none.
    pub fn grant(&self) -> Option<Grant> {
        Some(match self {
            Self::KvGet { .. } | Self::KvSet { .. } | Self::KvDelete { .. } | Self::KvIncrement { .. } => {
                Grant::Kv
            }
            Self::ContactByNumber { .. } => Grant::Contacts,
            Self::HttpSend(_) => Grant::Http,
            Self::TicketsOpenFor { .. } | Self::TicketComment { .. } => Grant::Tickets,
            Self::Answer
            | Self::Play { .. }
            | Self::Say { .. }
            | Self::Gather(_)
            | Self::Record { .. }
            | Self::Dial { .. }
            | Self::GetVariable { .. }
            | Self::SetVariable { .. }
            | Self::Now => return None,
        })
    }

    /// Whether it speaks to the caller, whose time is not the plugin's.
    pub fn is_control(&self) -> bool {
        self.grant().is_none()
    }
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done.
    Nothing,
    /// `kv.delete`: whether there was one.
    Flag(bool),
    /// `kv.increment`: the sum.
    Number(i64),
    /// `kv.get`, `play`, `get-variable`.
    Text(Option<String>),
    /// `contacts.by-number`.
    Contact(Option<Contact>),
    /// `http.send`.
    Response(Response),
    /// `tickets.open-for`.
    Tickets(Vec<Ticket>),
    /// `gather`.
    Gathered(Gathered),
    /// `record`.
    Recording(Recording),
    /// `dial`.
    Dialled(DialStatus),
    /// `now`.
    Moment(u64),
}

/// A question with its answer, as it is kept with a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What was asked.
    pub ask: Ask,
    /// What came back.
    pub answer: Result<Answer, Failure>,
}

/// What a tenant filled in for a plugin.
pub type Settings = BTreeMap<String, Setting>;

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

impl Setting {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => list.join("\n"),
        }
    }

    pub(super) fn list(&self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text.clone()],
            Self::List(list) => list.clone(),
        }
    }
}

impl<H: Host + ?Sized> Host for std::sync::Arc<H> {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        (**self).ask(ask)
    }
}

/// Answers nothing: for a plugin that is only tried out.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Host for Nobody {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async { Err(Failure::Other(("unavailable".into(), "there is nobody to ask here".into()))) })
    }
}

/// Answers what was not asked in an earlier run: with a failure, and remembers it.
#[derive(Debug, Default)]
pub struct Unrecorded {
    asks: std::sync::Mutex<Vec<Ask>>,
}

impl Unrecorded {
    /// What was asked since this was looked at last.
    pub fn take(&self) -> Vec<Ask> {
        std::mem::take(&mut *self.asks.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Host for Unrecorded {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        self.asks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(ask.clone());
        let why = ("not-recorded".into(), "this was not asked in the run that is replayed".into());
        Box::pin(std::future::ready(Err(Failure::Other(why))))
    }
}

/// Answers from what was kept of an earlier run: the same question gets the same answer, each once and in its order.
/// What was not asked then is asked of another host.
pub struct Recorded<H> {
    kept: std::sync::Mutex<Vec<Asked>>,
    other: H,
}

impl<H: Host> Recorded<H> {
    /// From these.
    pub fn new(kept: Vec<Asked>, other: H) -> Self {
        Self { kept: std::sync::Mutex::new(kept), other }
    }
}

impl<H: Host> Host for Recorded<H> {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        let found = {
            let mut kept = self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.iter().position(|asked| asked.ask == *ask).map(|at| kept.remove(at))
        };
        match found {
            Some(asked) => Box::pin(std::future::ready(asked.answer)),
            None => self.other.ask(ask),
        }
    }
}
