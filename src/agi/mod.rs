//! FastAGI: the socket that Asterisk's dialplan asks what to do with a call.
//!
//! [`server`] accepts -> [`conn`] moves bytes, one command at a time -> [`frame`] makes answers of lines ->
//! [`parse`] reads a line. [`environment`] is what a session knows of its call, [`catalogue`] has the commands,
//! [`command`] their bytes, [`reply`] their results, [`stats`] the counters; [`session`] serves the dialplan's hooks.
//! Only `server` and `conn` do I/O.

pub mod catalogue;
pub mod command;
pub mod conn;
pub mod environment;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod parse;
pub mod reply;
pub mod server;
pub mod session;
pub mod stats;

pub use command::{Command, CommandError, Deadline, mset, set_variables};
pub use conn::{AgiError, Conn, Timeouts};
pub use environment::{EnvError, Environment};
pub use reply::{Answer, Data, Digit, Recorded, Refusal, Reply};
pub use server::{DrainReport, Handler, Outcome, Server, ServerOptions};
pub use stats::AgiStats;
