//! Counters and histograms, rendered as Prometheus text. No globals: whoever counts holds an `Arc<Metrics>`.

use std::borrow::Cow;
use std::sync::Mutex;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Labels of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DecisionLabels {
    /// The dialplan hook that asked.
    pub hook: &'static str,
    /// What the call does now.
    pub action: &'static str,
    /// Why.
    pub reason: Cow<'static, str>,
}

/// One label that says what happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// A short stable code.
    pub outcome: &'static str,
}

/// What the service counts about calls.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Decisions by hook, action and reason.
    pub decisions: Family<DecisionLabels, Counter>,
    /// Seconds from environment to decision.
    pub decision_seconds: Histogram,
    /// Route webhooks by outcome.
    pub webhooks: Family<Outcome, Counter>,
    /// Look-ups in memory by outcome: hit, miss, unknown, database.
    pub lookups: Family<Outcome, Counter>,
    /// Calls that ended, by who told: hook, late, lost.
    pub ended: Family<Outcome, Counter>,
    /// The event stream's sockets.
    pub sockets: SocketMetrics,
    /// Tenants' plugins.
    pub plugins: PluginMetrics,
    /// Living calls.
    pub live: LiveMetrics,
}

/// What is counted of Asterisks' events.
#[derive(Debug)]
pub struct LiveMetrics {
    /// Seconds from an event, by Asterisk's clock, until the table of live calls shows it; Asterisk says milliseconds.
    pub lag_seconds: Histogram,
    /// Channels in the table.
    pub legs: Gauge,
}

impl Default for LiveMetrics {
    fn default() -> Self {
        Self {
            lag_seconds: Histogram::new([
                0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0,
            ]),
            legs: Gauge::default(),
        }
    }
}

impl LiveMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "ari_lag_seconds",
            "Time from an event of Asterisk until it is known",
            self.lag_seconds.clone(),
        );
        registry.register("live_channels", "Channels of live calls", self.legs.clone());
    }
}

/// Labels of a plugin's run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RunLabels {
    /// The plugin's kind.
    pub kind: &'static str,
    /// How it ended.
    pub outcome: &'static str,
}

/// What is counted of tenants' plugins.
#[derive(Debug)]
pub struct PluginMetrics {
    /// Runs by kind and outcome.
    pub runs: Family<RunLabels, Counter>,
    /// Seconds of a run of a router or ticketer, waits included.
    pub seconds: Histogram,
    /// Versions that were parked, withdrawn or rolled back because they failed.
    pub parked: Counter,
    /// Shadow runs by outcome: same, different, dropped.
    pub shadows: Family<Outcome, Counter>,
    /// Failures and recoveries that could not be told.
    pub untold: Counter,
}

impl Default for PluginMetrics {
    fn default() -> Self {
        // 1 µs to 8 s, each twice the one before.
        let seconds = Histogram::new((0..24).map(|n| 1e-6 * f64::from(1_u32 << n)));
        let (runs, parked, shadows, untold) = Default::default();
        Self { runs, seconds, parked, shadows, untold }
    }
}

impl PluginMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("plugin_runs", "Runs of plugins by kind and outcome", self.runs.clone());
        registry.register("plugin_run_seconds", "Time of a router's or ticketer's run", self.seconds.clone());
        registry.register("plugins_parked", "Versions taken away because they failed", self.parked.clone());
        registry.register("plugin_shadows", "Shadow runs by outcome", self.shadows.clone());
        registry.register("plugins_untold", "Failures that could not be told", self.untold.clone());
    }
}

/// What is counted of the event stream's sockets.
#[derive(Debug, Default)]
pub struct SocketMetrics {
    /// Sockets that are open and have said who they are.
    pub open: Gauge,
    /// Events sent.
    pub events: Counter,
    /// Sockets closed because their client did not read.
    pub slow: Counter,
    /// Clients that came with a cursor of events which are gone.
    pub resyncs: Counter,
}

impl SocketMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("sockets_open", "Open sockets of the event stream", self.open.clone());
        registry.register("socket_events", "Events sent over sockets", self.events.clone());
        registry.register("sockets_slow", "Sockets closed: client too slow", self.slow.clone());
        registry.register("socket_resyncs", "Cursors that were too old", self.resyncs.clone());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        // 1 µs to 8 s, each twice the one before.
        let decision_seconds = Histogram::new((0..24).map(|n| 1e-6 * f64::from(1_u32 << n)));
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("hookswitch")),
            decisions: Family::default(),
            decision_seconds,
            webhooks: Family::default(),
            lookups: Family::default(),
            ended: Family::default(),
            sockets: SocketMetrics::default(),
            plugins: PluginMetrics::default(),
            live: LiveMetrics::default(),
        };
        {
            let mut registry = metrics.registry();
            registry.register("decisions", "Decisions by hook, action and reason", metrics.decisions.clone());
            registry.register("decision_seconds", "Time to a decision", metrics.decision_seconds.clone());
            registry.register("route_webhooks", "Route webhooks by outcome", metrics.webhooks.clone());
            registry.register("lookups", "Look-ups of routing data by outcome", metrics.lookups.clone());
            registry.register("calls_ended", "Ended calls by who told", metrics.ended.clone());
            metrics.sockets.register(&mut registry);
            metrics.plugins.register(&mut registry);
            metrics.live.register(&mut registry);
        }
        metrics
    }
}

impl Metrics {
    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds something that is asked for its numbers at each scrape.
    pub fn collect_from(&self, collector: impl Collector) {
        self.registry().register_collector(Box::new(collector));
    }

    /// Everything as OpenMetrics text.
    ///
    /// # Errors
    /// When a collector fails to write its numbers.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry())?;
        Ok(text)
    }
}
