//! Words to build an answer with.

use crate::{Decision, Farewell, Field, HangupCause, Plan, Priority, Step, Target, TicketDraft};

impl Target {
    /// The queue of this name.
    pub fn queue(name: impl Into<String>) -> Self {
        Self::Queue(name.into())
    }

    /// The endpoint of this name, such as `101`.
    pub fn endpoint(name: impl Into<String>) -> Self {
        Self::Endpoint(name.into())
    }

    /// The menu of this name.
    pub fn ivr(name: impl Into<String>) -> Self {
        Self::Ivr(name.into())
    }

    /// The call script of this name.
    pub fn script(name: impl Into<String>) -> Self {
        Self::Script(name.into())
    }

    /// A number outside, E.164.
    pub fn external(number: impl Into<String>) -> Self {
        Self::External(number.into())
    }

    /// The mailbox of this name.
    pub fn voicemail(name: impl Into<String>) -> Self {
        Self::Voicemail(name.into())
    }

    /// The sound of this name, then a hang-up.
    pub fn playback(sound: impl Into<String>) -> Self {
        Self::Playback(sound.into())
    }
}

/// `Plan::to(a).within(20).then(b).because("why")`; what stands behind a target belongs to that target.
impl Plan {
    /// Begins with this target.
    pub fn to(target: Target) -> Self {
        Self { steps: Vec::new(), reason: None, variables: Vec::new() }.then(target)
    }

    /// If that reaches nobody, this one.
    #[must_use]
    pub fn then(mut self, target: Target) -> Self {
        self.steps.push(Step { target, timeout: None, record: None });
        self
    }

    /// Seconds for the last target.
    #[must_use]
    pub fn within(mut self, seconds: u32) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.timeout = Some(seconds);
        }
        self
    }

    /// Whether the conversation with the last target is recorded.
    #[must_use]
    pub fn recorded(mut self, is_recorded: bool) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.record = Some(is_recorded);
        }
        self
    }

    /// Why, for people: shown in the call's trace.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Given to the channel as `HS_V_<name>`.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.push(Field { name: name.into(), value: value.into() });
        self
    }
}

impl Farewell {
    /// A hang-up with this cause.
    pub fn new(cause: HangupCause) -> Self {
        Self { cause, reason: None }
    }

    /// Why, for people: shown in the call's trace.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }
}

impl From<Plan> for Decision {
    fn from(plan: Plan) -> Self {
        Self::Route(plan)
    }
}

impl From<Farewell> for Decision {
    fn from(farewell: Farewell) -> Self {
        Self::HangUp(farewell)
    }
}

impl TicketDraft {
    /// A ticket of normal priority. `rule` is the plugin's own word for why: there is one ticket for each rule and call.
    pub fn new(rule: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            subject: subject.into(),
            body: String::new(),
            priority: Priority::Normal,
            contact: None,
            tags: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// With this text.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// With this priority.
    #[must_use]
    pub fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// About whoever has this number.
    #[must_use]
    pub fn with_contact(mut self, number: impl Into<String>) -> Self {
        self.contact = Some(number.into());
        self
    }

    /// With one more tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// With one more custom field.
    #[must_use]
    pub fn with_field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.fields.push(Field { name: name.into(), value: value.into() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_like_a_sentence() {
        let plan = Plan::to(Target::endpoint("101")).within(20).then(Target::queue("support")).recorded(true);
        assert_eq!(plan.steps[0].timeout, Some(20));
        assert_eq!((plan.steps[1].timeout, plan.steps[1].record), (None, Some(true)));
        let decision: Decision = plan.because("vip").variable("CLASS", "gold").into();
        let Decision::Route(plan) = decision else { panic!("{decision:?}") };
        assert_eq!((plan.reason.as_deref(), plan.variables.len()), (Some("vip"), 1));
    }
}
