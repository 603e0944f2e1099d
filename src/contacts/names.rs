//! What a caller is called, for the call path: names by number, warm without the database.
//!
//! A look-up that is not warm goes on in the background when it takes longer than the call may wait, so that the next
//! call of that number finds it. A change of a contact in this process is seen at once, other processes' changes when
//! what is known here has grown old.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use moka::sync::Cache;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::base::ids::TenantId;
use crate::config::limits::contacts as limits;
use crate::db::{Db, db_read};

/// A number's digits: E.164 has at most 15.
type Digits = u64;
pub(super) type Key = (TenantId, Digits);

/// Names of callers.
#[derive(Clone, Debug)]
pub struct Names(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Db,
    known: Cache<Key, Option<Arc<str>>>,
    /// Whole contacts, for plugins.
    pub(super) cards: Cache<Key, Option<Arc<super::Card>>>,
    /// Rises with every change, so that what was read before one is not kept after it.
    pub(super) changes: AtomicU64,
    lookups: Arc<Semaphore>,
}

/// What is known of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// The contact's name.
    Known(Arc<str>),
    /// No contact with a name has the number.
    Nobody,
    /// The caller shows no number.
    Withheld,
    /// The database did not say in time, or too many calls ask it.
    Late,
}

impl Named {
    /// A short stable code, for the trace.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Known(_) => "known",
            Self::Nobody => "unknown",
            Self::Withheld => "no-number",
            Self::Late => "late",
        }
    }
}

impl From<Option<Arc<str>>> for Named {
    fn from(name: Option<Arc<str>>) -> Self {
        name.map_or(Self::Nobody, Self::Known)
    }
}

impl Names {
    /// No names yet.
    pub fn new(db: Db) -> Self {
        Self(Arc::new(Inner {
            db,
            known: Cache::builder().max_capacity(limits::NAMES).time_to_live(limits::NAME_TIME).build(),
            cards: Cache::builder().max_capacity(limits::CARDS).time_to_live(limits::NAME_TIME).build(),
            changes: AtomicU64::new(0),
            lookups: Arc::new(Semaphore::new(limits::NAME_LOOKUPS)),
        }))
    }

    /// The name of whoever calls from `caller`, as Asterisk gives the number. Waits at most
    /// [`limits::NAME_DEADLINE`], and not at all when it is warm.
    pub async fn of(&self, tenant: &TenantId, caller: &str) -> Named {
        let Some(digits) = digits(caller) else { return Named::Withheld };
        let key = (tenant.clone(), digits);
        if let Some(name) = self.0.known.get(&key) {
            return name.into();
        }
        let Ok(permit) = Arc::clone(&self.0.lookups).try_acquire_owned() else { return Named::Late };
        let inner = Arc::clone(&self.0);
        let asked = tokio::spawn(async move {
            let found = inner.look_up(key).await;
            drop(permit);
            found
        });
        match tokio::time::timeout(limits::NAME_DEADLINE, asked).await {
            Ok(Ok(Ok(name))) => name.into(),
            Ok(Ok(Err(error))) => {
                // Routing says that the database is away; here it would be a line for every call.
                tracing::debug!(%error, "a caller's name can't be read");
                Named::Late
            }
            // It was late, or it panicked, which has been logged.
            Ok(Err(_)) | Err(_) => Named::Late,
        }
    }

    /// Forgets numbers that a change touched. Called after its commit.
    pub fn forget<'n>(&self, tenant: &TenantId, numbers: impl IntoIterator<Item = &'n str>) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
        for digits in numbers.into_iter().filter_map(digits) {
            let key = (tenant.clone(), digits);
            self.0.known.invalidate(&key);
            self.0.cards.invalidate(&key);
        }
    }

    /// Forgets the numbers of a contact as it was and as it is, both as the API shows it.
    pub fn forget_contact(&self, tenant: &TenantId, records: [&Map<String, Value>; 2]) {
        let numbers = records.into_iter().flat_map(|record| {
            let further = record.get("phones").and_then(Value::as_array).into_iter().flatten();
            further.chain(record.get("phone")).filter_map(Value::as_str)
        });
        self.forget(tenant, numbers);
    }
}

impl Inner {
    async fn look_up(&self, key: Key) -> sqlx::Result<Option<Arc<str>>> {
        let before = self.changes.load(Ordering::SeqCst);
        let name = read(&self.db, &key).await?;
        if self.changes.load(Ordering::SeqCst) == before {
            self.known.insert(key.clone(), name.clone());
            // A change between the look and the insert has found nothing to forget.
            if self.changes.load(Ordering::SeqCst) != before {
                self.known.invalidate(&key);
            }
        }
        Ok(name)
    }
}

/// The contact whose first number it is, else one whose further number it is; of several the oldest.
async fn read(db: &Db, (tenant, digits): &Key) -> sqlx::Result<Option<Arc<str>>> {
    const SQL: &str = "SELECT first_name, last_name, company, 0 AS place, created_at, id FROM contacts \
         WHERE tenant_id = ? AND phone = ? AND deleted_at = 0 \
         UNION ALL SELECT c.first_name, c.last_name, c.company, 1 AS place, c.created_at, c.id FROM contact_phones p \
         JOIN contacts c ON c.id = p.contact_id AND c.tenant_id = p.tenant_id \
         WHERE p.tenant_id = ? AND p.number = ? AND c.deleted_at = 0 \
         ORDER BY place, created_at, id LIMIT 10";
    let number = format!("+{digits}");
    let rows: Vec<(String, String, String, i64, i64, String)> = db_read!(db, |p| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(&number)
        .bind(tenant.as_str())
        .bind(&number)
        .fetch_all(p)
        .await)?;
    Ok(rows.iter().find_map(|(first, last, company, ..)| shown(first, last, company)))
}

/// The digits of a number as carriers show it, by the same rule as [`crate::base::ids::Number::from_dialled`], without an allocation.
pub(super) fn digits(caller: &str) -> Option<Digits> {
    let digits = match caller.strip_prefix('+') {
        Some(digits) => digits,
        None => caller.strip_prefix("00").unwrap_or(caller),
    };
    let least = if caller.starts_with('+') { 7 } else { 8 };
    let fits = (least..=15).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|b| b.is_ascii_digit());
    if fits { digits.parse().ok() } else { None }
}

/// A name as a telephone can show it and a dialplan can carry it: both names, else the company; nothing that could mean
/// something to Asterisk, no letters that turn the text around or hide.
fn shown(first: &str, last: &str, company: &str) -> Option<Arc<str>> {
    let plain = |text: &str| {
        let mut plain = String::with_capacity(text.len());
        for letter in text.chars() {
            let letter = match letter {
                '\u{2019}' => '\'',
                c if is_shown(c) => c,
                _ => ' ',
            };
            if plain.len() + letter.len_utf8() > limits::NAME_BYTES {
                break;
            }
            if letter != ' ' || !(plain.is_empty() || plain.ends_with(' ')) {
                plain.push(letter);
            }
        }
        plain.truncate(plain.trim_end().len());
        plain
    };
    let both = plain(&format!("{first} {last}"));
    let name = if both.is_empty() { plain(company) } else { both };
    (!name.is_empty()).then(|| Arc::from(name))
}

/// Letters of the dialplan's own filter for names, and any other language's.
fn is_shown(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || " +*#_.'@/-".contains(c);
    }
    let hidden = matches!(c,
        '\u{80}'..='\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..);
    !hidden && !c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Number;

    #[test]
    fn numbers_are_read_as_dialled_ones_are() {
        for text in [
            "+15557770001",
            "15557770001",
            "0015557770001",
            "5557770",
            "+5557770",
            "+555777",
            "",
            "anonymous",
            "+0155577",
            "+123456789012345",
            "+1234567890123456",
            "00",
            "0000000000",
            "+1555x770001",
            "1555777000",
            "+",
            "12345678",
        ] {
            let expected = Number::from_dialled(text).ok();
            assert_eq!(digits(text).map(|d| format!("+{d}")), expected.map(|n| n.to_string()), "{text}");
        }
    }

    #[test]
    fn names_hold_nothing_that_asterisk_minds() {
        for (first, last, company, expected) in [
            ("Ada", "Lovelace", "Engines", Some("Ada Lovelace")),
            (" ", "", "Engines & Co., Ltd (UK)", Some("Engines Co. Ltd UK")),
            ("Jürgen", "O\u{2019}Neil", "", Some("Jürgen O'Neil")),
            ("山田", "太郎", "", Some("山田 太郎")),
            ("${SHELL(id)}", ",HS_ACTION=hangup", "", Some("SHELL id HS_ACTION hangup")),
            ("a\"b\\c;d[e]\n", "\u{202e}evil\u{200b}", "", Some("a b c d e evil")),
            ("\u{1b}", "\u{7f}", "", None),
            ("", "", "", None),
        ] {
            assert_eq!(shown(first, last, company).as_deref(), expected, "{first} {last} {company}");
        }
        let long = shown(&"ä".repeat(100), "", "").unwrap();
        assert!(long.len() <= limits::NAME_BYTES && long.len() > limits::NAME_BYTES - 2);
    }
}
