//! Plugins, on both databases.

mod ticketer;
