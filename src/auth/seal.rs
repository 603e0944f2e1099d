//! Sealed texts: secrets that must be read again, encrypted where they lie. XChaCha20-Poly1305 with a key of the
//! installation's secret; the row's id is bound in, so that a sealed text moved to another row does not open.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::{AuthError, derive};
use crate::base::secret::Secret;

/// Says how a text was sealed, for the day when another way comes.
const VERSION: &str = "v1.";
const NONCE_BYTES: usize = 24;

/// Seals and opens.
#[derive(Debug)]
pub struct Sealer {
    key: derive::Key,
}

impl Sealer {
    /// With a key of the installation's secret.
    pub fn new(secret: &Secret) -> Self {
        Self { key: derive::key(secret, "seal:v1") }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(self.key.bytes().into())
    }

    /// Seals `bytes` for the row `owner`.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, owner: &str, bytes: &[u8]) -> Result<String, AuthError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let payload = Payload { msg: bytes, aad: owner.as_bytes() };
        let sealed = self.cipher().encrypt(&nonce.into(), payload);
        let sealed = sealed.map_err(|_| AuthError::Internal("a secret can't be sealed"))?;
        let whole = [nonce.as_slice(), &sealed].concat();
        Ok(format!("{VERSION}{}", BASE64_URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens what was sealed for the row `owner`.
    ///
    /// # Errors
    /// When it was changed, belongs to another row, or was sealed under another installation's secret.
    pub fn open(&self, owner: &str, text: &str) -> Result<Vec<u8>, AuthError> {
        const WRONG: AuthError =
            AuthError::Internal("a sealed secret can't be opened: changed, or another installation's");
        let whole = text.strip_prefix(VERSION).and_then(|rest| BASE64_URL_SAFE_NO_PAD.decode(rest).ok());
        let whole = whole.ok_or(WRONG)?;
        let (nonce, sealed) = whole.split_first_chunk::<NONCE_BYTES>().ok_or(WRONG)?;
        let payload = Payload { msg: sealed, aad: owner.as_bytes() };
        self.cipher().decrypt(&(*nonce).into(), payload).map_err(|_| WRONG)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_where_it_belongs() {
        let sealer = Sealer::new(&Secret::new("one"));
        let sealed = sealer.seal("ann", b"twenty bytes of text").unwrap();
        assert!(sealed.starts_with("v1.") && sealed.len() < 100, "{sealed}");
        assert_eq!(sealer.open("ann", &sealed).unwrap(), b"twenty bytes of text");
        assert_ne!(sealer.seal("ann", b"twenty bytes of text").unwrap(), sealed);
        sealer.open("bob", &sealed).unwrap_err();
        Sealer::new(&Secret::new("two")).open("ann", &sealed).unwrap_err();
        for bad in ["", "v1.", "v1.AAAA", &sealed[3..], &sealed[..sealed.len() - 2]] {
            sealer.open("ann", bad).unwrap_err();
        }
        let mut bytes = sealed.into_bytes();
        bytes[40] = if bytes[40] == b'A' { b'B' } else { b'A' };
        sealer.open("ann", std::str::from_utf8(&bytes).unwrap()).unwrap_err();
    }
}
