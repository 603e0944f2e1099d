//! The trace of a decision: every step with what it found and what it cost. Made while deciding, stored with the call,
//! shown by `simulate`, compared by `replay`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::types::{Decision, Hook, Inputs};
use crate::base::clock::Stopwatch;
use crate::plugins::Run;

/// One check on the way to a decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was checked: `did`, `tenant`, `limits`, `block-list` ...
    pub check: Cow<'static, str>,
    /// What came out: a short stable code.
    pub outcome: Cow<'static, str>,
    /// What it was about, for people.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub detail: Cow<'static, str>,
    /// Microseconds it took.
    pub us: f64,
}

/// A decision with the way to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Which hook asked.
    pub hook: Hook,
    /// What it depended on besides the tenant's data.
    pub inputs: Inputs,
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// What came out.
    pub decision: Decision,
    /// Microseconds from start to end, waits for webhooks and callers included.
    pub us: f64,
    /// Runs of plugins on the way; they are kept in a log of their own.
    #[serde(skip)]
    pub runs: Vec<Run>,
}

/// Writes down steps and times them.
#[derive(Debug)]
pub struct Recorder {
    steps: Vec<Step>,
    start: Stopwatch,
    last_ns: u64,
    runs: Vec<Run>,
}

impl Default for Recorder {
    fn default() -> Self {
        // The longest usual path (webhook with fallback) has about a dozen steps.
        Self { steps: Vec::with_capacity(12), start: Stopwatch::start(), last_ns: 0, runs: Vec::new() }
    }
}

impl Recorder {
    /// Ends a step; its cost is the time since the one before.
    pub fn step(
        &mut self,
        check: &'static str,
        outcome: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) {
        let now = self.start.elapsed_ns();
        let us = micros(now - self.last_ns);
        self.last_ns = now;
        self.steps.push(Step {
            check: Cow::Borrowed(check),
            outcome: outcome.into(),
            detail: detail.into(),
            us,
        });
    }

    /// Keeps a plugin's run.
    pub fn run(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Microseconds since the start.
    pub fn elapsed_us(&self) -> f64 {
        micros(self.start.elapsed_ns())
    }

    /// Closes the book.
    pub fn finish(self, hook: Hook, inputs: Inputs, decision: Decision) -> Trace {
        let us = self.elapsed_us();
        Trace { hook, inputs, steps: self.steps, decision, us, runs: self.runs }
    }
}

/// Nanoseconds as microseconds with two decimals, which is what a trace can say honestly.
#[expect(clippy::cast_precision_loss, reason = "a trace of 285 years would be off by some nanoseconds")]
fn micros(ns: u64) -> f64 {
    (ns as f64 / 10.0).round() / 100.0
}
