//! SQL of what Asterisk asks: an active endpoint's rows, and its registrations. Columns that are not set are left out:
//! Asterisk's own default holds then.

use sqlx::Row as _;

use crate::base::ids::{Name, TenantId, global_name};
use crate::config::limits::realtime as limits;
use crate::db::{Db, db_read};

/// A row: columns that are set, with their values.
pub type Row = Vec<(&'static str, String)>;

/// The tables of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `ps_endpoints`
    Endpoint,
    /// `ps_auths`
    Auth,
    /// `ps_aors`
    Aor,
}

/// Of 147 columns those that we have, as Asterisk calls them.
const ENDPOINT: &[&str] = &[
    "id",
    "transport",
    "aors",
    "auth",
    "context",
    "identify_by",
    "accountcode",
    "tenantid",
    "set_var",
    "callerid",
    "callerid_privacy",
    "callerid_tag",
    "language",
    "contact_user",
    "from_user",
    "from_domain",
    "message_context",
    "subscribe_context",
    "disallow",
    "allow",
    "dtmf_mode",
    "direct_media",
    "direct_media_method",
    "rtp_symmetric",
    "force_rport",
    "rewrite_contact",
    "media_address",
    "bind_rtp_to_media_address",
    "rtp_keepalive",
    "rtp_timeout",
    "rtp_timeout_hold",
    "rtp_port_start",
    "rtp_port_end",
    "max_audio_streams",
    "max_video_streams",
    "preferred_codec_only",
    "moh_suggest",
    "suppress_moh_on_sendonly",
    "tone_zone",
    "t38_udptl",
    "fax_detect",
    "webrtc",
    "media_encryption",
    "use_avpf",
    "ice_support",
    "rtcp_mux",
    "bundle",
    "media_use_received_transport",
    "dtls_auto_generate_cert",
    "dtls_verify",
    "dtls_setup",
    "dtls_fingerprint",
    "srtp_tag_32",
    "100rel",
    "timers",
    "timers_min_se",
    "timers_sess_expires",
    "outbound_auth",
    "outbound_proxy",
    "trust_id_inbound",
    "trust_id_outbound",
    "send_pai",
    "send_rpid",
    "send_diversion",
    "trust_connected_line",
    "send_connected_line",
    "user_eq_phone",
    "inband_progress",
    "allow_overlap",
    "suppress_q850_reason_headers",
    "stir_shaken_profile",
    "redirect_method",
    "follow_redirect_methods",
    "device_state_busy_at",
    "call_group",
    "pickup_group",
    "named_call_group",
    "named_pickup_group",
    "allow_transfer",
    "allow_subscribe",
    "refer_blind_progress",
    "notify_early_inuse_ringing",
    "mailboxes",
    "aggregate_mwi",
    "voicemail_extension",
    "one_touch_recording",
    "record_on_feature",
    "record_off_feature",
    "acl",
    "deny",
    "permit",
    "contact_acl",
    "contact_deny",
    "contact_permit",
    "allow_unauthenticated_options",
];
const AUTH: &[&str] = &[
    "id",
    "auth_type",
    "nonce_lifetime",
    "md5_cred",
    "password",
    "realm",
    "username",
    "refresh_token",
    "oauth_clientid",
    "oauth_secret",
    "password_digest",
    "supported_algorithms_uas",
    "supported_algorithms_uac",
];
const AOR: &[&str] = &[
    "id",
    "contact",
    "default_expiration",
    "mailboxes",
    "max_contacts",
    "minimum_expiration",
    "remove_existing",
    "qualify_frequency",
    "authenticate_qualify",
    "maximum_expiration",
    "outbound_proxy",
    "support_path",
    "qualify_timeout",
    "voicemail_extension",
    "remove_unavailable",
    "qualify_2xx_only",
];
/// Columns of a registration.
pub const CONTACT: &[&str] = &[
    "id",
    "uri",
    "expiration_time",
    "qualify_frequency",
    "outbound_proxy",
    "path",
    "user_agent",
    "qualify_timeout",
    "reg_server",
    "authenticate_qualify",
    "via_addr",
    "via_port",
    "call_id",
    "endpoint",
    "prune_on_boot",
    "qualify_2xx_only",
];

impl Kind {
    fn table(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Endpoint => ("ps_endpoints", ENDPOINT),
            Self::Auth => ("ps_auths", AUTH),
            Self::Aor => ("ps_aors", AOR),
        }
    }
}

/// The columns as texts: SQLite's affinity of CHAR is text, and both databases take `100rel` in these quotes.
fn columns(alias: &str, names: &[&str]) -> String {
    let all: Vec<String> = names.iter().map(|name| format!("CAST({alias}.`{name}` AS CHAR)")).collect();
    all.join(", ")
}

macro_rules! rows_of {
    ($rows:expr, $names:expr) => {
        $rows
            .iter()
            .map(|row| {
                let mut set = Row::new();
                for (n, name) in $names.iter().enumerate() {
                    if let Some(value) = row.try_get::<Option<String>, _>(n)? {
                        set.push((*name, value));
                    }
                }
                Ok(set)
            })
            .collect::<sqlx::Result<Vec<Row>>>()
    };
}

/// One row of an active endpoint; `None`: there is no such endpoint of the tenant's.
///
/// # Errors
/// When the database is away.
pub async fn row(db: &Db, tenant: &TenantId, kind: Kind, name: &Name) -> sqlx::Result<Option<Row>> {
    let (table, names) = kind.table();
    let sql = format!(
        "SELECT {} FROM {table} p JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = ? AND e.status = 'active' \
         WHERE p.tenant_id = ? AND p.id = ?",
        columns("p", names)
    );
    let id = global_name(tenant, name);
    let found = db_read!(db, |p| {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(name.as_str()).bind(tenant.as_str()).bind(&id);
        rows_of!(rows.fetch_all(p).await?, names)
    })?;
    Ok(found.into_iter().next())
}

/// The rows of a tenant's active endpoints behind a name, in the order of names, [`limits::PIECE`] at most.
///
/// # Errors
/// When the database is away.
pub async fn rows_behind(db: &Db, tenant: &TenantId, kind: Kind, after: &str) -> sqlx::Result<Vec<Row>> {
    let (table, names) = kind.table();
    let sql = format!(
        "SELECT {} FROM {table} p JOIN endpoints e ON e.tenant_id = p.tenant_id \
         AND e.name = SUBSTR(p.id, LENGTH(p.tenant_id) + 2) AND e.status = 'active' \
         WHERE p.tenant_id = ? AND p.id > ? ORDER BY p.id LIMIT {}",
        columns("p", names),
        limits::PIECE
    );
    db_read!(db, |p| {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(after);
        rows_of!(rows.fetch_all(p).await?, names)
    })
}

/// An endpoint's registrations, also those that have run out: Asterisk removes them itself.
///
/// # Errors
/// When the database is away.
pub async fn registrations(db: &Db, tenant: &TenantId, name: &Name) -> sqlx::Result<Vec<Row>> {
    let sql = format!(
        "SELECT {} FROM ps_contacts c WHERE c.tenant_id = ? AND c.endpoint = ? ORDER BY c.id",
        columns("c", CONTACT)
    );
    let id = global_name(tenant, name);
    db_read!(db, |p| {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(&id);
        rows_of!(rows.fetch_all(p).await?, CONTACT)
    })
}

/// A tenant's registrations behind an id, in the order of ids, [`limits::PIECE`] at most.
///
/// # Errors
/// When the database is away.
pub async fn registrations_behind(db: &Db, tenant: &TenantId, after: &str) -> sqlx::Result<Vec<Row>> {
    let sql = format!(
        "SELECT {} FROM ps_contacts c WHERE c.tenant_id = ? AND c.id > ? ORDER BY c.id LIMIT {}",
        columns("c", CONTACT),
        limits::PIECE
    );
    db_read!(db, |p| {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(after);
        rows_of!(rows.fetch_all(p).await?, CONTACT)
    })
}
