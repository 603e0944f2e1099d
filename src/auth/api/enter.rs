//! Ways in, on and out: login, refresh, registration, another tenant, logout.

use std::sync::Arc;

use serde_json::{Value, json};

use super::signed_in;
use crate::api::store::{self, Scope};
use crate::api::{Actor, Audited, Call, Caller, Doing, Problem, Record, Reply};
use crate::auth::login::{self, Attempt, Login, Opened};
use crate::auth::session::{self, Origin, Refreshed, Session, Why};
use crate::auth::{Auth, account};
use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;
use crate::base::secret::Secret;
use crate::config::limits::tenants as limits;
use crate::db::{Tx, is_unique_violation};
use crate::tenants::{Limits, NewTenant, Tenant, TenantStatus, insert_whole, tenant_of, was_purged};
use crate::users::{Email, NewUser, PROFILE, insert_user, set_role};

/// The secret text of a field.
pub(super) fn secret(call: &Call, field: &str) -> Secret {
    Secret::new(call.text(field))
}

fn tenant_id(call: &Call) -> Result<Option<TenantId>, Problem> {
    let text = Some(call.text("tenant_id")).filter(|text| !text.is_empty());
    let parsed = text.map(TenantId::parse).transpose();
    parsed.map_err(|why| Problem::invalid_field("tenant_id", why.to_string()))
}

fn wrong_credentials() -> Problem {
    Problem::new(401, "wrong-credentials", "Email or password is wrong.")
}

/// 429 with the seconds to wait.
pub(super) fn delayed(retry_after_s: u64) -> Problem {
    Problem {
        retry_after: Some(std::time::Duration::from_secs(retry_after_s)),
        ..Problem::new(429, "too-many-failures", "Too many failures; nothing is tried for a while.")
    }
}

/// A line about what a user did to its own account.
pub(super) fn line(action: &'static str, user: &str) -> Audited {
    Audited {
        action: action.into(),
        object_type: "users".into(),
        object_id: user.to_owned(),
        before: Record::new(),
        after: Record::new(),
    }
}

/// Whoever a session stands for, where the request itself named nobody.
fn caller_of(session: &Session) -> Caller {
    Caller {
        actor: Actor::User(session.user.clone()),
        tenant: session.tenant.clone(),
        role: session.role,
        session: Some(session.id.clone()),
        scopes: None,
    }
}

/// A user as the API shows one.
pub(super) async fn user_record(call: &Call, user: &Id) -> Result<Record, Problem> {
    let found = store::get(&call.db, &PROFILE, &Scope::platform(), user.as_str()).await?;
    found.ok_or_else(|| Problem::unauthenticated("The user is gone."))
}

/// A tenant as those see it who act in it.
pub(super) async fn tenant_record(call: &Call, tenant: Option<&TenantId>) -> Result<Value, Problem> {
    let Some(tenant) = tenant else { return Ok(Value::Null) };
    let found = tenant_of(&call.db, tenant).await?;
    Ok(found.map_or(
        Value::Null,
        |t| json!({"id": t.id, "name": t.name, "status": t.status, "language": t.language, "zone": t.zone}),
    ))
}

/// The answer of whatever opened or renewed a session. Tokens are in `once`: kept nowhere.
async fn entered(call: &Call, opened: &Opened) -> Result<Reply, Problem> {
    let session = &opened.session;
    let mut reply = Reply::json(json!({
        "expires_in": opened.expires_in_s,
        "token_type": "Bearer",
        "user": user_record(call, &session.user).await?,
        "tenant": tenant_record(call, session.tenant.as_ref()).await?,
        "role": session.role,
    }));
    reply.once.insert("access_token".into(), opened.access_token.expose().into());
    reply.once.insert("refresh_token".into(), opened.refresh_token.expose().into());
    reply.actor = Some(caller_of(session));
    Ok(reply)
}

pub(super) fn login<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let tenant = tenant_id(call)?;
        // What no address can be is nobody's: the same answer, and nothing to count.
        let Ok(email) = Email::parse(call.text("email").trim()) else { return Err(wrong_credentials()) };
        let address = call.address.to_string();
        let (password, code) = (secret(call, "password"), call.text("totp_code").trim());
        let attempt = Attempt {
            email: &email,
            password: &password,
            code: Some(code).filter(|code| !code.is_empty()),
            tenant: tenant.as_ref(),
            origin: Origin { user_agent: &call.user_agent, address: &address },
        };
        let (problem, why) = match login::login(auth, &call.db, &attempt).await? {
            Login::Opened(opened) => {
                let user = opened.session.user.to_string();
                return Ok(entered(call, &opened).await?.audited(line("auth.login", &user)));
            }
            Login::Refused => (wrong_credentials(), "wrong-credentials"),
            // Nothing was tried: nothing to put on record, or it would be a way to fill the disk.
            Login::Delayed { retry_after_s } => return Err(delayed(retry_after_s)),
            Login::NeedsCode => {
                return Err(Problem::new(
                    401,
                    "totp-required",
                    "The password is right; send it again together with a code.",
                ));
            }
            Login::NotActive(status) => {
                let why = format!("The user is {}.", status.as_str());
                (Problem::new(403, "inactive", why), "inactive")
            }
            Login::NoTenant => {
                (Problem::new(403, "no-role", "The user has no role in this tenant."), "no-role")
            }
        };
        failed(call, &email, problem, why).await
    })
}

/// A failed login, on record with the tenant of whoever has the address, else with the platform.
async fn failed(call: &Call, email: &Email, problem: Problem, why: &str) -> Result<Reply, Problem> {
    let account = account::by_email(&call.db, email).await?;
    let mut line = line("auth.login-failed", account.as_ref().map_or("", |a| a.id.as_str()));
    line.after.insert("email".into(), email.as_str().into());
    line.after.insert("why".into(), why.into());
    let mut reply = Reply::refused(problem).audited(line);
    reply.whose = account.and_then(|account| account.tenant);
    Ok(reply)
}

pub(super) fn refresh<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let over = || Problem::new(401, "session-ended", "The session has ended; sign in again.");
        match session::refresh(auth, &call.db, &secret(call, "refresh_token")).await? {
            Refreshed::Renewed { session, token } => {
                entered(call, &login::opened(auth, session, token)?).await
            }
            Refreshed::Refused => Err(over()),
            Refreshed::Reused { session } => {
                let line = line("auth.refresh-reused", session.user.as_str());
                let mut reply = Reply::refused(over()).audited(line);
                reply.whose = session.tenant;
                Ok(reply)
            }
        }
    })
}

pub(super) fn logout<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let (user, session) = signed_in(call)?;
        let mut tx = call.db.begin().await?;
        let ended = session::revoke(&mut tx, user, session, Why::Logout, auth.clock.now_us()).await?;
        tx.commit().await?;
        let mut reply = Reply::empty().audited(line("auth.logout", user.as_str()));
        reply.ended = ended;
        Ok(reply)
    })
}

pub(super) fn switch<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let ids = signed_in(call)?;
        let (tenant, address) = (tenant_id(call)?, call.address.to_string());
        let origin = Origin { user_agent: &call.user_agent, address: &address };
        let opened = login::switch(auth, &call.db, ids, tenant.as_ref(), origin).await?;
        // The same for a tenant that is not there and one that is not theirs.
        let opened = opened.ok_or_else(|| Problem::not_found("tenant in which you have a role"))?;
        Ok(entered(call, &opened).await?.audited(line("auth.switch-tenant", ids.0.as_str())))
    })
}

pub(super) fn no_registration<'a>(_: &'a Arc<Auth>, _: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        Err(Problem::new(403, "registration-off", "Tenants are made by the operator here; ask them."))
    })
}

pub(super) fn register<'a>(auth: &'a Arc<Auth>, call: &'a Call) -> Doing<'a, Result<Reply, Problem>> {
    Box::pin(async move {
        let id =
            tenant_id(call)?.ok_or_else(|| Problem::invalid_field("tenant_id", "This must be given."))?;
        let email = Email::parse(call.text("email"))
            .map_err(|why| Problem::invalid_field("email", why.to_string()))?;
        let hash = auth.hash_new("password", &secret(call, "password"), &email).await?;
        let (user, now_us) = (auth.ids.next(), auth.clock.now_us());
        let address = call.address.to_string();
        let origin = Origin { user_agent: &call.user_agent, address: &address };
        let mut tx = call.db.begin().await?;
        if was_purged(&mut tx, &id).await? {
            return Err(Problem::conflict("taken", "This tenant id is taken."));
        }
        insert_whole(&mut tx, &trial(call, &id, now_us), now_us).await.map_err(|e| taken(e, "tenant id"))?;
        let new = NewUser {
            id: &user,
            tenant: Some(&id),
            email: &email,
            password_hash: &hash,
            is_superadmin: false,
            first_name: call.text("first_name"),
            last_name: call.text("last_name"),
            language: call.text("language"),
            zone: call.text("zone"),
        };
        first_admin(&mut tx, auth, &id, &new, now_us).await?;
        let owner = (&user, Some(&id), Role::TenantAdmin);
        let (session, token) = session::start(auth, &mut tx, owner, origin, None).await?;
        tx.commit().await?;
        let opened = login::opened(auth, session, token)?;
        let mut line = line("auth.register", user.as_str());
        line.after.insert("tenant_id".into(), id.as_str().into());
        Ok(Reply { status: 201, ..entered(call, &opened).await?.audited(line) })
    })
}

async fn first_admin(
    tx: &mut Tx,
    auth: &Auth,
    tenant: &TenantId,
    user: &NewUser<'_>,
    now_us: i64,
) -> Result<(), Problem> {
    insert_user(tx, user, now_us).await.map_err(|e| taken(e, "email"))?;
    set_role(tx, tenant, user.id, (&auth.ids.next(), Role::TenantAdmin), now_us).await?;
    Ok(())
}

fn taken(error: sqlx::Error, what: &str) -> Problem {
    if is_unique_violation(&error) {
        return Problem::conflict("taken", format!("This {what} is taken; choose another."));
    }
    error.into()
}

/// A tenant of the limits that strangers get.
fn trial(call: &Call, id: &TenantId, now_us: i64) -> NewTenant {
    NewTenant {
        tenant: Tenant {
            id: id.clone(),
            name: call.text("tenant_name").to_owned(),
            status: TenantStatus::Trial,
            language: call.text("language").to_owned(),
            zone: call.text("zone").to_owned(),
            max_agents: limits::TRIAL_AGENTS,
            max_dids: limits::TRIAL_DIDS,
            max_concurrent_calls: limits::TRIAL_CALLS,
            features: Vec::new(),
        },
        limits: Limits {
            max_endpoints: limits::TRIAL_ENDPOINTS,
            max_queues: limits::TRIAL_QUEUES,
            max_storage_mib: limits::TRIAL_STORAGE_MIB,
        },
        plan: "trial".to_owned(),
        contact_email: call.text("email").to_owned(),
        trial_ends_us: Some(now_us + limits::TRIAL_US),
    }
}
