//! Keyset pages: an opaque cursor holds where the page before ended, the order and a fingerprint of the filters, and is
//! signed, so that nobody reads on where they were not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::problem::{Fault, Problem};

/// The key that signs cursors.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Fingerprint of collection, tenant, order and filters.
    #[serde(rename = "f")]
    pub query: u64,
    /// The sort field's value in the last row.
    #[serde(rename = "k")]
    pub key: Position,
    /// The last row's id.
    #[serde(rename = "i")]
    pub id: String,
    /// Whether it leads backwards.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
}

/// A value that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    /// A number or a time.
    Int(i64),
    /// A text.
    Text(String),
}

const TAG_BYTES: usize = 12;

impl Key {
    /// The key of an installation.
    pub fn new(secret: &[u8]) -> Self {
        let mut key = [0; 32];
        key.copy_from_slice(&mac(secret, b"hookswitch cursors"));
        Self(key)
    }

    /// The text of a cursor.
    pub fn seal(&self, cursor: &Cursor) -> String {
        let mut bytes = serde_json::to_vec(cursor).unwrap_or_default();
        let tag = mac(&self.0, &bytes);
        bytes.extend_from_slice(&tag[..TAG_BYTES]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a cursor for the query with this fingerprint.
    ///
    /// # Errors
    /// 400 when it was not made here, or for another query.
    pub fn open(&self, text: &str, query: u64) -> Result<Cursor, Problem> {
        let bad = || {
            Problem::bad_query(vec![Fault::parameter(
                "after",
                "This cursor is not one of this list; start without it.",
            )])
        };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad())?;
        let cut = bytes.len().checked_sub(TAG_BYTES).ok_or_else(bad)?;
        let (body, tag) = bytes.split_at(cut);
        let mut check = Hmac::<Sha256>::new_from_slice(&self.0).map_err(Problem::internal)?;
        check.update(body);
        check.verify_truncated_left(tag).map_err(|_| bad())?;
        let cursor: Cursor = serde_json::from_slice(body).map_err(|_| bad())?;
        if cursor.query == query { Ok(cursor) } else { Err(bad()) }
    }
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A fingerprint of what a list was asked for.
pub fn fingerprint(parts: &[&str]) -> u64 {
    use sha2::Digest;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_only_to_its_own_query_and_unchanged() {
        let key = Key::new(b"a secret of thirty-two characters");
        let cursor = Cursor { query: 7, key: Position::Int(5), id: "x".into(), back: true };
        let text = key.seal(&cursor);
        assert_eq!(key.open(&text, 7), Ok(cursor));
        assert_eq!(key.open(&text, 8).unwrap_err().status, 400);
        assert!(Key::new(b"another").open(&text, 7).is_err());
        for bad in ["", "a", "%%%", &text[1..], &format!("{text}AA")] {
            assert_eq!(key.open(bad, 7).unwrap_err().code, "bad-query", "{bad}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        bytes[6] ^= 1;
        assert!(key.open(&URL_SAFE_NO_PAD.encode(bytes), 7).is_err());
    }

    #[test]
    fn fingerprints_keep_parts_apart() {
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_eq!(fingerprint(&["ab", "c"]), fingerprint(&["ab", "c"]));
    }
}
