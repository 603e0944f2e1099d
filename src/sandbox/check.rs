//! The rules of `wit/1.0.0` that its types can't say. Whose a target is, is the domain's question.

use super::types::{Decision, Field, Plan, TicketDraft};
use crate::config::limits::answer as limits;

/// Whether a decision keeps the rules.
pub(super) fn decision(decision: &Decision) -> Result<(), String> {
    match decision {
        Decision::Pass => Ok(()),
        Decision::HangUp(farewell) => reason(farewell.reason.as_deref()),
        Decision::Route(plan) => self::plan(plan),
    }
}

fn plan(plan: &Plan) -> Result<(), String> {
    if plan.steps.is_empty() || plan.steps.len() > limits::STEPS {
        return Err(format!(
            "a plan has 1 to {} steps, and this one has {}",
            limits::STEPS,
            plan.steps.len()
        ));
    }
    for step in &plan.steps {
        if !step.timeout.is_none_or(|s| (1..=limits::STEP_S).contains(&s)) {
            return Err(format!("a step's timeout is 1 to {} seconds", limits::STEP_S));
        }
        if step.target.name().is_empty() || step.target.name().len() > limits::TARGET_BYTES {
            return Err(format!("a target's name has 1 to {} bytes", limits::TARGET_BYTES));
        }
    }
    reason(plan.reason.as_deref())?;
    if plan.variables.len() > limits::VARIABLES {
        return Err(format!("a plan sets up to {} variables", limits::VARIABLES));
    }
    plan.variables.iter().try_for_each(variable)
}

/// A variable of a channel, as it is written behind `HS_V_`.
fn variable(field: &Field) -> Result<(), String> {
    variable_name(&field.name)?;
    variable_value(&field.value)
}

/// Whether a plugin's variable can be called so.
///
/// # Errors
/// The rule it breaks.
pub fn variable_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    match (1..=limits::NAME_BYTES).contains(&name.len()) && name.bytes().all(fits) {
        true => Ok(()),
        false => Err(format!("a variable's name is 1 to {} of A-Z, 0-9 and _", limits::NAME_BYTES)),
    }
}

/// Whether a plugin's variable can have this value.
///
/// # Errors
/// The rule it breaks.
pub fn variable_value(value: &str) -> Result<(), String> {
    match value.len() <= limits::VALUE_BYTES && !value.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(format!(
            "a variable's value has up to {} bytes and no control characters",
            limits::VALUE_BYTES
        )),
    }
}

fn reason(reason: Option<&str>) -> Result<(), String> {
    match reason {
        Some(text) if text.chars().count() > limits::REASON_CHARACTERS => {
            Err(format!("a reason has up to {} characters", limits::REASON_CHARACTERS))
        }
        _ => Ok(()),
    }
}

/// Whether a ticket keeps the rules.
pub(super) fn draft(draft: &TicketDraft) -> Result<(), String> {
    let rule = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let subject = draft.subject.trim().chars().count();
    if draft.rule.is_empty() || draft.rule.len() > limits::RULE_BYTES || !draft.rule.bytes().all(rule) {
        Err(format!("a rule is 1 to {} of a-z, 0-9 and -", limits::RULE_BYTES))
    } else if subject == 0 || subject > limits::SUBJECT_CHARACTERS {
        Err(format!("a subject has 1 to {} characters", limits::SUBJECT_CHARACTERS))
    } else if draft.body.len() > limits::BODY_BYTES {
        Err(format!("a body has up to {} bytes", limits::BODY_BYTES))
    } else if draft.tags.len() > limits::TAGS
        || draft.tags.iter().any(|tag| tag.chars().count() > limits::TAG_CHARACTERS)
    {
        Err(format!("a draft has up to {} tags of {} characters", limits::TAGS, limits::TAG_CHARACTERS))
    } else if draft.fields.len() > limits::FIELDS {
        Err(format!("a draft has up to {} fields", limits::FIELDS))
    } else {
        Ok(())
    }
}

/// Logic of the fuzz target `plugin_answer`: whatever a script returns is an answer that keeps the rules, or refused with a
/// reason.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(answer) = serde_json::from_slice::<Decision>(bytes)
        && let Err(why) = decision(&answer)
    {
        assert!(!why.is_empty());
    }
    if let Ok(Some(answer)) = serde_json::from_slice::<Option<TicketDraft>>(bytes)
        && let Err(why) = draft(&answer)
    {
        assert!(!why.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::{Farewell, HangupCause, Step, Target};
    use super::*;

    fn plan_of(steps: usize) -> Plan {
        let step = Step { target: Target::Queue("support".into()), timeout: Some(30), record: None };
        Plan { steps: vec![step; steps], reason: None, variables: Vec::new() }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_script_returns_is_read_or_refused(text in "\\PC{0,200}") {
            fuzz(text.as_bytes());
        }
    }

    #[test]
    fn plans_have_one_to_eight_steps() {
        for (steps, fine) in [(0, false), (1, true), (8, true), (9, false)] {
            assert_eq!(decision(&Decision::Route(plan_of(steps))).is_ok(), fine, "{steps}");
        }
    }

    #[test]
    fn what_the_types_allow_and_the_rules_do_not() {
        let mut late = plan_of(1);
        late.steps[0].timeout = Some(0);
        assert!(plan(&late).is_err());
        let mut nameless = plan_of(1);
        nameless.steps[0].target = Target::Endpoint(String::new());
        assert!(plan(&nameless).is_err());
        for (name, value) in [("", ""), ("lower", "x"), ("A-B", "x"), ("A", "a\nb"), ("A", &"x".repeat(257))]
        {
            let field = Field { name: name.into(), value: value.into() };
            assert!(variable(&field).is_err(), "{name} {value}");
        }
        let long = Farewell { cause: HangupCause::Busy, reason: Some("x".repeat(201)) };
        assert!(decision(&Decision::HangUp(long)).is_err());
    }
}
