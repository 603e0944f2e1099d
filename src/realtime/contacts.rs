//! Registrations, which Asterisk writes and asks for with every call. They are read from the database, where other nodes
//! write too; while it is away, what was known serves, and what is written is kept and serves too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;

use super::Parts;
use super::answer::{Away, Gauge};
use super::form::Row;
use super::kept::{self, Kept};
use crate::base::ids::{Name, TenantId, global_name};
use crate::config::limits::realtime as limits;
use crate::db;
use crate::endpoints;
use crate::endpoints::registrations::{self, Told, With};

pub(super) struct Contacts {
    /// What the database said last, by endpoint.
    known: Cache<String, Arc<[Row]>>,
    waiting: Mutex<Waiting>,
    gauge: Gauge,
}

/// What Asterisk said and the database does not know yet.
#[derive(Default)]
struct Waiting {
    /// The last word on each id, and the number under which that is kept.
    words: BTreeMap<String, (u64, Told)>,
    /// How far the database was at the last look: no word is as old.
    moved: u64,
}

impl Contacts {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::builder().max_capacity(limits::ROWS).build(),
            waiting: Mutex::default(),
            gauge: Gauge::default(),
        }
    }

    fn waiting(&self, parts: &Parts) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = kept::moved(parts);
        if moved != waiting.moved {
            waiting.moved = moved;
            waiting.words.retain(|_, (number, told)| {
                let is_waiting = *number > moved;
                if !is_waiting {
                    self.knows(told);
                }
                is_waiting
            });
        }
        waiting
    }

    /// What was known serves while the database is away, so it is made right and not forgotten.
    fn knows(&self, told: &Told) {
        if let Some((tenant, name)) = told.owner() {
            let key = global_name(&tenant, &name);
            if let Some(rows) = self.known.get(&key) {
                self.known.insert(key, with(&rows, told));
            }
        }
    }

    /// An endpoint's registrations.
    pub(super) async fn of(
        &self,
        parts: &Parts,
        (tenant, name): (&TenantId, &Name),
    ) -> Result<Vec<Row>, Away> {
        let key = global_name(tenant, name);
        let mut is_again = false;
        loop {
            // Before the database is asked: what moves there meanwhile is found in one of both.
            let (waiting, first) = self.of_waiting(parts, &key);
            let known = self.known.get(&key);
            let asked = endpoints::registrations(&parts.db, tenant, name);
            let rows: Arc<[Row]> = match self.gauge.ask(parts, known.is_some(), asked).await {
                // What was waiting moved meanwhile, and maybe a newer word with it.
                Some(_) if !is_again && kept::moved(parts) >= first => {
                    is_again = true;
                    continue;
                }
                Some(rows) => {
                    let rows: Arc<[Row]> = rows.into();
                    self.known.insert(key.clone(), Arc::clone(&rows));
                    rows
                }
                None => match known {
                    Some(rows) => rows,
                    None if !waiting.is_empty() => Arc::new([]),
                    None => return Err(Away),
                },
            };
            return Ok(waiting.iter().fold(rows, |rows, told| with(&rows, told)).to_vec());
        }
    }

    /// What the database does not know yet of an endpoint's registrations, and the first number of it.
    fn of_waiting(&self, parts: &Parts, endpoint: &str) -> (Vec<Told>, u64) {
        let begin = format!("{endpoint};");
        let waiting = self.waiting(parts);
        let all = waiting.words.range(begin.clone()..).take_while(|(id, _)| id.starts_with(&begin));
        all.fold((Vec::new(), u64::MAX), |(mut words, first), (_, (number, told))| {
            words.push(told.clone());
            (words, first.min(*number))
        })
    }

    /// What the database does not know yet, by id.
    pub(super) fn words(&self, parts: &Parts) -> Words {
        let waiting = self.waiting(parts);
        Words(waiting.words.iter().map(|(id, (_, told))| (id.clone(), told.clone())).collect())
    }

    /// Takes what Asterisk says of a registration. `false`: there is no such endpoint.
    pub(super) async fn write(&self, parts: &Parts, told: Told) -> Result<bool, sqlx::Error> {
        if told.owner().is_none() {
            return Ok(false);
        }
        if kept::has_some(parts) {
            return Ok(self.keep(parts, told).await);
        }
        let written = tokio::time::timeout(limits::WRITE_TIME, Box::pin(write(parts, &told))).await;
        match written {
            Ok(Ok(found)) => {
                if found {
                    self.knows(&told);
                }
                Ok(found)
            }
            Ok(Err(error)) if !db::is_unavailable(&error) => Err(error),
            _ => Ok(self.keep(parts, told).await),
        }
    }

    async fn keep(&self, parts: &Parts, told: Told) -> bool {
        {
            let waiting = self.waiting(parts);
            if waiting.words.len() >= limits::WAITING && !waiting.words.contains_key(&told.id) {
                tracing::error!("a registration is refused: too many wait for the database");
                return false;
            }
        }
        let delivery = Kept::Registration(told);
        let Some(number) = kept::keep(parts, &delivery).await else { return false };
        let Kept::Registration(told) = delivery else { return false };
        let mut waiting = self.waiting(parts);
        if number <= waiting.moved {
            self.knows(&told);
            return true;
        }
        match waiting.words.get_mut(&told.id) {
            Some((last, _)) if *last > number => {}
            // A few columns of one that waits too.
            Some((last, before)) if !told.columns.is_empty() => {
                before.columns.retain(|(name, _)| told.columns.iter().all(|(other, _)| other != name));
                before.columns.extend(told.columns);
                *last = number;
            }
            _ => drop(waiting.words.insert(told.id.clone(), (number, told))),
        }
        true
    }
}

/// Words that the database does not know yet.
#[derive(Default)]
pub(super) struct Words(BTreeMap<String, Told>);

impl Words {
    /// Rows of the database as they will be; each word counts with its row.
    pub(super) fn over(&mut self, rows: Vec<Row>) -> Vec<Row> {
        if self.0.is_empty() {
            return rows;
        }
        let changed = |row: Row| match self.0.remove(id_of(&row)) {
            Some(told) => with(&[row], &told).to_vec(),
            None => vec![row],
        };
        rows.into_iter().flat_map(changed).collect()
    }

    /// Rows that the database has not.
    pub(super) fn rest(self) -> Vec<Row> {
        self.0.into_values().flat_map(|told| with(&[], &told).to_vec()).collect()
    }
}

/// An endpoint's registrations after what Asterisk said of one.
fn with(rows: &[Row], told: &Told) -> Arc<[Row]> {
    let (before, mut all): (Vec<Row>, Vec<Row>) = rows.iter().cloned().partition(|row| id_of(row) == told.id);
    if !told.columns.is_empty() {
        // Asterisk may change a few columns of one that is there.
        let mut row = row_of(told);
        let kept = before.into_iter().flatten();
        row.extend(
            kept.filter(|(column, _)| told.columns.iter().all(|(name, _)| name != column) && *column != "id"),
        );
        all.push(row);
        all.sort_by(|a, b| id_of(a).cmp(id_of(b)));
    }
    all.into()
}

fn id_of(row: &Row) -> &str {
    row.iter().find(|(column, _)| *column == "id").map_or("", |(_, id)| id)
}

fn row_of(told: &Told) -> Row {
    let mut row = vec![("id", told.id.clone())];
    for column in endpoints::CONTACT.iter().filter(|column| **column != "id") {
        let value = told.columns.iter().find(|(name, _)| name == column);
        row.extend(value.filter(|(_, value)| !value.is_empty()).map(|(_, value)| (*column, value.clone())));
    }
    row
}

async fn write(parts: &Parts, told: &Told) -> sqlx::Result<bool> {
    let mut tx = parts.db.begin().await?;
    let with = With { ids: &parts.router.ids, events: &parts.events, now_us: parts.clock.now_us() };
    let Some((tenant, position)) = registrations::write(&mut tx, with, told).await? else { return Ok(false) };
    tx.commit().await?;
    if let Some(position) = position {
        parts.events.news.tell(&tenant, position);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_follows_what_is_said() {
        let told = |id: &str, columns: &[(&str, &str)]| Told {
            id: id.to_owned(),
            columns: columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let column = |rows: &[Row], id: &str, name: &str| {
            let row = rows.iter().find(|row| id_of(row) == id)?;
            row.iter().find(|(column, _)| *column == name).map(|(_, value)| value.clone())
        };
        let one = with(&[], &told("acme-101;@b", &[("uri", "sip:b"), ("expiration_time", "7")]));
        let two = with(&one, &told("acme-101;@a", &[("uri", "sip:a")]));
        assert_eq!(two.iter().map(id_of).collect::<Vec<_>>(), ["acme-101;@a", "acme-101;@b"]);
        let renewed = with(&two, &told("acme-101;@b", &[("expiration_time", "9"), ("user_agent", "")]));
        assert_eq!(column(&renewed, "acme-101;@b", "uri").as_deref(), Some("sip:b"));
        assert_eq!(column(&renewed, "acme-101;@b", "expiration_time").as_deref(), Some("9"));
        assert_eq!(renewed[1].iter().filter(|(name, _)| *name == "id").count(), 1);
        let cleared = with(&renewed, &told("acme-101;@b", &[("uri", "")]));
        assert_eq!(column(&cleared, "acme-101;@b", "uri"), None);
        let gone = with(&renewed, &told("acme-101;@b", &[]));
        assert_eq!(gone.iter().map(id_of).collect::<Vec<_>>(), ["acme-101;@a"]);
    }
}
