//! What everything stands on and what knows nothing of ours: ids, time, secrets, shutdown, telemetry.

pub mod clock;
pub mod descriptors;
pub mod hex;
pub mod ids;
pub mod metrics;
pub mod priority;
pub mod report;
pub mod role;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub(crate) mod words;
