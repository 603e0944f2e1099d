//! Users and their roles: a person has one login for the whole platform, and in each tenant at most one role.

pub mod api;
mod email;
mod name;
pub mod store;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;

pub use api::{MEMBER, PROFILE};
pub use email::{Email, EmailError};
pub use store::{NewUser, insert as insert_user, set_role};

/// Whether a user may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May.
    Active,
    /// Not any more, or not yet.
    Inactive,
    /// Stopped by an admin.
    Suspended,
}

impl UserStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Inactive, Self::Suspended];

    /// The text of the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Suspended => "suspended",
        }
    }

    /// Reads that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// A person, as the API shows one. Password, second factor and failures are the business of [`crate::auth`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its row.
    pub id: Id,
    /// The tenant it belongs to; `None` for the platform's own people.
    pub tenant_id: Option<TenantId>,
    /// Its name at the login, unique on the platform.
    pub email: Email,
    /// Whether it runs the platform.
    pub is_superadmin: bool,
    /// Given name; may be empty.
    pub first_name: String,
    /// Family name; may be empty.
    pub last_name: String,
    /// Telephone, as written by people.
    pub phone: Option<String>,
    /// Whether it may log in.
    pub status: UserStatus,
    /// Language of its pages, such as `en`.
    pub language: String,
    /// IANA time zone of its pages.
    pub zone: String,
    /// Its picture.
    pub avatar_url: Option<String>,
    /// When it last logged in.
    pub last_login_at: Option<DateTime<Utc>>,
    /// Whether it logs in with a second factor.
    pub totp_enabled: bool,
    /// Whatever the tenant wants to keep.
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl User {
    /// Whether the user may log in.
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Given and family name, as far as there are any; else the email.
    pub fn full_name(&self) -> String {
        full_name(&self.first_name, &self.last_name, self.email.as_str())
    }
}

fn full_name(first: &str, last: &str, email: &str) -> String {
    let names = [first.trim(), last.trim()];
    let full = names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
    if full.is_empty() { email.to_owned() } else { full }
}

/// What a user is in a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRole {
    /// Its row.
    pub id: Id,
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user.
    pub user_id: Id,
    /// The role.
    pub role: Role,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl UserRole {
    /// Whether the user talks to callers and no more.
    pub fn is_agent(&self) -> bool {
        self.role == Role::Agent
    }

    /// Whether the user leads agents and no more.
    pub fn is_supervisor(&self) -> bool {
        self.role == Role::Supervisor
    }

    /// Whether the user runs the tenant, or the platform.
    pub fn is_admin(&self) -> bool {
        matches!(self.role, Role::TenantAdmin | Role::Superadmin)
    }

    /// Whether the user may change agents: supervisors and admins.
    pub fn can_manage_agents(&self) -> bool {
        self.is_admin() || self.is_supervisor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"id":"01k00000000000000000000000","tenant_id":"acme","email":"ann@acme.test","is_superadmin":false,
        "first_name":"Ann","last_name":" Bell ","phone":null,"status":"active","language":"en","zone":"UTC","avatar_url":null,
        "last_login_at":null,"totp_enabled":false,"metadata":{"desk":7},"created_at":"2026-11-23T10:00:00Z",
        "updated_at":"2026-11-23T10:00:00.000001Z"}"#;

    #[test]
    fn a_user_is_read_from_the_apis_record() {
        let mut user: User = serde_json::from_str(RECORD).unwrap();
        let again: User = serde_json::from_str(&serde_json::to_string(&user).unwrap()).unwrap();
        assert_eq!(again, user);
        assert!(user.is_active());
        for status in [UserStatus::Inactive, UserStatus::Suspended] {
            user.status = status;
            assert!(!user.is_active());
            assert_eq!(UserStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!(UserStatus::parse("Active"), None);
    }

    #[test]
    fn a_full_name_has_what_there_is() {
        let mut user: User = serde_json::from_str(RECORD).unwrap();
        for (first, last, full) in [
            ("Ann", " Bell ", "Ann Bell"),
            ("", "Bell", "Bell"),
            ("Ann", "", "Ann"),
            (" ", "", "ann@acme.test"),
        ] {
            (user.first_name, user.last_name) = (first.to_owned(), last.to_owned());
            assert_eq!(user.full_name(), full);
        }
    }

    #[test]
    fn roles_know_what_they_are() {
        let record = r#"{"id":"01k00000000000000000000000","tenant_id":"acme","user_id":"01k00000000000000000000001",
            "role":"viewer","created_at":"2026-11-23T10:00:00Z","updated_at":"2026-11-23T10:00:00Z"}"#;
        let mut row: UserRole = serde_json::from_str(record).unwrap();
        for (role, agent, supervisor, admin, manages) in [
            (Role::Superadmin, false, false, true, true),
            (Role::TenantAdmin, false, false, true, true),
            (Role::Supervisor, false, true, false, true),
            (Role::Agent, true, false, false, false),
            (Role::Viewer, false, false, false, false),
        ] {
            row.role = role;
            let are = (row.is_agent(), row.is_supervisor(), row.is_admin(), row.can_manage_agents());
            assert_eq!(are, (agent, supervisor, admin, manages), "{role:?}");
        }
    }
}
