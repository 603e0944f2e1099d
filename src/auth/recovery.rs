//! Recovery codes: ten texts of 80 random bits for the day when the telephone is gone, each good once.

use super::secret_text;
use crate::base::ids::Id;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::{Tx, db_tx};

/// 32 characters that nobody mistakes for one another, handwritten or not.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARS: usize = 16;

/// `xxxx-xxxx-xxxx-xxxx`.
pub(super) fn make() -> Result<Secret, getrandom::Error> {
    let mut bytes = [0_u8; CHARS];
    getrandom::fill(&mut bytes)?;
    let mut text = String::with_capacity(CHARS + 3);
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 && n % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    Ok(Secret::new(text))
}

/// As it is stored; `None` for what is no recovery code. Written with or without dashes and spaces, in either case.
fn hash(user: &Id, code: &str) -> Option<String> {
    if code.len() > 2 * CHARS {
        return None;
    }
    let plain: String =
        code.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    let fine = plain.len() == CHARS && plain.bytes().all(|b| ALPHABET.contains(&b));
    fine.then(|| secret_text::hash(&format!("{user}:{plain}")))
}

/// Ends a user's codes and makes new ones.
///
/// # Errors
/// When the database is away or the system has no randomness.
pub async fn replace(tx: &mut Tx, user: &Id, now_us: i64) -> Result<Vec<Secret>, super::AuthError> {
    const SQL: &str = "INSERT INTO recovery_codes (user_id, hash, created_at) VALUES (?, ?, ?)";
    remove(tx, user).await?;
    let mut codes = Vec::with_capacity(limits::RECOVERY_CODES);
    for _ in 0..limits::RECOVERY_CODES {
        let code = make()?;
        db_tx!(&mut *tx, |c| sqlx::query(SQL)
            .bind(user.as_str())
            .bind(hash(user, code.expose()))
            .bind(now_us)
            .execute(c)
            .await
            .map(drop))?;
        codes.push(code);
    }
    Ok(codes)
}

/// Ends a user's codes.
pub(super) async fn remove(tx: &mut Tx, user: &Id) -> sqlx::Result<()> {
    const SQL: &str = "DELETE FROM recovery_codes WHERE user_id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(user.as_str()).execute(c).await.map(drop))
}

/// Uses a code up. Returns whether it was one.
pub(super) async fn use_one(tx: &mut Tx, user: &Id, code: &str, now_us: i64) -> sqlx::Result<bool> {
    const SQL: &str =
        "UPDATE recovery_codes SET used_at = ? WHERE user_id = ? AND hash = ? AND used_at IS NULL";
    let Some(hash) = hash(user, code) else { return Ok(false) };
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(now_us)
        .bind(user.as_str())
        .bind(&hash)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// How many codes a user has left.
///
/// # Errors
/// When the database is away.
pub async fn left(tx: &mut Tx, user: &Id) -> sqlx::Result<i64> {
    const SQL: &str = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = ? AND used_at IS NULL";
    db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(user.as_str()).fetch_one(c).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_written() {
        let [ann, bob] =
            ["01k00000000000000000000000", "01k00000000000000000000001"].map(|id| Id::parse(id).unwrap());
        let code = make().unwrap();
        let text = code.expose();
        assert_eq!((text.len(), text.matches('-').count()), (19, 3), "{text}");
        assert_ne!(make().unwrap(), code);
        let stored = hash(&ann, text).unwrap();
        for same in [text.to_uppercase(), text.replace('-', ""), text.replace('-', " "), format!(" {text} ")]
        {
            assert_eq!(hash(&ann, &same).as_ref(), Some(&stored), "{same}");
        }
        assert_ne!(hash(&bob, text), Some(stored));
        for bad in ["", "123456", &text[1..], &format!("{text}0"), &"-".repeat(1_000), "uuuu-uuuu-uuuu-uuuu"]
        {
            assert_eq!(hash(&ann, bad), None, "{bad}");
        }
    }
}
