//! A tenant's plugin on the way to a decision: what it is told of the call, and what becomes of its answer. Pure, but for
//! the question itself, which [`crate::plugins`] asks.
//!
//! A plugin's targets are checked like a webhook's answer: its names are looked up among the tenant's own, a number
//! outside needs an outbound rule. The steps of a plan that come later are checked with the first, carried along by the
//! dialplan (`HS_STATE`), and looked up again when their turn comes. Whatever fails ends in the DID's fallback.

use std::fmt::Write as _;
use std::sync::Arc;

use chrono_tz::Tz;

use super::data::{DidRules, TenantRules};
use super::rules::{self, Verdict, hang_up, outbound_denied, resolve, walk};
use super::trace::{Recorder, Trace};
use super::types::{
    Action, Decision, Destination, Inputs, Origin, Place, Planned, PluginReply, RawDestination, Stage, State,
    cause, reason,
};
use crate::base::ids::{Id, Name, Number, TenantId};
use crate::calls;
use crate::config::limits::routing as limits;
use crate::db::Db;
use crate::plugins::{self, OnFailure, Reply, Setup};
use crate::sandbox::types::{
    Call, Decision as Answer, Direction, Failure, Farewell, HangupCause, Party, Plan, Step, Target,
};
use crate::sandbox::{Outcome, World};

impl TenantRules {
    /// The plugin that is asked about a DID's calls, and the version if one is named, such as `vip-router@3`.
    pub(super) fn plugin_of(&self, did: &DidRules) -> Option<(&Name, &Arc<Setup>, Option<u32>)> {
        let (name, version) = plugins::named(did.plugin.as_deref()?)?;
        let (name, setup) = self.plugins.get_key_value(name)?;
        Some((name, setup, version))
    }
}

/// Decides whether the DID's plugin is asked. A call script is not: the call is sent to it.
pub(super) fn before(rules: &TenantRules, did: &DidRules, steps: &mut Recorder) -> Verdict {
    let setup = rules.plugin_of(did).map(|(name, setup, _)| (name, setup.kind));
    match setup {
        Some((_, World::Router)) => return Verdict::AskPlugin,
        Some((name, World::CallScript)) => {
            let to = Destination::to(Place::Script(name.clone()));
            if let Some(decision) = resolve(rules, did, &to, Stage::Script, reason::PLUGIN, "plugin", steps) {
                return Verdict::Decided(decision);
            }
        }
        // A ticketer decides no calls.
        _ => steps.step("plugin", Outcome::NotLoadable.as_str(), reference(did)),
    }
    Verdict::Decided(failed(rules, did, Stage::Script, steps))
}

/// For the trace: what a DID asks, such as `vip-router@3`.
fn reference(did: &DidRules) -> String {
    did.plugin.as_deref().unwrap_or_default().to_owned()
}

/// What a plugin was told of a call that was decided at that moment, made again of its trace; `None`: no plugin was asked
/// then, or the trace is not kept any more.
///
/// # Errors
/// When the database is away.
pub async fn asked(
    db: &Db,
    tenant: &TenantId,
    call: &Id,
    (at_us, zone): (i64, Tz),
) -> sqlx::Result<Option<Call>> {
    let traces = calls::traces(db, Some(tenant), call).await?;
    let known = traces.iter().filter_map(|text| serde_json::from_str::<Trace>(text).ok());
    let found =
        known.map(|trace| trace.inputs).find(|inputs| inputs.at_us == at_us && inputs.plugin.is_some());
    let Some(inputs) = found else { return Ok(None) };
    let linkedid = calls::linkedid(db, tenant, call).await?.unwrap_or_default();
    Ok(Some(question((call, &linkedid), zone, &inputs, Direction::Inbound)))
}

/// What a plugin is told of a call, given its id and linkedid.
pub(super) fn question((id, linkedid): (&Id, &str), zone: Tz, inputs: &Inputs, direction: Direction) -> Call {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let caller = Number::from_dialled(&inputs.caller).map(|n| n.to_string()).ok();
    let dialled = Number::from_dialled(&inputs.dialled).map(|n| n.to_string());
    let at = u64::try_from(inputs.at_us / 1_000).unwrap_or_default();
    Call {
        id: id.to_string(),
        linked_id: linkedid.to_owned(),
        direction,
        caller: Party { number: caller.or_else(|| given(&inputs.caller)), name: given(&inputs.caller_name) },
        dialled: dialled.unwrap_or_else(|_| inputs.dialled.clone()),
        language: inputs.language.clone(),
        at,
        local: plugins::wall(at, zone),
        seed: plugins::seed(id.as_str()),
        variables: inputs.variables.clone(),
    }
}

/// What is kept of a run for the decision and its replay.
pub(super) fn kept(reply: &Reply) -> PluginReply {
    PluginReply {
        plugin: reply.name.to_string(),
        version: reply.version,
        outcome: reply.report.outcome,
        text: reply.report.text.clone(),
        decision: reply.report.decision().cloned(),
    }
}

/// What is wrong with an answer: a target that is not the tenant's, a number that it may not call.
pub(super) fn usable(rules: &TenantRules, did: &DidRules, answer: &Answer) -> Result<(), String> {
    match answer {
        Answer::Route(plan) => planned(rules, did, plan, Stage::Primary).map(drop),
        Answer::Pass | Answer::HangUp(_) => Ok(()),
    }
}

/// Decides once the DID's plugin has answered or failed.
pub(super) fn after(
    rules: &TenantRules,
    did: &DidRules,
    inputs: &mut Inputs,
    steps: &mut Recorder,
) -> Verdict {
    let Some(mut reply) = inputs.plugin.take() else {
        steps.step("plugin", "not-asked", reference(did));
        return Verdict::Decided(failed(rules, did, Stage::Script, steps));
    };
    let verdict = match answered(rules, did, &mut reply, Stage::Primary, steps) {
        Some(Answered::Decided(decision)) => Verdict::Decided(decision),
        Some(Answered::Pass) => rules::without_plugin(rules, did, steps),
        None => Verdict::Decided(failed(rules, did, Stage::Script, steps)),
    };
    inputs.plugin = Some(reply);
    verdict
}

/// Decides once a call script has ended.
pub(super) fn after_script(
    rules: &TenantRules,
    did: &DidRules,
    state: &State,
    inputs: &mut Inputs,
    steps: &mut Recorder,
) -> Decision {
    let Some(mut reply) = inputs.plugin.take() else {
        steps.step("plugin", "not-asked", "");
        return failed(rules, did, state.stage, steps);
    };
    let decision = match answered(rules, did, &mut reply, state.stage, steps) {
        Some(Answered::Decided(decision)) => decision,
        Some(Answered::Pass) => next(rules, did, state, steps),
        None => failed(rules, did, state.stage, steps),
    };
    inputs.plugin = Some(reply);
    decision
}

#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment; a box would be an allocation of every call"
)]
enum Answered {
    Decided(Decision),
    Pass,
}

/// An answer that can be used; `None`: the run failed, or its answer is none.
fn answered(
    rules: &TenantRules,
    did: &DidRules,
    reply: &mut PluginReply,
    stage: Stage,
    steps: &mut Recorder,
) -> Option<Answered> {
    let made = match &reply.decision {
        Some(Answer::Pass) => Ok(None),
        Some(Answer::HangUp(farewell)) => Ok(Some(self::farewell(rules, farewell))),
        Some(Answer::Route(plan)) => planned(rules, did, plan, stage).map(Some),
        None => Err(reply.text.clone()),
    };
    match made {
        Ok(decision) => {
            steps.step(
                "plugin",
                reply.outcome.as_str(),
                name(reply, decision.as_ref().map(|_| &reply.decision)),
            );
            Some(decision.map_or(Answered::Pass, Answered::Decided))
        }
        Err(why) => {
            if reply.outcome.is_success() {
                (reply.outcome, reply.text) = (Outcome::RejectedOutput, why);
            }
            steps.step(
                "plugin",
                reply.outcome.as_str(),
                format!("{}@{}: {}", reply.plugin, reply.version, reply.text),
            );
            None
        }
    }
}

/// For people: `vip-router@3: listed as VIP`.
fn name(reply: &PluginReply, decision: Option<&Option<Answer>>) -> String {
    let why = match decision {
        Some(Some(Answer::Route(Plan { reason, .. }) | Answer::HangUp(Farewell { reason, .. }))) => {
            reason.as_deref().unwrap_or_default()
        }
        _ => "",
    };
    let mut text = format!("{}@{}", reply.plugin, reply.version);
    if !why.is_empty() {
        // Into a String, which takes everything.
        let _ = write!(text, ": {why}");
    }
    text
}

fn farewell(rules: &TenantRules, farewell: &Farewell) -> Decision {
    let cause = match farewell.cause {
        HangupCause::Normal => cause::NORMAL,
        HangupCause::Busy => cause::BUSY,
        HangupCause::Rejected => cause::REJECTED,
        HangupCause::Unallocated => cause::UNALLOCATED,
        HangupCause::NoAnswer => cause::NO_ANSWER,
        HangupCause::Congestion => cause::CONGESTION,
    };
    hang_up(Some(&rules.tenant), cause, reason::PLUGIN)
}

/// The decision of a plan: its first step, with the others in the state.
fn planned(rules: &TenantRules, did: &DidRules, plan: &Plan, stage: Stage) -> Result<Decision, String> {
    let mut all = plan.steps.iter().map(|step| self::step(rules, step)).collect::<Result<Vec<_>, _>>()?;
    let mut unseen = Recorder::default();
    for to in &all[1..] {
        let there = destination(to);
        rules.target(&there).map_err(|problem| format!("{problem}: {:?}", to.place))?;
    }
    let first = all.remove(0);
    let decision = try_one(rules, did, stage, first, &all, &mut unseen)
        .ok_or_else(|| format!("no such target of this tenant: {:?}", plan.steps[0].target))?;
    if decision.state.len() > limits::STATE_BYTES {
        return Err("the plan is too long: use fewer steps".to_owned());
    }
    Ok(Decision { variables: plan.variables.clone(), ..decision })
}

/// A step as a place of the tenant's.
fn step(rules: &TenantRules, step: &Step) -> Result<Planned, String> {
    let action = match &step.target {
        Target::Queue(_) => "queue",
        Target::Endpoint(_) => "endpoint",
        Target::Ivr(_) => "ivr",
        Target::Script(_) => "script",
        Target::External(_) => "external",
        Target::Voicemail(_) => "voicemail",
        Target::Playback(_) => "playback",
    };
    let raw = RawDestination {
        action: action.to_owned(),
        target: step.target.name().to_owned(),
        timeout_s: step.timeout.unwrap_or(0),
        ..RawDestination::default()
    };
    let to = Destination::check(&raw).map_err(|error| error.to_string())?;
    match outbound_denied(rules, &to) {
        Some(reason::BLOCKED_DESTINATION) => Err(format!("the operator blocks calls to {}", raw.target)),
        Some(_) => Err(format!("no outbound rule lets this tenant call {}", raw.target)),
        None => Ok(Planned { place: to.place, timeout_s: to.timeout_s, record: step.record }),
    }
}

/// What Asterisk calls a target that a script dials, and the tenant's own trunk there, if it goes through one.
pub(super) fn reach(
    rules: &TenantRules,
    target: &Target,
    timeout_s: u32,
) -> Result<(Action, String, Option<Box<str>>), Failure> {
    let step = Step { target: target.clone(), timeout: Some(timeout_s), record: None };
    let to = self::step(rules, &step).map_err(Failure::Denied)?;
    match rules.target(&destination(&to)) {
        Ok((Action::External, number, _)) => {
            let trunk = rules.trunk_to(&number);
            Ok((Action::External, number, trunk))
        }
        Ok((action, name, _)) => Ok((action, name, None)),
        Err(_) => Err(Failure::NotFound),
    }
}

fn destination(planned: &Planned) -> Destination {
    Destination { timeout_s: planned.timeout_s, ..Destination::to(planned.place.clone()) }
}

/// The decision of one step, with those behind it in the state.
fn try_one(
    rules: &TenantRules,
    did: &DidRules,
    stage: Stage,
    to: Planned,
    behind: &[Planned],
    steps: &mut Recorder,
) -> Option<Decision> {
    let mut decision = resolve(rules, did, &destination(&to), stage, reason::PLUGIN, "plan", steps)?;
    let can_record = matches!(decision.action, Action::Queue | Action::Endpoint | Action::External);
    if let Some(record) = to.record {
        decision.record = record && can_record;
    }
    for step in behind {
        // Into a String, which takes everything.
        let _ = write!(decision.state, "~{step}");
    }
    Some(decision)
}

/// Decides what comes after a destination that reached nobody: the rest of a plan, then the DID's own list.
pub(super) fn next(rules: &TenantRules, did: &DidRules, state: &State, steps: &mut Recorder) -> Decision {
    for (n, to) in state.rest.iter().enumerate() {
        if let Some(why) = outbound_denied(rules, &destination(to)) {
            steps.step("plan", why, format!("{:?}", to.place));
            continue;
        }
        let behind = &state.rest[n + 1..];
        if let Some(decision) = try_one(rules, did, state.stage, to.clone(), behind, steps) {
            return decision;
        }
    }
    rules::next(rules, did, state.stage, steps)
}

/// Where a call goes whose plugin failed.
fn failed(rules: &TenantRules, did: &DidRules, stage: Stage, steps: &mut Recorder) -> Decision {
    let rejects = rules.plugin_of(did).is_some_and(|(_, setup, _)| setup.on_failure == OnFailure::Reject);
    if rejects {
        steps.step("plugin", "rejects", "the plugin's on_failure says so");
        return hang_up(Some(&rules.tenant), cause::REJECTED, reason::PLUGIN_FAILED);
    }
    let why = Some(reason::PLUGIN_FAILED);
    if did.fallback.is_some() && matches!(stage, Stage::Script | Stage::Primary | Stage::Overflow(_)) {
        return walk(rules, did, Stage::DidFallback, true, why, steps);
    }
    walk(rules, did, stage, false, why, steps)
}

/// The number that a state belongs to.
pub(super) fn number(state: &State) -> Option<&Number> {
    match &state.origin {
        Origin::Did(_, number) => Some(number),
        Origin::Internal(..) => None,
    }
}
