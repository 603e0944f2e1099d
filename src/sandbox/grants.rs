//! What a plugin may be allowed to do: one grant for each interface of `wit/1.0.0/grants.wit`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A capability that has to be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Small values that stay.
    Kv,
    /// The address book.
    Contacts,
    /// Requests to hosts outside.
    Http,
    /// Tickets.
    Tickets,
}

impl Grant {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kv, Self::Contacts, Self::Http, Self::Tickets];

    /// The interface's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Contacts => "contacts",
            Self::Http => "http",
            Self::Tickets => "tickets",
        }
    }

    /// The grant of an interface; `None`: there is none of that name, or it needs no grant.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == name)
    }
}

/// A set of grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grants(u8);

impl Grants {
    /// Every grant.
    pub fn all() -> Self {
        Grant::ALL.into_iter().collect()
    }

    /// Whether it is one of them.
    pub fn has(self, grant: Grant) -> bool {
        self.0 & (1 << grant as u8) != 0
    }

    /// With this one too.
    #[must_use]
    pub fn with(self, grant: Grant) -> Self {
        Self(self.0 | (1 << grant as u8))
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What the other one lacks.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One by one.
    pub fn iter(self) -> impl Iterator<Item = Grant> {
        Grant::ALL.into_iter().filter(move |grant| self.has(*grant))
    }
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(all: I) -> Self {
        all.into_iter().fold(Self::default(), Self::with)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, grant) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{}", grant.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Grants {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Grants {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Grant>::deserialize(deserializer)?.into_iter().collect())
    }
}
