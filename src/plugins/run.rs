//! A run as it is answered, and as it is kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Trigger;
use crate::base::ids::Id;
use crate::sandbox::{Cost, Outcome, Output, Report};

/// What a plugin said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Which plugin.
    pub plugin: Id,
    /// Its name.
    pub name: Arc<str>,
    /// Which of its versions; 0: none could be asked.
    pub version: u32,
    /// Why it was asked.
    pub trigger: Trigger,
    /// How it went.
    pub report: Report,
}

impl Reply {
    /// The run to be kept, under an id of its own: whoever writes it twice writes it once. `subject` is the call or event.
    pub fn into_run(self, id: Id, at_us: i64, subject: &str) -> Run {
        Run {
            id,
            plugin: self.plugin,
            version: self.version,
            at_us,
            trigger: self.trigger,
            subject: subject.to_owned(),
            report: self.report,
            input: None,
            compared: None,
        }
    }
}

/// A run as it is kept: a row of `plugin_runs` but the tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: Id,
    /// Which plugin.
    pub plugin: Id,
    /// Which of its versions; 0: none could be asked.
    pub version: u32,
    /// When it began, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Why.
    pub trigger: Trigger,
    /// The id of the call or event; empty: none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// How it went.
    pub report: Report,
    /// What it was given, where that is kept nowhere else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The run that a shadow's was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// A run that decided, beside a shadow's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Which version it was.
    pub version: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What it gave.
    pub output: Option<Output>,
    /// What it cost.
    pub cost: Cost,
    /// Whether the shadow ended otherwise, or gave something else.
    pub differs: bool,
}
