//! How many requests one source address may make.
//!
//! Promise: bounded memory whatever addresses come. Addresses share a fixed
//! number of quotas by a keyed hash, so two of them may share one; an IPv6
//! address counts as its /64, which one subscriber owns whole.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::Rate;

/// How many quotas there are: a power of two.
const QUOTAS: u64 = 1 << 16;

/// The rate limit of a sidecar.
pub struct SourceRates {
    limiter: DefaultKeyedRateLimiter<u64>,
    hasher: RandomState,
    burst: NonZeroU32,
}

impl SourceRates {
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self { limiter: RateLimiter::keyed(quota), hasher: RandomState::new(), burst: rate.burst }
    }

    /// Whether this source may make one more request now.
    pub fn allows(&self, source: IpAddr) -> bool {
        self.limiter.check_key(&self.quota_of(source)).is_ok()
    }

    /// Whether this source may do so many things at once now. More than it may ever do at once take all it has.
    pub fn allows_many(&self, source: IpAddr, things: usize) -> bool {
        let things = u32::try_from(things).unwrap_or(u32::MAX).min(self.burst.get());
        let Some(things) = NonZeroU32::new(things) else { return true };
        matches!(self.limiter.check_key_n(&self.quota_of(source), things), Ok(Ok(())))
    }

    /// Forgets quotas that are whole again.
    pub fn forget_recovered(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }

    fn quota_of(&self, source: IpAddr) -> u64 {
        self.hasher.hash_one(network(source)) % QUOTAS
    }
}

fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(burst: u32) -> SourceRates {
        SourceRates::new(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(burst).unwrap() })
    }

    #[test]
    fn a_source_has_its_burst_and_no_more() {
        let rates = rates(3);
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        let allowed = (0..10).filter(|_| rates.allows(source)).count();
        assert_eq!(allowed, 3);
    }

    #[test]
    fn many_things_take_as_much_of_a_quota() {
        let rates = rates(3);
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        assert!(rates.allows_many(source, 0) && rates.allows_many(source, 2));
        assert!(!rates.allows_many(source, 2) && rates.allows_many(source, 1));
        assert!(rates.allows_many("192.0.2.8".parse().unwrap(), 1_000), "all it has");
        assert!(!rates.allows("192.0.2.8".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_source_is_its_64() {
        let rates = rates(1);
        assert!(rates.allows("2001:db8::1".parse().unwrap()));
        assert!(!rates.allows("2001:db8::ffff:2".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn any_number_of_sources_has_a_bounded_number_of_quotas() {
        let rates = rates(1);
        for bits in 0..200_000_u32 {
            rates.allows(IpAddr::V4(bits.into()));
        }
        assert!(rates.limiter.len() <= usize::try_from(QUOTAS).unwrap());
    }
}
