//! SQL of what Asterisk reads of an endpoint: its realtime rows, made from [`super::ara`]'s models.

use super::api::Template;
use super::ara::{PsAor, PsAuth, PsEndpoint};
use crate::base::ids::{Name, TenantId, global_name};
use crate::base::secret::Secret;
use crate::config::limits::endpoints as limits;
use crate::db::{Tx, db_tx};

/// The context that calls of endpoints enter, in the dialplan that is shipped.
const CONTEXT: &str = "hookswitch-internal";
/// The context that calls from outside enter.
const OUTSIDE: &str = "hookswitch-inbound";

/// What Asterisk is told of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phone<'a> {
    /// Its name in the tenant.
    pub(crate) name: &'a Name,
    /// Its name for people.
    pub(crate) display_name: &'a str,
    /// Its mailbox; empty: none.
    pub(crate) mailbox: &'a str,
    /// What it is.
    pub(crate) template: Template,
    /// Phones that may be registered as it.
    pub(crate) registrations: u64,
}

impl Phone<'_> {
    /// `"Front desk" <101>`, cut to Asterisk's column, without what would end the name. A trunk's callers have their own.
    fn caller_id(&self) -> Option<String> {
        if self.template == Template::Trunk {
            return None;
        }
        let room = limits::CALLER_ID_CHARACTERS - self.name.as_str().len() - "\"\" <>".len();
        let name: String = self
            .display_name
            .chars()
            .filter(|c| !c.is_control() && !"\"\\<>".contains(*c))
            .take(room)
            .collect();
        Some(match name.trim() {
            "" => format!("<{}>", self.name),
            name => format!("\"{name}\" <{}>", self.name),
        })
    }

    fn mailboxes(&self, tenant: &TenantId) -> Option<String> {
        Some(self.mailbox).filter(|name| !name.is_empty()).map(|name| format!("{name}@{tenant}"))
    }
}

/// Adds the rows of an endpoint with its password.
///
/// # Errors
/// A unique violation when they are there.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    phone: &Phone<'_>,
    password: &Secret,
    now_us: i64,
) -> sqlx::Result<()> {
    const ENDPOINT: &str = "INSERT INTO ps_endpoints (id, tenant_id, aors, auth, context, disallow, allow, direct_media, \
         force_rport, rewrite_contact, rtp_symmetric, callerid, mailboxes, accountcode, tenantid, webrtc, \
         dtls_auto_generate_cert, trust_id_inbound, send_pai, send_connected_line, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    const AOR: &str = "INSERT INTO ps_aors (id, tenant_id, max_contacts, remove_existing, qualify_frequency, created_at, \
         updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
    let (is_browser, is_trunk) = (phone.template == Template::Webrtc, phone.template == Template::Trunk);
    let mut row = PsEndpoint::new(tenant, phone.name, if is_trunk { OUTSIDE } else { CONTEXT });
    if is_browser {
        // It brings ICE, DTLS-SRTP, RTCP multiplexing and bundling (pjsip_configuration.c, Asterisk 22).
        row.webrtc = Some("yes".to_owned());
    }
    db_tx!(&mut *tx, |c| sqlx::query(ENDPOINT)
        .bind(&row.id)
        .bind(tenant.as_str())
        .bind(&row.aors)
        .bind(&row.auth)
        .bind(&row.context)
        .bind(&row.disallow)
        .bind(&row.allow)
        .bind(&row.direct_media)
        .bind(&row.force_rport)
        .bind(&row.rewrite_contact)
        .bind(&row.rtp_symmetric)
        .bind(phone.caller_id())
        .bind(phone.mailboxes(tenant))
        .bind(&row.accountcode)
        .bind(&row.tenantid)
        .bind(&row.webrtc)
        .bind(is_browser.then_some("yes"))
        // Who calls through it is who it says. Who has answered carriers do not want to be told in the middle of a call.
        .bind(is_trunk.then_some("yes"))
        .bind(is_trunk.then_some("yes"))
        .bind(is_trunk.then_some("no"))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    let mut aor = PsAor::new(tenant, phone.name);
    aor.max_contacts = u32::try_from(phone.registrations).ok();
    db_tx!(&mut *tx, |c| sqlx::query(AOR)
        .bind(&aor.id)
        .bind(tenant.as_str())
        .bind(aor.max_contacts.map(i64::from))
        .bind(&aor.remove_existing)
        .bind(aor.qualify_frequency.map(i64::from))
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))?;
    insert_auth(tx, &PsAuth::new(tenant, phone.name, password.clone()), now_us).await
}

async fn insert_auth(tx: &mut Tx, auth: &PsAuth, now_us: i64) -> sqlx::Result<()> {
    const SQL: &str = "INSERT INTO ps_auths (id, tenant_id, auth_type, username, password, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?)";
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(&auth.id)
        .bind(auth.tenant_id.as_str())
        .bind(&auth.auth_type)
        .bind(&auth.username)
        .bind(auth.password.expose())
        .bind(now_us)
        .bind(now_us)
        .execute(c)
        .await
        .map(drop))
}

/// Tells Asterisk what changed of an endpoint.
///
/// # Errors
/// When the database is away.
pub(super) async fn update(
    tx: &mut Tx,
    tenant: &TenantId,
    phone: &Phone<'_>,
    now_us: i64,
) -> sqlx::Result<()> {
    const SQL: &str =
        "UPDATE ps_endpoints SET callerid = ?, mailboxes = ?, updated_at = ? WHERE tenant_id = ? AND id = ?";
    const AOR: &str = "UPDATE ps_aors SET max_contacts = ?, updated_at = ? WHERE tenant_id = ? AND id = ?";
    db_tx!(&mut *tx, |c| sqlx::query(AOR)
        .bind(i64::try_from(phone.registrations).unwrap_or(1))
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(global_name(tenant, phone.name))
        .execute(c)
        .await
        .map(drop))?;
    db_tx!(tx, |c| sqlx::query(SQL)
        .bind(phone.caller_id())
        .bind(phone.mailboxes(tenant))
        .bind(now_us)
        .bind(tenant.as_str())
        .bind(global_name(tenant, phone.name))
        .execute(c)
        .await
        .map(drop))
}

/// Gives an endpoint another password. One that has never had any, such as an older demo's, gets its row.
///
/// # Errors
/// When the database is away.
pub(super) async fn set_password(
    tx: &mut Tx,
    tenant: &TenantId,
    name: &Name,
    password: &Secret,
    now_us: i64,
) -> sqlx::Result<()> {
    const DELETE: &str = "DELETE FROM ps_auths WHERE tenant_id = ? AND id = ?";
    let auth = PsAuth::new(tenant, name, password.clone());
    db_tx!(&mut *tx, |c| sqlx::query(DELETE)
        .bind(tenant.as_str())
        .bind(&auth.id)
        .execute(c)
        .await
        .map(drop))?;
    insert_auth(tx, &auth, now_us).await
}

/// Removes everything that Asterisk reads of an endpoint, its registrations included.
///
/// # Errors
/// When the database is away.
pub(crate) async fn remove(tx: &mut Tx, tenant: &TenantId, name: &Name) -> sqlx::Result<()> {
    let id = global_name(tenant, name);
    for sql in [
        "DELETE FROM ps_endpoints WHERE tenant_id = ? AND id = ?",
        "DELETE FROM ps_auths WHERE tenant_id = ? AND id = ?",
        "DELETE FROM ps_aors WHERE tenant_id = ? AND id = ?",
        "DELETE FROM ps_contacts WHERE tenant_id = ? AND endpoint = ?",
        "DELETE FROM ps_endpoint_id_ips WHERE tenant_id = ? AND endpoint = ?",
    ] {
        db_tx!(&mut *tx, |c| sqlx::query(sql).bind(tenant.as_str()).bind(&id).execute(c).await.map(drop))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_id_fits_and_ends_nothing_early() {
        let name = Name::parse("b234567890123456789").unwrap();
        let long = "Ä".repeat(200);
        let phone = |name, display_name| Phone {
            name,
            display_name,
            mailbox: "",
            template: Template::Desk,
            registrations: 1,
        };
        let long = phone(&name, &long);
        assert_eq!(long.caller_id().unwrap().chars().count(), limits::CALLER_ID_CHARACTERS);
        let name = Name::parse("101").unwrap();
        for (shown, text) in
            [("Front \"desk\" <999>", "\"Front desk 999\" <101>"), ("", "<101>"), (" \"\" ", "<101>")]
        {
            assert_eq!(phone(&name, shown).caller_id().as_deref(), Some(text));
        }
    }
}
