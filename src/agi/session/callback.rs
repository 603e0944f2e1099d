//! `callback`: a caller in a queue asks to be called back; somebody who was called back answers, or could not be reached.

use super::{C, CallIds, SessionError, Sessions, text};
use crate::agi::Environment;
use crate::base::ids::{Id, Name, TenantId, global_name, split_global_name};
use crate::calls::Direction;
use crate::config::limits::queues::CALLBACK_ASK_TIME;
use crate::config::limits::routing::TEXT_CHARS;
use crate::queues::callback_desk::Wanted;
use crate::routing::Mode;
use crate::routing::callback::{did_of, state};
use crate::routing::types::{Called, Inputs};

/// What Asterisk says of an attempt, by its number (`REASON` in the extension `failed`).
fn attempt(reason: &str) -> &'static str {
    match reason {
        "1" => "nobody answered",
        "3" => "it rang, and nobody answered",
        "5" => "busy",
        "8" => "congestion",
        _ => "it could not be called",
    }
}

/// A caller waits, and the dialplan's patience ends.
async fn in_time<T>(ask: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    match tokio::time::timeout(CALLBACK_ASK_TIME, ask).await {
        Ok(done) => done,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

impl Sessions {
    pub(super) async fn callback(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let Some(id) = env.query("id") else { return self.wish(conn, env).await };
        let id = Id::parse(&text(Some(id))).ok();
        match (id, env.query("failed")) {
            (Some(id), Some(why)) => {
                self.unreached(&id, &text(Some(why))).await;
                Ok(())
            }
            (None, Some(_)) => Ok(()),
            (id, None) => self.answered(conn, env, id).await,
        }
    }

    /// A caller has pressed the key. Taken, the caller hears so and the call ends; else it goes back to its place.
    async fn wish(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let (call, state) = self.call_and_state(conn, env).await?;
        let mut inputs = Inputs { dialled: text(env.get("extension")), ..self.inputs(env) };
        let queue = text(env.query("queue"));
        // Seconds with decimals, as the dialplan noted them; far below 2^53.
        let seconds = text(env.query("place")).parse::<f64>().ok().filter(|at| (0.0..1e10).contains(at));
        let place_us = seconds.map_or(inputs.at_us, |at| (at * 1e6) as i64);
        let mut called = Called { queue, state, ..Called::default() };
        if let Ok((tenant, name)) = split_global_name(&called.queue) {
            let taken = self.take((&tenant, &name), &inputs, (call.as_ref(), &called.state), place_us).await;
            called.outcome = taken.err().unwrap_or(Called::TAKEN).to_owned();
            if called.outcome == Called::TAKEN {
                called.state.clear();
            } else {
                // Without the log the caller goes to the end of the line: nobody is overtaken.
                called.position =
                    in_time(self.callbacks.position(&tenant, &name, place_us)).await.unwrap_or(0);
            }
        }
        inputs.called = Some(called);
        let trace = self.router.callback(inputs, Mode::Live).await;
        self.go_on(conn, call.as_ref(), &trace).await
    }

    async fn take(
        &self,
        (tenant, queue): (&TenantId, &Name),
        inputs: &Inputs,
        (call, state): (Option<&Id>, &str),
        place_us: i64,
    ) -> Result<(), &'static str> {
        let number = self.router.callback_number((tenant, queue), &inputs.caller).await?;
        let (name, did) = (crate::calls::fit(&inputs.caller_name, TEXT_CHARS), did_of(state));
        let wanted = Wanted {
            queue,
            number: &number,
            name: &name,
            did: &did,
            call: call.map(Id::as_str).unwrap_or_default(),
            place_us,
        };
        match in_time(self.callbacks.ask(tenant, wanted)).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err("full"),
            Err(error) => {
                tracing::warn!(%error, "a caller's wish to be called back can't be taken");
                Err("unavailable")
            }
        }
    }

    /// Somebody who was called back answers: a call of its own, in front of the queue.
    async fn answered(&self, conn: &mut C, env: &Environment, id: Option<Id>) -> Result<(), SessionError> {
        let ids: CallIds = self.call_ids(env);
        let _asked = self.asked.enter(&ids.uniqueid);
        let asked = tokio::time::Instant::now();
        let found = match &id {
            Some(id) => in_time(self.callbacks.answered(id, (&ids.uniqueid, &ids.id))).await,
            None => Ok(None),
        };
        let mut inputs = self.inputs(env);
        match found {
            Ok(Some(found)) => {
                self.router.called_back(&ids.id, &found.tenant);
                // Behind those who were called back before; who can't be told stands in front of all.
                let position = self.callbacks.position(&found.tenant, &found.queue, found.place_us);
                let rest = CALLBACK_ASK_TIME.saturating_sub(asked.elapsed());
                let position = tokio::time::timeout(rest, position).await.ok().and_then(Result::ok);
                inputs.dialled = found.number.to_string();
                inputs.caller = found.number.to_string();
                inputs.caller_name = found.name;
                inputs.called = Some(Called {
                    queue: global_name(&found.tenant, &found.queue),
                    outcome: Called::ANSWERED.to_owned(),
                    position: position.unwrap_or(1),
                    state: state(&found.tenant, &found.queue, &found.did),
                });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "a caller who was called back can't be found"),
        }
        let trace = self.router.callback(inputs, Mode::Live).await;
        self.begin(conn, env, &ids, Direction::Outbound, trace).await
    }

    async fn unreached(&self, id: &Id, reason: &str) {
        let told = async {
            let Some(tenant) = self.callbacks.whose(id).await? else { return Ok(false) };
            self.callbacks.failed(&tenant, id, attempt(reason)).await
        };
        if let Err(error) = told.await {
            // Its lease runs out.
            tracing::warn!(%error, callback.id = %id, "a failed callback can't be noted yet");
        }
    }
}
