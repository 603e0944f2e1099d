//! Who is calling: passwords, second factors, sessions, access tokens, API keys. No HTTP: functions whose outcomes an
//! edge turns into answers.
//!
//! * [`login`]: email and password (and code) become a session with tokens; switching to another tenant.
//! * [`token`]: access tokens, checked without the database; [`revoked`] knows those that ended early.
//! * [`session`]: refresh tokens, each used once; the end of sessions.
//! * [`password`], [`pool`], [`policy`]: what a password costs, how many at a time, which are taken; [`change`] and
//!   [`reset`] give a new one.
//! * [`lockout`]: delays after failures. [`totp`], [`recovery`]: second factors.
//! * [`mod@api_key`] is for machines.
//!
//! Invariants: a secret is stored as a hash or sealed, never plain, and prints as `[secret]`. A hash is made outside
//! every transaction: it takes longer than a write may hold the embedded database. Functions that take `&Db` open a
//! transaction of their own: never call one while holding a [`crate::db::Tx`]. Outcomes are enums: a refusal may have
//! written something that must last (a failure counted, a session ended).

pub mod account;
pub mod api;
pub mod api_key;
pub mod change;
pub mod derive;
pub mod lockout;
pub mod login;
pub mod password;
pub mod policy;
pub mod pool;
pub mod recovery;
pub mod reset;
pub mod revoked;
pub mod seal;
pub mod secret_text;
pub mod session;
pub mod token;
pub mod totp;

use std::sync::{Arc, OnceLock};

use crate::api::Problem;
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource};
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;
use crate::db::Tx;
use crate::users::Email;

pub use api_key::store::{NewApiKey, insert as insert_key, of_tenant as keys_of, revoke as revoke_key};
pub use session::{Why, revoke_all, revoke_in_tenant, revoke_tenant};

/// Why something about authentication could not be done, as opposed to being refused.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Too many passwords are being hashed; nothing was tried.
    #[error("too many passwords are being checked at the moment")]
    Busy,
    /// The database is away or refuses.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// A hash, a token or a sealed text could not be made or read. Says which, never what is in it.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Busy => Self::busy(
                "busy",
                "Too many passwords are being checked at the moment; try again.",
                limits::BUSY_RETRY,
            ),
            AuthError::Database(error) => error.into(),
            other => Self::internal(other),
        }
    }
}

/// Brings secrets to people. Until the service has a mailer nobody does, and no token is made.
pub trait Mailer: Send + Sync + std::fmt::Debug {
    /// Takes the token of a password reset to the owner of an address. Returns at once; delivery is the mailer's work.
    fn password_reset(&self, to: &Email, token: &Secret);
}

/// Everything that logins need in one process. Built once.
#[derive(Debug)]
pub struct Auth {
    /// Where the time comes from.
    pub clock: Clock,
    /// Where ids come from.
    pub ids: IdSource,
    /// Hashes passwords, a few at a time.
    pub hasher: pool::Hasher,
    /// Makes and checks access tokens.
    pub tokens: token::Tokens,
    /// Sessions whose access tokens ended early.
    pub revoked: revoked::Revoked,
    /// Failures of emails that nobody has.
    pub unknown: lockout::Unknown,
    /// API keys in memory.
    pub api_keys: api_key::ApiKeys,
    /// Seals what must be read again.
    pub sealer: seal::Sealer,
    /// Makes the successor of a refresh token.
    pub(in crate::auth) successors: derive::Key,
    /// Brings reset tokens to their users; set once, by whoever has a way to send mail.
    pub mailer: OnceLock<Arc<dyn Mailer>>,
}

impl Auth {
    /// Everything, from the secret of the installation.
    ///
    /// # Errors
    /// When a key can't be made of it.
    pub fn new(secret: &Secret, clock: Clock, ids: IdSource) -> Result<Self, AuthError> {
        Ok(Self {
            hasher: pool::Hasher::default(),
            tokens: token::Tokens::new(secret.clone(), clock.clone())?,
            revoked: revoked::Revoked::default(),
            unknown: lockout::Unknown::default(),
            api_keys: api_key::ApiKeys::new(clock.clone()),
            sealer: seal::Sealer::new(secret),
            successors: derive::key(secret, "refresh-successor"),
            mailer: OnceLock::new(),
            clock,
            ids,
        })
    }

    /// The hash of a new password for the user of this email, if it is one that we take.
    ///
    /// # Errors
    /// 422 on `field` when it is too weak; 503 when too many passwords are being hashed.
    pub async fn hash_new(&self, field: &str, password: &Secret, email: &Email) -> Result<String, Problem> {
        policy::check(password.expose(), email)
            .map_err(|weakness| Problem::invalid_field(field, format!("The password {weakness}.")))?;
        Ok(self.hasher.hash(password).await?)
    }

    /// A password that nobody guesses, for somebody who gets it told: 80 random bits.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new_password() -> Result<Secret, AuthError> {
        Ok(recovery::make()?)
    }
}

/// Puts a hash that [`Auth::hash_new`] made in the place of a user's; whoever calls ends the sessions.
///
/// # Errors
/// When the database is away.
pub async fn set_password(tx: &mut Tx, user: &Id, hash: &str, now_us: i64) -> sqlx::Result<()> {
    account::set_password(tx, user, hash, now_us).await
}
