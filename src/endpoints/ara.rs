//! Asterisk's realtime rows of PJSIP. `None` says "not set": Asterisk's own default holds. Switches are `yes` or `no`.
//! Ids are global (`acme-101`), and a row whose id does not begin with its tenant's is nobody's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::ids::{IdError, Name, TenantId, global_name, split_global_name};
use crate::base::secret::Secret;
use crate::config::limits::endpoints as limits;

/// A phone or trunk as `res_pjsip` sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsEndpoint {
    /// Its global name.
    pub id: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The transport it is bound to.
    pub transport: Option<String>,
    /// Its addresses of record.
    pub aors: Option<String>,
    /// Its credentials.
    pub auth: Option<String>,
    /// The dialplan context its calls enter; 40 characters.
    pub context: Option<String>,
    /// Codecs that are not allowed, usually `all`.
    pub disallow: Option<String>,
    /// Codecs that are allowed, in order.
    pub allow: Option<String>,
    /// Whether media flows past Asterisk.
    pub direct_media: Option<String>,
    /// Whether Asterisk answers to where a packet came from, whatever the phone says of itself: phones behind NAT.
    pub force_rport: Option<String>,
    /// The same for requests to it.
    pub rewrite_contact: Option<String>,
    /// The same for media.
    pub rtp_symmetric: Option<String>,
    /// `"Name" <number>`; 40 characters.
    pub callerid: Option<String>,
    /// Variables of its channels.
    pub set_var: Option<String>,
    /// Language of prompts.
    pub language: Option<String>,
    /// Mailboxes whose messages light its lamp; 40 characters.
    pub mailboxes: Option<String>,
    /// Whether it is a browser.
    pub webrtc: Option<String>,
    /// The account of its calls.
    pub accountcode: Option<String>,
    /// Asterisk's own notion of the tenant.
    pub tenantid: Option<String>,
    /// Every other column that is set, by its name.
    #[serde(flatten)]
    pub others: BTreeMap<String, Option<String>>,
}

/// Credentials of a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsAuth {
    /// Its global name.
    pub id: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// `userpass`, `md5` or `digest`.
    pub auth_type: Option<String>,
    /// The name it signs in with; 40 characters.
    pub username: Option<String>,
    /// The password; never shown.
    #[serde(default, skip_serializing)]
    pub password: Secret,
    /// MD5 of user, realm and password; never shown.
    #[serde(default, skip_serializing)]
    pub md5_cred: Secret,
    /// Digests by algorithm; never shown.
    #[serde(default, skip_serializing)]
    pub password_digest: Secret,
    /// The realm.
    pub realm: Option<String>,
}

/// An address of record: where a phone registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsAor {
    /// Its global name, the user part of the address that registers.
    pub id: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Fixed contacts.
    pub contact: Option<String>,
    /// Registrations at the same time; 0: none is allowed.
    pub max_contacts: Option<u32>,
    /// Whether a new registration takes the place of an old one.
    pub remove_existing: Option<String>,
    /// Seconds of a registration that names none.
    pub default_expiration: Option<u32>,
    /// Shortest registration in seconds.
    pub minimum_expiration: Option<u32>,
    /// Longest registration in seconds.
    pub maximum_expiration: Option<u32>,
    /// Seconds between two questions whether the phone is there; 0: none.
    pub qualify_frequency: Option<u32>,
    /// Mailboxes; 80 characters.
    pub mailboxes: Option<String>,
}

/// A registration, written by Asterisk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PsContact {
    /// Asterisk's id: the address of record and a hash.
    pub id: String,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where the phone is.
    pub uri: Option<String>,
    /// When it runs out, seconds since 1970 UTC.
    pub expiration_time: Option<i64>,
    /// What the phone calls itself.
    pub user_agent: Option<String>,
    /// The Asterisk that took it.
    pub reg_server: Option<String>,
    /// The endpoint's global name.
    pub endpoint: Option<String>,
    /// The address it came from.
    pub via_addr: Option<String>,
    /// The port it came from.
    pub via_port: Option<u16>,
}

/// The tenant and name that a global name stands for; `None` when it is another tenant's or none at all.
fn owner(id: &str, tenant: &TenantId) -> Option<Name> {
    split_global_name(id).ok().filter(|(owner, _)| owner == tenant).map(|(_, name)| name)
}

impl PsEndpoint {
    /// A phone as we set it up: its own address of record and credentials, calls into `context`. Everything else is
    /// Asterisk's default.
    pub fn new(tenant: &TenantId, name: &Name, context: &str) -> Self {
        let id = global_name(tenant, name);
        Self {
            aors: Some(id.clone()),
            auth: Some(id.clone()),
            id,
            tenant_id: tenant.clone(),
            transport: None,
            context: Some(context.to_owned()),
            disallow: Some("all".to_owned()),
            allow: Some("opus,g722,alaw,ulaw".to_owned()),
            direct_media: Some("no".to_owned()),
            force_rport: Some("yes".to_owned()),
            rewrite_contact: Some("yes".to_owned()),
            rtp_symmetric: Some("yes".to_owned()),
            callerid: None,
            set_var: None,
            language: None,
            mailboxes: None,
            webrtc: None,
            accountcode: Some(tenant.to_string()),
            tenantid: Some(tenant.to_string()),
            others: BTreeMap::new(),
        }
    }

    /// Its name in the tenant; `None`: the row is not the tenant's.
    pub fn name(&self) -> Option<Name> {
        owner(&self.id, &self.tenant_id)
    }

    /// Whether it is a browser.
    pub fn is_webrtc(&self) -> bool {
        is_yes(self.webrtc.as_deref())
    }
}

impl PsAuth {
    /// The credentials of a phone as we set it up.
    pub fn new(tenant: &TenantId, name: &Name, password: Secret) -> Self {
        let id = global_name(tenant, name);
        Self {
            username: Some(id.clone()),
            id,
            tenant_id: tenant.clone(),
            auth_type: Some("userpass".to_owned()),
            password,
            md5_cred: Secret::default(),
            password_digest: Secret::default(),
            realm: None,
        }
    }

    /// Whether there is anything to check a password against.
    pub fn has_password(&self) -> bool {
        [&self.password, &self.md5_cred, &self.password_digest].iter().any(|s| !s.expose().is_empty())
    }
}

impl PsAor {
    /// The address of record of a phone as we set it up: one registration, the last one counts. A phone that lost its
    /// address must not wait until the old one has run out. Asterisk asks it now and then whether it is there, without
    /// which it would not take note of an address of record that is younger than its own start: queues would hold the
    /// phone to be unavailable (`has_qualify_changed` in pjsip_options.c, Asterisk 22).
    pub fn new(tenant: &TenantId, name: &Name) -> Self {
        Self {
            id: global_name(tenant, name),
            tenant_id: tenant.clone(),
            contact: None,
            max_contacts: Some(1),
            remove_existing: Some("yes".to_owned()),
            default_expiration: None,
            minimum_expiration: None,
            maximum_expiration: None,
            qualify_frequency: Some(limits::QUALIFY_S),
            mailboxes: None,
        }
    }

    /// Whether a phone may register while it has `registered` registrations.
    pub fn can_register(&self, registered: u32) -> bool {
        let most = self.max_contacts.unwrap_or(0);
        registered < most || (most > 0 && is_yes(self.remove_existing.as_deref()))
    }
}

impl PsContact {
    /// Whether the registration still holds, `now_us` microseconds after 1970 UTC.
    pub fn is_registered(&self, now_us: i64) -> bool {
        self.expiration_time.is_some_and(|at| at.saturating_mul(1_000_000) > now_us)
    }

    /// The endpoint's name in the tenant; `None`: the row is not the tenant's.
    pub fn endpoint_name(&self) -> Option<Name> {
        owner(self.endpoint.as_deref()?, &self.tenant_id)
    }
}

/// Whose a realtime row is, by its id.
///
/// # Errors
/// When `id` is no global name.
pub fn tenant_of(id: &str) -> Result<TenantId, IdError> {
    // Asterisk adds `;@` and a hash to the address of record in ids of registrations.
    split_global_name(id.split(';').next().unwrap_or(id)).map(|(tenant, _)| tenant)
}

/// Whether a switch is on, in any of Asterisk's spellings.
fn is_yes(text: Option<&str>) -> bool {
    matches!(text, Some("yes" | "true" | "on" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acme() -> TenantId {
        TenantId::parse("acme").unwrap()
    }

    #[test]
    fn a_phone_fits_asterisks_widths_and_shows_columns() {
        let tenant = TenantId::parse("a2345678901234567890").unwrap();
        let mut one =
            PsEndpoint::new(&tenant, &Name::parse("b234567890123456789").unwrap(), "from-endpoints");
        assert!(one.id.len() <= 40 && one.name().is_some() && !one.is_webrtc());
        one.webrtc = Some("on".into());
        one.others.insert("dtmf_mode".into(), Some("info".into()));
        let json = serde_json::to_value(&one).unwrap();
        assert_eq!((&json["dtmf_mode"], &json["webrtc"]), (&"info".into(), &"on".into()));
        assert_eq!(serde_json::from_value::<PsEndpoint>(json).unwrap(), one);
        assert!(one.is_webrtc());
    }

    #[test]
    fn another_tenants_row_has_no_name() {
        let mut one = PsEndpoint::new(&acme(), &Name::parse("101").unwrap(), "x");
        assert_eq!(one.name().unwrap().as_str(), "101");
        one.id = "globex-101".into();
        assert_eq!(one.name(), None);
        assert_eq!(tenant_of("globex-101;@0123").unwrap().as_str(), "globex");
        assert!(tenant_of("nobody").is_err());
    }

    #[test]
    fn passwords_go_in_and_never_out() {
        let one: PsAuth = serde_json::from_str(
            r#"{"id":"acme-101","tenant_id":"acme","auth_type":"userpass","username":"acme-101","password":"hunter2","realm":null}"#,
        )
        .unwrap();
        assert!(one.has_password());
        let shown = format!("{} {one:?}", serde_json::to_string(&one).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("\"password\""), "{shown}");
        assert!(!PsAuth { password: Secret::default(), ..one }.has_password());
    }

    #[test]
    fn registrations_have_room_and_run_out() {
        let mut aor: PsAor = serde_json::from_str(r#"{"id":"acme-101","tenant_id":"acme"}"#).unwrap();
        assert!(!aor.can_register(0), "Asterisk allows none unless told");
        aor.max_contacts = Some(1);
        assert!(aor.can_register(0) && !aor.can_register(1));
        aor.remove_existing = Some("yes".into());
        assert!(aor.can_register(1));
        let contact: PsContact = serde_json::from_str(
            r#"{"id":"acme-101;@1","tenant_id":"acme","expiration_time":10,"endpoint":"acme-101"}"#,
        )
        .unwrap();
        assert!(contact.is_registered(9_999_999) && !contact.is_registered(10_000_000));
        assert_eq!(contact.endpoint_name().unwrap().as_str(), "101");
    }
}
