//! An email address as a login name: checked once, in lower case, so that no database takes two for one or one for two.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// An address in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Email(Arc<str>);

/// Why a text is no address that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an email address has a name of at most 64 and a domain of at most 189 ASCII characters around one '@', without spaces"
)]
pub struct EmailError;

impl Email {
    /// Checks an address and puts it in lower case. Strict where databases and mail servers are, no more: whether it
    /// exists only a mail can tell.
    ///
    /// # Errors
    /// [`EmailError`] when it breaks the rule.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let (name, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let name_fine = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b));
        let domain_fine = (1..=189).contains(&domain.len())
            && domain.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            });
        if name_fine && domain_fine {
            Ok(Self(Arc::from(text.to_ascii_lowercase())))
        } else {
            Err(EmailError)
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_lower_case_and_strict() {
        assert_eq!(Email::parse("Ann.Bell+x@ACME.test").unwrap().as_str(), "ann.bell+x@acme.test");
        assert!(Email::parse("root@localhost").is_ok());
        for bad in [
            "", "@", "a@", "@b", "a b@c.d", "a@b.c ", " a@b.c", "a@b..c", "a@-b.c", "ä@b.c", "a@b.c\n",
            "a@b@c.d", "a\0@b.c", "a@b_c.d",
        ] {
            assert_eq!(Email::parse(bad), Err(EmailError), "{bad:?}");
        }
        let long = format!("{}@b.c", "a".repeat(65));
        assert!(Email::parse(&long).is_err() && Email::parse(&long[1..]).is_ok());
        let wide = format!("a@{}", "b.".repeat(94) + "c");
        assert!(Email::parse(&wide).is_ok() && Email::parse(&format!("{wide}.d")).is_err());
    }
}
