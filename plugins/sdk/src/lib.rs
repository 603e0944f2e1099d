//! Write Hookswitch plugins in Rust.
//!
//! A plugin is one function: it gets a call or an event, and says what should happen.
//!
//! ```
//! use hookswitch_plugin::{Call, Decision, Error, Plan, Target, log, settings};
//!
//! fn route_call(call: Call) -> Result<Decision, Error> {
//!     let queue = settings::get("queue").unwrap_or("support".into());
//!     log::info(format!("{} goes to {queue}", call.caller_number()));
//!     Ok(Plan::to(Target::queue(queue)).within(30).because("everybody waits").into())
//! }
//!
//! hookswitch_plugin::router!(route_call);
//! ```
//!
//! - [`router!`], [`ticketer!`] and [`call_script!`] say which function it is: one of them, once in a crate.
//! - [`log`], [`settings`], [`kv`], [`contacts`], [`http`], [`tickets`] and [`call_control`] ask the service. A plugin
//!   imports those that it uses and no other, and must be granted them.
//! - Time and chance come with the input: [`Call::at`], [`Call::local`], [`Call::random`]. There is no other clock.
//! - A panic ends the run; its message, file and line are written to the log first.
//! - Memory is thrown away after every run. Statics are no store: use [`kv`].
//!
//! [`testing`] runs the same function on your own machine, without WebAssembly and without the service.

#![warn(missing_docs)]

#[cfg(all(target_arch = "wasm32", feature = "arena"))]
mod global {
    //! The allocator of every plugin.
    use crate::arena::Arena;

    #[global_allocator]
    static ARENA: Arena = Arena::new();
}

#[cfg(any(test, all(target_arch = "wasm32", feature = "arena")))]
mod arena;
#[doc(hidden)]
pub mod bindings;
mod build;
mod error;
mod grants;
mod input;
#[doc(hidden)]
pub mod start;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

pub use bindings::hookswitch::plugin::types::{
    Call, Decision, Direction, Event, Failure, Farewell, Field, HangupCause, Instant, Party, Plan, Priority,
    Step, Target, TicketDraft, WallTime,
};
pub use error::Error;
pub use grants::{call_control, contacts, http, kv, log, settings, tickets};
pub use input::Random;
