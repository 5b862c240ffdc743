//! Host to tenant, in two look-ups at most.

use super::hosts::{Brief, HostTable};
use super::{Maintenance, NameTemplate, Origin, Tenant, TenantState};
use crate::client_certificate::ClientCertificatesIndex;
use crate::guard::GuardsIndex;
use crate::host::{HostKey, HostName, HostPattern};
use crate::pool::PoolIndex;

/// What clients of a held host are told: somebody is at work on the config.
const HELD_RETRY_AFTER_SECONDS: u32 = 60;

/// Place of a tenant entry in its [`TenantTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantIndex(pub(super) u32);

impl TenantIndex {
    /// Place in the order of the config, from 0.
    #[must_use]
    pub fn position(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// The tenants of one snapshot and the hosts they answer to.
#[derive(Debug, Default)]
pub struct TenantTable {
    tenants: Vec<Tenant>,
    hosts: HostTable,
}

/// The tenant of a host, with the label that a star matched.
#[derive(Debug, Clone, Copy)]
pub struct TenantMatch<'table, 'host> {
    /// Which entry.
    pub index: TenantIndex,
    /// The entry.
    pub tenant: &'table Tenant,
    /// First label of the host when the entry's host is a `*.suffix`.
    pub label: Option<&'host str>,
    brief: Brief,
}

/// What decisions ask of an entry. Most answers stand beside the host, and the entry itself, which in a large fleet is in
/// no cache, need not be read for them.
impl<'table> TenantMatch<'table, '_> {
    /// Pool of the entry.
    #[must_use]
    pub const fn pool(&self) -> PoolIndex {
        self.brief.pool
    }

    /// Settings of the entry's guards.
    #[must_use]
    pub const fn guards(&self) -> GuardsIndex {
        self.brief.guards
    }

    /// Whether its requests are served.
    #[must_use]
    pub const fn state(&self) -> &'table TenantState {
        if self.brief.plain { &TenantState::Active } else { &self.tenant.state }
    }

    /// What it asks of its clients' certificates.
    #[must_use]
    pub const fn client_certificates(&self) -> ClientCertificatesIndex {
        if self.brief.plain { ClientCertificatesIndex(0) } else { self.tenant.client_certificates }
    }

    /// Host that all other hosts of the entry redirect to.
    #[must_use]
    pub const fn canonical_host(&self) -> Option<&'table HostName> {
        if self.brief.plain { None } else { self.tenant.canonical_host.as_ref() }
    }
}

/// A host that already belongs to another entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTaken {
    /// Who has it.
    pub owner: TenantIndex,
}

impl TenantTable {
    /// Starts an empty table with room for a number of tenants.
    #[must_use]
    pub fn builder(tenants: usize) -> TenantTableBuilder {
        TenantTableBuilder {
            table: Self { tenants: Vec::with_capacity(tenants), hosts: HostTable::with_capacity(tenants) },
        }
    }

    /// Finds the tenant of a host: an exact host first, then `*.suffix` with one label in place of the star.
    #[must_use]
    pub fn resolve<'host>(&self, host: &'host HostKey) -> Option<TenantMatch<'_, 'host>> {
        let text = host.as_str();
        if let Some(brief) = self.hosts.find(false, text) {
            return self.entry(brief, None);
        }
        let (label, suffix) = text.split_once('.')?;
        // A label that starts with `_` or `-` would be no database name, and no certificate names such a host.
        let usable = label.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let brief = if usable { self.hosts.find(true, suffix)? } else { return None };
        self.entry(brief, Some(label))
    }

    fn entry<'host>(&self, brief: Brief, label: Option<&'host str>) -> Option<TenantMatch<'_, 'host>> {
        let tenant = self.get(brief.index)?;
        Some(TenantMatch { index: brief.index, tenant, label, brief })
    }

    /// The entry at a place.
    #[must_use]
    pub fn get(&self, index: TenantIndex) -> Option<&Tenant> {
        self.tenants.get(index.position())
    }

    /// All entries with their places, in the order of the config.
    pub fn iter(&self) -> impl Iterator<Item = (TenantIndex, &Tenant)> {
        self.tenants.iter().zip(0_u32..).map(|(tenant, at)| (TenantIndex(at), tenant))
    }

    /// Hosts of all entries, in the order in which they were added.
    pub fn hosts(&self) -> impl Iterator<Item = (HostPatternRef<'_>, TenantIndex)> {
        self.hosts
            .iter()
            .map(|record| (HostPatternRef { star: record.star, host: record.text() }, record.brief.index))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

/// A host of the table, printed as the config writes it.
#[derive(Debug, Clone, Copy)]
pub struct HostPatternRef<'a> {
    star: bool,
    host: &'a str,
}

impl core::fmt::Display for HostPatternRef<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(if self.star { "*." } else { "" })?;
        f.write_str(self.host)
    }
}

/// Builds a [`TenantTable`]; the table cannot change afterwards.
#[derive(Debug)]
pub struct TenantTableBuilder {
    table: TenantTable,
}

impl TenantTableBuilder {
    /// Adds an entry without hosts. `None` when the table holds 2^32 entries.
    pub fn add_tenant(&mut self, tenant: Tenant) -> Option<TenantIndex> {
        let index = TenantIndex(u32::try_from(self.table.tenants.len()).ok()?);
        self.table.tenants.push(tenant);
        Some(index)
    }

    /// Whose a host is so far.
    #[must_use]
    pub fn owner(&self, pattern: &HostPattern) -> Option<TenantIndex> {
        let (star, host) = parts(pattern);
        self.table.hosts.find(star, host).map(|brief| brief.index)
    }

    /// Gives a host to an entry.
    ///
    /// # Errors
    /// [`HostTaken`] when an entry has it already; the table is unchanged.
    pub fn add_host(&mut self, pattern: &HostPattern, owner: TenantIndex) -> Result<(), HostTaken> {
        let (star, host) = parts(pattern);
        self.insert(star, host, owner)
    }

    fn insert(&mut self, star: bool, host: &str, owner: TenantIndex) -> Result<(), HostTaken> {
        let Some(tenant) = self.table.get(owner) else { return Ok(()) };
        let plain = tenant.state == TenantState::Active
            && tenant.canonical_host.is_none()
            && tenant.client_certificates == ClientCertificatesIndex::default();
        let brief = Brief { index: owner, pool: tenant.pool, guards: tenant.guards, plain };
        self.table.hosts.insert(star, host, brief).map_err(|owner| HostTaken { owner })
    }

    /// Keeps an exact host from a star that covers it: the host gets an entry of its own, under maintenance for
    /// everybody. Nothing happens to a host that has an entry, or that no star covers.
    pub fn hold(&mut self, host: &HostName, origin: Origin) {
        let Ok((key, _)) = HostKey::parse(host.as_str().as_bytes()) else { return };
        let Some(TenantMatch { tenant, label: Some(label), .. }) = self.table.resolve(&key) else { return };
        let id = NameTemplate::tenant_id(&tenant.id.resolve(Some(label)));
        let held = Tenant {
            id: id.unwrap_or_else(|_| tenant.id.clone()),
            canonical_host: None,
            state: TenantState::Maintenance(Box::new(Maintenance {
                retry_after_seconds: HELD_RETRY_AFTER_SECONDS,
                message: None,
                allow: Vec::new(),
            })),
            origin,
            ..tenant.clone()
        };
        if let Some(index) = self.add_tenant(held) {
            // No entry has the host: the star's did.
            let _added = self.insert(false, host.as_str(), index).is_ok();
        }
    }

    /// The finished table.
    #[must_use]
    pub fn build(mut self) -> TenantTable {
        self.table.tenants.shrink_to_fit();
        self.table.hosts.shrink_to_fit();
        self.table
    }
}

/// Whether a pattern begins with a star, and the host behind it.
fn parts(pattern: &HostPattern) -> (bool, &str) {
    match pattern {
        HostPattern::Exact(host) => (false, host.as_str()),
        HostPattern::Suffix(suffix) => (true, suffix.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NameTemplate, Origin, TenantState};
    use super::*;
    use crate::client_certificate::ClientCertificatesIndex;
    use crate::pool::PoolIndex;

    fn tenant(id: &str) -> Tenant {
        Tenant {
            id: NameTemplate::tenant_id(id).unwrap(),
            database: NameTemplate::database(id).unwrap(),
            pool: PoolIndex::default(),
            canonical_host: None,
            state: TenantState::Active,
            guards: crate::guard::GuardsIndex::default(),
            limits: crate::limit::LimitsIndex::default(),
            client_certificates: ClientCertificatesIndex::default(),
            origin: Origin::default(),
        }
    }

    fn table(entries: &[(&str, &[&str])]) -> TenantTable {
        let mut builder = TenantTable::builder(entries.len());
        for (id, hosts) in entries {
            let index = builder.add_tenant(tenant(id)).unwrap();
            for host in *hosts {
                builder.add_host(&HostPattern::parse(host).unwrap(), index).unwrap();
            }
        }
        builder.build()
    }

    fn resolve(table: &TenantTable, host: &str) -> Option<String> {
        let (key, _) = HostKey::parse(host.as_bytes()).unwrap();
        table.resolve(&key).map(|found| found.tenant.database.resolve(found.label).into_owned())
    }

    #[test]
    fn an_exact_host_wins_over_a_suffix() {
        let table = table(&[("acme", &["acme.example.com", "shop.acme.test"]), ("{1}", &["*.example.com"])]);
        assert_eq!(resolve(&table, "ACME.example.com.:443").as_deref(), Some("acme"));
        assert_eq!(resolve(&table, "shop.acme.test").as_deref(), Some("acme"));
        assert_eq!(resolve(&table, "zen.example.com").as_deref(), Some("zen"));
    }

    #[test]
    fn a_star_stands_for_exactly_one_label() {
        let table = table(&[("{1}", &["*.example.com"])]);
        assert_eq!(resolve(&table, "a.b.example.com"), None);
        assert_eq!(resolve(&table, "example.com"), None);
        assert_eq!(resolve(&table, "-a.example.com"), None);
        assert_eq!(resolve(&table, "_a.example.com"), None);
    }

    #[test]
    fn an_unknown_host_has_no_tenant() {
        let table = table(&[("acme", &["acme.example.com"])]);
        assert_eq!(resolve(&table, "zen.example.com"), None);
        assert_eq!(resolve(&table, "localhost"), None);
        assert_eq!(resolve(&table, "[::1]"), None);
    }

    #[test]
    fn a_host_has_one_owner() {
        let mut builder = TenantTable::builder(2);
        let first = builder.add_tenant(tenant("acme")).unwrap();
        let second = builder.add_tenant(tenant("zen")).unwrap();
        let host = HostPattern::parse("shop.test").unwrap();
        assert_eq!(builder.add_host(&host, first), Ok(()));
        assert_eq!(builder.add_host(&host, second), Err(HostTaken { owner: first }));
    }

    #[test]
    fn a_held_host_is_out_of_reach_of_stars_and_takes_nothing_from_anybody() {
        let mut builder = TenantTable::builder(2);
        for (id, host) in [("{1}", "*.example.com"), ("acme", "acme.example.com")] {
            let index = builder.add_tenant(tenant(id)).unwrap();
            builder.add_host(&HostPattern::parse(host).unwrap(), index).unwrap();
        }
        for host in ["zen.example.com", "acme.example.com", "zen.example.net"] {
            builder.hold(&HostName::parse(host).unwrap(), Origin::default());
        }
        let table = builder.build();
        let state = |host: &str| {
            let (key, _) = HostKey::parse(host.as_bytes()).unwrap();
            table
                .resolve(&key)
                .map(|found| (found.tenant.id.to_string(), found.tenant.state == TenantState::Active))
        };
        assert_eq!(state("zen.example.com"), Some(("zen".into(), false)));
        assert_eq!(state("acme.example.com"), Some(("acme".into(), true)));
        assert_eq!(state("zen.example.net"), None);
        assert_eq!(state("other.example.com"), Some(("{1}".into(), true)));
    }
}
