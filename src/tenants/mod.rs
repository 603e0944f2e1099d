//! Tenants: who they are, whether they may have calls, and how many of what.

pub mod store;

use serde::{Deserialize, Serialize};

use crate::base::ids::TenantId;

/// Whether a tenant may have calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantStatus {
    /// Paying.
    Active,
    /// Trying; has calls like an active one.
    Trial,
    /// Stopped by the operator.
    Suspended,
    /// Not set up, or gone.
    Inactive,
}

impl TenantStatus {
    /// The text kept in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trial => "trial",
            Self::Suspended => "suspended",
            Self::Inactive => "inactive",
        }
    }

    /// Reads the text kept in the database.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Trial, Self::Suspended, Self::Inactive].into_iter().find(|s| s.as_str() == text)
    }

    /// Whether calls are routed.
    pub fn has_calls(self) -> bool {
        matches!(self, Self::Active | Self::Trial)
    }
}

/// A business that uses the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id, part of every name towards Asterisk.
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether it may have calls.
    pub status: TenantStatus,
    /// Language of prompts where nothing else names one, such as `en`.
    pub language: String,
    /// IANA time zone of its reports and of schedules that name none.
    pub zone: String,
    /// Agents at most; 0: no limit.
    pub max_agents: u32,
    /// DIDs at most; 0: no limit.
    pub max_dids: u32,
    /// Calls at the same time at most; 0: no limit.
    pub max_concurrent_calls: u32,
    /// Names of the features that are switched on.
    pub features: Vec<String>,
}

impl Tenant {
    /// Whether the tenant is paying.
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }

    /// Whether the tenant is trying.
    pub fn is_trial(&self) -> bool {
        self.status == TenantStatus::Trial
    }

    /// Whether a feature is switched on.
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// Whether one more agent fits beside `count`.
    pub fn can_add_agent(&self, count: u32) -> bool {
        self.max_agents == 0 || count < self.max_agents
    }

    /// Whether one more DID fits beside `count`.
    pub fn can_add_did(&self, count: u32) -> bool {
        self.max_dids == 0 || count < self.max_dids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_features() {
        let mut tenant = Tenant {
            id: TenantId::parse("acme").unwrap(),
            name: "Acme".into(),
            status: TenantStatus::Trial,
            language: "en".into(),
            zone: "UTC".into(),
            max_agents: 2,
            max_dids: 0,
            max_concurrent_calls: 10,
            features: vec!["sms".into()],
        };
        assert!(tenant.is_trial() && !tenant.is_active() && tenant.status.has_calls());
        assert!(tenant.can_add_agent(1) && !tenant.can_add_agent(2));
        assert!(tenant.can_add_did(1_000_000));
        assert!(tenant.has_feature("sms") && !tenant.has_feature("chat"));
        tenant.status = TenantStatus::Suspended;
        assert!(!tenant.status.has_calls());
        assert_eq!(TenantStatus::parse("suspended"), Some(TenantStatus::Suspended));
        assert_eq!(TenantStatus::parse("Suspended"), None);
    }
}
