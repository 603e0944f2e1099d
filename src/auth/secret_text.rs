//! Random texts that are worth a login, and the hashes under which they are stored.
//!
//! SHA-256 without salt is enough for 256 random bits: nobody can try them all, and the hash can be a key in a table.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::base::secret::Secret;

/// `prefix` and 256 random bits in 43 characters of base64url.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random(prefix: &str) -> Result<Secret, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    Ok(with_bytes(prefix, &bytes))
}

/// `prefix` and 256 given bits in 43 characters of base64url.
pub fn with_bytes(prefix: &str, bytes: &[u8; 32]) -> Secret {
    Secret::new(format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// Whether a text can be one that [`random`] made: what is not needs no look into the database.
pub fn is_form(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == 43 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    })
}

/// SHA-256, 64 hexadecimal digits.
pub fn hash(text: &str) -> String {
    crate::base::hex::hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_random_and_of_one_form() {
        let (one, other) = (random("hsr_").unwrap(), random("hsr_").unwrap());
        assert_ne!(one, other);
        assert!(is_form("hsr_", one.expose()) && !is_form("hsp_", one.expose()));
        let text = one.expose();
        for bad in [
            "",
            "hsr_",
            &text[..46],
            &format!("{text}a"),
            &text.replace("hsr_", "hsr "),
            &format!("{}é", &text[..45]),
        ] {
            assert!(!is_form("hsr_", bad), "{bad}");
        }
    }

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
