//! Hookswitch: one process beside Asterisk that decides what happens to every call.

pub mod agi;
pub mod app;
pub mod base;
pub mod calls;
pub mod cli;
pub mod config;
pub mod db;
pub mod endpoints;
pub mod http;
pub mod journal;
pub mod outgoing;
pub mod queues;
pub mod routing;
pub mod tenants;
pub mod voicemail;
pub mod webhooks;
