//! Signatures of Standard Webhooks 1.0, versions `v1` (HMAC-SHA256) and `v1a` (ed25519). Pure: the instant is an argument.
//!
//! Signed is `{id}.{timestamp}.{body}` with the raw bytes of the body. The id stays the same over all attempts of
//! one message (the receiver's key against duplicates); the timestamp, in Unix seconds, is that of the attempt.
//! During a rotation the sender signs with all live secrets, and a receiver takes any signature of any live secret.
//!
//! Invariant: secrets appear in no `Debug`, `Display` or error text; signatures are compared in constant time.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use sha2::Sha256;
use thiserror::Error;

use crate::config::limits::webhook as limits;

/// Header with the id of the message.
pub const HEADER_ID: &str = "webhook-id";
/// Header with the time of the attempt, in Unix seconds.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// Header with the signatures: `v1,<base64>`, separated by spaces.
pub const HEADER_SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";
const ASYMMETRIC_VERSION: &str = "v1a,";
const PUBLIC_PREFIX: &str = "whpk_";

/// A shared secret of 24 to 64 bytes, written `whsec_<base64>`.
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Secret {
    /// Padded with zeros to the block of SHA-256, as HMAC itself does with keys up to that size.
    block: [u8; limits::SECRET_MAX_BYTES],
    length: usize,
}

/// Why a text or a run of bytes is no secret. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// No `whsec_` in front.
    #[error("a webhook secret begins with whsec_")]
    Prefix,
    /// Not base64.
    #[error("a webhook secret is base64 after whsec_")]
    Base64,
    /// Too short or too long.
    #[error("a webhook secret has 24 to 64 bytes")]
    Length,
}

impl Secret {
    /// A secret from random bytes of the caller's.
    ///
    /// # Errors
    /// [`SecretError::Length`] outside 24 to 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SecretError> {
        let length = bytes.len();
        let mut block = [0; limits::SECRET_MAX_BYTES];
        match block.get_mut(..length) {
            Some(start) if length >= limits::SECRET_MIN_BYTES => start.copy_from_slice(bytes),
            _ => return Err(SecretError::Length),
        }
        Ok(Self { block, length })
    }

    /// The written form, to be shown once to its owner or encrypted for storage. Never log it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(&self.block[..self.length]))
    }

    fn mac(&self, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(&self.block.into());
        mac.update(id.as_bytes());
        mac.update(format!(".{timestamp}.").as_bytes());
        mac.update(body);
        mac
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| SecretError::Base64)?;
        Self::from_bytes(&bytes)
    }
}

impl TryFrom<String> for Secret {
    type Error = SecretError;

    fn try_from(text: String) -> Result<Self, SecretError> {
        text.parse()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A key pair for `v1a`: the service signs with it, consumers need only its public half, `whpk_...`.
pub struct KeyPair {
    pair: Ed25519KeyPair,
}

impl KeyPair {
    /// From the 32 bytes of its private half.
    ///
    /// # Errors
    /// [`SecretError::Length`] when it has another length.
    pub fn from_seed(seed: &[u8]) -> Result<Self, SecretError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SecretError::Length)?;
        Ok(Self { pair })
    }

    /// The public half as consumers get it.
    #[must_use]
    pub fn public(&self) -> String {
        format!("{PUBLIC_PREFIX}{}", BASE64_STANDARD.encode(self.pair.public_key().as_ref()))
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyPair(..)")
    }
}

/// The values of the three headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// For [`HEADER_ID`].
    pub id: String,
    /// For [`HEADER_TIMESTAMP`].
    pub timestamp: String,
    /// For [`HEADER_SIGNATURE`].
    pub signature: String,
}

/// Why a message cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignError {
    /// A `.` in the id would let two messages share one signature; other characters do not belong in a header.
    #[error("a message id has 1 to 128 letters, digits, hyphens and underscores")]
    Id,
    /// Nothing to sign with.
    #[error("there is no secret to sign with")]
    NoSecret,
}

/// Signs a message with every secret given, newest first.
///
/// # Errors
/// [`SignError`] for an id outside `[A-Za-z0-9_-]{1,128}` or an empty list of secrets.
pub fn sign(secrets: &[Secret], id: &str, at: DateTime<Utc>, body: &[u8]) -> Result<Signed, SignError> {
    sign_with(secrets, None, id, at, body)
}

/// As [`sign`], with a signature `v1a` of a key pair behind those of the secrets.
///
/// # Errors
/// As [`sign`]; with a key pair there need be no secret.
pub fn sign_with(
    secrets: &[Secret],
    pair: Option<&KeyPair>,
    id: &str,
    at: DateTime<Utc>,
    body: &[u8],
) -> Result<Signed, SignError> {
    if !valid_id(id) {
        return Err(SignError::Id);
    }
    if secrets.is_empty() && pair.is_none() {
        return Err(SignError::NoSecret);
    }
    let timestamp = at.timestamp();
    let signatures = secrets.iter().map(|secret| {
        let tag = secret.mac(id, timestamp, body).finalize().into_bytes();
        format!("{VERSION}{}", BASE64_STANDARD.encode(tag))
    });
    let asymmetric = pair.map(|key| {
        let mut content = format!("{id}.{timestamp}.").into_bytes();
        content.extend_from_slice(body);
        format!("{ASYMMETRIC_VERSION}{}", BASE64_STANDARD.encode(key.pair.sign(&content).as_ref()))
    });
    let signature = signatures.chain(asymmetric).collect::<Vec<_>>().join(" ");
    Ok(Signed { id: id.to_owned(), timestamp: timestamp.to_string(), signature })
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Not the id of a message.
    #[error("the webhook-id is malformed")]
    Id,
    /// Not a number of seconds.
    #[error("the webhook-timestamp is malformed")]
    Timestamp,
    /// Older than the tolerance: a replay, or a wrong clock.
    #[error("the webhook-timestamp is too old")]
    TooOld,
    /// Newer than the tolerance: a wrong clock.
    #[error("the webhook-timestamp lies in the future")]
    TooNew,
    /// No signature matches any secret.
    #[error("no webhook-signature matches")]
    NoMatch,
}

/// Checks a message: the three header values and the raw body. Signatures of other versions are passed over;
/// only the first 16 are looked at.
///
/// # Errors
/// [`VerifyError`]; a timestamp more than 300 s from `now`, either way, is refused before any signature is checked.
pub fn verify(
    secrets: &[Secret],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), VerifyError> {
    if !valid_id(id) {
        return Err(VerifyError::Id);
    }
    // Digits only: what is signed is the number, so "+5", "05" and "5" must not all pass for it.
    let seconds = timestamp.parse::<i64>().map_err(|_| VerifyError::Timestamp)?;
    if seconds.to_string() != timestamp {
        return Err(VerifyError::Timestamp);
    }
    let age_s = now.timestamp().saturating_sub(seconds);
    if age_s > limits::TOLERANCE_S {
        return Err(VerifyError::TooOld);
    }
    if age_s < -limits::TOLERANCE_S {
        return Err(VerifyError::TooNew);
    }
    let tags: Vec<Vec<u8>> = signatures
        .split(' ')
        .take(limits::SIGNATURES)
        .filter_map(|entry| BASE64_STANDARD.decode(entry.strip_prefix(VERSION)?).ok())
        .collect();
    for secret in secrets {
        let mac = secret.mac(id, seconds, body);
        if tags.iter().any(|tag| mac.clone().verify_slice(tag).is_ok()) {
            return Ok(());
        }
    }
    Err(VerifyError::NoMatch)
}

fn valid_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=limits::ID_BYTES).contains(&id.len()) && id.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Secret, id, timestamp, body, signature: published vectors of Standard Webhooks and Svix.
    const VECTORS: [(&str, &str, i64, &str, &str); 2] = [
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn check(signatures: &str, shift_s: i64) -> Result<(), VerifyError> {
        let (secret, id, time, body, _) = VECTORS[1];
        let secrets = [secret.parse().unwrap()];
        verify(&secrets, id, &time.to_string(), signatures, body.as_bytes(), at(time + shift_s))
    }

    /// The published vector of `v1a` (Standard Webhooks).
    #[test]
    fn published_vector_of_ed25519() {
        let whole = BASE64_STANDARD
            .decode(
                "6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            )
            .unwrap();
        let pair = KeyPair::from_seed(&whole[..32]).unwrap();
        assert_eq!(pair.public(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let signed = sign_with(&[], Some(&pair), id, at(1_614_265_330), body).unwrap();
        let expected =
            "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
        assert_eq!(signed.signature, expected);
        let secret: Secret = VECTORS[1].0.parse().unwrap();
        let both = sign_with(&[secret], Some(&pair), id, at(1_614_265_330), body).unwrap();
        assert_eq!(both.signature, format!("{} {expected}", VECTORS[1].4));
        assert!(KeyPair::from_seed(&whole).is_err());
        assert_eq!(format!("{pair:?}"), "KeyPair(..)");
    }

    #[test]
    fn published_vectors() {
        for (secret, id, time, body, signature) in VECTORS {
            let secrets = [secret.parse().unwrap()];
            let signed = sign(&secrets, id, at(time), body.as_bytes()).unwrap();
            assert_eq!(signed.signature, signature);
            assert_eq!(verify(&secrets, id, &signed.timestamp, signature, body.as_bytes(), at(time)), Ok(()));
            let other = format!("{body} ");
            let changed = verify(&secrets, id, &signed.timestamp, signature, other.as_bytes(), at(time));
            assert_eq!(changed, Err(VerifyError::NoMatch));
        }
    }

    #[test]
    fn tolerance_is_300_s_both_ways() {
        let good = VECTORS[1].4;
        assert_eq!(check(good, 300), Ok(()));
        assert_eq!(check(good, -300), Ok(()));
        assert_eq!(check(good, 301), Err(VerifyError::TooOld));
        assert_eq!(check(good, -301), Err(VerifyError::TooNew));
    }

    #[test]
    fn one_match_among_several_is_enough() {
        let good = VECTORS[1].4;
        let list = format!("v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,{} {good} v1,???", &good[3..]);
        assert_eq!(check(&list, 0), Ok(()));
        for bad in ["", "v1,", "v1", &good[..20], &good[3..], &good.replace("v1", "v1a")] {
            assert_eq!(check(bad, 0), Err(VerifyError::NoMatch), "{bad}");
        }
    }

    #[test]
    fn timestamp_has_one_form_only() {
        let (secret, id, time, body, signature) = VECTORS[1];
        let secrets = [secret.parse().unwrap()];
        for bad in [format!("+{time}"), format!("0{time}"), format!("{time}.0"), String::new(), "x".into()] {
            let result = verify(&secrets, id, &bad, signature, body.as_bytes(), at(time));
            assert_eq!(result, Err(VerifyError::Timestamp), "{bad}");
        }
    }

    #[test]
    fn rotation_signs_with_both_and_takes_either() {
        let (new, old) = (Secret::from_bytes(&[7; 24]).unwrap(), Secret::from_bytes(&[9; 64]).unwrap());
        let signed = sign(&[new.clone(), old.clone()], "msg_1", at(1_000), b"x").unwrap();
        for receiver in [vec![new], vec![old.clone()], vec![Secret::from_bytes(&[1; 32]).unwrap(), old]] {
            let result = verify(&receiver, "msg_1", "1000", &signed.signature, b"x", at(1_000));
            assert_eq!(result, Ok(()));
        }
        let stranger = [Secret::from_bytes(&[1; 32]).unwrap()];
        assert!(verify(&stranger, "msg_1", "1000", &signed.signature, b"x", at(1_000)).is_err());
        assert!(verify(&[], "msg_1", "1000", &signed.signature, b"x", at(1_000)).is_err());
    }

    #[test]
    fn ids_cannot_move_the_border_between_id_and_timestamp() {
        let secrets = [Secret::from_bytes(&[7; 24]).unwrap()];
        for bad in ["", "a.1", "a b", "a\r\nb", &"a".repeat(129)] {
            assert_eq!(sign(&secrets, bad, at(1), b""), Err(SignError::Id), "{bad:?}");
        }
        assert_eq!(sign(&[], "a", at(1), b""), Err(SignError::NoSecret));
    }

    #[test]
    fn secrets_are_checked_and_never_shown() {
        for (text, error) in [
            ("C2FVsBQIhrscChlQIMV+b5sSYspob7oD", SecretError::Prefix),
            ("whsec_not base64", SecretError::Base64),
            ("whsec_AAAA", SecretError::Length),
        ] {
            assert_eq!(text.parse::<Secret>().unwrap_err(), error);
        }
        assert!(Secret::from_bytes(&[0; 23]).is_err() && Secret::from_bytes(&[0; 65]).is_err());
        let secret: Secret = VECTORS[0].0.parse().unwrap();
        assert_eq!(secret.expose(), VECTORS[0].0);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }
}
