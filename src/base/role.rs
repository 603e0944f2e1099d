//! The five roles, and sets of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a person may do in one tenant. A token or key carries exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the platform: every tenant, and what belongs to none.
    Superadmin,
    /// Runs one tenant.
    TenantAdmin,
    /// Watches and steers the agents of one tenant.
    Supervisor,
    /// Takes calls, chats and tickets.
    Agent,
    /// Looks on.
    Viewer,
}

impl Role {
    /// All of them, the mightiest first.
    pub const ALL: [Self; 5] =
        [Self::Superadmin, Self::TenantAdmin, Self::Supervisor, Self::Agent, Self::Viewer];

    /// The text kept in the database and written in tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Superadmin => "superadmin",
            Self::TenantAdmin => "tenant_admin",
            Self::Supervisor => "supervisor",
            Self::Agent => "agent",
            Self::Viewer => "viewer",
        }
    }

    /// Reads that text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of roles: who may do something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Nobody: there is no such operation.
    pub const NOBODY: Self = Self(0);
    /// Who runs the platform.
    pub const PLATFORM: Self = Self(1);
    /// Who runs the tenant.
    pub const ADMINS: Self = Self(0b11);
    /// Those, and supervisors.
    pub const SUPERVISORS: Self = Self(0b111);
    /// Those, and agents.
    pub const AGENTS: Self = Self(0b1111);
    /// Everyone with a role.
    pub const ALL: Self = Self(0b1_1111);
    /// All but agents: who runs, watches or looks on.
    pub const NO_AGENTS: Self = Self(0b1_0111);
    /// Agents alone.
    pub const ONLY_AGENTS: Self = Self(0b1000);

    /// Whether `role` is among them.
    pub fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether nobody is.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their names, the mightiest first.
    pub fn names(self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::as_str).collect()
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_grow_from_the_platform_to_all() {
        for (set, names) in [
            (Roles::NOBODY, vec![]),
            (Roles::PLATFORM, vec!["superadmin"]),
            (Roles::ADMINS, vec!["superadmin", "tenant_admin"]),
            (Roles::SUPERVISORS, vec!["superadmin", "tenant_admin", "supervisor"]),
            (Roles::AGENTS, vec!["superadmin", "tenant_admin", "supervisor", "agent"]),
            (Roles::NO_AGENTS, vec!["superadmin", "tenant_admin", "supervisor", "viewer"]),
            (Roles::ONLY_AGENTS, vec!["agent"]),
        ] {
            assert_eq!(set.names(), names);
        }
        assert!(Role::ALL.into_iter().all(|role| Roles::ALL.has(role)));
        assert!(Role::ALL.into_iter().all(|role| Role::parse(role.as_str()) == Some(role)));
        assert_eq!(serde_json::to_string(&Role::TenantAdmin).unwrap(), "\"tenant_admin\"");
    }
}
