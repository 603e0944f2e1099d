//! Which addresses a tenant's URL may reach. Pure.
//!
//! IPv4: everything but the networks that IANA's registry of special-purpose addresses keeps from the public, and
//! one cloud platform's service address. IPv6: the other way round, only global unicast (`2000::/3`) without its
//! special parts; an address that carries an IPv4 address is judged by that one or refused as a whole.
//! An operator's allow-list opens single networks again (`HOOKSWITCH_OUTGOING_ALLOW`).
//!
//! Invariant: an address is public only if no table here names it; what is unknown in IPv6 is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

use crate::config::limits::outgoing as limits;

/// An address that must not be reached, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{address} can't be reached from here ({network})")]
pub struct Refusal {
    /// The address as it was resolved or written.
    pub address: IpAddr,
    /// Short name of the network it belongs to, such as `loopback` or `private`.
    pub network: &'static str,
}

/// IPv4 networks out of reach (IANA special-purpose registry, RFC 6890 and later).
const V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "carrier NAT"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // Holds the metadata service of most clouds, 169.254.169.254.
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "broadcast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
    // A public address that inside Azure is the platform's own service.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud platform"),
];

/// IPv6 networks out of reach; the longer prefix stands first where two cover an address.
const V6: [(Ipv6Addr, u8, &str); 18] = [
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 96, "IPv4-compatible"),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "IPv4-translated"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "local NAT64"),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64, "discard"),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, "dummy prefix"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, "Teredo"),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, "benchmarking"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "protocol assignments"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "documentation"),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16, "segment routing"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "unique local"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "site local"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// The name of the reserved network that holds an address; `None` for a public one.
#[must_use]
pub fn reserved(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => reserved_v4(address),
        IpAddr::V6(address) => reserved_v6(address),
    }
}

/// Whether an address belongs to the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    reserved(address).is_none()
}

fn reserved_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = address.to_bits();
    let holds = |network: Ipv4Addr, prefix: u8| (bits ^ network.to_bits()) >> (32 - prefix) == 0;
    V4.iter().find(|entry| holds(entry.0, entry.1)).map(|entry| entry.2)
}

fn reserved_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = carried_v4(address) {
        return reserved_v4(inner);
    }
    let bits = address.to_bits();
    let holds = |network: Ipv6Addr, prefix: u8| (bits ^ network.to_bits()) >> (128 - prefix) == 0;
    let listed = V6.iter().find(|entry| holds(entry.0, entry.1)).map(|entry| entry.2);
    // 2000::/3 is the only part of the space that is given out.
    listed.or((bits >> 125 != 1).then_some("not global unicast"))
}

/// The IPv4 address that traffic to `::ffff:a.b.c.d` (mapped) or `64:ff9b::a.b.c.d` (NAT64, RFC 6052) really goes to.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let nat64 = || {
        let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else { return None };
        Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    address.to_ipv4_mapped().or_else(nat64)
}

/// The tables above and the operator's exceptions.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow: Vec<IpNet>,
    /// Whether only the allow-list can be reached.
    closed: bool,
}

/// Why an allow-list was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AllowError {
    /// Neither a network nor an address.
    #[error("{0:?} is not a network such as 10.1.0.0/16 or fd00::/8")]
    Network(String),
    /// More entries than anyone can oversee.
    #[error("at most 256 networks can be allowed")]
    TooMany,
}

impl Guard {
    /// Reads an allow-list: networks or single addresses, separated by commas; empty allows nothing beyond the
    /// public internet.
    ///
    /// # Errors
    /// [`AllowError`], with the entry that cannot be read.
    pub fn parse(list: &str) -> Result<Self, AllowError> {
        let mut allow = Vec::new();
        for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let network = entry.parse::<IpNet>().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            allow.push(network.map_err(|_| AllowError::Network(entry.to_owned()))?);
        }
        if allow.len() > limits::ALLOW_NETWORKS {
            return Err(AllowError::TooMany);
        }
        Ok(Self { allow, closed: false })
    }

    /// The same, for a place that has nothing to do with the public internet: only the allow-list can be reached.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { closed: true, ..self }
    }

    /// Whether an address may be reached. An IPv4-mapped address is looked up in the allow-list as the IPv4 address it is.
    ///
    /// # Errors
    /// [`Refusal`] for a reserved address, or with [`Guard::closed`] any, that no entry of the allow-list covers.
    pub fn vet(&self, address: IpAddr) -> Result<(), Refusal> {
        let network = match reserved(address) {
            Some(network) => network,
            None if self.closed => "public, and outgoing.public is off",
            None => return Ok(()),
        };
        let plain = address.to_canonical();
        if self.allow.iter().any(|allowed| allowed.contains(&plain)) {
            return Ok(());
        }
        Err(Refusal { address, network })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network_of(text: &str) -> Option<&'static str> {
        reserved(text.parse().unwrap())
    }

    #[test]
    fn first_and_last_address_of_every_v4_network_and_its_neighbours() {
        for (first, last, before, after) in [
            ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
            ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
            ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
            ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
            ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
            ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
            ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
            ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
            ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
            ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
            ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
            ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
            ("168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17")),
            ("224.0.0.0", "255.255.255.255", Some("223.255.255.255"), None),
        ] {
            assert!(network_of(first).is_some() && network_of(last).is_some(), "{first} to {last}");
            for public in [before, after].into_iter().flatten() {
                assert_eq!(network_of(public), None, "{public}");
            }
        }
        assert_eq!(network_of("255.255.255.255"), Some("broadcast"));
        assert_eq!(network_of("240.0.0.1"), Some("reserved"));
    }

    #[test]
    fn v6_networks_by_name() {
        for (text, network) in [
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::8.8.8.8", "IPv4-compatible"),
            ("::ffff:0:8.8.8.8", "IPv4-translated"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link local"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b:1::8.8.8.8", "local NAT64"),
            ("100::1", "discard"),
            ("100:0:0:1::1", "dummy prefix"),
            ("2001::1", "Teredo"),
            ("2001:2::1", "benchmarking"),
            ("2001:1ff:ffff::1", "protocol assignments"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::", "6to4"),
            ("3fff:fff::1", "documentation"),
            ("5f00::1", "segment routing"),
            ("fd00:ec2::254", "unique local"),
            ("fe80::1", "link local"),
            ("febf::1", "link local"),
            ("fec0::1", "site local"),
            ("ff02::1", "multicast"),
            ("4000::1", "not global unicast"),
            ("64:ff9b:2::1", "not global unicast"),
            ("::1:0:0:0", "not global unicast"),
        ] {
            assert_eq!(network_of(text), Some(network), "{text}");
        }
        for public in [
            "2606:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "3fff:1000::1",
            "2003::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(network_of(public), None, "{public}");
        }
    }

    #[test]
    fn allow_list_opens_only_what_it_names() {
        let guard = Guard::parse(" 127.0.0.0/8, 10.1.2.3 ,fd00::/8,").unwrap();
        for allowed in ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd12::1", "1.1.1.1"] {
            assert!(guard.vet(allowed.parse().unwrap()).is_ok(), "{allowed}");
        }
        for refused in ["10.1.2.4", "::1", "64:ff9b::127.0.0.1", "fe80::1"] {
            assert!(guard.vet(refused.parse().unwrap()).is_err(), "{refused}");
        }
        assert!(Guard::parse("").unwrap().vet(Ipv4Addr::LOCALHOST.into()).is_err());
        let closed = guard.closed();
        assert!(closed.vet("127.0.0.1".parse().unwrap()).is_ok());
        assert!(closed.vet("1.1.1.1".parse().unwrap()).is_err());
        assert_eq!(Guard::parse("10.0.0.0/8,ten").unwrap_err(), AllowError::Network("ten".into()));
        assert_eq!(Guard::parse(&"10.0.0.1,".repeat(257)).unwrap_err(), AllowError::TooMany);
    }
}
