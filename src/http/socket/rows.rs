//! Rows of sockets on their way to the database. Thousands of clients come back at once after a restart: their rows are
//! written some dozens in a statement, twice a second, and wait while the database is away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frames::Closing;
use super::store;
use crate::base::ids::{Id, TenantId};
use crate::config::limits::sockets as limits;
use crate::db::{self, Db};

/// A socket as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) tenant: TenantId,
    pub(super) user: Option<Id>,
    pub(super) key: Option<Id>,
    pub(super) address: String,
    pub(super) user_agent: String,
    /// A list in JSON.
    pub(super) subscriptions: String,
    pub(super) connected_us: i64,
    /// When it ended, and how.
    pub(super) ended: Option<(i64, Closing)>,
}

/// A socket, when it was closed and how.
type Closed = (Id, (i64, Closing));

#[derive(Debug, Default)]
struct Waiting {
    opened: HashMap<Id, Row>,
    subscribed: HashMap<Id, String>,
    closed: HashMap<Id, (i64, Closing)>,
    seen: Vec<Id>,
    lost: usize,
}

/// What is to be written.
#[derive(Debug)]
pub(super) struct Rows {
    node: Id,
    waiting: Mutex<Waiting>,
}

impl Rows {
    pub(super) fn new(node: Id) -> Self {
        Self { node, waiting: Mutex::default() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket said who it is.
    pub(super) fn opened(&self, id: &Id, row: Row) {
        let mut waiting = self.waiting();
        if waiting.opened.len() < limits::ROWS_WAITING {
            waiting.opened.insert(id.clone(), row);
        } else {
            waiting.lost += 1;
        }
    }

    /// It wants these types, a list in JSON.
    pub(super) fn subscribed(&self, id: &Id, types: String) {
        let mut waiting = self.waiting();
        match waiting.opened.get_mut(id) {
            Some(row) => row.subscriptions = types,
            None => drop(waiting.subscribed.insert(id.clone(), types)),
        }
    }

    /// It was closed.
    pub(super) fn closed(&self, id: &Id, closing: Closing, now_us: i64) {
        let mut waiting = self.waiting();
        waiting.subscribed.remove(id);
        let has_room = waiting.closed.len() < limits::ROWS_WAITING;
        match waiting.opened.get_mut(id) {
            Some(row) => row.ended = Some((now_us, closing)),
            None if has_room => drop(waiting.closed.insert(id.clone(), (now_us, closing))),
            None => waiting.lost += 1,
        }
    }

    /// Their clients were heard.
    pub(super) fn seen(&self, ids: Vec<Id>) {
        self.waiting().seen = ids;
    }

    /// Closes the rows that the run before left open.
    pub(super) async fn close_left(&self, db: &Db, now_us: i64) -> sqlx::Result<u64> {
        store::close_left(db, &self.node, now_us).await
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// When the database is away; what was not written waits on.
    pub(super) async fn flush(&self, db: &Db, now_us: i64) -> sqlx::Result<()> {
        let lost = std::mem::take(&mut self.waiting().lost);
        if lost > 0 {
            tracing::warn!(rows = lost, "sockets were not put on record: the database is away for too long");
        }
        self.flush_opened(db).await?;
        let subscribed = std::mem::take(&mut self.waiting().subscribed);
        for (types, ids) in grouped(subscribed.into_iter().map(|(id, types)| (types, id))) {
            if let Err(error) = store::subscribed(db, &types, &ids, now_us).await {
                let mut waiting = self.waiting();
                for id in ids {
                    waiting.subscribed.entry(id).or_insert_with(|| types.clone());
                }
                return Err(error);
            }
        }
        let seen = std::mem::take(&mut self.waiting().seen);
        store::seen(db, &seen, now_us).await?;
        let closed = std::mem::take(&mut self.waiting().closed);
        // Many at once, and then for one reason: their times are a fraction of a second apart, and one is written.
        let mut groups: HashMap<(u16, &str), Vec<Closed>> = HashMap::new();
        for (id, (at_us, closing)) in closed {
            groups.entry((closing.code, closing.reason)).or_default().push((id, (at_us, closing)));
        }
        let mut groups = groups.into_values();
        while let Some(group) = groups.next() {
            let Some((_, (at_us, closing))) = group.first().cloned() else { continue };
            let ids: Vec<Id> = group.iter().map(|(id, _)| id.clone()).collect();
            if let Err(error) = store::closed(db, closing, &ids, at_us).await {
                self.waiting().closed.extend(group.into_iter().chain(groups.flatten()));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn flush_opened(&self, db: &Db) -> sqlx::Result<()> {
        let opened: Vec<(Id, Row)> = std::mem::take(&mut self.waiting().opened).into_iter().collect();
        let mut pieces = opened.chunks(limits::ROWS_BATCH);
        while let Some(piece) = pieces.next() {
            let Err(error) = self.insert(db, piece).await else { continue };
            let left = piece.iter().chain(pieces.flatten()).cloned();
            self.put_back(left.collect());
            return Err(error);
        }
        Ok(())
    }

    /// All of them, or all but those whose user or tenant is gone meanwhile.
    async fn insert(&self, db: &Db, piece: &[(Id, Row)]) -> sqlx::Result<()> {
        match store::insert(db, &self.node, piece).await {
            Err(error) if db::is_data_error(&error) => {}
            other => return other,
        }
        for one in piece {
            match store::insert(db, &self.node, std::slice::from_ref(one)).await {
                Err(error) if db::is_data_error(&error) => {
                    tracing::debug!(%error, socket.id = %one.0, "a socket is not put on record");
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Back to the others, with what happened to them since they were taken.
    fn put_back(&self, left: Vec<(Id, Row)>) {
        let mut waiting = self.waiting();
        for (id, mut row) in left {
            if let Some(types) = waiting.subscribed.remove(&id) {
                row.subscriptions = types;
            }
            row.ended = waiting.closed.remove(&id).or(row.ended);
            waiting.opened.insert(id, row);
        }
    }
}

fn grouped<K: std::hash::Hash + Eq>(all: impl Iterator<Item = (K, Id)>) -> HashMap<K, Vec<Id>> {
    let mut groups: HashMap<K, Vec<Id>> = HashMap::new();
    for (key, id) in all {
        groups.entry(key).or_default().push(id);
    }
    groups
}
