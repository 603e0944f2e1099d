//! What commands want to know before they call somebody.

use super::memory::Found;
use super::types::{Action, Inputs};
use super::{Mode, Router};
use crate::base::ids::{Name, Number, TenantId, global_name};

impl Router {
    /// What would become of a number that an endpoint dials: whether it is outside. Nothing is counted.
    ///
    /// # Errors
    /// It would lead nowhere: the reason.
    pub async fn would_dial(&self, tenant: &TenantId, from: &Name, to: &str) -> Result<bool, String> {
        let inputs = Inputs {
            at_us: self.clock.now_us(),
            dialled: to.to_owned(),
            from_endpoint: global_name(tenant, from),
            caller: from.to_string(),
            ..Inputs::default()
        };
        // As a replay: no count of calls stands in its way, and it stands in nobody's.
        let trace = self.internal(&self.ids.next(), inputs, Mode::Replay).await;
        match trace.decision.action {
            Action::Hangup | Action::Fallback => Err(trace.decision.reason.to_string()),
            action => Ok(action == Action::External),
        }
    }

    /// The tenant's own trunk that leads to a number, as Asterisk names it; `None`: the operator's.
    pub async fn trunk(&self, tenant: &TenantId, number: &Number) -> Option<Box<str>> {
        match self.memory.by_tenant(tenant).await {
            Found::Rules(rules) => rules.trunk_to(number.as_str()),
            Found::Nobody | Found::Unavailable => None,
        }
    }
}
