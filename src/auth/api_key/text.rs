//! The text of an API key: `hsk_live_`, 43 characters of 256 random bits, `_`, six characters of checksum. Letters and
//! digits only, so that a double click selects it whole.

use crate::base::secret::Secret;

const PREFIX: &str = "hsk_live_";
const BODY: usize = 43;
const CHECK: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes a key.
///
/// # Errors
/// When the system has no randomness to give.
pub fn make() -> Result<Secret, getrandom::Error> {
    let mut text = String::from(PREFIX);
    while text.len() < PREFIX.len() + BODY {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62: what is above would make some characters likelier.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let room = PREFIX.len() + BODY - text.len();
        text.extend(fair.take(room).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    let check = checksum(&text);
    text.push('_');
    text.push_str(&check);
    Ok(Secret::new(text))
}

/// CRC-32 of everything before the last `_`, in base 62.
fn checksum(text: &str) -> String {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = ['0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(rest as usize % 62).map_or('0', |byte| char::from(*byte));
        rest /= 62;
    }
    digits.iter().collect()
}

/// Whether a text begins like a key of ours: then it is to be taken for one, right or wrong.
pub(super) fn begins(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// Whether a text can be a key: form and checksum.
pub fn is_well_formed(text: &str) -> bool {
    let fine = begins(text)
        && text.len() == PREFIX.len() + BODY + 1 + CHECK
        && text[PREFIX.len()..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    fine && text.rsplit_once('_').is_some_and(|(body, check)| {
        body.len() == PREFIX.len() + BODY && !body[PREFIX.len()..].contains('_') && check == checksum(body)
    })
}

/// The beginning of a key, for telling keys apart: six of its 43 characters, which leave 220 bits unsaid.
pub fn shown(key: &Secret) -> String {
    key.expose().chars().take(PREFIX.len() + 6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_form_and_no_other_passes() {
        let key = make().unwrap();
        let text = key.expose();
        assert_eq!(text.len(), 59);
        assert!(is_well_formed(text), "{text}");
        assert_ne!(make().unwrap(), key);
        assert_eq!(shown(&key), text[..15]);
        for n in 0..text.len() {
            let other = if &text[n..=n] == "a" { 'b' } else { 'a' };
            assert!(!is_well_formed(&format!("{}{other}{}", &text[..n], &text[n + 1..])), "{n}");
            assert!(!is_well_formed(&text[..n]), "{n}");
        }
        for bad in [
            format!("{text}a"),
            format!(" {text}"),
            text.replace("live", "test"),
            format!("hsk_live_{}", "é".repeat(25)),
        ] {
            assert!(!is_well_formed(&bad), "{bad}");
        }
    }

    #[test]
    fn the_checksum_is_crc_32() {
        // The check value of CRC-32: 0xCBF43926.
        assert_eq!(checksum("123456789"), "3jZRME");
        assert_eq!(checksum(""), "000000");
    }
}
