//! End to end: the shipped dialplan in a real Asterisk 22, with SIPp as carrier and phones.
//!
//! Needs what `scripts/lab-install` installs, and fails without it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, clippy::print_stdout, reason = "a failed test tells what Asterisk logged")]

/// Runs each of the functions as a test on SQLite and on MariaDB.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(crate::support::service::Database::Sqlite) })*
        }
        mod mysql {
            $(#[test] fn $name() { super::$name(crate::support::service::Database::MySql) })*
        }
    };
}

mod actions;
mod ari;
mod ended;
mod hostile;
mod service_agents;
mod service_away;
mod service_callback;
mod service_cdr;
mod service_database;
mod service_export;
mod service_faults;
mod service_inside;
mod service_live;
mod service_live_commands;
mod service_live_faults;
mod service_lost;
mod service_menu;
mod service_numbers;
mod service_odbc;
mod service_plugins;
mod service_queue_log;
mod service_realtime;
mod service_rest;
mod service_sound;

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod support;
