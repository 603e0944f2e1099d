//! Codes of an authenticator app (RFC 6238: SHA-1, six digits, 30 s), each step taken once. The secret lies sealed.

use totp_rs::{Algorithm, Builder, Totp};

use super::account::{self, Account};
use super::{Auth, AuthError, recovery};
use crate::base::ids::Id;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::{Tx, db_tx};

/// What an authenticator app needs. Shown once.
#[derive(Debug)]
pub struct Provision {
    /// The secret in base32, for typing.
    pub secret: Secret,
    /// The same as an `otpauth://` URI, for a QR code.
    pub uri: Secret,
}

/// What became of the wish for a second factor.
#[derive(Debug)]
pub enum Confirmed {
    /// Codes are asked for from now on; here are the recovery codes, shown once.
    Enabled(Vec<Secret>),
    /// The code is not the app's.
    WrongCode,
    /// Nothing waits for a code: it is enabled already, or was never begun.
    NotBegun,
}

fn totp(secret: Vec<u8>) -> Result<Totp, AuthError> {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(limits::TOTP_SKEW)
        .with_step_duration(limits::TOTP_STEP_S)
        .with_secret(secret)
        .build()
        .map_err(|_| AuthError::Internal("a TOTP secret is none"))
}

/// The step whose code this is.
fn step_of(secret: Vec<u8>, code: &str, now_us: i64) -> Result<Option<i64>, AuthError> {
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let second = u64::try_from(now_us / 1_000_000).unwrap_or(0);
    Ok(totp(secret)?.check(code, second).and_then(|step| i64::try_from(step).ok()))
}

fn uri(email: &str, base32: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(email.as_bytes()).collect();
    format!(
        "otpauth://totp/Hookswitch:{name}?secret={base32}&issuer=Hookswitch&algorithm=SHA1&digits=6&period={}",
        limits::TOTP_STEP_S
    )
}

/// Makes a secret for a user, which counts once a code of it was seen ([`confirm`]). Again: another secret. `None`
/// when a second factor is enabled; it has to be disabled first.
///
/// # Errors
/// When the database is away or the system has no randomness.
pub async fn begin(auth: &Auth, tx: &mut Tx, user: &Id) -> Result<Option<Provision>, AuthError> {
    const SQL: &str = "UPDATE users SET totp_secret = ?, updated_at = ? WHERE id = ?";
    let Some(account) = account::lock(tx, user).await?.filter(|a| !a.totp_enabled) else { return Ok(None) };
    let mut bytes = [0_u8; limits::TOTP_SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    let sealed = auth.sealer.seal(user.as_str(), &bytes)?;
    let now_us = auth.clock.now_us();
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&sealed)
        .bind(now_us)
        .bind(user.as_str())
        .execute(c)
        .await
        .map(drop))?;
    let base32 = totp(bytes.to_vec())?.secret().to_base32();
    let uri = Secret::new(uri(account.email.as_str(), &base32));
    Ok(Some(Provision { secret: Secret::new(base32), uri }))
}

/// Enables the second factor, given a code of the app's. Old recovery codes end, new ones are made.
///
/// # Errors
/// When the database is away or the system has no randomness.
pub async fn confirm(auth: &Auth, tx: &mut Tx, user: &Id, code: &str) -> Result<Confirmed, AuthError> {
    const SQL: &str = "UPDATE users SET totp_enabled = TRUE, totp_last_step = ?, updated_at = ? WHERE id = ?";
    let account = account::lock(tx, user).await?;
    let Some(account) = account.filter(|a| !a.totp_enabled && !a.totp_secret.is_empty()) else {
        return Ok(Confirmed::NotBegun);
    };
    let now_us = auth.clock.now_us();
    let secret = auth.sealer.open(user.as_str(), &account.totp_secret)?;
    let Some(step) = step_of(secret, code, now_us)? else { return Ok(Confirmed::WrongCode) };
    db_tx!(&mut *tx, |c| sqlx::query(SQL)
        .bind(step)
        .bind(now_us)
        .bind(user.as_str())
        .execute(c)
        .await
        .map(drop))?;
    Ok(Confirmed::Enabled(recovery::replace(tx, user, now_us).await?))
}

/// Takes the second factor away, recovery codes and all. Whoever calls has seen the password
/// ([`super::change::is_password`]) or is an admin who was asked for it.
///
/// # Errors
/// When the database is away.
pub async fn disable(tx: &mut Tx, user: &Id, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE users SET totp_enabled = FALSE, totp_secret = '', updated_at = ? WHERE id = ?";
    db_tx!(&mut *tx, |c| sqlx::query(SQL).bind(now_us).bind(user.as_str()).execute(c).await.map(drop))?;
    recovery::remove(tx, user).await
}

/// Whether a code, or a recovery code, lets this user in; it is used up then. Inside the login's transaction.
pub(super) async fn accept(
    auth: &Auth,
    tx: &mut Tx,
    account: &Account,
    code: &str,
    now_us: i64,
) -> Result<bool, AuthError> {
    const SQL: &str = "UPDATE users SET totp_last_step = ? WHERE id = ? AND totp_last_step < ?";
    let secret = auth.sealer.open(account.id.as_str(), &account.totp_secret)?;
    let Some(step) = step_of(secret, code, now_us)? else {
        return Ok(recovery::use_one(tx, &account.id, code, now_us).await?);
    };
    let first = db_tx!(tx, |c| sqlx::query(SQL)
        .bind(step)
        .bind(account.id.as_str())
        .bind(step)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the last six digits of its eight.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = b"12345678901234567890".to_vec();
        for (second, code) in [
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let step = |shift: i64| step_of(secret.clone(), code, (second + shift) * 1_000_000).unwrap();
            let own = second / 30;
            assert_eq!(step(0), Some(own), "{second}");
            assert_eq!((step(30), step(-30)), (Some(own), Some(own)));
            assert_eq!((step(60), step(-60)), (None, None), "{second}");
        }
        for bad in ["", "28708", "2870822", "28708a", "287 082", "٢٨٧٠٨٢", "+87082"] {
            assert_eq!(step_of(secret.clone(), bad, 59_000_000).unwrap(), None, "{bad}");
        }
    }

    #[test]
    fn the_uri_is_read_by_apps() {
        let uri = uri("ann+x@acme.test", "GEZDGNBVGY3TQOJQ");
        assert_eq!(
            uri,
            "otpauth://totp/Hookswitch:ann%2Bx%40acme.test?secret=GEZDGNBVGY3TQOJQ&issuer=Hookswitch&algorithm=SHA1&digits=6&period=30"
        );
    }
}
