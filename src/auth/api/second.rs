//! The own second factor.

use std::sync::Arc;

use serde_json::{Value, json};

use super::account::refused;
use super::enter::{line, secret};
use super::signed_in;
use crate::api::{Call, Doing, Problem, Reply};
use crate::auth::change::{self, Asked};
use crate::auth::totp::{self, Confirmed};
use crate::auth::{Auth, account, recovery};
use crate::base::ids::Id;
use crate::base::secret::Secret;

/// The user, once the password was shown again: a stolen session must not take an account over.
async fn with_password<'a>(auth: &Auth, call: &'a Call) -> Result<&'a Id, Problem> {
    let (user, _) = signed_in(call)?;
    match change::is_password(auth, &call.db, user, &secret(call, "password")).await? {
        Asked::Right => Ok(user),
        asked => Err(refused(asked)),
    }
}

/// Recovery codes, in this answer only.
fn codes(codes: &[Secret]) -> Reply {
    let list: Vec<Value> = codes.iter().map(|code| code.expose().into()).collect();
    let mut reply = Reply::json(json!({}));
    reply.once.insert("recovery_codes".into(), Value::Array(list));
    reply
}

pub(super) fn begin<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let user = with_password(auth, call).await?;
        let mut tx = call.db.begin().await?;
        let provision = totp::begin(auth, &mut tx, user).await?;
        let provision = provision.ok_or_else(|| {
            Problem::conflict("totp-enabled", "There is a second factor already; disable it first.")
        })?;
        tx.commit().await?;
        let mut reply = Reply::json(json!({})).audited(line("auth.totp-begin", user.as_str()));
        reply.once.insert("secret".into(), provision.secret.expose().into());
        reply.once.insert("uri".into(), provision.uri.expose().into());
        Ok(reply)
    })
}

pub(super) fn confirm<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (user, _) = signed_in(call)?;
        let mut tx = call.db.begin().await?;
        match totp::confirm(auth, &mut tx, user, call.text("code")).await? {
            Confirmed::Enabled(made) => {
                tx.commit().await?;
                Ok(codes(&made).audited(line("auth.totp-confirm", user.as_str())))
            }
            Confirmed::WrongCode => Err(Problem::invalid_field("code", "This is not the app's code of now.")),
            Confirmed::NotBegun => {
                Err(Problem::conflict("totp-not-begun", "There is nothing to confirm; begin first."))
            }
        }
    })
}

pub(super) fn disable<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let user = with_password(auth, call).await?;
        let mut tx = call.db.begin().await?;
        totp::disable(&mut tx, user, auth.clock.now_us()).await?;
        tx.commit().await?;
        Ok(Reply::empty().audited(line("auth.totp-disable", user.as_str())))
    })
}

pub(super) fn recovery_codes<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let user = with_password(auth, call).await?;
        let mut tx = call.db.begin().await?;
        let account = account::lock(&mut tx, user).await?;
        if account.is_none_or(|account| !account.totp_enabled) {
            return Err(Problem::conflict("totp-not-enabled", "There is no second factor to recover."));
        }
        let made = recovery::replace(&mut tx, user, auth.clock.now_us()).await?;
        tx.commit().await?;
        Ok(codes(&made).audited(line("auth.recovery-codes", user.as_str())))
    })
}
