//! Integration tests in one binary, by area. What touches a database runs on SQLite and on MariaDB.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

mod api;
mod auth;
mod callbacks;
mod cdrs;
mod cli;
mod dialects;
mod door;
mod ivr;
mod journal;
mod killed;
mod kit;
mod memory;
mod models;
mod odbc;
mod outbound;
mod plugins;
mod queue_log;
mod realtime;
mod routing;
mod s3;
mod sandbox;
#[path = "../support/smtp.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod smtp;
mod socket;
mod test262;
#[path = "../support/wait.rs"]
mod wait;
mod webhooks;
mod world;
