//! One password, one hash: argon2id as a PHC string; bcrypt hashes of older systems are read, never made.
//!
//! Slow on purpose (some 20 ms and 19 MiB): only [`super::pool`] calls these.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

use super::AuthError;
use crate::config::limits::auth as limits;

/// What became of a password beside a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is another one, or the hash is none that we try.
    Wrong,
    /// It fits.
    Right,
    /// It fits, and the hash was made in a way that is no longer ours: store a new one.
    RightButOld,
}

fn argon2() -> Result<Argon2<'static>, AuthError> {
    let params = Params::new(limits::ARGON2_KIB, limits::ARGON2_PASSES, limits::ARGON2_LANES, None);
    let params = params.map_err(|_| AuthError::Internal("argon2 refuses its parameters"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_with(argon2: &Argon2<'_>, password: &str, salt: &[u8]) -> Result<String, AuthError> {
    let hash = argon2.hash_password_with_salt(password.as_bytes(), salt);
    hash.map(|h| h.to_string()).map_err(|_| AuthError::Internal("a password can't be hashed"))
}

/// Hashes a password with a fresh salt.
///
/// # Errors
/// When the system has no randomness or no memory to give.
pub fn hash(password: &str) -> Result<String, AuthError> {
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt)?;
    hash_with(&argon2()?, password, &salt)
}

/// The work of [`verify`] for somebody who does not exist: nobody shall tell by the time.
///
/// # Errors
/// When the system has no memory to give.
pub fn verify_nobody(password: &str) -> Result<Verdict, AuthError> {
    hash_with(&argon2()?, password, b"nobody's own salt").map(|_| Verdict::Wrong)
}

/// Compares a password with a stored hash, in constant time.
///
/// # Errors
/// When the system has no memory to give.
pub fn verify(password: &str, hash: &str) -> Result<Verdict, AuthError> {
    if ["$2a$", "$2b$", "$2y$"].iter().any(|version| hash.starts_with(version)) {
        return Ok(verify_bcrypt(password, hash));
    }
    let Some((parsed, params)) = parse(hash) else { return verify_nobody(password) };
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) if is_current(&parsed, &params) => Ok(Verdict::Right),
        Ok(()) => Ok(Verdict::RightButOld),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
        Err(_) => Err(AuthError::Internal("a stored password hash can't be tried")),
    }
}

/// An argon2 hash within what we are willing to spend.
fn parse(hash: &str) -> Option<(PasswordHash, Params)> {
    let parsed = PasswordHash::new(hash).ok().filter(|h| h.hash.is_some())?;
    Algorithm::try_from(parsed.algorithm.as_str()).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    let fine = params.m_cost() <= limits::ARGON2_KIB_MAX
        && params.t_cost() <= limits::ARGON2_PASSES_MAX
        && params.p_cost() <= limits::ARGON2_PASSES_MAX;
    fine.then_some((parsed, params))
}

fn is_current(parsed: &PasswordHash, params: &Params) -> bool {
    parsed.algorithm.as_str() == "argon2id"
        && parsed.version == Some(Version::V0x13.into())
        && (params.m_cost(), params.t_cost(), params.p_cost())
            == (limits::ARGON2_KIB, limits::ARGON2_PASSES, limits::ARGON2_LANES)
}

fn verify_bcrypt(password: &str, hash: &str) -> Verdict {
    let cost = hash.get(4..6).and_then(|cost| cost.parse::<u32>().ok());
    if cost.is_none_or(|cost| cost > limits::BCRYPT_COST_MAX) {
        return Verdict::Wrong;
    }
    // Cut at 72 bytes, as whoever made the hash did.
    match bcrypt::verify(password, hash) {
        Ok(true) => Verdict::RightButOld,
        Ok(false) | Err(_) => Verdict::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "correct horse battery";

    #[test]
    fn a_hash_fits_its_password_only() {
        let made = hash(PASSWORD).unwrap();
        assert!(made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && made.len() < 200, "{made}");
        assert_ne!(hash(PASSWORD).unwrap(), made);
        assert_eq!(verify(PASSWORD, &made).unwrap(), Verdict::Right);
        for wrong in ["", "correct horse batterY", "correct horse battery ", "correct horse battery\0"] {
            assert_eq!(verify(wrong, &made).unwrap(), Verdict::Wrong, "{wrong:?}");
        }
        assert_eq!(verify_nobody(PASSWORD).unwrap(), Verdict::Wrong);
    }

    #[test]
    fn hashes_of_other_parameters_are_old() {
        for (algorithm, kib, passes, verdict) in [
            (Algorithm::Argon2id, 1_024, 2, Verdict::RightButOld),
            (Algorithm::Argon2id, limits::ARGON2_KIB, 1, Verdict::RightButOld),
            (Algorithm::Argon2i, limits::ARGON2_KIB, 2, Verdict::RightButOld),
            (Algorithm::Argon2id, limits::ARGON2_KIB_MAX + 8, 1, Verdict::Wrong),
        ] {
            let argon2 = Argon2::new(algorithm, Version::V0x13, Params::new(kib, passes, 1, None).unwrap());
            let made = hash_with(&argon2, PASSWORD, b"a salt of sixteen").unwrap();
            assert_eq!(verify(PASSWORD, &made).unwrap(), verdict, "{made}");
            assert_eq!(verify("another password", &made).unwrap(), Verdict::Wrong);
        }
    }

    #[test]
    fn bcrypt_is_read_and_old() {
        for version in ["2a", "2b", "2y"] {
            let made = bcrypt::hash_with_salt(PASSWORD, 4, [7; 16]).unwrap();
            let made = made.to_string().replace("$2b$", &format!("${version}$"));
            assert!(made.starts_with(&format!("${version}$")));
            assert_eq!(verify(PASSWORD, &made).unwrap(), Verdict::RightButOld, "{made}");
            assert_eq!(verify("another password", &made).unwrap(), Verdict::Wrong);
        }
        // A hash that would take a day is not tried.
        assert_eq!(
            verify(PASSWORD, "$2b$31$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkY8jIucDrjc8deX1s.").unwrap(),
            Verdict::Wrong
        );
    }

    #[test]
    fn what_is_no_hash_fits_nothing() {
        for bad in [
            "",
            "x",
            "$argon2id$",
            "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0",
            "$2b$",
            "$2b$é0$",
            "$5$x$y",
        ] {
            assert_eq!(verify("", bad).unwrap(), Verdict::Wrong, "{bad}");
        }
    }
}
