//! The REST API over its real router, without sockets.

pub(crate) mod agents;
pub(crate) mod app;
mod audit;
mod auth;
pub(crate) mod calls;
mod chat;
mod contacts;
mod dids;
mod document;
mod endpoints;
mod events;
mod hostile;
mod imports;
pub(crate) mod isolation;
mod menus;
mod messages;
mod platform;
mod proxy;
mod queues;
mod slow;
mod sound;
pub(crate) mod telephony;
mod tenants;
mod tickets;
mod users;
mod wall;
