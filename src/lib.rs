//! Hookswitch: one process beside Asterisk that decides what happens to every call.
//!
//! # The house
//!
//! One package, one binary, one library. Nouns are folders that own their rules and their SQL; machinery is laid out by
//! mechanism. A module uses only what stands below it (`tests/architecture.rs` checks it):
//!
//! 1. [`app`], [`cli`]: put everything together.
//! 2. Edges: [`agi`] (Asterisk asks over FastAGI), [`realtime`] (Asterisk asks instead of a database, or writes into ours),
//!    [`http`] (REST, and events over sockets).
//! 3. Domains: [`routing`], [`calls`], [`tenants`], [`queues`], [`endpoints`], [`voicemail`], [`webhooks`],
//!    [`contacts`], [`agents`], [`sms`], [`tickets`], [`chat`], [`audit`],
//!    [`plugins`] (code of tenants' own), [`users`], [`auth`] (passwords, tokens, sessions, keys).
//! 4. Engines, which know no domain: [`api`] (collections and operations as data), [`events`] (what happens, as one stream
//!    for each tenant), [`outgoing`] (the one door to tenants' URLs), [`ari`] (Asterisks' events, and requests to them; [`calls`] use it as
//!    [`webhooks`] use [`outgoing`], hence no edge), [`sandbox`] (runs code of tenants),
//!    [`storage`] (keeps sounds), [`mail`] (an outbox and the way to the mail server), [`journal`], [`db`], [`config`].
//! 5. [`base`]: ids, clock, secrets, shutdown, telemetry, counters.
//!
//! # Follow one call
//!
//! 1. [`agi::server`] accepts and gives the call a task on the AGI thread.
//! 2. [`agi::conn`] frames bytes into lines, one command at a time; [`agi::environment`] takes the environment only in
//!    Asterisk's order, each key once, so that nobody can forge a line.
//! 3. [`agi::session`] makes [`routing::types::Inputs`] of it.
//! 4. [`routing::Router`] finds the tenant in [`routing::memory`] and asks [`routing::rules`]: pure, every check a step
//!    in the [`routing::trace`], every path a [`routing::types::Decision`].
//! 5. [`agi::session`] puts call, decision and trace into the [`journal`]: one write, before the answer leaves.
//! 6. [`agi::command`] writes the answer: one `EXEC MSet`, and a non-empty `HS_ACTION` is the dialplan's proof that
//!    it is whole.
//! 7. [`journal::drain`] moves the record into [`calls::store`], in order, exactly once; in the same transaction it
//!    becomes [`events`], which [`webhooks`] and sockets read from there.
//!
//! # Decisions that shape the rest
//!
//! * **The call path touches no database when warm.** Tenants are read whole into memory and replaced as a whole after a
//!   change; while the database is away, what was known stays known. Other processes' changes are found by version.
//! * **What follows a failed action is carried by the call** (`HS_STATE`, [`routing::types::State`]): `next` needs no
//!   memory of ours, survives a restart and works on another node.
//! * **The journal stands between the call and the database.** `kill -9` loses nothing that was answered; a power cut
//!   loses at most `journal.sync_ms` and the sync's own time; when the disk fails, the phone still rings and the loss
//!   is counted.
//! * **FastAGI has a thread of its own** with a single-threaded runtime, and all other threads but the journal's give way
//!   to it ([`base::priority`]): nothing else in the process delays a call.
//! * **Sockets pull.** Each has a position in its tenant's stream and reads on from memory that all of them share, or from
//!   the database ([`http::socket`], [`events::stream`]): a slow one holds up itself alone, and none misses anything
//!   without being told. Its closing codes are [`http::socket::frames::CLOSINGS`].
//! * **Sounds follow calls, never hold them up.** Asterisk writes files; what is to be done about each stands in its row, and
//!   [`calls::recordings`] and [`voicemail::keep`] do it beside the calls. A row says first what becomes of a sound that goes.
//! * **One SQL text for both databases**, expanded once per driver by a macro; ids are parsed types, columns have binary
//!   collations, times are our own clock's microseconds.
//! * **Every number is in [`config::limits`]** with its unit and reason, every setting in `src/config/defaults.toml`.

pub mod agents;
pub mod agi;
pub mod api;
pub mod app;
pub mod ari;
pub mod audit;
pub mod auth;
pub mod base;
pub mod calls;
pub mod chat;
pub mod cli;
pub mod config;
pub mod contacts;
pub mod db;
pub mod endpoints;
pub mod events;
pub mod http;
pub mod journal;
pub mod mail;
pub mod outgoing;
pub mod plugins;
pub mod queues;
pub mod realtime;
pub mod routing;
pub mod sandbox;
pub mod sms;
pub mod storage;
pub mod tenants;
pub mod tickets;
pub mod users;
pub mod voicemail;
pub mod webhooks;
