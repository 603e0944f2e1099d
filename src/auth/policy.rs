//! Which passwords are taken: long ones that are not on every list. No rules of composition; they make people write
//! `Password2026!` (NIST SP 800-63B).

use crate::config::limits::auth as limits;
use crate::users::Email;

/// Why a password is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// Too few characters.
    #[error("must have at least {} characters", limits::PASSWORD_MIN_CHARS)]
    TooShort,
    /// Too many characters.
    #[error("must have at most {} characters", limits::PASSWORD_MAX_CHARS)]
    TooLong,
    /// One of the first that anybody tries.
    #[error("is one of the most common passwords")]
    Common,
    /// The login name itself.
    #[error("must not be the email address")]
    IsEmail,
}

/// The commonest passwords of twelve characters and more, as leaks have them; lower case.
const COMMON: [&str; 48] = [
    "000000000000",
    "111111111111",
    "112233445566",
    "121212121212",
    "123123123123",
    "123456123456",
    "1234567890ab",
    "123456789012",
    "1234567890123",
    "12345678901234",
    "123456789abc",
    "1234567890-=",
    "123456789123",
    "123456789qwe",
    "1q2w3e4r5t6y",
    "1q2w3e4r5t6y7u",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "abc123abc123",
    "abcd12345678",
    "abcdefghijkl",
    "abcdefghijklmnop",
    "administrator",
    "asdfghjkl123",
    "asteriskasterisk",
    "changemechangeme",
    "changemenow1",
    "correcthorsebatterystaple",
    "iloveyou1234",
    "letmeinletmein",
    "p@ssw0rd1234",
    "passw0rd1234",
    "password1234",
    "password12345",
    "password123456",
    "password2024",
    "password2025",
    "password2026",
    "passwordpassword",
    "q1w2e3r4t5y6",
    "qazwsxedcrfv",
    "qwerty123456",
    "qwertyqwerty",
    "qwertyuiop12",
    "qwertyuiop123",
    "qwertyuiopasdfghjkl",
    "qwertyuiop[]",
    "welcome12345",
];

/// Checks a new password of the user with this email.
///
/// # Errors
/// [`Weakness`], the first that it has.
pub fn check(password: &str, email: &Email) -> Result<(), Weakness> {
    // Bytes first: counting the characters of a book is work.
    if password.len() > limits::PASSWORD_MAX_CHARS * 4 {
        return Err(Weakness::TooLong);
    }
    let characters = password.chars().count();
    if characters < limits::PASSWORD_MIN_CHARS {
        return Err(Weakness::TooShort);
    }
    if characters > limits::PASSWORD_MAX_CHARS {
        return Err(Weakness::TooLong);
    }
    let lower = password.to_lowercase();
    if lower == email.as_str() {
        return Err(Weakness::IsEmail);
    }
    let mut letters = lower.chars();
    let first = letters.next();
    if COMMON.contains(&lower.as_str()) || letters.all(|c| Some(c) == first) {
        return Err(Weakness::Common);
    }
    Ok(())
}

/// Whether a password is longer than any that was ever taken: it need not be hashed to be wrong.
pub fn is_too_long(password: &str) -> bool {
    password.len() > limits::PASSWORD_MAX_CHARS * 4 || password.chars().count() > limits::PASSWORD_MAX_CHARS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_and_the_commonest_are_refused() {
        let email = Email::parse("a.very.long@acme.test").unwrap();
        let check = |password: &str| check(password, &email);
        for good in
            ["hookswitch-demo-1", "twelve chars", "ääääääääääöö", &"ab".repeat(128), &"🦀b".repeat(128)]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", Weakness::TooShort),
            ("eleven char", Weakness::TooShort),
            ("ääääääääää", Weakness::TooShort),
            (&"ab".repeat(129), Weakness::TooLong),
            (&"a".repeat(1 << 20), Weakness::TooLong),
            ("Password1234", Weakness::Common),
            ("zzzzzzzzzzzz", Weakness::Common),
            ("A.Very.Long@acme.test", Weakness::IsEmail),
        ] {
            assert_eq!(check(bad), Err(why), "{bad:.30}");
        }
        assert!(is_too_long(&"ä".repeat(257)) && !is_too_long(&"🦀".repeat(256)));
        assert!(
            COMMON.iter().all(|c| c.chars().count() >= limits::PASSWORD_MIN_CHARS && c.to_lowercase() == **c)
        );
    }
}
