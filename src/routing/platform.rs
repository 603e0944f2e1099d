//! What the operator says of numbers for all tenants: those that nobody calls, and emergency numbers, which everybody may.
//! In memory, shared by all tenants' data, and read anew when its version has moved.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use super::data::NumberList;
use crate::base::ids::Number;
use crate::db::{Db, Tx, db_read, db_tx};

/// The operator's lists.
#[derive(Debug, Default)]
pub struct Lists {
    version: i64,
    blocked: NumberList,
    /// Short numbers that are blocked.
    short: HashSet<String>,
    /// Emergency numbers with their countries; an empty one is every country.
    emergency: HashMap<String, HashSet<String>>,
}

impl Lists {
    /// Blocks a pattern: a number, a prefix ending in `*`, or a short number. Returns whether it is one of these.
    pub fn block(&mut self, pattern: &str) -> bool {
        if is_short(pattern) {
            self.short.insert(pattern.to_owned());
            return true;
        }
        pattern.starts_with('+') && self.blocked.insert(pattern, 0)
    }

    /// Makes a short number an emergency number of a country; empty: everywhere. Returns whether it is a short number.
    pub fn help(&mut self, number: &str, country: &str) -> bool {
        if is_short(number) {
            self.emergency.entry(number.to_owned()).or_default().insert(country.to_owned());
        }
        is_short(number)
    }

    /// What blocks a number, if something does.
    pub fn blocks<'n>(&self, number: &'n Number) -> Option<&'n str> {
        self.blocked.find(Some(number), 0)
    }

    /// Whether a short number is blocked.
    pub fn blocks_short(&self, dialled: &str) -> bool {
        self.short.contains(dialled)
    }

    /// Whether what is dialled is an emergency number in a country.
    pub fn is_emergency(&self, dialled: &str, country: &str) -> bool {
        self.emergency.get(dialled).is_some_and(|of| of.contains("") || of.contains(country))
    }

    /// Whether what is dialled is an emergency number in any country.
    pub fn is_emergency_somewhere(&self, dialled: &str) -> bool {
        self.emergency.contains_key(dialled)
    }
}

/// A number of two to six digits, dialled as it is.
pub fn is_short(text: &str) -> bool {
    (2..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// The lists as they are now.
#[derive(Debug, Default)]
pub struct Platform(RwLock<Option<Arc<Lists>>>);

impl Platform {
    /// These lists.
    pub fn of(lists: Lists) -> Self {
        Self(RwLock::new(Some(Arc::new(lists))))
    }

    /// The lists; empty ones while nothing was read yet.
    pub fn lists(&self) -> Arc<Lists> {
        self.known().unwrap_or_default()
    }

    fn known(&self) -> Option<Arc<Lists>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the lists if that was never done.
    pub(super) async fn ready(&self, db: &Db) -> sqlx::Result<()> {
        if self.known().is_some() { Ok(()) } else { self.refresh(db).await }
    }

    /// Reads the lists if they have changed.
    pub(super) async fn refresh(&self, db: &Db) -> sqlx::Result<()> {
        // Asked first: a change that happens meanwhile makes what is read look old, never new.
        let version = version(db).await?;
        if self.known().is_some_and(|known| known.version == version) {
            return Ok(());
        }
        let lists = Arc::new(read(db, version).await?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(lists);
        Ok(())
    }
}

async fn version(db: &Db) -> sqlx::Result<i64> {
    const SQL: &str = "SELECT version FROM platform_versions WHERE name = 'numbers'";
    let found: Option<i64> = db_read!(db, |p| sqlx::query_scalar(SQL).fetch_optional(p).await)?;
    Ok(found.unwrap_or(0))
}

async fn read(db: &Db, version: i64) -> sqlx::Result<Lists> {
    const BLOCKED: &str = "SELECT pattern FROM blocked_destinations";
    const EMERGENCY: &str = "SELECT number, country FROM emergency_numbers";
    let mut lists = Lists { version, ..Lists::default() };
    let blocked: Vec<String> = db_read!(db, |p| sqlx::query_scalar(BLOCKED).fetch_all(p).await)?;
    let emergency: Vec<(String, String)> = db_read!(db, |p| sqlx::query_as(EMERGENCY).fetch_all(p).await)?;
    for pattern in blocked.iter().filter(|pattern| !lists.block(pattern)) {
        tracing::warn!(table = "blocked_destinations", row = pattern, "a row of routing data can't be used");
    }
    for (number, _) in emergency.iter().filter(|(number, country)| !lists.help(number, country)) {
        tracing::warn!(table = "emergency_numbers", row = number, "a row of routing data can't be used");
    }
    Ok(lists)
}

/// Raises the version. Every change of the lists calls this in its transaction.
///
/// # Errors
/// When the database is away.
pub async fn touch(tx: &mut Tx) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE platform_versions SET version = version + 1 WHERE name = 'numbers'";
    db_tx!(tx, |c| sqlx::query(SQL).execute(c).await.map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_blocked_and_what_is_an_emergency() {
        let mut lists = Lists::default();
        for pattern in ["+252*", "+15551110000", "118"] {
            assert!(lists.block(pattern), "{pattern}");
        }
        for bad in ["", "*", "anonymous", "1", "1234567", "+1", "11a"] {
            assert!(!lists.block(bad), "{bad}");
        }
        let number = |text: &str| Number::parse(text).unwrap();
        assert_eq!(lists.blocks(&number("+25261234567")), Some("+252"));
        assert_eq!(lists.blocks(&number("+15551110000")), Some("+15551110000"));
        assert_eq!(lists.blocks(&number("+15551110001")), None);
        assert!(lists.blocks_short("118") && !lists.blocks_short("119"));
        assert!(lists.help("112", "") && lists.help("110", "DE") && !lists.help("+112", ""));
        assert!(lists.is_emergency("112", "") && lists.is_emergency("112", "FR"));
        assert!(lists.is_emergency("110", "DE") && !lists.is_emergency("110", "FR"));
        assert!(!lists.is_emergency("110", "") && !lists.is_emergency("1", "DE"));
        assert!(lists.is_emergency_somewhere("110") && !lists.is_emergency_somewhere("1"));
    }
}
