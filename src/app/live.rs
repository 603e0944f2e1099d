//! Live calls: the connections to Asterisks, what they tell, and what follows from it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::App;
use crate::ari::{Links, Watch};
use crate::base::shutdown::Stopping;
use crate::calls::board::{Board, Item};
use crate::calls::control::{Control, Follow};
use crate::calls::table::Change;

/// Built, and not connected yet.
pub(super) struct LiveCalls {
    /// Acts on calls.
    pub(super) control: Arc<Control>,
    links: Links,
    board: Arc<Board>,
    items: mpsc::Receiver<Item>,
}

/// What endpoints do changes nobody's state yet.
struct Nobody;

impl Follow for Nobody {
    fn phone(&self, _: &Change) {}
}

impl LiveCalls {
    pub(super) fn new(app: &App) -> Self {
        let (board, items) = Board::new(app.clock.clone());
        let links = app.links.clone();
        let control = Control::new(
            Arc::clone(&board),
            links.clone(),
            Arc::clone(&app.router),
            (app.journal.clone(), app.db.clone()),
            app.clock.clone(),
        );
        Self { control, links, board, items }
    }

    /// Connects, and follows until `keep` ends.
    pub(super) fn start(self, keep: &Stopping) -> Vec<JoinHandle<()>> {
        let follow = Arc::clone(&self.control).follow(self.items, Arc::new(Nobody), keep.clone());
        let watch: Arc<dyn Watch> = self.board;
        let mut tasks = self.links.start(&watch, keep);
        tasks.push(tokio::spawn(follow));
        tasks
    }
}
