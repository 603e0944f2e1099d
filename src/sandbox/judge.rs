//! Why a run ended as it did. What the host knows comes first: a guest that was refused memory, say, ends in whatever
//! way its language has, and its own word for it is not to be trusted.

use wasmtime::Trap;

use super::outcome::Outcome;
use super::state::{State, Stop};

/// wasmtime's words for a guest that hands over more than [`COPIED_BYTES`] in one call; it has no type of its own.
///
/// [`COPIED_BYTES`]: crate::config::limits::plugins::COPIED_BYTES
const TOO_MUCH: &str = "fuel allocated for hostcalls";

/// The code of a run that ended in an error of wasmtime or of the host, and a text for the plugin's author.
pub(super) fn error(error: &wasmtime::Error, state: &State) -> (Outcome, String) {
    if let Some(stop) = &state.stopped {
        let outcome = match stop {
            Stop::Cpu(_) => Outcome::CpuLimit,
            Stop::Wall(_) => Outcome::TimeLimit,
            Stop::HostCalls(_) => Outcome::HostCallLimit,
        };
        return (outcome, stop.to_string());
    }
    if let Some(refused) = &state.limiter.refused {
        return (Outcome::MemoryLimit, refused.clone());
    }
    let text = format!("{error:#}");
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => {
            (Outcome::CpuLimit, format!("it used more than {} instructions", state.limits.fuel))
        }
        Some(Trap::Interrupt) => (Outcome::CpuLimit, "it was interrupted".into()),
        Some(Trap::StackOverflow) => (Outcome::StackLimit, "its calls went too deep".into()),
        Some(trap) => panicked(state, &trap.to_string()),
        None if text.contains(TOO_MUCH) => {
            (Outcome::OutputLimit, "it handed over more than fits into one call".into())
        }
        None if is_of_an_answer(&text) => (Outcome::RejectedOutput, text),
        None => panicked(state, &text),
    }
}

/// A trap without a reason of its own: the last thing that was logged as an error may say more.
fn panicked(state: &State, text: &str) -> (Outcome, String) {
    if state.denied.is_some() {
        return (Outcome::CapabilityDenied, denied(state, text));
    }
    match state.log.iter().rev().find(|line| line.level == super::types::Level::Error) {
        Some(line) => (Outcome::Panic, format!("{} ({text})", line.message)),
        None => (Outcome::Panic, text.to_owned()),
    }
}

/// An error that the plugin itself returned.
pub(super) fn plugins(text: String, state: &State) -> (Outcome, String) {
    match (&state.limiter.refused, &state.denied) {
        (Some(refused), _) => (Outcome::MemoryLimit, format!("{refused} ({text})")),
        (None, Some(_)) => (Outcome::CapabilityDenied, denied(state, &text)),
        (None, None) => (Outcome::PluginError, text),
    }
}

fn denied(state: &State, text: &str) -> String {
    format!("{} ({text})", state.denied.as_deref().unwrap_or_default())
}

/// Whether wasmtime could not read what the guest gave back. It tells such errors by text only.
fn is_of_an_answer(text: &str) -> bool {
    [
        "unexpected discriminant",
        "invalid utf-8",
        "out of bounds of memory",
        "pointer not aligned",
        "is not valid",
    ]
    .iter()
    .any(|part| text.contains(part))
}
