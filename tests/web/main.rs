//! The running service as the outside world meets it: the TypeScript client, schemathesis, pages in a real Chromium.
//!
//! Needs what `scripts/lab-install` installs, and fails without it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, clippy::print_stdout, reason = "a failed test tells what a program printed")]

mod page;
mod schema;
mod socket;
mod tools;
mod typescript;
mod webhooks;

#[expect(dead_code, reason = "these tests use a part of what the tests with a real Asterisk share")]
#[path = "../support"]
mod support {
    pub(crate) mod ports;
    pub(crate) mod service;
    pub(crate) mod wait;
}
