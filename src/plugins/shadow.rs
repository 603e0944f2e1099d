//! Shadow runs: after a real run another version gets the same input, and the same answers from the host. Nothing it does
//! has an effect; what differs is written down.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::setup::{Setup, Version};
use super::{Compared, Parts, Plugins, Run, Trigger, store};
use crate::base::ids::TenantId;
use crate::base::metrics::Outcome as Label;
use crate::base::shutdown::Stopping;
use crate::config::limits::plugins as limits;
use crate::sandbox::types::Failure;
use crate::sandbox::{Answering, Ask, Asked, Host, Input, Job, Outcome, Recorded, Report};

/// A shadow run to be made.
#[derive(Debug)]
pub(super) struct Shadow {
    tenant: TenantId,
    setup: Arc<Setup>,
    version: Version,
    input: Input,
    trail: Vec<Asked>,
    at_us: i64,
    real: Compared,
}

/// Counts one that nobody makes.
pub(super) fn dropped(parts: &Parts) {
    parts.metrics.plugins.shadows.get_or_create(&Label { outcome: "dropped" }).inc();
}

impl Shadow {
    /// Beside a run of version `real`.
    pub(super) fn of(
        (tenant, setup): (&TenantId, Arc<Setup>),
        (version, input): (Version, Input),
        real: u32,
        at_us: i64,
        report: &Report,
    ) -> Self {
        let real = Compared {
            version: real,
            outcome: report.outcome,
            output: report.output.clone(),
            cost: report.cost,
            differs: false,
        };
        Self { tenant: tenant.clone(), setup, version, input, trail: report.trail.clone(), at_us, real }
    }
}

/// Answers what the real run did not ask.
struct Denied;

impl Host for Denied {
    fn ask<'a>(&'a self, _: &'a Ask) -> Answering<'a> {
        Box::pin(async { Err(Failure::Denied("a shadow is answered only what the real run asked".into())) })
    }
}

impl Plugins {
    /// Makes a shadow run. `None`: it could not be made.
    async fn cast(&self, shadow: Shadow) -> Option<(TenantId, Run)> {
        let Shadow { tenant, setup, version, input, trail, at_us, mut real } = shadow;
        let sandbox = self.parts.sandbox.as_ref()?;
        let program = self.on_shelf(&setup.id, version.number)?;
        let (subject, given) = (input.subject().to_owned(), kept(&input));
        let job = Job {
            input,
            settings: Arc::clone(&setup.settings),
            grants: self.grants(&setup),
            limits: setup.kind.limits(),
            host: Arc::new(Recorded::new(trail, Denied)),
            share: Arc::clone(&self.aside),
        };
        let mut report = sandbox.run(&program, job).await;
        if matches!(report.outcome, Outcome::Busy | Outcome::NotLoadable) {
            return None;
        }
        real.differs = report.outcome != real.outcome || report.output != real.output;
        if !real.differs {
            // The same as the real run's, which is kept with its call.
            (report.output, real.output) = (None, None);
            (report.log, report.trail) = (Vec::new(), Vec::new());
        }
        let input = if real.differs { given } else { None };
        let (id, plugin) = (self.parts.ids.next(), setup.id.clone());
        let (trigger, compared) = (Trigger::Shadow, Some(real));
        Some((
            tenant,
            Run { id, plugin, version: version.number, at_us, trigger, subject, report, input, compared },
        ))
    }
}

/// A run's input as it is kept.
fn kept(input: &Input) -> Option<serde_json::Value> {
    match input {
        Input::Call(call) => Some(json!({"call": call})),
        Input::Event(event) => Some(json!({"event": event})),
        Input::Trial => None,
    }
}

/// Makes shadow runs until `stopping`, some at a time, and writes what came of them.
pub(super) async fn work(plugins: Arc<Plugins>, mut waiting: mpsc::Receiver<Shadow>, mut stopping: Stopping) {
    let mut running: JoinSet<Option<(TenantId, Run)>> = JoinSet::new();
    loop {
        tokio::select! {
            shadow = waiting.recv(), if running.len() < limits::SHADOWS => {
                let Some(shadow) = shadow else { return };
                let plugins = Arc::clone(&plugins);
                running.spawn(async move { plugins.cast(shadow).await });
            }
            Some(done) = running.join_next() => {
                let mut made = Vec::new();
                gather(&plugins, done, &mut made);
                while made.len() < limits::SHADOW_ROWS && let Some(done) = running.try_join_next() {
                    gather(&plugins, done, &mut made);
                }
                if let Err(error) = write(&plugins, &made).await {
                    made.iter().for_each(|_| dropped(&plugins.parts));
                    tracing::debug!(%error, "results of shadow runs can't be written");
                }
            }
            () = stopping.stopped() => return,
        }
    }
}

type Done = Result<Option<(TenantId, Run)>, tokio::task::JoinError>;

fn gather(plugins: &Plugins, done: Done, made: &mut Vec<(TenantId, Run)>) {
    match done {
        Ok(Some(run)) => {
            let differs = run.1.compared.as_ref().is_some_and(|compared| compared.differs);
            let outcome = if differs { "different" } else { "same" };
            plugins.parts.metrics.plugins.shadows.get_or_create(&Label { outcome }).inc();
            made.push(run);
        }
        Ok(None) => dropped(&plugins.parts),
        Err(error) => tracing::error!(%error, "a shadow run ended in a panic of the service's own code"),
    }
}

async fn write(plugins: &Plugins, made: &[(TenantId, Run)]) -> sqlx::Result<()> {
    let mut tx = plugins.parts.db.begin().await?;
    for (tenant, run) in made {
        store::insert_runs(&mut tx, tenant, std::slice::from_ref(run)).await?;
    }
    tx.commit().await
}
