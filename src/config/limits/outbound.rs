//! Calls out: what a tenant may cost the operator, and the operator's lists of numbers.

use std::time::Duration;

/// Calls a second that a new tenant may make: more than 200 people dial, less than a stolen password is worth.
pub const RATE: i64 = 10;
/// The same at most: what one Asterisk sets up.
pub const RATE_MOST: i64 = 1_000;
/// Tenants whose pace is known; one takes some 200 bytes.
pub const PACES: u64 = 100_000;
/// How long a tenant's pace is remembered without a call: a bucket is full again after a second.
pub const PACE_TIME: Duration = Duration::from_secs(60);
/// Blocked destinations of the platform: fraud lists have some thousand prefixes, and one takes some 50 bytes.
pub const BLOCKED: i64 = 20_000;
/// Emergency numbers of the platform: some 200 countries with a handful each.
pub const EMERGENCY: i64 = 2_000;
