//! How a run ended, in a word that never changes, and what it cost.

use serde::{Deserialize, Serialize};

/// How a run ended. The codes are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It gave an answer that can be used.
    Ok,
    /// It had nothing to say about the call.
    Pass,
    /// Its answer, or what it handed to a host call, breaks a rule: a target that is not the tenant's, no step, a text too
    /// long, a pointer to nowhere.
    RejectedOutput,
    /// It returned an error, or a script threw an exception.
    PluginError,
    /// It trapped: a panic, an index out of bounds.
    Panic,
    /// It used up its processor time or its instructions.
    CpuLimit,
    /// It was not done in time; it waited for a host call, most likely.
    TimeLimit,
    /// It wanted more memory or larger tables.
    MemoryLimit,
    /// Its calls went too deep.
    StackLimit,
    /// It gave back, or handed to a host call, more than it may.
    OutputLimit,
    /// It made too many host calls.
    HostCallLimit,
    /// It failed after it was refused something that it has no grant for.
    CapabilityDenied,
    /// The tenant, or the service, runs as many plugins as it may.
    Busy,
    /// It failed too often lately and was not asked.
    Parked,
    /// It can't be run: not uploaded, not compiled, not of this kind.
    NotLoadable,
}

impl Outcome {
    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pass => "pass",
            Self::RejectedOutput => "rejected-output",
            Self::PluginError => "plugin-error",
            Self::Panic => "panic",
            Self::CpuLimit => "cpu-limit",
            Self::TimeLimit => "time-limit",
            Self::MemoryLimit => "memory-limit",
            Self::StackLimit => "stack-limit",
            Self::OutputLimit => "output-limit",
            Self::HostCallLimit => "host-call-limit",
            Self::CapabilityDenied => "capability-denied",
            Self::Busy => "busy",
            Self::Parked => "parked",
            Self::NotLoadable => "not-loadable",
        }
    }

    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Ok,
        Self::Pass,
        Self::RejectedOutput,
        Self::PluginError,
        Self::Panic,
        Self::CpuLimit,
        Self::TimeLimit,
        Self::MemoryLimit,
        Self::StackLimit,
        Self::OutputLimit,
        Self::HostCallLimit,
        Self::CapabilityDenied,
        Self::Busy,
        Self::Parked,
        Self::NotLoadable,
    ];

    /// Whether the run gave something to go on with.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Ok | Self::Pass)
    }

    /// Whether the plugin's own code is to blame, so that it counts towards its parking.
    pub fn is_plugins_fault(self) -> bool {
        !self.is_success() && !matches!(self, Self::Busy | Self::Parked | Self::NotLoadable)
    }
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Microseconds from start to end, waits included.
    pub wall_us: u64,
    /// Microseconds of a processor.
    pub cpu_us: u64,
    /// Instructions, as wasmtime counts them; the same on every machine.
    pub fuel: u64,
    /// Bytes of linear memory at its largest.
    pub memory_bytes: u64,
    /// How often the memory grew; an allocator that serves from memory it has makes a run faster.
    pub memory_grows: u32,
    /// Host calls, log and settings not counted.
    pub host_calls: u32,
}

/// A line that a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// How loud.
    pub level: super::types::Level,
    /// What.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_json_says() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.as_str()));
        }
    }
}
