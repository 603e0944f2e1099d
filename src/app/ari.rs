//! Hears of the Asterisks that are watched over ARI.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::App;
use crate::ari::{Asterisk, News, Watch};
use crate::base::shutdown::Stopping;

/// Says when an Asterisk is connected and when it is lost.
struct Said;

impl Watch for Said {
    fn hear(&self, from: &Arc<Asterisk>, news: News) {
        match news {
            News::Connected { snapshot, gap } => {
                let gap_ms = gap.map(|(from_us, to_us)| (to_us - from_us) / 1_000);
                let channels = snapshot.channels.len();
                tracing::info!(ari.asterisk = from.name(), channels, gap_ms, "connected to Asterisk");
            }
            News::Lost => tracing::warn!(ari.asterisk = from.name(), "Asterisk is no longer heard of"),
            News::Told(_) => {}
        }
    }
}

/// Connects to all.
pub(super) fn start(app: &App, stopping: &Stopping) -> Vec<JoinHandle<()>> {
    let watch: Arc<dyn Watch> = Arc::new(Said);
    app.links.start(&watch, stopping)
}
