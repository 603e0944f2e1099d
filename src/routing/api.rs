//! Routing data over REST: numbers, menus, opening hours, lists, defaults. What is taken here can be used by routing,
//! because the same code checks it; what a destination names is the tenant's, and can't be deleted under it.

mod defaults;
mod destination;
mod dids;
mod hours;
mod lists;
mod menus;
mod named;
mod platform;
mod rules;

use crate::api::{Action, Resource};

pub use dids::DIDS;
pub use hours::SCHEDULES;
pub use lists::{ALLOW_LIST, BLOCK_LIST, OUTBOUND_RULES};
pub use menus::MENUS;
pub use named::Named;

/// The collections of routing.
pub fn resources() -> [&'static Resource; 6] {
    [&DIDS, &MENUS, &SCHEDULES, &BLOCK_LIST, &ALLOW_LIST, &OUTBOUND_RULES]
}

/// What is there once in each tenant, for whoever tells of its changes.
pub fn defaults() -> &'static Resource {
    &defaults::DEFAULTS
}

/// What is no collection.
pub fn actions() -> Vec<Action> {
    let mut all = defaults::actions();
    all.extend(platform::actions());
    all
}
