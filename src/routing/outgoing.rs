//! Calls that leave: emergency numbers, which nothing holds up, and the tenant's limits on all others, how many at a time and
//! how many in a second. The decision is pure; the counts are the router's, and what it counted stands in the inputs.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;

use super::data::{DidRules, TenantRules};
use super::plugin;
use super::rules::hang_up;
use super::trace::Recorder;
use super::types::{Action, Decision, Inputs, Origin, Stage, State, cause, reason};
use super::{Mode, Router};
use crate::base::ids::{Id, Name, Number, TenantId, split_global_name};
use crate::config::limits::outbound as limits;
use crate::db::{Db, db_read};

/// How fast each tenant calls out. This process counts for itself.
#[derive(Debug)]
pub struct Paces(Cache<(TenantId, NonZeroU32), Arc<DefaultDirectRateLimiter>>);

impl Default for Paces {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(limits::PACES).time_to_idle(limits::PACE_TIME).build())
    }
}

impl Paces {
    /// Whether a tenant of so many calls a second (0: no limit) may make one more now, which is counted then.
    pub fn take(&self, tenant: &TenantId, rate: u32) -> bool {
        let Some(rate) = NonZeroU32::new(rate) else { return true };
        let pace = self
            .0
            .get_with((tenant.clone(), rate), || Arc::new(RateLimiter::direct(Quota::per_second(rate))));
        pace.check().is_ok()
    }
}

/// An emergency number goes out, whatever else is said of the tenant, its rules and its limits: as it is, and through the
/// operator's trunk.
pub fn emergency(rules: &TenantRules, inputs: &Inputs, steps: &mut Recorder) -> Option<Decision> {
    if !rules.platform.lists().is_emergency(&inputs.dialled, &rules.country) {
        return None;
    }
    let (_, from) = split_global_name(&inputs.from_endpoint).ok()?;
    let record = rules.endpoints.get(&from).is_some_and(|endpoint| endpoint.record);
    Some(Decision {
        record,
        language: rules.language.clone(),
        ..emergency_of(&rules.tenant, &from, &inputs.dialled, steps)
    })
}

/// The same of a tenant whose data can't be read.
pub(super) fn emergency_of(tenant: &TenantId, from: &Name, dialled: &str, steps: &mut Recorder) -> Decision {
    steps.step("emergency", "emergency", dialled.to_owned());
    // Nothing follows, but `next` must know whose call it was.
    let origin = Origin::Internal(tenant.clone(), from.clone());
    Decision {
        action: Action::External,
        target: dialled.to_owned(),
        state: State::at(origin, Stage::Refused).to_string(),
        ..hang_up(Some(tenant), cause::NORMAL, reason::EMERGENCY)
    }
}

/// What a call out that is one too many is told; `None`: it may go.
fn exceeded(rules: &TenantRules, inputs: &Inputs) -> Option<(u8, &'static str)> {
    if rules.max_outbound_calls > 0 && inputs.outbound_calls >= rules.max_outbound_calls {
        return Some((cause::BUSY, reason::OUTBOUND_LIMIT));
    }
    inputs.too_fast.then_some((cause::SWITCH_CONGESTION, reason::RATE_LIMIT))
}

/// Lets a decision that leads outside stand, or takes the next one that does not.
pub fn limited(
    rules: &TenantRules,
    did: Option<&DidRules>,
    inputs: &Inputs,
    decision: Decision,
    steps: &mut Recorder,
) -> Decision {
    let Some((cause, why)) = exceeded(rules, inputs) else {
        if rules.max_outbound_calls > 0 || rules.max_outbound_rate > 0 {
            steps.step("outbound-limits", "pass", "");
        }
        return decision;
    };
    let detail = match why {
        reason::OUTBOUND_LIMIT => format!("{} of {}", inputs.outbound_calls, rules.max_outbound_calls),
        _ => format!("{} a second", rules.max_outbound_rate),
    };
    steps.step("outbound-limits", why, detail);
    let mut last = decision;
    while last.action == Action::External {
        let state = State::parse(&last.state);
        let (Some(did), Some(state)) = (did, state) else { return hang_up(Some(&rules.tenant), cause, why) };
        last = plugin::next(rules, did, &state, steps);
    }
    match last.action {
        Action::Hangup if last.state.is_empty() => hang_up(Some(&rules.tenant), cause, why),
        _ => last,
    }
}

impl Router {
    /// Holds a decision against the limits on calls out. `call`: the living call that is counted; `None`: the inputs have
    /// the counts.
    pub(super) fn within_limits(
        &self,
        call: Option<&Id>,
        (rules, did): (&TenantRules, Option<&DidRules>),
        inputs: &mut Inputs,
        decision: Decision,
        steps: &mut Recorder,
    ) -> Decision {
        if decision.action != Action::External || decision.reason == reason::EMERGENCY {
            call.inspect(|call| self.live.come_back(call));
            return decision;
        }
        if let Some(call) = call {
            (inputs.outbound_calls, inputs.too_fast) = self.count_out(call, rules);
        }
        let decision = limited(rules, did, inputs, decision, steps);
        if decision.action != Action::External {
            call.inspect(|call| self.live.come_back(call));
        }
        decision
    }

    /// Counts a call out: how many others the tenant has, and whether it comes too fast.
    fn count_out(&self, call: &Id, rules: &TenantRules) -> (u32, bool) {
        let others = self.live.go_out(call, &rules.tenant);
        // What is refused already is not counted against the pace.
        let has_room = rules.max_outbound_calls == 0 || others < rules.max_outbound_calls;
        (others, has_room && !self.paces.take(&rules.tenant, rules.max_outbound_rate))
    }

    /// Counts a call out that is no decision: what a call script dials, a callback.
    ///
    /// # Errors
    /// The limit that it is over; it is not counted then.
    pub fn call_out(&self, call: &Id, rules: &TenantRules) -> Result<(), &'static str> {
        let (outbound_calls, too_fast) = self.count_out(call, rules);
        let counted = Inputs { outbound_calls, too_fast, ..Inputs::default() };
        match exceeded(rules, &counted) {
            Some((_, why)) => {
                self.live.come_back(call);
                Err(why)
            }
            None => Ok(()),
        }
    }

    /// The living call that a decision in this mode counts.
    pub(super) fn counted(mode: Mode, call: &Id) -> Option<&Id> {
        Some(call).filter(|_| mode == Mode::Live)
    }
}

impl TenantRules {
    /// Why nobody of the tenant may call a number; `None`: its endpoints, plugins and webhooks may.
    pub fn denies(&self, number: &Number) -> Option<&'static str> {
        if self.platform.lists().blocks(number).is_some() {
            return Some(reason::BLOCKED_DESTINATION);
        }
        (!self.may_dial(number)).then_some(reason::OUTBOUND_DENIED)
    }
}

/// Calls without an end that have gone out, with their tenants and why.
///
/// # Errors
/// When the database is away.
pub async fn under_way(db: &Db) -> sqlx::Result<Vec<(Id, TenantId, String)>> {
    const SQL: &str =
        "SELECT id, tenant_id, reason FROM calls WHERE ended_at IS NULL AND action = 'external'";
    let rows: Vec<(String, String, String)> = db_read!(db, |p| sqlx::query_as(SQL).fetch_all(p).await)?;
    let parse = |(id, tenant, why): (String, String, String)| {
        Some((Id::parse(&id).ok()?, TenantId::parse(&tenant).ok()?, why))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}
