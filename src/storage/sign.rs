//! URLs under which a sound can be had without a token, for some minutes: an HMAC of what is had, whose it is and until
//! when, with a key of the installation's secret. Nothing about them is kept.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::ids::{Id, TenantId};

/// What a URL leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose.
    pub tenant: TenantId,
    /// `recordings` or `voicemails`.
    pub kind: String,
    /// Which.
    pub id: Id,
    /// Until when, seconds since 1970 UTC.
    pub expires_s: i64,
    /// Whether a browser saves it instead of playing it.
    pub download: bool,
}

/// Why a URL opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It was changed, or another installation made it.
    Forged,
    /// Its time is over.
    Expired,
}

/// Makes such URLs, and tells whether one is its own.
#[derive(Clone)]
pub struct Signer {
    key: [u8; 32],
    public_url: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

impl Signer {
    /// With a key of its own, and where clients reach the service; empty: URLs are paths.
    pub fn new(key: [u8; 32], public_url: &str) -> Self {
        Self { key, public_url: public_url.trim_end_matches('/').to_owned() }
    }

    fn mac(&self, grant: &Grant) -> Hmac<Sha256> {
        let Grant { tenant, kind, id, expires_s, download } = grant;
        // HMAC takes keys of any length: there is nothing to fail.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).unwrap_or_else(|_| Hmac::new(&Default::default()));
        mac.update(format!("GET\n{tenant}\n{kind}/{id}\n{expires_s}\n{}", i32::from(*download)).as_bytes());
        mac
    }

    /// The URL.
    pub fn url(&self, grant: &Grant) -> String {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.mac(grant).finalize().into_bytes());
        let Grant { tenant, kind, id, expires_s, download } = grant;
        let download = if *download { "&download=1" } else { "" };
        format!(
            "{}/media/{tenant}/{kind}/{id}?expires={expires_s}{download}&signature={signature}",
            self.public_url
        )
    }

    /// Whether a signature is this grant's and its time is not over.
    ///
    /// # Errors
    /// Which of the two it is not. Whether it is the own is looked at first, in constant time.
    pub fn check(&self, grant: &Grant, signature: &str, now_s: i64) -> Result<(), Refused> {
        let given = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Forged)?;
        self.mac(grant).verify_slice(&given).map_err(|_| Refused::Forged)?;
        if now_s < grant.expires_s { Ok(()) } else { Err(Refused::Expired) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            tenant: TenantId::parse("acme").unwrap(),
            kind: "recordings".into(),
            id: Id::parse("01arz3ndektsv4rrffq69g5fav").unwrap(),
            expires_s: 1_000,
            download: false,
        }
    }

    #[test]
    fn a_url_opens_what_it_was_made_for_and_nothing_else() {
        let signer = Signer::new([1; 32], "https://pbx.example.com/");
        let url = signer.url(&grant());
        assert!(
            url.starts_with(
                "https://pbx.example.com/media/acme/recordings/01arz3ndektsv4rrffq69g5fav?expires=1000&"
            ),
            "{url}"
        );
        let (_, signature) = url.split_once("signature=").unwrap();
        assert_eq!(signer.check(&grant(), signature, 999), Ok(()));
        assert_eq!(signer.check(&grant(), signature, 1_000), Err(Refused::Expired));
        let other = |change: fn(&mut Grant)| {
            let mut grant = grant();
            change(&mut grant);
            grant
        };
        for changed in [
            other(|g| g.tenant = TenantId::parse("globex").unwrap()),
            other(|g| g.kind = "voicemails".into()),
            other(|g| g.id = Id::parse("01arz3ndektsv4rrffq69g5faw").unwrap()),
            other(|g| g.expires_s = 2_000),
            other(|g| g.download = true),
        ] {
            assert_eq!(signer.check(&changed, signature, 0), Err(Refused::Forged), "{changed:?}");
        }
        assert_eq!(Signer::new([2; 32], "").check(&grant(), signature, 0), Err(Refused::Forged));
        for bad in ["", "AAAA", "%", &signature[1..]] {
            assert_eq!(signer.check(&grant(), bad, 0), Err(Refused::Forged), "{bad}");
        }
    }
}
