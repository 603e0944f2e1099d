//! The commands for whoever writes plugins, where they ask a running service.

use std::time::Duration;

/// How long an answer is waited for: longer than the service takes for an upload at most
/// ([`super::plugins::UPLOAD_TIME`]), on a slow line.
pub const ANSWER_TIME: Duration = Duration::from_secs(240);
/// Bytes of an answer: some runs with their whole trails.
pub const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Runs of a call that are listed: a call has one for each router and script it goes through.
pub const RUNS_LISTED: usize = 20;
