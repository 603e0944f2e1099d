//! The own account: profile, password, sessions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::enter::{delayed, line, secret, tenant_record, user_record};
use super::signed_in;
use crate::api::check::show_time;
use crate::api::store::{self, Scope};
use crate::api::{Call, Doing, Problem, Reply};
use crate::auth::change::{self, Asked, Changed};
use crate::auth::policy::Weakness;
use crate::auth::reset::{self, Reset};
use crate::auth::session::{self, Why};
use crate::auth::{Auth, account};
use crate::tenants;
use crate::users::{Email, PROFILE};

/// What is said to somebody whose present password was asked for and is not right.
pub(super) fn refused(asked: Asked) -> Problem {
    match asked {
        Asked::Delayed { retry_after_s } => delayed(retry_after_s),
        Asked::Right | Asked::Wrong => Problem::new(403, "wrong-password", "The present password is wrong."),
    }
}

fn weak(weakness: Weakness) -> Problem {
    Problem::invalid_field("new_password", format!("The password {weakness}."))
}

pub(super) fn me<'a>(_: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move { Ok(Reply::json(shown(call).await?)) })
}

async fn shown(call: &Call) -> Result<Value, Problem> {
    let (user, _) = signed_in(call)?;
    let caller = call.caller()?;
    let mut tenants = Vec::new();
    for (tenant, role) in account::roles(&call.db, user).await? {
        if let Some(t) = tenants::tenant_of(&call.db, &tenant).await? {
            tenants.push(json!({"id": t.id, "name": t.name, "status": t.status, "role": role}));
        }
    }
    Ok(json!({
        "user": user_record(call, user).await?,
        "tenant": tenant_record(call, caller.tenant.as_ref()).await?,
        "role": caller.role,
        "tenants": tenants,
    }))
}

pub(super) fn update_me<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (user, _) = signed_in(call)?;
        let before = user_record(call, user).await?;
        let mut tx = call.db.begin().await?;
        let (scope, now_us) = (Scope::platform(), auth.clock.now_us());
        store::update(&mut tx, &PROFILE, &scope, user.as_str(), &call.body, now_us).await?;
        tx.commit().await?;
        let after = user_record(call, user).await?;
        let mut line = line("auth.update-me", user.as_str());
        (line.before, line.after) = (before, after);
        Ok(Reply::json(shown(call).await?).audited(line))
    })
}

pub(super) fn change_password<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let ids = signed_in(call)?;
        let (present, new) = (secret(call, "password"), secret(call, "new_password"));
        match change::change(auth, &call.db, ids, &present, &new).await? {
            Changed::Done => Ok(Reply::empty().audited(line("auth.password", ids.0.as_str()))),
            Changed::Refused(asked) => Err(refused(asked)),
            Changed::Weak(weakness) => Err(weak(weakness)),
        }
    })
}

/// Answers at once, whoever is asked for: the rest happens afterwards, so that its time tells nothing.
pub(super) fn request_reset<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let accepted = json!({"detail": "If somebody has this address, a token is on its way."});
        let reply = Reply { status: 202, ..Reply::json(accepted) };
        // Without a way to send it, a token would only be a secret more in the database.
        let Some(mailer) = auth.mailer.get().cloned() else { return Ok(reply) };
        let Ok(email) = Email::parse(call.text("email").trim()) else { return Ok(reply) };
        let (auth, db) = (Arc::clone(auth), call.db.clone());
        tokio::spawn(async move {
            match reset::request(&auth, &db, &email).await {
                Ok(Some((_, token))) => mailer.password_reset(&email, &token),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a password reset could not be begun"),
            }
        });
        Ok(reply)
    })
}

pub(super) fn confirm_reset<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (token, new) = (secret(call, "token"), secret(call, "new_password"));
        match reset::reset(auth, &call.db, &token, &new).await? {
            Reset::Done { user } => {
                let mut reply = Reply::empty().audited(line("auth.password-reset", user.as_str()));
                reply.whose = account::by_id(&call.db, &user).await?.and_then(|account| account.tenant);
                Ok(reply)
            }
            Reset::Refused => Err(Problem::new(
                401,
                "reset-refused",
                "The token is used, too old or none of ours; ask for another.",
            )),
            Reset::Weak(weakness) => Err(weak(weakness)),
        }
    })
}

pub(super) fn sessions<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (user, current) = signed_in(call)?;
        let living = session::living(&call.db, user, auth.clock.now_us()).await?;
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let data: Vec<Value> = living
            .iter()
            .map(|s| {
                json!({
                    "id": s.id,
                    "tenant_id": s.tenant_id,
                    "role": s.role,
                    "created_at": show_time(s.created_at),
                    "used_at": show_time(s.used_at),
                    "expires_at": show_time(s.expires_at),
                    "user_agent": text(&s.user_agent),
                    "address": text(&s.address),
                    "current": s.id == current.as_str(),
                })
            })
            .collect();
        Ok(Reply::json(json!({"data": data})))
    })
}

pub(super) fn end_session<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (user, _) = signed_in(call)?;
        let missing = || Problem::not_found("session of yours");
        let session = crate::base::ids::Id::parse(call.part("id")).map_err(|_| missing())?;
        let mut tx = call.db.begin().await?;
        let ended = session::revoke(&mut tx, user, &session, Why::Logout, auth.clock.now_us()).await?;
        tx.commit().await?;
        if ended.is_empty() {
            return Err(missing());
        }
        let mut line = line("auth.end-session", session.as_str());
        line.object_type = "sessions".into();
        let mut reply = Reply::empty().audited(line);
        reply.ended = ended;
        Ok(reply)
    })
}
