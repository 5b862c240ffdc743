//! Addresses that a name must not lead to.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where a cloud's machines are told their secrets, beside the link-local addresses: AWS over IPv6, Alibaba, Oracle.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];

/// Whether an address is link-local (RFC 3927, RFC 4291 section 2.5.6), where machines are told their secrets, or none of
/// one machine: unspecified, multicast, broadcast. A name may lead anywhere, so this is asked about what it resolves to.
///
/// Loopback is not among them: gateway and Odoo may share a machine, and Debian gives a machine's own name `127.0.1.1`.
#[must_use]
pub fn points_inward(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast()
                || METADATA_V4.contains(&address)
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address == METADATA_V6
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_no_server_of_a_fleet_has_points_inward() {
        for inward in [
            "169.254.169.254",
            "::ffff:169.254.0.1",
            "fe80::1",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(points_inward(inward.parse().unwrap()), "{inward}");
        }
        for outward in ["10.0.0.1", "127.0.0.1", "::1", "203.0.113.7", "fd00::1", "2001:db8::1"] {
            assert!(!points_inward(outward.parse().unwrap()), "{outward}");
        }
    }
}
