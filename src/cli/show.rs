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

/// Prints what plugins did on the way.
pub(super) fn runs(trace: &Trace) {
    for run in &trace.runs {
        let (report, cost) = (&run.report, &run.report.cost);
        for line in &report.log {
            println!("  log: {}", line.message);
        }
        println!(
            "  version {} ended as {}: {} instructions, {} µs of a processor, {} host call(s)",
            run.version,
            report.outcome.as_str(),
            cost.fuel,
            cost.cpu_us,
            cost.host_calls
        );
    }
}
