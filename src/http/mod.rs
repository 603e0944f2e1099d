//! The HTTP edge: the REST API's gate and router, the sockets of events, signed URLs of sounds, health, readiness and metrics.

pub mod authenticate;
pub mod dispatch;
pub mod docs;
pub mod health;
pub mod idempotency;
pub mod media;
pub mod problem;
pub mod rate;
pub mod request;
pub mod router;
pub mod serve;
pub mod socket;
