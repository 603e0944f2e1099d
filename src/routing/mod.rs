//! The decision: what happens to a call.

pub mod schedule;
pub mod webhook;
