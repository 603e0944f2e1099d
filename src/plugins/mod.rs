//! Plugins: code of tenants' own that decides on calls, looks at events and talks to callers.
//!
//! 1. [`api`]: a file becomes a version, which never changes; a version becomes the active one, the canary, the shadow.
//! 2. [`setup`]: what a plugin is at this moment, read with a tenant's routing data. Every change raises the tenant's data
//!    version, so that all nodes see it.
//! 3. [`Plugins`] holds programs ready and runs them beside calls: no database, no waiting, always a report.
//! 4. [`ticketer`] shows events to ticketers and opens the tickets that they draft, each once.
//! 5. [`breaker`] parks a version that fails again and again, in memory and at once; [`work`] writes that down, rolls
//!    back to the version before where that ran well, and runs shadows.
//!
//! Invariants: numbers of versions count without gaps within a plugin. A run never fails: whoever asks gets a report
//! and goes on. What is written about a run is written by whoever has the transaction ([`store::insert_runs`]), and once.

pub mod api;
pub mod breaker;
mod check;
mod choose;
pub mod events;
pub mod host;
pub mod hosts;
pub mod keep;
mod kv;
mod memory;
mod park;
mod run;
pub mod setup;
mod shadow;
pub mod store;
pub mod ticketer;
pub mod work;

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, TenantId};
use crate::base::metrics::Metrics;
use crate::base::words::words;
use crate::db::Db;
use crate::events::Events;
use crate::sandbox::{Grants, Host, Nobody, Sandbox};

pub use api::{NAME_RULE, wall};
pub use memory::{Plugins, Usable};
pub use run::{Compared, Reply, Run};
pub use setup::{Canary, Setup, Version, named, setups, unusable, version};
pub use store::{answers, insert_runs};

words! {
    /// Whether a plugin is asked.
    pub enum PluginStatus {
        /// It has no active version yet.
        Draft = "draft",
        /// It is.
        Active = "active",
        /// It failed too often; now and then a run tries whether it is well again.
        Parked = "parked",
        /// Somebody switched it off.
        Disabled = "disabled",
    }
}

words! {
    /// What becomes of a call whose plugin gave nothing to go on with.
    pub enum OnFailure {
        /// It takes its number's fallback.
        Fallback = "fallback",
        /// It is hung up: for numbers that only the plugin may open.
        Reject = "reject",
    }
}

words! {
    /// Why a run was made.
    pub enum Trigger {
        /// A call.
        Call = "call",
        /// An event.
        Event = "event",
        /// Somebody tried it.
        Test = "test",
        /// An example that a version must pass.
        Example = "example",
        /// A version that is compared with the active one.
        Shadow = "shadow",
        /// A recorded call, decided again.
        Replay = "replay",
    }
}

/// What a number names that no plugin is to be asked about, not even its tenant's.
pub const NO_PLUGIN: &str = "-";

/// Whoever answers what plugins ask for. One for the process.
pub trait HostOf: Send + Sync {
    /// Answers one plugin of a tenant's. `http_hosts` are the hosts that it may ask.
    fn of(&self, tenant: &TenantId, plugin: &Id, http_hosts: &[String]) -> Arc<dyn Host>;
}

/// Nobody answers anything: plugins can be uploaded and tried, and get no data.
impl HostOf for Nobody {
    fn of(&self, _: &TenantId, _: &Id, _: &[String]) -> Arc<dyn Host> {
        Arc::new(Self)
    }
}

/// What plugins need.
#[derive(Clone)]
pub struct Parts {
    /// What runs them; `None`: this machine can't, and nobody is asked.
    pub sandbox: Option<Arc<Sandbox>>,
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
    /// Answers them.
    pub host: Arc<dyn HostOf>,
    /// What tenants may allow them.
    pub grants: Grants,
    /// Hosts that tenants may allow them.
    pub http_hosts: Vec<String>,
    /// Whether routers may be components of more than [`ROUTER_BYTES`](crate::config::limits::plugins::ROUTER_BYTES).
    pub slow_routers: bool,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

/// A number below 2^53, exact in every language, that is the same whenever a call or an event is shown (FNV-1a of its id).
pub fn seed(id: &str) -> u64 {
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash >> 11
}
