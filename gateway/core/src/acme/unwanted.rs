//! Certificates that no host needs any more.

use super::moment::Moment;
use crate::host::HostPattern;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

/// Names whose certificates nobody wants, and since when.
///
/// A host may come back: a tenant file that is broken for a while, or a customer who thinks again. So a certificate is
/// given up only when nobody wanted it for a long time without a break.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unwanted(BTreeMap<HostPattern, Moment>);

impl Unwanted {
    /// Takes up what was noted before.
    #[must_use]
    pub fn new(names: impl Iterator<Item = (HostPattern, Moment)>) -> Self {
        Self(names.collect())
    }

    /// Looks at the names that have certificates, beside the hosts of the tenant table, and returns those that no host
    /// wanted for the whole of `grace`.
    pub fn look(
        &mut self,
        kept: impl Iterator<Item = HostPattern>,
        hosts: impl Iterator<Item = HostPattern>,
        now: Moment,
        grace: Duration,
    ) -> Vec<HostPattern> {
        let hosts: BTreeSet<HostPattern> = hosts.collect();
        let needed: BTreeSet<HostPattern> = hosts.iter().filter_map(star_above).collect();
        let wanted = |name: &HostPattern| {
            // A host may be served by its star's certificate, and the other way round until the star has one.
            hosts.contains(name)
                || needed.contains(name)
                || star_above(name).is_some_and(|star| hosts.contains(&star))
        };
        let before = core::mem::take(&mut self.0);
        let since = |name: HostPattern| {
            let since = before.get(&name).copied().unwrap_or(now);
            (name, since)
        };
        self.0 = kept.filter(|name| !wanted(name)).map(since).collect();
        let given_up = self.0.iter().filter(|(_, since)| now.since(**since) >= grace);
        given_up.map(|(name, _)| name.clone()).collect()
    }

    /// The names, and since when nobody wants them.
    pub fn iter(&self) -> impl Iterator<Item = (&HostPattern, Moment)> {
        self.0.iter().map(|(name, since)| (name, *since))
    }
}

/// The star that a host is below.
fn star_above(name: &HostPattern) -> Option<HostPattern> {
    let HostPattern::Exact(host) = name else { return None };
    let (_, suffix) = host.as_str().split_once('.')?;
    HostPattern::parse(&format!("*.{suffix}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(100);

    fn patterns(names: &[&str]) -> impl Iterator<Item = HostPattern> {
        names.iter().map(|name| HostPattern::parse(name).unwrap()).collect::<Vec<_>>().into_iter()
    }

    fn look(unwanted: &mut Unwanted, kept: &[&str], hosts: &[&str], now: i64) -> Vec<String> {
        let given_up = unwanted.look(patterns(kept), patterns(hosts), Moment(now), GRACE);
        given_up.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_certificate_is_given_up_when_nobody_wanted_it_for_the_whole_grace() {
        let mut unwanted = Unwanted::default();
        let kept = ["a.test", "b.test"];
        assert!(look(&mut unwanted, &kept, &["a.test"], 1_000).is_empty());
        assert!(look(&mut unwanted, &kept, &["a.test"], 1_099).is_empty());
        let mut later = Unwanted::new(unwanted.iter().map(|(name, since)| (name.clone(), since)));
        assert_eq!(look(&mut later, &kept, &["a.test"], 1_100), ["b.test"], "also by the next process");
        // Wanted in between, it begins anew.
        assert!(look(&mut unwanted, &kept, &kept, 1_099).is_empty());
        assert!(look(&mut unwanted, &kept, &["a.test"], 1_150).is_empty());
        assert_eq!(look(&mut unwanted, &kept, &["a.test"], 1_250), ["b.test"]);
        assert!(look(&mut unwanted, &["a.test"], &["a.test"], 9_000).is_empty());
        assert_eq!(unwanted, Unwanted::default(), "what is gone is forgotten");
    }

    #[test]
    fn what_may_still_serve_a_host_is_wanted() {
        for (kept, host) in
            [("*.odoo.test", "shop.odoo.test"), ("shop.odoo.test", "*.odoo.test"), ("odoo.test", "odoo.test")]
        {
            let mut unwanted = Unwanted::default();
            assert!(look(&mut unwanted, &[kept], &[host], 0).is_empty());
            assert!(look(&mut unwanted, &[kept], &[host], 1_000).is_empty(), "{kept} serves {host}");
        }
        let mut unwanted = Unwanted::default();
        look(&mut unwanted, &["*.odoo.test", "a.b.odoo.test"], &["odoo.test"], 0);
        let given_up = look(&mut unwanted, &["*.odoo.test", "a.b.odoo.test"], &["odoo.test"], 100);
        assert_eq!(given_up, ["a.b.odoo.test", "*.odoo.test"]);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_up() {
        let mut unwanted = Unwanted::default();
        assert!(look(&mut unwanted, &["a.test"], &[], 1_000).is_empty());
        assert!(look(&mut unwanted, &["a.test"], &[], 10).is_empty());
        assert_eq!(look(&mut unwanted, &["a.test"], &[], 1_100), ["a.test"]);
    }
}
