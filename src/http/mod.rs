//! The HTTP edge. For now: health, readiness and metrics.

pub mod health;
pub mod serve;
