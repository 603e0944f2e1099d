//! What commands want to know before they call somebody.

use super::memory::Found;
use super::types::{Action, Inputs, reason};
use super::{Mode, Router};
use crate::base::ids::{Name, Number, TenantId, global_name};

/// Where a number leads that an endpoint dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To somebody or something of the tenant's.
    Inside,
    /// To a line outside.
    Outside,
    /// To those who help in need: no limit counts.
    Emergency,
}

impl Router {
    /// What would become of a number that an endpoint dials. Nothing is counted. `another`: whether it would be a call more,
    /// which the tenant's limits may forbid.
    ///
    /// # Errors
    /// It would lead nowhere: the reason.
    pub async fn would_dial(
        &self,
        tenant: &TenantId,
        from: &Name,
        to: &str,
        another: bool,
    ) -> Result<Way, String> {
        let mut inputs = Inputs {
            at_us: self.clock.now_us(),
            dialled: to.to_owned(),
            from_endpoint: global_name(tenant, from),
            caller: from.to_string(),
            ..Inputs::default()
        };
        if another {
            (inputs.tenant_calls, inputs.outbound_calls) =
                (self.live.counts(tenant, "").0, self.live.outside(tenant));
        }
        // As a replay: the counts are those of the inputs, and it stands in nobody's way.
        let trace = self.internal(&self.ids.next(), inputs, Mode::Replay).await;
        match (trace.decision.action, &trace.decision.reason) {
            (_, why) if *why == reason::EMERGENCY => Ok(Way::Emergency),
            (Action::Hangup | Action::Fallback, why) => Err(why.to_string()),
            (Action::External, _) => Ok(Way::Outside),
            _ => Ok(Way::Inside),
        }
    }

    /// Whether a reason for which a number leads nowhere is one of the tenant's limits.
    pub fn is_limit(why: &str) -> bool {
        matches!(why, reason::TENANT_LIMIT | reason::OUTBOUND_LIMIT)
    }

    /// The tenant's own trunk that leads to a number, as Asterisk names it; `None`: the operator's.
    pub async fn trunk(&self, tenant: &TenantId, number: &Number) -> Option<Box<str>> {
        match self.memory.by_tenant(tenant).await {
            Found::Rules(rules) => rules.trunk_to(number.as_str()),
            Found::Nobody | Found::Unavailable => None,
        }
    }
}
