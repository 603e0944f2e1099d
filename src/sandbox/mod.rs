//! The sandbox: runs code of tenants that nobody has looked at, within limits, beside calls.
//!
//! It knows components of `wit/1.0.0` and scripts, and no domain: what a plugin may ask for is answered by a [`Host`]
//! that the application gives, whose tenant it is does not matter here.
//!
//! - [`inspect`] reads an upload; [`Sandbox::load`] makes a [`Program`] of it, from native code on disk or by the one
//!   compiler thread.
//! - [`Sandbox::run`] gives a program a new store, a place of the pool and an input, and returns a [`Report`] whatever
//!   happens. Nothing of a run is left for the next.
//!
//! A run begins on the thread of whoever asks: most are over in some microseconds, less than it takes to wake another
//! thread. Once it used half a millisecond of a processor from one tick to the next it moves to the plugins' own threads,
//! which get a processor only when nobody else wants it (what it asks is answered elsewhere), and for a while the plugin's runs begin there. So a plugin that
//! spins holds up a call's thread for three milliseconds at most, once in [`limits::HEAVY`].
//!
//! [`limits::HEAVY`]: crate::config::limits::plugins::HEAVY

mod check;
mod compile;
mod engine;
mod grants;
mod host;
mod inspect;
mod judge;
mod lane;
mod meter;
mod native;
mod outcome;
mod run;
mod share;
mod state;
pub mod types;

use serde::{Deserialize, Serialize};

pub use check::{fuzz as fuzz_answer, variable_name, variable_value};
pub use compile::{Options, Program, Sandbox, js_engine};
pub use engine::Places;
pub use grants::{Grant, Grants};
pub use host::{
    Answer, Answering, Ask, Asked, Host, Nobody, Recorded, Scripted, Setting, Settings, Unrecorded,
};
pub use inspect::{Inspected, Refusal, digest, fuzz as fuzz_upload, inspect};
pub use outcome::{Cost, Line, Outcome};
pub use run::{Input, Job, Output, Report};
pub use share::Share;
pub use state::Limits;

use crate::config::limits::plugins as limits;

/// The version of `hookswitch:plugin` that is served.
pub const VERSION: &str = "1.0.0";

/// A kind of plugin: a world of `wit/1.0.0/worlds.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Chooses where a call goes.
    Router,
    /// Looks at events and drafts tickets.
    Ticketer,
    /// Talks to the caller.
    CallScript,
}

impl World {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Router, Self::Ticketer, Self::CallScript];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Ticketer => "ticketer",
            Self::CallScript => "call-script",
        }
    }

    /// The world of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.as_str() == name)
    }

    /// The function that a component exports.
    pub fn export(self) -> &'static str {
        match self {
            Self::Router => "route-call",
            Self::Ticketer => "on-event",
            Self::CallScript => "handle-call",
        }
    }

    /// The function that a script exports.
    pub fn function(self) -> &'static str {
        match self {
            Self::Router => "routeCall",
            Self::Ticketer => "onEvent",
            Self::CallScript => "handleCall",
        }
    }

    /// What a run may use.
    pub fn limits(self) -> Limits {
        let (cpu, wall, fuel, host_calls) = match self {
            Self::Router => {
                (limits::ROUTER_CPU, limits::ROUTER_WALL, limits::ROUTER_FUEL, limits::HOST_CALLS)
            }
            Self::Ticketer => {
                (limits::TICKETER_CPU, limits::TICKETER_WALL, limits::TICKETER_FUEL, limits::HOST_CALLS)
            }
            Self::CallScript => {
                (limits::SCRIPT_CPU, limits::SCRIPT_WALL, limits::SCRIPT_FUEL, limits::SCRIPT_HOST_CALLS)
            }
        };
        Limits { cpu, wall, fuel, memory: limits::MEMORY_BYTES, host_calls }
    }
}

/// What an upload is written in, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// A component, of whatever language.
    Component,
    /// JavaScript as text.
    JavaScript,
}

impl Language {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::JavaScript => "javascript",
        }
    }

    /// The language of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Component, Self::JavaScript].into_iter().find(|language| language.as_str() == name)
    }
}

#[cfg(test)]
mod tests;
