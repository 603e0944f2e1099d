//! Mailboxes: where callers leave messages.

pub mod store;
