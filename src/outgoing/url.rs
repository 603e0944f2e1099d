//! A URL that a tenant wrote, checked for everything that can be known before its name is resolved.
//!
//! It is parsed once, by the WHATWG rules of the `url` crate; the text that crate gives out is what goes to the
//! connection. So there are no two readings of one URL: `http://2130706433/`, `http://0x7f.1/` and
//! `http://0177.0.0.1/` all *are* `http://127.0.0.1/` from here on, and the guard sees that address.
//! Any port may be used: services of tenants listen on all kinds, and the guard decides by address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::limits::outgoing as limits;

/// An `http` or `https` URL without user name, password or fragment.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OutgoingUrl {
    uri: Uri,
    literal: Option<IpAddr>,
}

/// Why a URL was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Longer than 2,048 characters.
    #[error("the URL is longer than 2048 characters")]
    TooLong,
    /// Not a URL.
    #[error("this is not a valid URL")]
    Malformed,
    /// Neither `http` nor `https`.
    #[error("only http and https URLs can be called")]
    Scheme,
    /// `user:password@` would end up in logs and traces.
    #[error("a URL must not carry a user name or a password")]
    Credentials,
}

impl OutgoingUrl {
    /// The form that the connection gets.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Host and port for traces; path and query may hold a token and stay out.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// The address, where the host is one.
    #[must_use]
    pub fn literal(&self) -> Option<IpAddr> {
        self.literal
    }
}

impl FromStr for OutgoingUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.len() > limits::URL_CHARS {
            return Err(UrlError::TooLong);
        }
        let mut url = url::Url::parse(text).map_err(|_| UrlError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        url.set_fragment(None);
        let literal = match url.host() {
            Some(url::Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(url::Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(url::Host::Domain(_)) => None,
            None => return Err(UrlError::Malformed),
        };
        let uri = Uri::try_from(url.as_str()).map_err(|_| UrlError::Malformed)?;
        Ok(Self { uri, literal })
    }
}

impl TryFrom<String> for OutgoingUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        text.parse()
    }
}

impl From<OutgoingUrl> for String {
    fn from(url: OutgoingUrl) -> Self {
        url.uri.to_string()
    }
}

impl fmt::Debug for OutgoingUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutgoingUrl({}://{}/..)", self.uri.scheme_str().unwrap_or(""), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_that_address() {
        let loopback = "http://127.0.0.1/".parse::<OutgoingUrl>().unwrap();
        for text in [
            "http://2130706433",
            "http://0x7f000001",
            "http://0x7f.1/",
            "http://0177.0.0.1",
            "HTTP://127.1",
            "http://１２７.0.0.1",
            "http://127.0.0.1:80/#x",
            "http:\\\\127.0.0.1",
            "http://127.0.0.1.",
        ] {
            assert_eq!(text.parse::<OutgoingUrl>().unwrap(), loopback, "{text}");
        }
        for text in ["http://[::1]:8080/", "http://[::ffff:127.0.0.1]/", "http://[0:0::1]"] {
            assert!(text.parse::<OutgoingUrl>().unwrap().literal().is_some_and(|ip| ip.is_ipv6()), "{text}");
        }
        assert_eq!("https://localhost:1/".parse::<OutgoingUrl>().unwrap().literal(), None);
    }

    #[test]
    fn what_is_no_outgoing_url() {
        for (text, error) in [
            ("ftp://example.com/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("gopher://example.com", UrlError::Scheme),
            ("http://user@example.com/", UrlError::Credentials),
            ("http://:secret@example.com/", UrlError::Credentials),
            ("example.com/x", UrlError::Malformed),
            ("http://", UrlError::Malformed),
            ("http://256.256.256.256/", UrlError::Malformed),
            ("http://[fe80::1%25eth0]/", UrlError::Malformed),
            ("http://a b/", UrlError::Malformed),
        ] {
            assert_eq!(text.parse::<OutgoingUrl>().unwrap_err(), error, "{text}");
        }
        let long = format!("http://example.com/{}", "a".repeat(2_048));
        assert_eq!(long.parse::<OutgoingUrl>().unwrap_err(), UrlError::TooLong);
    }

    #[test]
    fn debug_shows_no_path() {
        let url: OutgoingUrl = "https://example.com:8443/hook?token=t0p".parse().unwrap();
        assert_eq!(format!("{url:?}"), "OutgoingUrl(https://example.com:8443/..)");
        assert_eq!(String::from(url), "https://example.com:8443/hook?token=t0p");
    }
}
