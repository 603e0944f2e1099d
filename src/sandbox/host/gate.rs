//! The one way out of a run.

use std::sync::Arc;

use wasmtime::StoreContextMut;

use super::{Answer, Ask, Asked};
use crate::config::limits::plugins as limits;
use crate::sandbox::grants::Grant;
use crate::sandbox::lane;
use crate::sandbox::meter::Meter;
use crate::sandbox::state::{State, Stop};
use crate::sandbox::types::Failure;

/// Asks the host, if this run may. The outer error ends the run.
pub(super) async fn ask(
    mut store: StoreContextMut<'_, State>,
    ask: Ask,
) -> wasmtime::Result<Result<Answer, Failure>> {
    let state = store.data_mut();
    state.host_calls += 1;
    if state.host_calls > state.limits.host_calls {
        return Err(state.stop(Stop::HostCalls(state.limits.host_calls)));
    }
    if let Err(failure) = allowed(state, &ask) {
        return Ok(Err(failure));
    }
    let host = Arc::clone(&state.host);
    let waits = Waits::begin(&state.meter);
    let answer = if ask.is_control() {
        // The caller's time: a script may wait for an hour, and whoever speaks to him has limits of their own.
        host.ask(&ask).await
    } else {
        let Some(left) = state.left() else { return Err(state.stop(Stop::Wall(state.limits.wall))) };
        match tokio::time::timeout(left, lane::ask(host, &ask)).await {
            Ok(answer) => answer,
            Err(_) => {
                let state = store.data_mut();
                let wall = state.limits.wall;
                return Err(state.stop(Stop::Wall(wall)));
            }
        }
    };
    drop(waits);
    let state = store.data_mut();
    state.keep(Asked { ask, answer: answer.clone() });
    Ok(answer)
}

/// A run that waits for the host, until it is dropped.
struct Waits(Arc<Meter>);

impl Waits {
    fn begin(meter: &Arc<Meter>) -> Self {
        meter.wait(true);
        Self(Arc::clone(meter))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.wait(false);
    }
}

/// Whether the run may ask this.
fn allowed(state: &mut State, ask: &Ask) -> Result<(), Failure> {
    match ask.grant() {
        Some(grant) if !state.grants.has(grant) => {
            let text = format!("{} is not granted to this plugin", grant.as_str());
            state.denied.get_or_insert_with(|| text.clone());
            return Err(Failure::Denied(text));
        }
        None if !state.has_caller => {
            return Err(Failure::Denied("there is no caller to speak to in this world".into()));
        }
        _ => {}
    }
    if ask.grant() == Some(Grant::Http) {
        state.http_calls += 1;
        if state.http_calls > limits::HTTP_CALLS {
            return Err(Failure::Limit(format!("{} requests in one run", limits::HTTP_CALLS)));
        }
    }
    let longest = match ask {
        Ask::KvGet { key } | Ask::KvDelete { key } | Ask::KvIncrement { key, .. } => key.len(),
        Ask::KvSet { key, value, .. } => key.len().max(value.len()),
        Ask::HttpSend(request) => request.body.as_ref().map_or(0, String::len).max(request.url.len()),
        Ask::TicketComment { text, .. } => text.len(),
        Ask::SetVariable { value, .. } => value.len(),
        _ => 0,
    };
    if longest > limits::ARGUMENT_BYTES {
        return Err(Failure::Invalid(format!("a text of more than {} bytes", limits::ARGUMENT_BYTES)));
    }
    Ok(())
}
