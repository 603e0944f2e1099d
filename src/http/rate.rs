//! How fast one may ask: by address before anything else, then by who asks and by tenant, so that no tenant slows
//! another. Token buckets in memory; each node counts for itself.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::api::{Caller, Problem};
use crate::config::limits::http as limits;

/// What the operator allows, requests per second; 0: no limit.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// From one address.
    pub address: u32,
    /// By one user or key.
    pub actor: u32,
    /// For one tenant.
    pub tenant: u32,
    /// Logins and the like from one address, per minute.
    pub logins: u32,
}

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
#[derive(Debug)]
pub struct Limiter {
    address: Option<(u32, Keyed<IpAddr>)>,
    actor: Option<(u32, Keyed<String>)>,
    tenant: Option<(u32, Keyed<String>)>,
    logins: Option<(u32, Keyed<IpAddr>)>,
}

/// What is left, for the `RateLimit-*` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Requests at once at most.
    pub limit: u32,
    /// Requests that may follow now.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_s: u64,
}

fn bucket<K: std::hash::Hash + Eq + Clone>(quota: Option<Quota>) -> Option<(u32, Keyed<K>)> {
    quota.map(|quota| (quota.burst_size().get(), RateLimiter::keyed(quota).with_middleware()))
}

impl Limiter {
    /// Buckets of these sizes.
    pub fn new(rates: Rates) -> Self {
        let second = |n: u32| {
            let n = NonZeroU32::new(n)?;
            Some(Quota::per_second(n).allow_burst(n.saturating_mul(limits::BURST_SECONDS)))
        };
        let minute = |n: u32| Some(Quota::per_minute(NonZeroU32::new(n)?));
        Self {
            address: bucket(second(rates.address)),
            actor: bucket(second(rates.actor)),
            tenant: bucket(second(rates.tenant)),
            logins: bucket(minute(rates.logins)),
        }
    }

    /// Counts a request from an address.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub fn address(&self, address: IpAddr) -> Result<Option<Left>, Problem> {
        check(self.address.as_ref(), &whole(address), "this address")
    }

    /// Counts a login from an address.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub fn login(&self, address: IpAddr) -> Result<Option<Left>, Problem> {
        check(self.logins.as_ref(), &whole(address), "this address")
    }

    /// Counts a request of somebody for their tenant, and tells the tighter of the two.
    ///
    /// # Errors
    /// 429 when there were too many.
    pub fn caller(&self, caller: &Caller) -> Result<Option<Left>, Problem> {
        let actor = check(self.actor.as_ref(), &caller.id().to_string(), "this user or key")?;
        let tenant = match &caller.tenant {
            Some(tenant) => check(self.tenant.as_ref(), &tenant.to_string(), "this tenant")?,
            None => None,
        };
        Ok(actor.into_iter().chain(tenant).min_by_key(|left| left.remaining))
    }

    /// Drops buckets that are full again.
    pub fn sweep(&self) {
        for limiter in [&self.address, &self.logins].into_iter().flatten() {
            limiter.1.retain_recent();
        }
        for limiter in [&self.actor, &self.tenant].into_iter().flatten() {
            limiter.1.retain_recent();
        }
    }
}

/// IPv6 clients have a /64 to themselves: count that.
fn whole(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => IpAddr::V4(four),
            None => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
        },
        four => four,
    }
}

fn check<K: std::hash::Hash + Eq + Clone>(
    limiter: Option<&(u32, Keyed<K>)>,
    key: &K,
    who: &str,
) -> Result<Option<Left>, Problem> {
    let Some((burst, limiter)) = limiter else { return Ok(None) };
    match limiter.check_key(key) {
        Ok(state) => {
            let remaining = state.remaining_burst_capacity();
            let full = state.quota().replenish_interval().saturating_mul(burst.saturating_sub(remaining));
            Ok(Some(Left {
                limit: *burst,
                remaining,
                reset_s: full.as_secs() + u64::from(full.subsec_nanos() > 0),
            }))
        }
        Err(until) => {
            let wait: Duration = until.wait_time_from(DefaultClock::default().now());
            Err(Problem {
                retry_after: Some(wait),
                ..Problem::new(429, "too-many-requests", format!("Too many requests from {who}; slow down."))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_slow_another_and_zero_is_no_limit() {
        let limiter = Limiter::new(Rates { address: 1, actor: 0, tenant: 0, logins: 2 });
        let (one, two) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let burst = limits::BURST_SECONDS.get();
        for n in (0..burst).rev() {
            assert_eq!(limiter.address(one).unwrap().unwrap().remaining, n);
        }
        let refused = limiter.address(one).unwrap_err();
        assert_eq!((refused.status, refused.retry_after.is_some()), (429, true));
        assert!(limiter.address(two).is_ok());
        assert_eq!(whole("2001:db8::ffff:1".parse().unwrap()), whole(two));
        assert_eq!(whole("::ffff:192.0.2.1".parse().unwrap()), one);
        assert!(limiter.login(one).is_ok() && limiter.login(one).is_ok() && limiter.login(one).is_err());
        limiter.sweep();
    }
}
