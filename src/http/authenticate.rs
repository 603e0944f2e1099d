//! Tells who a bearer token stands for: an access token or an API key.

use std::net::IpAddr;

use crate::api::{Actor, Caller, Problem};
use crate::auth::Auth;
use crate::auth::api_key::ApiKeys;
use crate::auth::token::TokenError;
use crate::db::Db;

/// Who a token stands for. An access token asks no database; an API key does once in a while.
///
/// # Errors
/// 401 when it is none of ours, has ended or was revoked; 503 when a key can't be looked up.
pub async fn authenticate(auth: &Auth, db: &Db, token: &str, address: IpAddr) -> Result<Caller, Problem> {
    Ok(until(auth, db, token, address).await?.0)
}

/// As [`authenticate`], and the second since 1970 at which an access token ends; `None` for keys.
///
/// # Errors
/// As [`authenticate`].
pub async fn until(
    auth: &Auth,
    db: &Db,
    token: &str,
    address: IpAddr,
) -> Result<(Caller, Option<i64>), Problem> {
    if ApiKeys::is_key(token) {
        return Ok((key(auth, db, token, address).await?, None));
    }
    let claims = auth.tokens.verify(token).map_err(|error| match error {
        TokenError::Expired => {
            Problem::new(401, "token-expired", "The access token has expired; refresh it.")
        }
        _ => Problem::unauthenticated("This is no valid access token."),
    })?;
    if auth.revoked.contains(&claims.sid) {
        return Err(Problem::new(401, "session-ended", "The session has ended; sign in again."));
    }
    let caller = Caller {
        actor: Actor::User(claims.sub.clone()),
        tenant: claims.tid.clone(),
        role: claims.role,
        session: Some(claims.sid.clone()),
        scopes: None,
    };
    Ok((caller, Some(claims.exp)))
}

async fn key(auth: &Auth, db: &Db, token: &str, address: IpAddr) -> Result<Caller, Problem> {
    let found = auth.api_keys.find(db, token).await?;
    let key = found.ok_or_else(|| Problem::unauthenticated("This is no valid API key."))?;
    auth.api_keys.note_use(&key, &address.to_string());
    Ok(Caller {
        actor: Actor::Key(key.id.clone()),
        tenant: Some(key.tenant.clone()),
        role: key.role,
        session: None,
        scopes: Some(key.scopes.clone()),
    })
}
