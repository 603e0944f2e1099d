//! Hookswitch: one process beside Asterisk that decides what happens to every call.

pub mod agi;
pub mod config;
pub mod outgoing;
pub mod routing;
pub mod webhooks;
