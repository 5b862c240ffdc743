//! Which names need a certificate.

use super::challenge::Challenge;
use crate::host::{HostName, HostPattern};
use std::collections::BTreeSet;

/// Names that need a certificate, and those that cannot have one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Names to order for, stars first.
    pub names: Vec<HostPattern>,
    /// Stars whose zone nobody may change: a star is proved by a record alone.
    pub without_zone: Vec<HostPattern>,
}

/// Chooses among the hosts of the tenant table, and nothing else: what a client asks for never starts an order.
///
/// `served` says whether a folder has a certificate for a name; `zone` whether records of a name can be written. A star
/// gets one certificate, whatever its tenants are called, and a host below a star that gets one needs none of its own.
#[must_use]
pub fn wanted(
    hosts: impl Iterator<Item = HostPattern>,
    challenges: &[Challenge],
    served: impl Fn(&HostPattern) -> bool,
    zone: impl Fn(&HostName) -> bool,
) -> Wanted {
    let by_record = challenges.contains(&Challenge::Dns01);
    let (mut stars, mut exact, mut without_zone) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for pattern in hosts.filter(|pattern| !served(pattern)) {
        match pattern {
            HostPattern::Suffix(suffix) if by_record && zone(&suffix) => drop(stars.insert(suffix)),
            HostPattern::Suffix(_) => without_zone.push(pattern),
            HostPattern::Exact(host) if is_name(&host) => drop(exact.insert(host)),
            HostPattern::Exact(_) => {}
        }
    }
    let below_star =
        |host: &HostName| host.as_str().split_once('.').is_some_and(|(_, suffix)| stars.contains(suffix));
    exact.retain(|host| !below_star(host));
    let any_way = |host: &HostName| challenges.iter().any(|way| *way != Challenge::Dns01 || zone(host));
    exact.retain(any_way);
    without_zone.sort();
    let names = stars.into_iter().map(HostPattern::Suffix).chain(exact.into_iter().map(HostPattern::Exact));
    Wanted { names: names.collect(), without_zone }
}

/// Whether a host is a name: addresses get no certificate, and neither do names with `_` (CA/Browser Forum, Baseline
/// Requirements, section 7.1.4.2.1).
fn is_name(host: &HostName) -> bool {
    let text = host.as_str();
    let last = text.rsplit('.').next().unwrap_or(text);
    !text.starts_with('[') && !text.contains('_') && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Challenge; 3] = [Challenge::Http01, Challenge::TlsAlpn01, Challenge::Dns01];

    fn names(
        hosts: &[&str],
        challenges: &[Challenge],
        served: &[&str],
        zones: &[&str],
    ) -> (Vec<String>, Vec<String>) {
        let hosts = hosts.iter().map(|host| HostPattern::parse(host).unwrap());
        let found = wanted(
            hosts,
            challenges,
            |pattern| served.contains(&pattern.to_string().as_str()),
            |name| zones.iter().any(|zone| name.as_str().ends_with(zone)),
        );
        let text = |list: Vec<HostPattern>| list.iter().map(ToString::to_string).collect();
        (text(found.names), text(found.without_zone))
    }

    #[test]
    fn a_star_gets_one_certificate_and_hosts_below_it_none() {
        let hosts = ["shop.odoo.test", "*.odoo.test", "a.b.odoo.test", "acme.test", "odoo.test"];
        let (found, without_zone) = names(&hosts, &ALL, &[], &["odoo.test"]);
        assert_eq!(found, ["*.odoo.test", "a.b.odoo.test", "acme.test", "odoo.test"]);
        assert!(without_zone.is_empty());
    }

    #[test]
    fn a_star_without_a_zone_is_named_and_hosts_below_it_are_ordered() {
        let (found, without_zone) = names(&["shop.odoo.test", "*.odoo.test"], &ALL, &[], &["other.test"]);
        assert_eq!((found, without_zone), (vec!["shop.odoo.test".into()], vec!["*.odoo.test".into()]));
        let (_, without_zone) = names(&["*.odoo.test"], &[Challenge::Http01], &[], &["odoo.test"]);
        assert_eq!(without_zone, ["*.odoo.test"]);
    }

    #[test]
    fn what_a_folder_serves_and_what_no_certificate_names_is_left_out() {
        let hosts = ["acme.test", "globex.test", "192.0.2.1", "[2001:db8::1]", "under_score.test"];
        assert_eq!(names(&hosts, &ALL, &["acme.test"], &[]).0, ["globex.test"]);
        assert!(names(&["acme.test"], &[Challenge::Dns01], &[], &["other.test"]).0.is_empty());
    }
}
