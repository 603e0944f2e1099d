//! The decision, pure: a tenant's data and a call's inputs in, a verdict out. No I/O, no clock but the inputs'.
//!
//! Order of checks for an inbound call: DID known, DID active, tenant active, call limits, block list, allow list
//! (skips hours), holiday, opening hours, plugin or webhook, static destination, overflow in order, tenant fallback.
//! Whatever leads outside is held against the operator's blocked destinations where its target is looked up.
//! Every path ends in a [`Decision`]; every check is a step in the trace.

use super::data::{DidRules, EndpointRules, OutboundRule, TenantRules};
use super::outgoing;
use super::plugin;
use super::schedule::Status;
use super::trace::Recorder;
use super::types::{
    Action, Decision, Destination, Inputs, Origin, Place, Stage, State, WebhookReply, cause, reason,
};
use crate::base::clock::from_us;
use crate::base::ids::{Name, Number, Sound, TenantId, global_name, split_global_name};
use crate::sandbox::World;

/// What the rules say.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for a moment; a box would be an allocation of every call"
)]
pub enum Verdict {
    /// Decided.
    Decided(Decision),
    /// The tenant's plugin is to be asked; then `plugin::after` decides.
    AskPlugin,
    /// The tenant's webhook is to be asked; then [`after_webhook`] decides.
    AskWebhook,
}

/// The end, with a cause.
pub fn hang_up(tenant: Option<&TenantId>, cause: u8, reason: &'static str) -> Decision {
    Decision {
        tenant: tenant.cloned(),
        action: Action::Hangup,
        target: cause.to_string(),
        timeout_s: 0,
        options: String::new(),
        position: 0,
        record: false,
        announcement: None,
        reason: reason.into(),
        message: String::new(),
        language: String::new(),
        state: String::new(),
        trunk: None,
        variables: Vec::new(),
    }
}

/// Decides an inbound call to a DID that exists.
pub fn route(rules: &TenantRules, did: &DidRules, inputs: &Inputs, steps: &mut Recorder) -> Verdict {
    if let Some(decision) = refuse(rules, did, inputs, steps) {
        return Verdict::Decided(decision);
    }
    let caller = Number::from_dialled(&inputs.caller).ok();
    if let Some(pattern) = rules.block.find(caller.as_ref(), inputs.at_us) {
        steps.step("block-list", "blocked", pattern.to_owned());
        return Verdict::Decided(divert(
            rules,
            did,
            rules.blocked.as_ref(),
            cause::REJECTED,
            reason::BLOCKED,
            steps,
        ));
    }
    steps.step("block-list", "pass", "");
    match rules.allow.find(caller.as_ref(), inputs.at_us) {
        Some(pattern) => steps.step("allow-list", "listed", pattern.to_owned()),
        None => {
            steps.step("allow-list", "pass", "");
            if let Some(decision) = closed(rules, did, inputs, steps) {
                return Verdict::Decided(decision);
            }
        }
    }
    if did.plugin.is_some() {
        return plugin::before(rules, did, steps);
    }
    without_plugin(rules, did, steps)
}

/// What a DID says itself.
pub(super) fn without_plugin(rules: &TenantRules, did: &DidRules, steps: &mut Recorder) -> Verdict {
    if did.webhook.is_some() {
        return Verdict::AskWebhook;
    }
    Verdict::Decided(walk(rules, did, Stage::Primary, true, None, steps))
}

/// DID active, tenant active, limits.
fn refuse(rules: &TenantRules, did: &DidRules, inputs: &Inputs, steps: &mut Recorder) -> Option<Decision> {
    if !did.active {
        steps.step("did", "inactive", "");
        return Some(divert(
            rules,
            did,
            did.inactive.as_deref(),
            cause::UNALLOCATED,
            reason::INACTIVE_DID,
            steps,
        ));
    }
    steps.step("did", "active", "");
    if !rules.status.has_calls() {
        steps.step("tenant", rules.status.as_str(), "");
        return Some(hang_up(Some(&rules.tenant), cause::REJECTED, reason::SUSPENDED_TENANT));
    }
    steps.step("tenant", rules.status.as_str(), "");
    for (calls, most, why) in [
        (inputs.tenant_calls, rules.max_calls, reason::TENANT_LIMIT),
        (inputs.did_calls, did.max_calls, reason::DID_LIMIT),
    ] {
        if most > 0 && calls >= most {
            steps.step("limits", why, format!("{calls} of {most}"));
            return Some(divert(rules, did, did.limit.as_deref(), cause::BUSY, why, steps));
        }
    }
    steps.step("limits", "pass", "");
    None
}

/// Holiday and opening hours.
fn closed(rules: &TenantRules, did: &DidRules, inputs: &Inputs, steps: &mut Recorder) -> Option<Decision> {
    let (why, to) = if did.schedule_missing {
        steps.step("hours", "schedule-missing", "");
        (reason::CLOSED, did.closed.as_deref())
    } else {
        let Some(schedule) = &did.schedule else {
            steps.step("hours", "always-open", "");
            return None;
        };
        match schedule.status(from_us(inputs.at_us)) {
            Status::Open => {
                steps.step("holiday", "pass", "");
                steps.step("hours", "open", "");
                return None;
            }
            Status::Holiday(holiday) => {
                steps.step("holiday", "holiday", holiday.name.clone());
                (reason::HOLIDAY, did.holiday.as_deref().or(did.closed.as_deref()))
            }
            Status::Closed => {
                steps.step("holiday", "pass", "");
                steps.step("hours", "closed", "");
                (reason::CLOSED, did.closed.as_deref())
            }
        }
    };
    if let Some(decision) =
        to.and_then(|to| resolve(rules, did, to, Stage::Closed, why, "closed-destination", steps))
    {
        return Some(decision);
    }
    let mut decision = walk(rules, did, Stage::DidFallback, true, Some(why), steps);
    if decision.action == Action::Hangup && decision.reason == reason::NO_DESTINATION {
        decision = hang_up(Some(&rules.tenant), cause::ABSENT, why);
    }
    Some(decision)
}

/// Sends a call that must not go its usual way to `to`, or ends it.
fn divert(
    rules: &TenantRules,
    did: &DidRules,
    to: Option<&Destination>,
    cause: u8,
    why: &'static str,
    steps: &mut Recorder,
) -> Decision {
    to.and_then(|to| resolve(rules, did, to, Stage::Refused, why, "diverted", steps))
        .unwrap_or_else(|| hang_up(Some(&rules.tenant), cause, why))
}

/// Decides once the webhook has answered or failed.
pub fn after_webhook(
    rules: &TenantRules,
    did: &DidRules,
    reply: &WebhookReply,
    steps: &mut Recorder,
) -> Decision {
    let failed = match reply {
        WebhookReply::Answer(raw) => match Destination::check(raw) {
            Ok(to) => match outbound_denied(rules, &to) {
                Some(why) => why.to_owned(),
                None => match resolve(rules, did, &to, Stage::Primary, reason::WEBHOOK, "webhook", steps) {
                    Some(decision) => return decision,
                    None => "foreign-target".to_owned(),
                },
            },
            Err(error) => error.to_string(),
        },
        WebhookReply::Failed(code) => code.clone(),
    };
    steps.step("webhook", "failed", failed);
    let from = if did.fallback.is_some() { Stage::DidFallback } else { Stage::Primary };
    walk(rules, did, from, true, Some(reason::WEBHOOK_FAILED), steps)
}

/// A tenant's code may send calls outside only where its endpoints may.
pub(super) fn outbound_denied(rules: &TenantRules, to: &Destination) -> Option<&'static str> {
    match &to.place {
        Place::External(number) => rules.denies(number),
        _ => None,
    }
}

/// Decides what comes after a destination that reached nobody.
pub fn next(rules: &TenantRules, did: &DidRules, stage: Stage, steps: &mut Recorder) -> Decision {
    walk(rules, did, stage, false, None, steps)
}

/// The end of a call that was tried tells the caller's side why: busy is an answer, a temporary failure makes a
/// carrier try again elsewhere. `ended` is the action and Asterisk's status, such as `endpoint BUSY`.
pub fn as_it_ended(decision: Decision, ended: &str) -> Decision {
    if decision.reason != reason::NO_DESTINATION {
        return decision;
    }
    let cause = match ended.split_once(' ').map_or("", |(_, status)| status) {
        "BUSY" => cause::BUSY,
        "NOANSWER" => cause::NO_ANSWER,
        "CHANUNAVAIL" => cause::ABSENT,
        _ => return decision,
    };
    Decision { target: cause.to_string(), ..decision }
}

/// Where a menu sends a call: like the destination at `stage`, so that what follows stays the same.
pub fn from_menu(
    rules: &TenantRules,
    did: &DidRules,
    to: &Destination,
    stage: Stage,
    steps: &mut Recorder,
) -> Decision {
    resolve(rules, did, to, stage, reason::IVR, "ivr", steps)
        .unwrap_or_else(|| walk(rules, did, stage, false, None, steps))
}

/// The first destination from `stage` on that can be used, or the end.
pub(super) fn walk(
    rules: &TenantRules,
    did: &DidRules,
    stage: Stage,
    inclusive: bool,
    why: Option<&'static str>,
    steps: &mut Recorder,
) -> Decision {
    let mut end = (cause::TEMPORARY, reason::NO_DESTINATION);
    for (stage, to) in did.from_stage(rules, stage, inclusive) {
        let (check, usual) = match stage {
            Stage::Script | Stage::Primary => ("static", reason::STATIC),
            Stage::Overflow(_) => ("overflow", reason::OVERFLOW),
            Stage::TenantFallback => ("tenant-fallback", reason::FALLBACK),
            Stage::DidFallback | Stage::Closed | Stage::Refused => ("did-fallback", reason::FALLBACK),
        };
        if let Some(decision) = resolve(rules, did, to, stage, why.unwrap_or(usual), check, steps) {
            return decision;
        }
        if rules.target(to) == Err(reason::BLOCKED_DESTINATION) {
            end = (cause::REJECTED, reason::BLOCKED_DESTINATION);
        }
    }
    steps.step("destinations", "exhausted", "");
    hang_up(Some(&rules.tenant), end.0, end.1)
}

/// Turns a destination into a decision, unless its target is missing or out of service.
pub(super) fn resolve(
    rules: &TenantRules,
    did: &DidRules,
    to: &Destination,
    stage: Stage,
    why: &'static str,
    check: &'static str,
    steps: &mut Recorder,
) -> Option<Decision> {
    let resolved = rules.target(to);
    let (action, target, timeout_s) = match resolved {
        Ok(resolved) => resolved,
        Err(problem) => {
            steps.step(check, problem, format!("{:?}", to.place));
            return None;
        }
    };
    steps.step(check, action.as_str(), target.clone());
    let language = if did.language.is_empty() { &rules.language } else { &did.language };
    Some(Decision {
        tenant: Some(rules.tenant.clone()),
        action,
        trunk: if action == Action::External { rules.trunk_to(&target) } else { None },
        target,
        timeout_s,
        options: to.options.clone(),
        position: 0,
        record: did.record && matches!(action, Action::Queue | Action::Endpoint | Action::External)
            || rules.records(&to.place),
        announcement: rules.announcement(&to.place),
        reason: why.into(),
        message: to.message.as_ref().map(|m| m.as_str().to_owned()).unwrap_or_default(),
        language: language.clone(),
        // As `State` reads it.
        state: format!("d:{}:{}:{stage}", rules.tenant, did.number),
        variables: Vec::new(),
    })
}

impl TenantRules {
    /// Whether calls to a place are recorded because of the place itself.
    pub(super) fn records(&self, place: &Place) -> bool {
        match place {
            Place::Queue(name) => self.queues.get(name).is_some_and(|queue| queue.record),
            Place::Endpoint(name) => self.endpoints.get(name).is_some_and(|endpoint| endpoint.record),
            _ => false,
        }
    }

    /// What the caller is told before a recording.
    pub(super) fn announcement(&self, place: &Place) -> Option<Box<Sound>> {
        let own = match place {
            Place::Queue(name) => self.queues.get(name)?.announcement.as_ref(),
            Place::Endpoint(_) | Place::External(_) => None,
            _ => return None,
        };
        own.or(self.announcement.as_ref()).cloned().map(Box::new)
    }

    /// What Asterisk calls a destination: action, target, seconds; or why it can't be used.
    pub(super) fn target(&self, to: &Destination) -> Result<(Action, String, u32), &'static str> {
        let or = |own: u32, theirs: u32| if own == 0 { theirs } else { own };
        Ok(match &to.place {
            Place::Queue(name) => {
                let queue = self.queues.get(name).ok_or("no-such-queue")?;
                if !queue.active {
                    return Err("queue-inactive");
                }
                (Action::Queue, global_name(&self.tenant, name), or(to.timeout_s, queue.max_wait_s))
            }
            Place::Endpoint(name) => {
                let endpoint = self.endpoints.get(name).ok_or("no-such-endpoint")?;
                if !endpoint.active {
                    return Err("endpoint-inactive");
                }
                (Action::Endpoint, global_name(&self.tenant, name), or(to.timeout_s, endpoint.ring_timeout_s))
            }
            Place::Ivr(name) => {
                self.menus.get(name).ok_or("no-such-menu")?;
                (Action::Ivr, name.to_string(), 0)
            }
            Place::Script(name) => {
                let plugin = self.plugins.get(name).ok_or("no-such-script")?;
                if plugin.kind != World::CallScript {
                    return Err("no-call-script");
                }
                (Action::Script, name.to_string(), 0)
            }
            Place::Voicemail(name) => {
                self.mailboxes.get(name).ok_or("no-such-mailbox")?;
                (Action::Voicemail, format!("{name}@{}", self.tenant), 0)
            }
            Place::External(number) if self.platform.lists().blocks(number).is_some() => {
                return Err(reason::BLOCKED_DESTINATION);
            }
            Place::External(number) => (Action::External, number.to_string(), to.timeout_s),
            Place::Playback(sound) => (Action::Playback, sound.to_string(), 0),
            Place::Hangup(cause) => (Action::Hangup, cause.to_string(), 0),
        })
    }

    /// Whether endpoints, plugins and webhooks may send calls to a number outside: the longest matching prefix says.
    pub fn may_dial(&self, number: &Number) -> bool {
        self.outbound_rule(number.as_str()).is_some_and(|rule| rule.allowed)
    }

    /// The rule of the longest matching prefix; a short number's is its own alone.
    fn outbound_rule(&self, number: &str) -> Option<&OutboundRule> {
        let fits = |rule: &&OutboundRule| match rule.prefix.starts_with('+') {
            true => number.starts_with(&rule.prefix),
            false => number == rule.prefix,
        };
        self.outbound.iter().filter(fits).max_by_key(|rule| rule.prefix.len())
    }

    /// What Asterisk calls the tenant's own trunk to a number outside; `None`: it goes through the operator's.
    pub(super) fn trunk_to(&self, number: &str) -> Option<Box<str>> {
        let rule = self.outbound_rule(number).filter(|rule| rule.allowed)?;
        rule.trunk.as_ref().map(|name| global_name(&self.tenant, name).into())
    }

    fn inside(
        &self,
        action: Action,
        target: String,
        timeout_s: u32,
        why: &'static str,
        state: String,
    ) -> Decision {
        Decision {
            tenant: Some(self.tenant.clone()),
            action,
            trunk: if action == Action::External { self.trunk_to(&target) } else { None },
            target,
            timeout_s,
            options: String::new(),
            position: 0,
            record: false,
            announcement: None,
            reason: why.into(),
            message: String::new(),
            language: self.language.clone(),
            state,
            variables: Vec::new(),
        }
    }
}

/// The code that lets an endpoint listen to its mailbox.
pub const CHECK_VOICEMAIL: &str = "*97";

/// Decides what an endpoint dialled: an extension, a feature code, or a number outside.
pub fn internal(rules: &TenantRules, inputs: &Inputs, steps: &mut Recorder) -> Decision {
    if let Some(decision) = outgoing::emergency(rules, inputs, steps) {
        return decision;
    }
    let end = |cause, why| hang_up(Some(&rules.tenant), cause, why);
    let from = split_global_name(&inputs.from_endpoint).ok().map(|(_, name)| name);
    let Some((from, endpoint)) =
        from.and_then(|name| rules.endpoints.get(&name).map(|e| (name, e))).filter(|(_, e)| e.active)
    else {
        steps.step("endpoint", "unknown", inputs.from_endpoint.clone());
        return end(cause::REJECTED, reason::UNKNOWN_ENDPOINT);
    };
    steps.step("endpoint", "known", from.to_string());
    if !rules.status.has_calls() {
        steps.step("tenant", rules.status.as_str(), "");
        return end(cause::REJECTED, reason::SUSPENDED_TENANT);
    }
    steps.step("tenant", rules.status.as_str(), "");
    if rules.max_calls > 0 && inputs.tenant_calls >= rules.max_calls {
        steps.step("limits", reason::TENANT_LIMIT, format!("{} of {}", inputs.tenant_calls, rules.max_calls));
        return end(cause::BUSY, reason::TENANT_LIMIT);
    }
    steps.step("limits", "pass", "");
    if inputs.dialled == CHECK_VOICEMAIL {
        return check_voicemail(rules, &from, endpoint.mailbox.as_ref(), steps);
    }
    if let Some(decision) = extension(rules, endpoint, &inputs.dialled, steps) {
        return decision;
    }
    outside(rules, &from, endpoint, inputs, steps)
}

/// A number outside that an endpoint dialled.
fn outside(
    rules: &TenantRules,
    from: &Name,
    endpoint: &EndpointRules,
    inputs: &Inputs,
    steps: &mut Recorder,
) -> Decision {
    let dialled = inputs.dialled.as_str();
    // Who is called can't be told first: only the caller would hear it.
    let out = |number: String| {
        // Nothing follows a call outside, but `next` must know whose it was.
        let last = State::at(Origin::Internal(rules.tenant.clone(), from.clone()), Stage::Refused);
        let decision = rules.inside(Action::External, number, 0, reason::OUTBOUND, last.to_string());
        Decision { record: endpoint.record, ..decision }
    };
    let denied = |number: String, why: &'static str, steps: &mut Recorder| {
        let outcome = if why == reason::OUTBOUND_DENIED { "denied" } else { why };
        steps.step("outbound", outcome, number);
        hang_up(Some(&rules.tenant), cause::REJECTED, why)
    };
    if !dialled.starts_with('+') && rules.outbound_rule(dialled).is_some_and(|rule| rule.allowed) {
        if rules.platform.lists().blocks_short(dialled) {
            return denied(dialled.to_owned(), reason::BLOCKED_DESTINATION, steps);
        }
        steps.step("outbound", "short-number", dialled.to_owned());
        return out(dialled.to_owned());
    }
    let Ok(number) = Number::from_dialled(dialled) else {
        steps.step("extension", "unknown", "");
        return hang_up(Some(&rules.tenant), cause::UNALLOCATED, reason::UNKNOWN_EXTENSION);
    };
    if let Some(why) = rules.denies(&number) {
        return denied(number.to_string(), why, steps);
    }
    steps.step("outbound", "allowed", number.to_string());
    out(number.to_string())
}

fn check_voicemail(
    rules: &TenantRules,
    from: &Name,
    mailbox: Option<&Name>,
    steps: &mut Recorder,
) -> Decision {
    match mailbox.filter(|name| rules.mailboxes.contains(*name)) {
        Some(name) => {
            steps.step("feature-code", "check-voicemail", name.to_string());
            let target = format!("{name}@{}", rules.tenant);
            let decision = rules.inside(Action::Voicemail, target, 0, reason::VOICEMAIL_CHECK, String::new());
            Decision { options: "check".to_owned(), ..decision }
        }
        None => {
            steps.step("feature-code", "no-mailbox", from.to_string());
            hang_up(Some(&rules.tenant), cause::UNALLOCATED, reason::UNKNOWN_EXTENSION)
        }
    }
}

/// An endpoint or queue of the tenant that `dialled` names.
fn extension(
    rules: &TenantRules,
    from: &EndpointRules,
    dialled: &str,
    steps: &mut Recorder,
) -> Option<Decision> {
    let (name, to) = rules.by_extension(dialled)?;
    match rules.target(&to) {
        Ok((action, target, timeout_s)) => {
            steps.step("extension", action.as_str(), target.clone());
            let origin = Origin::Internal(rules.tenant.clone(), name);
            let state = State::at(origin, Stage::Primary).to_string();
            let decision = rules.inside(action, target, timeout_s, reason::EXTENSION, state);
            Some(Decision {
                record: from.record || rules.records(&to.place),
                announcement: rules.announcement(&to.place),
                ..decision
            })
        }
        Err(problem) => {
            steps.step("extension", problem, dialled.to_owned());
            Some(hang_up(Some(&rules.tenant), cause::ABSENT, reason::UNKNOWN_EXTENSION))
        }
    }
}

impl TenantRules {
    /// What an extension reaches: the endpoint of that name, or the queue that has it.
    pub fn by_extension(&self, dialled: &str) -> Option<(Name, Destination)> {
        let name = Name::parse(dialled).ok()?;
        if self.endpoints.contains_key(&name) {
            return Some((name.clone(), Destination::to(Place::Endpoint(name))));
        }
        let queue = self.queues.iter().find(|(_, q)| !q.extension.is_empty() && q.extension == dialled);
        queue.map(|(name, _)| (name.clone(), Destination::to(Place::Queue(name.clone()))))
    }
}

/// Decides what comes after an inside call that reached nobody: the mailbox of who was called.
pub fn next_internal(rules: &TenantRules, name: &Name, stage: Stage, steps: &mut Recorder) -> Decision {
    let mailbox = rules.endpoints.get(name).and_then(|e| e.mailbox.as_ref());
    match mailbox.filter(|m| stage == Stage::Primary && rules.mailboxes.contains(*m)) {
        Some(mailbox) => {
            steps.step("mailbox", "voicemail", mailbox.to_string());
            let origin = Origin::Internal(rules.tenant.clone(), name.clone());
            let state = State::at(origin, Stage::DidFallback).to_string();
            rules.inside(Action::Voicemail, format!("{mailbox}@{}", rules.tenant), 0, reason::OVERFLOW, state)
        }
        None => {
            steps.step("destinations", "exhausted", "");
            hang_up(Some(&rules.tenant), cause::TEMPORARY, reason::NO_DESTINATION)
        }
    }
}
