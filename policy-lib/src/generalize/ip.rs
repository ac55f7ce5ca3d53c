//! An IP address, to its prefix.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How many leading bits of an address stay; the others become zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    /// Of an IPv4 address, also where an IPv6 address holds one; up to 32.
    pub v4: u8,
    /// Of an IPv6 address; up to 128.
    pub v6: u8,
}

impl Default for IpPrefix {
    /// /24 and /48: what is usually routed as one network, and given to one site.
    fn default() -> Self {
        Self { v4: 24, v6: 48 }
    }
}

impl IpPrefix {
    /// `Less` is coarser; `None` if one is coarser for IPv4 and the other for IPv6.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        match (self.v4.cmp(&other.v4), self.v6.cmp(&other.v6)) {
            (a, b) if a == b => Some(a),
            (Ordering::Equal, decided) | (decided, Ordering::Equal) => Some(decided),
            _ => None,
        }
    }

    fn of_v4(self, address: Ipv4Addr) -> Ipv4Addr {
        let kept = u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(self.v4))).unwrap_or(0);
        Ipv4Addr::from_bits(address.to_bits() & kept)
    }

    fn of_v6(self, address: Ipv6Addr) -> Ipv6Addr {
        let bits = embedded_at(address).map_or(self.v6, |at| self.v6.min(at.saturating_add(self.v4)));
        let kept = u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(bits))).unwrap_or(0);
        Ipv6Addr::from_bits(address.to_bits() & kept)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{} and /{}", self.v4, self.v6)
    }
}

/// The bit where an IPv4 address begins inside an IPv6 address: of 6to4 (RFC 3056)
/// a /48 would hold all of it; of NAT64 (RFC 6052) and IPv4-compatible addresses a
/// /120 would.
const fn embedded_at(address: Ipv6Addr) -> Option<u8> {
    match address.segments() {
        [0x2002, ..] => Some(16),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => Some(96),
        _ => None,
    }
}

/// Appends the address with all but its leading bits zero.
///
/// Takes IPv4 and IPv6, with or without a port (`192.0.2.7:80`, `[2001:db8::7]:80`)
/// or a zone (`fe80::7%eth0`); port and zone do not come back. An IPv4 address
/// mapped into IPv6 keeps its notation and has its IPv4 prefix; one embedded by
/// 6to4 or NAT64 keeps no more than that either. Anything else, such as octets
/// with leading zeros, lists and prefixes, is `None`.
///
/// Still to be learnt: the provider, often the town or the company; the site of
/// a large organization. Together with a time and a user agent it may single out
/// one household.
#[must_use]
pub fn ip(text: &str, prefix: IpPrefix, out: &mut String) -> Option<()> {
    let generalized = match address(text)? {
        IpAddr::V4(address) => IpAddr::V4(prefix.of_v4(address)),
        IpAddr::V6(address) => IpAddr::V6(match address.to_ipv4_mapped() {
            Some(mapped) => prefix.of_v4(mapped).to_ipv6_mapped(),
            None => prefix.of_v6(address),
        }),
    };
    write!(out, "{generalized}").ok()
}

/// Reads an address in any of the notations of [`ip`].
fn address(text: &str) -> Option<IpAddr> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        let port = after.strip_prefix(':');
        let fits = after.is_empty() || port.is_some_and(is_port);
        return version_6(inside).filter(|_| fits);
    }
    match text.split_once(':') {
        None => text.parse().ok().map(IpAddr::V4),
        Some((host, port)) if host.contains('.') => host.parse().ok().filter(|_| is_port(port)).map(IpAddr::V4),
        Some(_) => version_6(text),
    }
}

fn version_6(text: &str) -> Option<IpAddr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = (1..=64).contains(&zone.len()) && zone.bytes().all(|byte| byte.is_ascii_graphic());
    address.parse().ok().filter(|_| is_zone).map(IpAddr::V6)
}

fn is_port(text: &str) -> bool {
    (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, v4: u8, v6: u8) -> Option<String> {
        let mut out = String::new();
        let result = ip(text, IpPrefix { v4, v6 }, &mut out);
        assert!(result.is_some() || out.is_empty());
        result.map(|()| out)
    }

    #[test]
    fn notations() {
        for (text, expected) in [
            ("203.0.113.77", "203.0.113.0"),
            ("203.0.113.77:8080", "203.0.113.0"),
            ("2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3::"),
            ("[2001:db8:85a3:8d3::7348]:443", "2001:db8:85a3::"),
            ("[::1]", "::"),
            ("fe80::1:2%eth0", "fe80::"),
            ("::ffff:203.0.113.77", "::ffff:203.0.113.0"),
            ("::FFFF:cb00:714d", "::ffff:203.0.113.0"),
        ] {
            assert_eq!(told(text, 24, 48).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn an_embedded_address_keeps_no_more_than_an_open_one() {
        // 6to4 of 203.0.113.77, and the same behind NAT64.
        assert_eq!(told("2002:cb00:714d::1", 24, 48).as_deref(), Some("2002:cb00:7100::"));
        assert_eq!(told("64:ff9b::203.0.113.77", 24, 128).as_deref(), Some("64:ff9b::cb00:7100"));
        assert_eq!(told("::203.0.113.77", 16, 120).as_deref(), Some("::cb00:0"));
    }

    #[test]
    fn what_is_no_single_address_is_refused() {
        for text in [
            "",
            "localhost",
            "203.0.113",
            "203.0.113.256",
            "203.0.113.077",
            "203.0.113.77, 10.0.0.1",
            "203.0.113.0/24",
            " 203.0.113.77",
            "203.0.113.77:",
            "203.0.113.77:99999",
            "203.0.113.77:+80",
            "[::1",
            "::1]",
            "[::1]80",
            "[203.0.113.77]:80",
            "::1%",
            "1::2::3",
            "3405803853",
            "unknown",
            "_hidden",
        ] {
            assert_eq!(told(text, 24, 48), None, "{text}");
        }
    }

    /// Rows of Snowplow Enrich's table whose prefixes ours can say; its `x` is our zero.
    /// From `AnonIpEnrichmentSpec.scala` of snowplow/enrich at cc06fa2, Apache-2.0.
    #[test]
    fn agrees_with_snowplow_where_both_define_it() {
        for (text, v4, v6, expected) in [
            ("168.192.102.4", 16, 96, "168.192.0.0"),
            ("54.242.102.43", 8, 80, "54.0.0.0"),
            ("94.15.213.171", 0, 64, "0.0.0.0"),
            ("4b0c:0:0:0:880c:99a8:4b0:4411", 24, 112, "4b0c:0:0:0:880c:99a8:4b0:0"),
            ("4b0c::880c:99a8:4b0:4411", 16, 96, "4b0c:0:0:0:880c:99a8:0:0"),
            ("2605:2700:0:3::4713:93e3", 0, 64, "2605:2700:0:3:0:0:0:0"),
            ("2605:2700:0:3::4713:93e3", 0, 48, "2605:2700:0:0:0:0:0:0"),
            ("2605:2700:0:3::4713:93e3", 0, 32, "2605:2700:0:0:0:0:0:0"),
            ("2605:2700:0:3::4713:93e3", 0, 0, "::"),
            ("f334::40cb:152.16.24.142", 0, 96, "f334:0:0:0:0:40cb:0:0"),
            ("f334::40cb:152.16.24.142", 0, 64, "f334:0:0:0:0:0:0:0"),
            ("::FFFF:152.16.24.123", 16, 64, "::ffff:152.16.0.0"),
        ] {
            let expected: IpAddr = expected.parse().unwrap();
            assert_eq!(told(text, v4, v6), Some(expected.to_string()), "{text}");
        }
        // Snowplow hides pieces of what is no address; we refuse it.
        for text in ["777.2", "777.2.23", "999.aaa.bbb.c", "hello;goodbye", ""] {
            assert_eq!(told(text, 24, 48), None, "{text}");
        }
    }

    #[test]
    fn coarser_in_both_or_not_comparable() {
        let of = |v4, v6| IpPrefix { v4, v6 };
        assert_eq!(of(16, 48).compare(of(24, 48)), Some(Ordering::Less));
        assert_eq!(of(24, 64).compare(of(24, 48)), Some(Ordering::Greater));
        assert_eq!(of(24, 48).compare(IpPrefix::default()), Some(Ordering::Equal));
        assert_eq!(of(16, 64).compare(of(24, 48)), None);
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(bits in any::<u128>(), kind in 0..5_u8, a in (0..=32_u8, 0..=128_u8), b in (0..=32_u8, 0..=128_u8)) {
            let address = match kind {
                0 => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
                1 => IpAddr::V6(Ipv4Addr::from_bits(bits as u32).to_ipv6_mapped()),
                2 => IpAddr::V6(Ipv6Addr::from_bits(bits >> 16 | 0x2002 << 112)),
                3 => IpAddr::V6(Ipv6Addr::from_bits(u128::from(bits as u32) | 0x64_ff9b << 96)),
                _ => IpAddr::V6(Ipv6Addr::from_bits(bits)),
            };
            let fine = told(&address.to_string(), a.0.max(b.0), a.1.max(b.1)).unwrap();
            let (v4, v6) = (a.0.min(b.0), a.1.min(b.1));
            prop_assert_eq!(told(&fine, v4, v6), told(&address.to_string(), v4, v6));
        }

        #[test]
        fn anything_may_come(text in any::<String>(), near in "[0-9a-f:.%\\[\\]]{0,40}") {
            told(&text, 24, 48);
            told(&near, 24, 48);
        }
    }
}
