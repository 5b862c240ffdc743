//! Files together: what each tenant's pool is, and that no host, id or database is claimed twice.

use super::guards::GuardSets;
use super::limits::{LimitSets, PlanChoice, Plans};
use super::main_file::{MainFile, Pools};
use super::model::{Fleet, GatewayConfig};
use super::problem::{Place, Problem, Severity, Spot, note};
use super::suggest;
use super::tenants::{Entry, EntryHost, TenantFile};
use crate::client_certificate::{ClientCertificates, ClientCertificatesIndex};
use crate::host::HostPattern;
use crate::limit::LimitsIndex;
use crate::pool::{DatabaseSelection, PoolIndex};
use crate::tenant::{NameTemplate, Origin, Tenant, TenantIndex, TenantTable, TenantTableBuilder};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Most tenant entries of a config.
const TENANTS_MAX: usize = 1_000_000;

/// A config, and what is wrong with it.
#[derive(Debug)]
pub struct Compiled {
    /// The config without the entries that have a problem. `None` when the main file is not sound.
    pub config: Option<GatewayConfig>,
    /// What is wrong between the files. Problems inside of a file were returned when it was parsed.
    pub problems: Vec<Problem>,
    /// Entries without a problem.
    pub tenants: usize,
    /// Hosts of those entries.
    pub hosts: usize,
}

/// Puts the main file and the files of tenants together. Where two claim the same, the earlier file wins.
#[must_use]
pub fn compile(main: &MainFile, files: &[Arc<TenantFile>]) -> Compiled {
    let sources: Vec<Source<'_>> = files.iter().map(|file| Source { file, hold: false }).collect();
    let (fleet, findings) = compile_files(main, &sources);
    let mut problems = Vec::new();
    findings.into_iter().for_each(|finding| note(&mut problems, finding.problem));
    let (tenants, hosts) = (fleet.tenants.len(), fleet.tenants.hosts().count());
    Compiled { config: config_of(main, fleet), problems, tenants, hosts }
}

/// The config, if the main file is sound.
pub(super) fn config_of(main: &MainFile, fleet: Fleet) -> Option<GatewayConfig> {
    let process = main.process.clone().filter(|_| main.is_sound())?;
    Some(GatewayConfig { process, fleet })
}

/// A file of tenants that takes part.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Arc<TenantFile>,
    /// Hosts of what cannot be served of the file are held back from stars.
    pub(super) hold: bool,
}

/// A problem between files, with who is part of it.
pub(super) struct Finding {
    pub(super) problem: Problem,
    /// Place of the file among the sources: 0 is the main file, then the others in their order.
    pub(super) source: usize,
    /// The file on the other side of a conflict.
    pub(super) other: Option<usize>,
    /// The host that both sides want.
    pub(super) host: Option<HostPattern>,
}

/// What all files say together, and every finding.
pub(super) fn compile_files(main: &MainFile, files: &[Source<'_>]) -> (Fleet, Vec<Finding>) {
    let inline = Source { file: &main.tenants, hold: false };
    let sources: Vec<Source<'_>> = core::iter::once(inline).chain(files.iter().copied()).collect();
    let tenants = sources.iter().map(|source| source.file.entries.len()).sum();
    let mut fleet = FleetBuilder {
        pools: &main.pools,
        guards: GuardSets::new(&main.guards, main.pools.guards.iter().map(Option::as_ref)),
        plans: &main.plans,
        limits: LimitSets::new(),
        client_certificates: Asked::default(),
        sources: &sources,
        table: TenantTable::builder(tenants),
        owners: Vec::with_capacity(tenants),
        ids: FxHashMap::with_capacity_and_hasher(tenants, rustc_hash::FxBuildHasher),
        fixed: FxHashMap::default(),
        left_out: Vec::new(),
        findings: Vec::new(),
    };
    for (source, Source { file, .. }) in sources.iter().enumerate() {
        for entry in &file.entries {
            fleet.add(Owner { source, entry });
        }
    }
    fleet.hold_left_out();
    let FleetBuilder { table, guards, limits, client_certificates, mut findings, .. } = fleet;
    if tenants == 0 && main.is_sound() && files.iter().all(|source| source.file.is_sound()) {
        findings.push(no_tenants(main));
    }
    let fleet = Fleet {
        regions: main.regions.clone(),
        pools: main.pools.good.clone(),
        tenants: table.build(),
        guards: guards.finish(),
        limits: limits.finish(),
        client_certificates: client_certificates.all,
        trusted_proxies: main.trusted_proxies.clone(),
        quota_webhook: main.quota_webhook.clone(),
        verdict_webhook: main.verdict_webhook.clone(),
        anchors: main.anchors.clone(),
        nodes: main.nodes.clone(),
        files: sources.iter().map(|source| Arc::clone(source.file.name())).collect(),
    };
    (fleet, findings)
}

fn no_tenants(main: &MainFile) -> Finding {
    let mut problem = Problem::about_file(
        main.name(),
        "there are no tenants, so every request is answered 421",
        Some("write `tenants:`, or `tenants_directory:` and files in it"),
    );
    problem.severity = Severity::Warning;
    Finding { problem, source: 0, other: None, host: None }
}

/// An entry and the file it stands in.
#[derive(Clone, Copy)]
struct Owner<'a> {
    source: usize,
    entry: &'a Entry,
}

/// Which pool an entry is for.
enum PoolChoice {
    Found(PoolIndex),
    /// The pool has a problem of its own, which was reported where it is.
    Broken,
    Wrong {
        at: Spot,
        message: String,
        hint: String,
    },
}

struct FleetBuilder<'a> {
    pools: &'a Pools,
    guards: GuardSets,
    plans: &'a Plans,
    limits: LimitSets,
    client_certificates: Asked,
    sources: &'a [Source<'a>],
    table: TenantTableBuilder,
    /// By the tenant's place in the table.
    owners: Vec<Owner<'a>>,
    ids: FxHashMap<&'a str, Owner<'a>>,
    /// The one database of a `fixed` pool, and who named it first.
    fixed: FxHashMap<PoolIndex, Owner<'a>>,
    /// Entries with a problem.
    left_out: Vec<Owner<'a>>,
    findings: Vec<Finding>,
}

impl<'a> FleetBuilder<'a> {
    /// Adds an entry whole, or reports why not.
    fn add(&mut self, owner: Owner<'a>) {
        let findings_before = self.findings.len();
        let entry = owner.entry;
        let pool = match self.pool(entry) {
            PoolChoice::Found(pool) => Some(pool),
            PoolChoice::Broken => None,
            PoolChoice::Wrong { at, message, hint } => {
                self.find(owner, "pool", at, message, hint, None);
                None
            }
        };
        if let Some(pool) = pool {
            self.check_fixed(owner, pool);
        }
        let limits = self.limits(owner);
        self.check_id(owner);
        for (index, host) in entry.hosts.iter().enumerate() {
            self.check_host(owner, index, host);
        }
        if self.owners.len() >= TENANTS_MAX {
            let hint = "use `*.suffix` hosts, or another gateway, for some of them".into();
            self.find(owner, "", entry.at, format!("there are more than {TENANTS_MAX} tenants"), hint, None);
        }
        // A broken pool leaves the entry in, for the hosts and ids it claims; such a config is not used.
        if self.findings.len() == findings_before {
            self.insert(owner, pool.unwrap_or_default(), limits);
        } else {
            self.left_out.push(owner);
        }
    }

    /// A host of an entry that is left out must not fall to a star, whose database may be another.
    fn hold_left_out(&mut self) {
        for owner in &self.left_out {
            let held = self.sources.get(owner.source).is_some_and(|source| source.hold);
            for host in owner.entry.hosts.iter().filter(|_| held) {
                if let HostPattern::Exact(host) = &host.pattern {
                    self.table.hold(host, origin(owner.source, owner.entry.at));
                }
            }
        }
        for (index, source) in self.sources.iter().enumerate().filter(|(_, source)| source.hold) {
            for host in &source.file.mentions {
                self.table.hold(host, origin(index, Spot::default()));
            }
        }
    }

    fn insert(&mut self, owner: Owner<'a>, pool: PoolIndex, limits: LimitsIndex) {
        let entry = owner.entry;
        let file = self.sources.get(owner.source).map(|source| source.file);
        let changes = file.and_then(|file| entry.guards(file));
        let asked = file.and_then(|file| entry.client_certificates(file));
        let tenant = Tenant {
            id: entry.id.clone(),
            database: database_of(entry),
            pool,
            canonical_host: entry.canonical_host.clone(),
            state: entry.state.clone(),
            guards: self.guards.of_tenant(usize::from(pool.0), changes),
            limits,
            client_certificates: asked
                .map_or_else(Default::default, |asked| self.client_certificates.place(asked)),
            origin: origin(owner.source, entry.at),
        };
        if let Some(index) = self.table.add_tenant(tenant) {
            self.owners.push(owner);
            self.ids.insert(entry.id.as_written(), owner);
            for host in &entry.hosts {
                // The host is free: it was looked up before.
                let _added = self.table.add_host(&host.pattern, index).is_ok();
            }
        }
    }

    /// The limits of an entry. Its findings say why there are none.
    fn limits(&mut self, owner: Owner<'a>) -> LimitsIndex {
        let entry = owner.entry;
        let plan = match entry.plan.as_ref().map(|(at, name)| (*at, name, self.plans.get(name))) {
            None => None,
            Some((.., PlanChoice::Found(name, plan))) => Some((name, plan)),
            Some((.., PlanChoice::Broken)) => return LimitsIndex::default(),
            Some((at, name, PlanChoice::Unknown)) => {
                let message = format!("no plan `{name}` is declared");
                let hint = match self.plans.names().next() {
                    Some(_) => suggest::hint(name, self.plans.names()),
                    None => "declare it below `plans:` in the main file".to_owned(),
                };
                self.find(owner, "plan", at, message, hint, None);
                return LimitsIndex::default();
            }
        };
        let changes = self.sources.get(owner.source).and_then(|source| entry.limits(source.file));
        match self.limits.of_tenant(plan, changes) {
            Ok(limits) => limits,
            Err(found) => {
                let key = format!("limits.{}", found.key);
                self.find(owner, &key, found.at, found.message, found.hint, None);
                LimitsIndex::default()
            }
        }
    }

    fn pool(&self, entry: &Entry) -> PoolChoice {
        if !self.pools.known {
            return PoolChoice::Broken;
        }
        let names = || self.pools.names.iter().map(|(name, _)| &**name);
        let index = match &entry.pool {
            Some((at, name)) => match self.pools.names.iter().find(|(known, _)| **known == **name) {
                Some((_, index)) => index,
                None => {
                    return PoolChoice::Wrong {
                        at: *at,
                        message: format!("no pool `{name}` is declared"),
                        hint: suggest::hint(name, names()),
                    };
                }
            },
            None => match &*self.pools.names {
                [(_, index)] => index,
                _ => {
                    return PoolChoice::Wrong {
                        at: entry.at,
                        message: "there is more than one pool, and the tenant names none".into(),
                        hint: format!("write `pool:` and {}", suggest::hint("", names())),
                    };
                }
            },
        };
        index.map_or(PoolChoice::Broken, PoolChoice::Found)
    }

    /// The tenants of a `fixed` pool share its one database.
    fn check_fixed(&mut self, owner: Owner<'a>, index: PoolIndex) {
        let Some(pool) = self.pools.good.get(usize::from(index.0)) else { return };
        if pool.database_selection != DatabaseSelection::Fixed {
            return;
        }
        let database = database_of(owner.entry);
        let at = owner.entry.database.as_ref().map_or(owner.entry.at, |(at, _)| *at);
        if database.has_placeholder() {
            let message =
                format!("the pool `{}` has one fixed database, and `{database}` stands for many", pool.name);
            let hint = "name the database, or use another `database_selection`".into();
            self.find(owner, "database", at, message, hint, None);
            return;
        }
        let first = *self.fixed.entry(index).or_insert(owner);
        let first_database = database_of(first.entry);
        if first_database != database {
            let message = format!(
                "the pool `{}` has one fixed database, and it is `{first_database}` already, not `{database}`",
                pool.name
            );
            let hint = "name the same database, or use another pool".into();
            let first_at = first.entry.database.as_ref().map_or(first.entry.at, |(at, _)| *at);
            self.find(owner, "database", at, message, hint, Some((first.source, first_at)));
        }
    }

    fn check_id(&mut self, owner: Owner<'a>) {
        let id = owner.entry.id.as_written();
        if let Some(first) = self.ids.get(id).copied() {
            let message = format!("the tenant id `{id}` is taken");
            let hint = "give each tenant an id of its own".into();
            self.find(owner, "id", owner.entry.at, message, hint, Some((first.source, first.entry.at)));
        }
    }

    fn check_host(&mut self, owner: Owner<'a>, index: usize, host: &'a EntryHost) {
        let Some(taken) = self.table.owner(&host.pattern) else { return };
        let Some(first) = self.owner(taken) else { return };
        let first_at = first
            .entry
            .hosts
            .iter()
            .find(|other| other.pattern == host.pattern)
            .map_or(first.entry.at, |host| host.at);
        let message =
            format!("the host `{}` belongs to the tenant `{}` already", host.pattern, first.entry.id);
        let hint = "a host leads to one database: remove it from one of the two".into();
        self.find(owner, &format!("hosts[{index}]"), host.at, message, hint, Some((first.source, first_at)));
        if let Some(finding) = self.findings.last_mut() {
            finding.host = Some(host.pattern.clone());
        }
    }

    fn owner(&self, index: TenantIndex) -> Option<Owner<'a>> {
        self.owners.get(index.position()).copied()
    }

    fn find(
        &mut self,
        owner: Owner<'a>,
        key: &str,
        at: Spot,
        message: String,
        hint: String,
        other: Option<(usize, Spot)>,
    ) {
        let Some(file) = self.sources.get(owner.source).map(|source| source.file) else { return };
        let prefix = if file.inline { "tenants" } else { "" };
        let dot = if key.is_empty() { "" } else { "." };
        let problem = Problem {
            severity: Severity::Error,
            place: Place { file: Arc::clone(&file.name), spot: at },
            key_path: format!("{prefix}[{}]{dot}{key}", owner.entry.index),
            message,
            hint: Some(hint),
            other_place: other.and_then(|(source, spot)| {
                let file = self.sources.get(source)?.file;
                Some(Place { file: Arc::clone(&file.name), spot })
            }),
        };
        let other = other.map(|(source, _)| source);
        self.findings.push(Finding { problem, source: owner.source, other, host: None });
    }
}

/// What tenants ask of clients' certificates: equal ones have one place.
#[derive(Default)]
struct Asked {
    all: Vec<ClientCertificates>,
    places: FxHashMap<ClientCertificates, ClientCertificatesIndex>,
}

impl Asked {
    fn place(&mut self, asked: &ClientCertificates) -> ClientCertificatesIndex {
        if let Some(known) = self.places.get(asked) {
            return *known;
        }
        self.all.push(asked.clone());
        // There are far fewer tenants than places.
        let index = ClientCertificatesIndex(u32::try_from(self.all.len()).unwrap_or_default());
        self.places.insert(asked.clone(), index);
        index
    }
}

fn origin(source: usize, at: Spot) -> Origin {
    Origin { file: u32::try_from(source).unwrap_or(u32::MAX), line: at.line }
}

fn database_of(entry: &Entry) -> NameTemplate {
    match &entry.database {
        Some((_, name)) => name.clone(),
        // The reader has checked that the id is a database name too.
        None => entry.id.clone(),
    }
}
