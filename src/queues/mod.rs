//! Queues and their members.

pub mod store;
