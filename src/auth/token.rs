//! Access tokens: JWTs signed with HS256 and nothing else, living minutes, checked without the database.
//!
//! Keys come from the installation's secret and the number of a period of 30 days, so they change without any state; `kid`
//! names the period. The first part of a token must be, byte for byte, the one we write for a period whose key
//! serves: another algorithm, `none`, an unknown `kid` or any further header never gets as far as a parser.
//!
//! A client sends the same token with every request for minutes. What a right signature said is remembered by the token's
//! whole text; key, times and role are looked at each time, and a wrong token is remembered nowhere.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};

use super::{AuthError, derive};
use crate::base::clock::Clock;
use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;

const ISSUER: &str = "hookswitch";
const AUDIENCE: &str = "hookswitch-api";

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    iss: String,
    aud: String,
    /// The user.
    pub sub: Id,
    /// The tenant it acts in; `None`: a superadmin in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tid: Option<TenantId>,
    /// What it is there.
    pub role: Role,
    /// The session it came from.
    pub sid: Id,
    /// The token's own id.
    pub jti: Id,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Before this second it does not count.
    pub nbf: i64,
    /// From this second on it does not count.
    pub exp: i64,
}

/// Whom a token is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The user.
    pub user: &'a Id,
    /// The tenant it acts in.
    pub tenant: Option<&'a TenantId>,
    /// What it is there.
    pub role: Role,
    /// Its session.
    pub session: &'a Id,
}

/// Why a token is not taken. For logs and counters: the caller hears "not valid" or, at most, "expired".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not of our form: another algorithm, another or no `kid`, a key that serves no more, too long, no token at all.
    #[error("not an access token of this installation")]
    Form,
    /// The signature does not fit, or claims are missing or not ours.
    #[error("the signature or a claim is wrong")]
    Invalid,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    Early,
}

/// The key of one period.
struct Period {
    number: i64,
    /// What tokens of this period begin with, up to the first dot.
    head: String,
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Period {
    fn new(secret: &Secret, number: i64) -> Result<Self, AuthError> {
        let key = derive::key(secret, &format!("jwt:{number}"));
        let encoding = EncodingKey::from_secret(key.bytes());
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(number.to_string());
        let token = jsonwebtoken::encode(&header, &(), &encoding);
        let token = token.map_err(|_| AuthError::Internal("an access token can't be made"))?;
        let head = token.split('.').next().unwrap_or_default().to_owned();
        Ok(Self { number, head, header, encoding, decoding: DecodingKey::from_secret(key.bytes()) })
    }
}

/// The keys around one moment: the period before, its own, the next.
struct Keys([Period; 3]);

impl Keys {
    fn around(secret: &Secret, number: i64) -> Result<Self, AuthError> {
        Ok(Self([
            Period::new(secret, number - 1)?,
            Period::new(secret, number)?,
            Period::new(secret, number + 1)?,
        ]))
    }

    fn current(&self) -> &Period {
        &self.0[1]
    }
}

fn period(second: i64) -> i64 {
    second.div_euclid(limits::KEY_PERIOD_S)
}

/// Makes and checks access tokens.
pub struct Tokens {
    secret: Secret,
    clock: Clock,
    validation: Validation,
    signed: Cache<String, Arc<Claims>>,
    keys: RwLock<Arc<Keys>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// With keys of the installation's secret.
    ///
    /// # Errors
    /// When a key can't be made of it.
    pub fn new(secret: Secret, clock: Clock) -> Result<Self, AuthError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // The times are checked below, with our own clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let keys = Keys::around(&secret, period(clock.now_us() / 1_000_000))?;
        let life = Duration::from_secs(limits::ACCESS_S.unsigned_abs());
        let signed = Cache::builder().max_capacity(limits::KEYS_CACHED).time_to_live(life);
        Ok(Self { keys: RwLock::new(Arc::new(keys)), signed: signed.build(), secret, clock, validation })
    }

    fn now_s(&self) -> i64 {
        self.clock.now_us() / 1_000_000
    }

    /// The keys around `now_s`, made anew once in 30 days.
    fn keys(&self, now_s: i64) -> Result<Arc<Keys>, AuthError> {
        let number = period(now_s);
        let known = Arc::clone(&self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner));
        if known.current().number == number {
            return Ok(known);
        }
        let made = Arc::new(Keys::around(&self.secret, number)?);
        *self.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::clone(&made);
        Ok(made)
    }

    /// Makes a token that lives [`limits::ACCESS_S`] seconds.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn issue(&self, subject: &Subject<'_>, jti: Id) -> Result<Secret, AuthError> {
        let now_s = self.now_s();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user.clone(),
            tid: subject.tenant.cloned(),
            role: subject.role,
            sid: subject.session.clone(),
            jti,
            iat: now_s,
            nbf: now_s,
            exp: now_s + limits::ACCESS_S,
        };
        let keys = self.keys(now_s)?;
        let key = keys.current();
        let token = jsonwebtoken::encode(&key.header, &claims, &key.encoding);
        token.map(Secret::new).map_err(|_| AuthError::Internal("an access token can't be made"))
    }

    /// Checks a token. Whether its session was revoked is [`super::revoked`]'s to say.
    ///
    /// # Errors
    /// [`TokenError`] with what is wrong with it.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        if token.len() > limits::ACCESS_BYTES {
            return Err(TokenError::Form);
        }
        let now_s = self.now_s();
        let keys = self.keys(now_s).map_err(|_| TokenError::Form)?;
        let head = token.split('.').next().unwrap_or_default();
        let key = keys.0.iter().find(|key| key.head == head).ok_or(TokenError::Form)?;
        // The next period's key serves only where another node's clock is already there.
        if key.number > period(now_s + limits::LEEWAY_S) {
            return Err(TokenError::Form);
        }
        let claims = self.signed(token, key)?;
        if now_s - limits::LEEWAY_S >= claims.exp {
            return Err(TokenError::Expired);
        }
        if now_s + limits::LEEWAY_S < claims.nbf || now_s + limits::LEEWAY_S < claims.iat {
            return Err(TokenError::Early);
        }
        // Only a superadmin acts in no tenant.
        if claims.tid.is_none() && claims.role != Role::Superadmin {
            return Err(TokenError::Invalid);
        }
        Ok(claims)
    }

    /// What a token says whose signature is right.
    fn signed(&self, token: &str, key: &Period) -> Result<Arc<Claims>, TokenError> {
        if let Some(claims) = self.signed.get(token) {
            return Ok(claims);
        }
        let data = jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation);
        let claims = Arc::new(data.map_err(|_| TokenError::Invalid)?.claims);
        self.signed.insert(token.to_owned(), Arc::clone(&claims));
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
