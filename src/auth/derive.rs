//! Keys for one purpose each, made of the installation's secret: HMAC-SHA256(secret, purpose).

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::secret::Secret;

/// A key of 256 bits that does not print itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// The key itself.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA256 of a message with this key.
    pub fn mac(&self, message: &[u8]) -> [u8; 32] {
        mac(&self.0, message)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The key for a purpose.
pub fn key(secret: &Secret, purpose: &str) -> Key {
    Key(mac(secret.expose().as_bytes(), purpose.as_bytes()))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // HMAC takes keys of any length: there is nothing to fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2: a key made wrongly would make every token of every installation alike.
    #[test]
    fn keys_are_hmac_sha256() {
        let key = key(&Secret::new("Jefe"), "what do ya want for nothing?");
        let hex: String = key.bytes().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(format!("{key:?}"), "[secret]");
        let one = super::key(&Secret::new("a"), "x");
        assert!(one != super::key(&Secret::new("b"), "x") && one != super::key(&Secret::new("a"), "y"));
        // Longer than a block.
        assert!(
            super::key(&Secret::new("a".repeat(100)), "x") != super::key(&Secret::new("a".repeat(101)), "x")
        );
    }
}
