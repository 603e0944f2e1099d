//! Numbers that other parts count by themselves, read at each scrape of `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::App;
use crate::agi::AgiStats;
use crate::ari::Links;
use crate::journal::Journal;
use crate::routing::Router;
use crate::webhooks::desk::Stats;

/// Adds the collector to the router's metrics.
pub(super) fn register(app: &App, agi: Arc<AgiStats>) {
    let (router, webhooks) = (Arc::clone(&app.router), Arc::clone(&app.webhooks));
    let links = app.links.clone();
    let (journal, kept) = (app.journal.clone(), app.kept.clone());
    app.router.metrics.collect_from(Collected { router, journal, kept, agi, webhooks, links });
}

#[derive(Debug)]
struct Collected {
    router: Arc<Router>,
    journal: Journal,
    kept: Option<Journal>,
    agi: Arc<AgiStats>,
    webhooks: Arc<Stats>,
    links: Links,
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let metric_type = metric.metric_type();
    metric.encode(encoder.encode_descriptor(name, help, None, metric_type)?)
}

/// Which Asterisks are connected: 1 or 0 for each.
fn write_links(encoder: &mut DescriptorEncoder<'_>, links: &Links) -> fmt::Result {
    let help = "Whether an Asterisk of the settings is connected";
    let mut family = encoder.encode_descriptor("ari_connected", help, None, MetricType::Gauge)?;
    for asterisk in links.all() {
        let labels = [("asterisk", asterisk.name())];
        let mut series: MetricEncoder<'_> = family.encode_family(&labels)?;
        series.encode_gauge(&i64::from(asterisk.is_connected()))?;
    }
    Ok(())
}

/// What Asterisk delivered over its realtime, where it has that from us.
fn write_kept(encoder: &mut DescriptorEncoder<'_>, journal: &Journal) -> fmt::Result {
    let stats = journal.stats();
    let behind = journal.last_written().saturating_sub(journal.drained());
    let behind = ConstGauge::new(i64::try_from(behind).unwrap_or(i64::MAX));
    write(encoder, "realtime_behind", "Deliveries of Asterisk that are not in the database yet", &behind)?;
    for (name, help, value) in [
        (
            "realtime_kept",
            "Deliveries of Asterisk written to a file while the database was away",
            &stats.written,
        ),
        ("realtime_unkept", "Deliveries of Asterisk that could not be written in time", &stats.lost),
        ("realtime_rejected", "Deliveries of Asterisk the database refused", &stats.rejected),
    ] {
        write(encoder, name, help, &ConstCounter::new(value.load(Ordering::Relaxed)))?;
    }
    Ok(())
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let agi = &self.agi;
        let (tenants, dids) = self.router.memory.known();
        let journal = self.journal.stats();
        let read = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let behind = self.journal.last_written().saturating_sub(self.journal.drained());
        let hooks = &self.webhooks;
        let gauges: [(&str, &str, u64); 9] = [
            ("agi_open", "AGI connections open now", agi.open.get()),
            ("live_calls", "Calls that are alive", self.router.live.len() as u64),
            ("tenants_in_memory", "Tenants whose routing data is in memory", tenants),
            ("dids_in_memory", "DIDs in memory", dids),
            ("journal_bytes", "Bytes of the journal on disk", read(&journal.bytes)),
            ("journal_behind", "Records that are not in the database yet", behind),
            ("webhooks_in_flight", "Requests to webhooks under way", read(&hooks.in_flight)),
            ("webhooks_waiting", "Deliveries that wait in memory", read(&hooks.waiting)),
            ("webhooks_unwritten", "Results that are not in the database yet", read(&hooks.unwritten)),
        ];
        for (name, help, value) in gauges {
            write(&mut encoder, name, help, &ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)))?;
        }
        let counters: [(&str, &str, u64); 26] = [
            ("agi_accepted", "AGI connections taken", agi.accepted.get()),
            ("agi_refused_limit", "AGI connections refused: too many open", agi.refused_limit.get()),
            ("agi_refused_address", "AGI connections closed: address not allowed", agi.refused_address.get()),
            ("agi_accept_errors", "Failed accepts", agi.accept_errors.get()),
            (
                "agi_environment_cut",
                "Connections closed before a whole environment",
                agi.environment_cut.get(),
            ),
            ("agi_environment_invalid", "Environments too large or endless", agi.environment_invalid.get()),
            ("agi_environment_forged", "Environments with forged lines", agi.environment_forged.get()),
            (
                "agi_timeout_environment",
                "Environments that did not come in time",
                agi.timeout_environment.get(),
            ),
            ("agi_timeout_answer", "Answers that did not come in time", agi.timeout_answer.get()),
            ("agi_timeout_write", "Commands that were not taken in time", agi.timeout_write.get()),
            ("agi_answers", "Answers received", agi.answers.get()),
            ("agi_stray_lines", "Lines that answered nothing", agi.stray_lines.get()),
            ("agi_out_of_step", "Sessions ended: stream not understood", agi.out_of_step.get()),
            ("agi_hangups", "Sessions in which the caller hung up", agi.hangups.get()),
            ("agi_broken", "Sessions ended: connection broke", agi.broken.get()),
            ("agi_panics", "Sessions that panicked", agi.panics.get()),
            ("agi_aborted", "Sessions cut off at shutdown", agi.aborted.get()),
            ("journal_written", "Records written", read(&journal.written)),
            ("journal_lost", "Records that could not be written in time", read(&journal.lost)),
            ("journal_drained", "Records moved into the database", read(&journal.drained)),
            ("journal_rejected", "Records the database refused", read(&journal.rejected)),
            (
                "journal_damaged_bytes",
                "Bytes of the journal that held no record",
                read(&journal.damaged_bytes),
            ),
            ("webhooks_delivered", "Attempts that were taken", read(&hooks.delivered)),
            ("webhooks_failed", "Attempts that failed", read(&hooks.failed)),
            ("webhooks_disabled", "Endpoints that were disabled", read(&hooks.disabled)),
            ("journal_syncs", "Syncs of the journal to the disk", read(&journal.syncs)),
        ];
        for (name, help, value) in counters {
            write(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        if let Some(kept) = &self.kept {
            write_kept(&mut encoder, kept)?;
        }
        write_links(&mut encoder, &self.links)
    }
}
