//! Traces for people.

use crate::routing::trace::Trace;

/// Prints a trace step by step.
pub(super) fn trace(trace: &Trace) {
    println!("{} {}", trace.hook.as_str(), trace.inputs.dialled);
    for step in &trace.steps {
        let detail = if step.detail.is_empty() { String::new() } else { format!("  {}", step.detail) };
        println!("  {:<18} {:<18} {:>9.2} µs{detail}", step.check, step.outcome, step.us);
    }
    let d = &trace.decision;
    let timeout = if d.timeout_s > 0 { format!(" for {} s", d.timeout_s) } else { String::new() };
    println!("  = {} {}{timeout}, reason {}, {:.2} µs", d.action.as_str(), d.target, d.reason, trace.us);
}
