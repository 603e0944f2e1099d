//! End to end: the shipped dialplan in a real Asterisk 22, with SIPp as carrier and phones.
//!
//! Needs what `scripts/lab-install` installs, and fails without it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, clippy::print_stdout, reason = "a failed test tells what Asterisk logged")]

mod actions;
mod ended;
mod hostile;
mod service_lost;

#[path = "../support/mod.rs"]
mod support;
