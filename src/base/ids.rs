//! Parsed names and ids. A value of these types has been checked once, at the edge, and is safe in SQL, in a dialplan
//! variable, in a file name and in a log line ever after.
//!
//! All are lower-case ASCII without spaces: MariaDB's default collations take `T1` for `t1` and `'a '` for `'a'`,
//! which would be a hole between tenants.

use std::fmt;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Deserializer, Serialize};

use crate::base::clock::Clock;

/// Why a text is not a name or id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {kind}: {rule}")]
pub struct IdError {
    /// What was wanted.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub value: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

macro_rules! parsed_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the rule of this type.
            ///
            /// # Errors
            /// [`IdError`] with the rule when `text` breaks it.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(IdError { kind: $kind, value: text.chars().take(80).collect(), rule: $rule })
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn is_slug(text: &str, max: usize, extra: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    !bytes.is_empty()
        && bytes.len() <= max
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
        && bytes.iter().all(|&b| edge(b) || extra.contains(&b))
}

parsed_text!(
    /// A tenant, as named by its operator: `acme`. It is a part of the names towards Asterisk (`acme-support`), whose
    /// realtime columns hold 40 characters, so 20 here leave 19 for the other part; without `-`, so that the first `-`
    /// parts the two.
    TenantId, "tenant id", "1 to 20 of a-z, 0-9; '_' inside", |t| is_slug(t, 20, b"_")
);
parsed_text!(
    /// A name that is unique within its tenant: a queue, a menu, a schedule, an endpoint (`support`, `101`).
    Name, "name", "1 to 19 of a-z, 0-9; '-', '_' or '.' inside", |t| is_slug(t, 19, b"-_.")
);
parsed_text!(
    /// A phone number in E.164: `+15550001000`.
    Number, "E.164 number", "'+', then 7 to 15 digits, the first not 0", |t| {
        t.strip_prefix('+').is_some_and(|d| {
            (7..=15).contains(&d.len()) && !d.starts_with('0') && d.bytes().all(|b| b.is_ascii_digit())
        })
    }
);
parsed_text!(
    /// The id of any row we make: a ULID in lower case, 26 characters, sorted by the time it was made.
    Id, "id", "26 of 0-9, a-z without i, l, o, u", |t| {
        t.len() == 26 && t.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_lowercase() && !b"ilou".contains(&b)))
    }
);
parsed_text!(
    /// A sound file as Asterisk names it, without extension: `custom/acme/welcome`; several joined with `&`. Inside
    /// Asterisk's folder of sounds: a path from the root could play another tenant's voicemail.
    Sound, "sound name", "1 to 120 of A-Z, a-z, 0-9, '_', '-', '/', '&', '.', no '..', no '/' in front", |t| {
        !t.is_empty() && t.len() <= 120 && !t.contains("..") && t.split('&').all(|one| !one.starts_with('/'))
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/&.".contains(&b))
    }
);

/// The name towards Asterisk of something a tenant calls `name`: `acme-101`.
pub fn global_name(tenant: &TenantId, name: &Name) -> String {
    format!("{tenant}-{name}")
}

/// Takes a name towards Asterisk apart again.
///
/// # Errors
/// [`IdError`] when it is not of the form that [`global_name`] makes.
pub fn split_global_name(text: &str) -> Result<(TenantId, Name), IdError> {
    let (tenant, name) = text.split_once('-').unwrap_or((text, ""));
    Ok((TenantId::parse(tenant)?, Name::parse(name)?))
}

impl Id {
    /// When it was made, microseconds since 1970 UTC, to the millisecond.
    pub fn made_us(&self) -> i64 {
        let millis = ulid::Ulid::from_string(self.as_str()).map_or(0, |ulid| ulid.timestamp_ms());
        i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000)
    }
}

impl Number {
    /// Reads a number as carriers dial it: `+1555…`, `001555…` or, with at least eight digits, `1555…`.
    ///
    /// # Errors
    /// [`IdError`] when it can't be an E.164 number (an extension, a name, garbage).
    pub fn from_dialled(text: &str) -> Result<Self, IdError> {
        if text.starts_with('+') {
            return Self::parse(text);
        }
        let digits = text.strip_prefix("00").unwrap_or(text);
        if digits.len() < 8 {
            return Err(IdError {
                kind: "E.164 number",
                value: text.chars().take(80).collect(),
                rule: "'+', then 7 to 15 digits, the first not 0; without '+' at least 8 digits",
            });
        }
        Self::parse(&format!("+{digits}"))
    }
}

/// Makes ids: time from the clock, randomness from the system, increasing even within one millisecond.
#[derive(Clone, Debug)]
pub struct IdSource {
    clock: Clock,
    made: Arc<Mutex<Made>>,
}

/// The last id, and randomness for the next ones: one question to the system serves 64 of them.
#[derive(Debug)]
struct Made {
    last: u128,
    random: [u8; 1_024],
    used: usize,
}

impl Made {
    fn random(&mut self) -> u128 {
        let mut next = [0_u8; 16];
        if self.used + next.len() > self.random.len() {
            // A machine without randomness still gets unique ids: `last + 1` below.
            let _ = getrandom::fill(&mut self.random);
            self.used = 0;
        }
        next.copy_from_slice(&self.random[self.used..self.used + 16]);
        self.used += next.len();
        u128::from_be_bytes(next)
    }
}

impl IdSource {
    /// A source that takes its time from `clock`.
    pub fn new(clock: Clock) -> Self {
        let made = Made { last: 0, random: [0; 1_024], used: 1_024 };
        Self { clock, made: Arc::new(Mutex::new(made)) }
    }

    /// A new id, greater than every one this source has made before.
    pub fn next(&self) -> Id {
        let millis = u64::try_from(self.clock.now_us() / 1_000).unwrap_or(0);
        let mut made = self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let fresh = ulid::Ulid::from_parts(millis, made.random()).0;
        made.last = fresh.max(made.last.wrapping_add(1));
        let id = made.last;
        drop(made);
        let mut text = ulid::Ulid(id).to_string();
        text.make_ascii_lowercase();
        Id(Arc::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_while_the_clock_stands() {
        let source = IdSource::new(Clock::manual(crate::base::clock::from_us(1_700_000_000_000_000)));
        let ids: Vec<Id> = (0..1_000).map(|_| source.next()).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        assert!(ids.iter().all(|id| id.made_us() == 1_700_000_000_000_000));
        assert!(ids.iter().all(|id| Id::parse(id.as_str()).as_ref() == Ok(id)));
    }

    #[test]
    fn names_that_a_database_would_confuse_are_refused() {
        for bad in ["", "T1", "a ", " a", "a b", "ä", "a'", "_a", "a_", "a-b", "a\n", "abcdefghijklmnopqrstu"]
        {
            assert!(TenantId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TenantId::parse("acme_2").is_ok());
        assert!(serde_json::from_str::<TenantId>("\"T1\"").is_err());
    }

    #[test]
    fn a_sound_lies_in_the_folder_of_sounds() {
        for good in ["welcome", "custom/acme/welcome", "a&b/c&d"] {
            assert!(Sound::parse(good).is_ok(), "{good}");
        }
        for bad in ["/var/spool/asterisk/voicemail/globex/101/INBOX/msg0000", "a&/etc/x", "a/../b", "", "a b"]
        {
            assert!(Sound::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn global_names_come_apart_as_they_were_put_together() {
        for (tenant, name) in [("acme", "101"), ("a_b", "c-d.e"), ("a", "b-c")] {
            let (tenant, name) = (TenantId::parse(tenant).unwrap(), Name::parse(name).unwrap());
            let text = global_name(&tenant, &name);
            assert!(text.len() <= 40);
            assert_eq!(split_global_name(&text), Ok((tenant, name)));
        }
        assert!(split_global_name("acme").is_err() && split_global_name("acme-").is_err());
    }

    #[test]
    fn dialled_numbers_become_e164() {
        for (dialled, number) in [
            ("+15550001000", Some("+15550001000")),
            ("15550001000", Some("+15550001000")),
            ("0015550001000", Some("+15550001000")),
            ("101", None),
            ("+0123456789", None),
            ("0555123", None),
            ("+1555000100012345", None),
            ("+1555\n0001000", None),
            ("anonymous", None),
        ] {
            assert_eq!(
                Number::from_dialled(dialled).ok().as_ref().map(Number::as_str),
                number,
                "{dialled:?}"
            );
        }
    }
}
