//! Tenants: who they are, whether they may have calls, and how many of what.

pub mod api;
mod room;
mod space;
pub mod store;
pub mod whole;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::ids::TenantId;

pub use room::{Room, room_for};
pub use space::has_space;
pub use store::{get as tenant_of, insert_whole, lock as lock_tenant, was_purged};

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

/// Limits that routing does not know; 0: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Endpoints at most.
    pub max_endpoints: u32,
    /// Queues at most.
    pub max_queues: u32,
    /// Room for files in MiB.
    pub max_storage_mib: u32,
}

/// A tenant as it is made.
#[derive(Clone, Debug)]
pub struct NewTenant {
    /// What routing needs.
    pub tenant: Tenant,
    /// Further limits.
    pub limits: Limits,
    /// What it pays for, in the operator's words; may be empty.
    pub plan: String,
    /// Whom the operator writes to; may be empty.
    pub contact_email: String,
    /// When its trial ends, microseconds.
    pub trial_ends_us: Option<i64>,
}

/// A tenant as the API shows it: with what routing does not need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// What routing needs.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// What it pays for, in the operator's words.
    pub plan: Option<String>,
    /// Whom the operator writes to.
    pub contact_email: Option<String>,
    /// Settings of its own.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// Endpoints at most; 0: no limit.
    pub max_endpoints: u32,
    /// Queues at most; 0: no limit.
    pub max_queues: u32,
    /// Room for recordings, voicemails and attachments in MiB; 0: no limit.
    pub max_storage_mib: u32,
    /// When its trial ends.
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// Why it was suspended.
    pub suspended_reason: Option<String>,
    /// When somebody asked to have it deleted.
    pub deletion_requested_at: Option<DateTime<Utc>>,
    /// Whatever the operator keeps with it.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

impl TenantRecord {
    /// Whether its trial is over, `now_us` microseconds after 1970 UTC.
    pub fn is_trial_over(&self, now_us: i64) -> bool {
        self.tenant.is_trial() && self.trial_ends_at.is_some_and(|at| at.timestamp_micros() <= now_us)
    }

    /// Whether one more endpoint fits beside `count`.
    pub fn can_add_endpoint(&self, count: u32) -> bool {
        self.max_endpoints == 0 || count < self.max_endpoints
    }

    /// Whether one more queue fits beside `count`.
    pub fn can_add_queue(&self, count: u32) -> bool {
        self.max_queues == 0 || count < self.max_queues
    }

    /// Whether `more` bytes fit beside `used`.
    pub fn can_store(&self, used: u64, more: u64) -> bool {
        const MIB: u64 = 1024 * 1024;
        self.max_storage_mib == 0 || used.saturating_add(more) <= u64::from(self.max_storage_mib) * MIB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_tenant_and_more() {
        let mut one: TenantRecord = serde_json::from_value(serde_json::json!({
            "id": "acme", "name": "Acme", "status": "trial", "language": "en", "zone": "UTC", "max_agents": 0,
            "max_dids": 0, "max_concurrent_calls": 0, "features": [], "plan": null, "contact_email": null,
            "max_endpoints": 1, "max_queues": 0, "max_storage_mib": 1, "trial_ends_at": "1970-01-01T00:00:01Z",
            "suspended_reason": null, "deletion_requested_at": null, "created_at": "1970-01-01T00:00:00Z",
            "updated_at": "1970-01-01T00:00:00Z"
        }))
        .unwrap();
        assert!(one.is_trial_over(1_000_000) && !one.is_trial_over(999_999));
        assert!(one.can_add_endpoint(0) && !one.can_add_endpoint(1) && one.can_add_queue(9_999));
        assert!(one.can_store(1_048_575, 1) && !one.can_store(1_048_576, 1) && !one.can_store(1, u64::MAX));
        assert_eq!(serde_json::to_value(&one).unwrap()["zone"], "UTC", "flat");
        one.tenant.status = TenantStatus::Active;
        assert!(!one.is_trial_over(i64::MAX), "who pays is on no trial");
    }

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
