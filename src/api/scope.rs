//! What an API key may touch: `tickets:read`, `contacts:write`, `*:read`. Writing includes reading.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::limits::auth as limits;

/// Looking, or changing too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Looking.
    Read,
    /// Changing, and looking.
    Write,
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The collection, as in its path; `None`: every one.
    pub resource: Option<String>,
    /// What may be done with it.
    pub access: Access,
}

/// Why a list of scopes is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopesError {
    /// One is none.
    #[error("{0:?} is no scope: a collection such as tickets, or *, then :read or :write")]
    Form(String),
    /// There are none, or too many.
    #[error("a key has 1 to {} scopes", limits::SCOPES)]
    Count,
}

impl Scope {
    /// Reads `tickets:read`.
    ///
    /// # Errors
    /// [`ScopesError::Form`] when it is none.
    pub fn parse(text: &str) -> Result<Self, ScopesError> {
        let wrong = || ScopesError::Form(text.chars().take(80).collect());
        let (resource, access) = text.split_once(':').ok_or_else(wrong)?;
        let access = match access {
            "read" => Access::Read,
            "write" => Access::Write,
            _ => return Err(wrong()),
        };
        let name = !resource.is_empty()
            && resource.len() <= limits::SCOPE_CHARS
            && resource
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && resource.starts_with(|c: char| c.is_ascii_lowercase());
        match resource {
            "*" => Ok(Self { resource: None, access }),
            _ if name => Ok(Self { resource: Some(resource.to_owned()), access }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.access == Access::Read { "read" } else { "write" };
        write!(f, "{}:{access}", self.resource.as_deref().unwrap_or("*"))
    }
}

/// The scopes of a key: at least one, each once, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads a list. Which collections exist is for the API to check.
    ///
    /// # Errors
    /// [`ScopesError`] with the first fault.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, ScopesError> {
        if list.is_empty() || list.len() > limits::SCOPES {
            return Err(ScopesError::Count);
        }
        let mut scopes =
            list.iter().map(|text| Scope::parse(text.as_ref())).collect::<Result<Vec<_>, _>>()?;
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// Whether one of them lets a request pass.
    pub fn allow(&self, resource: &str, access: Access) -> bool {
        self.0.iter().any(|scope| {
            scope.access >= access && scope.resource.as_deref().is_none_or(|name| name == resource)
        })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_allow_what_they_say() {
        let scopes: Scopes =
            serde_json::from_str(r#"["tickets:write","contacts:read","contacts:read"]"#).unwrap();
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["contacts:read","tickets:write"]"#);
        for (resource, access, allowed) in [
            ("tickets", Access::Write, true),
            ("tickets", Access::Read, true),
            ("contacts", Access::Read, true),
            ("contacts", Access::Write, false),
            ("dids", Access::Read, false),
            ("ticket", Access::Read, false),
            ("*", Access::Read, false),
        ] {
            assert_eq!(scopes.allow(resource, access), allowed, "{resource} {access:?}");
        }
        let all = Scopes::parse(&["*:read", "dids:write"]).unwrap();
        assert!(
            all.allow("x", Access::Read)
                && !all.allow("x", Access::Write)
                && all.allow("dids", Access::Write)
        );
        assert!(Scopes::parse(&["*:write"]).unwrap().allow("x", Access::Write));
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for bad in [
            "",
            "tickets",
            "tickets:",
            ":read",
            "tickets:admin",
            "Tickets:read",
            "**:read",
            "*",
            "a b:read",
            "-a:read",
            "tickets:read:x",
            "tickets:READ",
        ] {
            assert!(matches!(Scopes::parse(&[bad]), Err(ScopesError::Form(_))), "{bad}");
        }
        assert!(Scope::parse(&format!("{}:read", "a".repeat(41))).is_err());
        assert_eq!(Scopes::parse::<&str>(&[]), Err(ScopesError::Count));
        assert_eq!(Scopes::parse(&vec!["a:read"; 51]), Err(ScopesError::Count));
    }
}
