//! Settings.

pub mod limits;
