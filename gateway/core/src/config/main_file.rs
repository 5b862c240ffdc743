//! The main file: what it means by itself, before any tenant.

use super::acme;
use super::connections;
use super::dns_zone;
use super::file::{FileConfig, Named, ObserveEntry, POOLS_MAX, PoolEntry, RegionEntry, WebhookEntry};
use super::guards::GuardChanges;
use super::limits::Plans;
use super::listen::{self, ListenAddress};
use super::model::{Drain, ListenerConfig, Observe, ProcessConfig, Spool, Webhook};
use super::nodes::{self, Nodes};
use super::pools::{self, Medium};
use super::problem::{Problem, Spot};
use super::read::{At, Lenient, Read, Reader, Step};
use super::redis;
use super::reference::References;
use super::tenants::TenantFile;
use super::yaml::{Document, Start};
use crate::pool::{Pool, PoolIndex, Region};
use core::net::SocketAddr;
use ipnet::IpNet;
use std::sync::Arc;

/// The main file, as much of it as is good.
#[derive(Debug, Clone)]
pub struct MainFile {
    pub(super) process: Option<ProcessConfig>,
    pub(super) regions: Vec<Region>,
    pub(super) pools: Pools,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) guards: GuardChanges,
    pub(super) plans: Plans,
    pub(super) quota_webhook: Option<Webhook>,
    pub(super) verdict_webhook: Option<Webhook>,
    pub(super) anchors: Vec<SocketAddr>,
    pub(super) nodes: Option<Nodes>,
    pub(super) tenants: Arc<TenantFile>,
    tenants_directory: Option<(Spot, Box<str>)>,
    sound: bool,
}

/// Pools by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    pub(super) good: Vec<Pool>,
    /// What each of them changes about guards.
    pub(super) guards: Vec<Option<GuardChanges>>,
    /// Every name that is written. `None`: the pool has a problem of its own.
    pub(super) names: Vec<(Box<str>, Option<PoolIndex>)>,
    /// Whether `names` is all there is to know: the main file could be read that far.
    pub(super) known: bool,
}

impl MainFile {
    /// Reads the main file. Every problem is returned; the file is used only when none of them is an error.
    ///
    /// `cores` is the default of `threads`.
    #[must_use]
    pub fn parse(name: &str, text: &str, world: &dyn References, cores: u16) -> (Self, Vec<Problem>) {
        let name: Arc<str> = name.into();
        let mut reader = Reader::new(&name, world);
        let mut document = Document::new(text, world);
        let written = match document.start() {
            Ok(Start::Node(node)) => FileConfig::read(&node, &mut reader),
            Ok(Start::Empty) => {
                reader.error(Spot::default(), "the file is empty".into(), Some(example_hint()));
                None
            }
            Ok(Start::List) => {
                let at = Spot { line: 1, column: 1 };
                reader.error(at, "the main file is a list, not a map of keys".into(), Some(example_hint()));
                None
            }
            Err(syntax) => {
                reader.syntax(syntax);
                None
            }
        };
        let mut main = match written {
            Some(written) => Self::check(&name, written, &mut reader, cores),
            None => Self::unreadable(&name),
        };
        main.sound = reader.error_count() == 0;
        (main, reader.finish())
    }

    /// What a main file that cannot be read says: nothing.
    fn unreadable(name: &Arc<str>) -> Self {
        let tenants = TenantFile {
            name: Arc::clone(name),
            entries: Vec::new(),
            sound: true,
            mentions: Box::default(),
            guards: Vec::new(),
            limits: Vec::new(),
            client_certificates: Vec::new(),
            inline: true,
        };
        Self {
            process: None,
            regions: Vec::new(),
            pools: Pools::default(),
            trusted_proxies: Vec::new(),
            guards: GuardChanges::default(),
            plans: Plans::default(),
            quota_webhook: None,
            verdict_webhook: None,
            anchors: Vec::new(),
            nodes: None,
            tenants: Arc::new(tenants),
            tenants_directory: None,
            sound: false,
        }
    }

    fn check(name: &Arc<str>, mut written: FileConfig, reader: &mut Reader<'_>, cores: u16) -> Self {
        let regions = written.regions.0.take().and_then(|list| check_regions(list.0, reader));
        let anchors = written.anchors.take().and_then(|anchors| anchors.0);
        let anchors = anchors.into_iter().flat_map(|anchors| anchors.0);
        let (medium, nodes) = check_nodes(&mut written, reader);
        let (nodes_address, nodes) = nodes.unzip();
        let pools = check_pools(written.pools.0.take(), regions.as_deref(), medium, reader);
        let trusted_proxies = written.trusted_proxies.0.take().map(|list| list.0).unwrap_or_default();
        let guards = written.guards.take().and_then(|guards| guards.0);
        let plans = Plans::check(written.plans.take(), reader);
        let webhook = |written: Option<Lenient<WebhookEntry>>| {
            let written = written.and_then(|webhook| webhook.0);
            written.map(|webhook| Webhook { target: webhook.url.0, secret: webhook.secret.0 })
        };
        let (quota_webhook, verdict_webhook) =
            (webhook(written.quota_webhook.take()), webhook(written.verdict_webhook.take()));
        let tenants = written.tenants.0.take().map(|list| list.0).unwrap_or_default();
        let tenants_directory = written
            .tenants_directory
            .take()
            .and_then(|folder| folder.value.0.map(|path| (folder.at, path.0)));
        Self {
            process: check_process(written, nodes_address, reader, cores),
            regions: regions.unwrap_or_default(),
            pools,
            trusted_proxies: trusted_proxies.into_iter().map(|network| network.0).collect(),
            guards: guards.map(GuardChanges::of).unwrap_or_default(),
            plans,
            quota_webhook,
            verdict_webhook,
            anchors: anchors.map(|server| server.0).collect(),
            nodes,
            tenants: Arc::new(TenantFile::inline(name, tenants, reader)),
            tenants_directory,
            sound: false,
        }
    }

    /// Whether the file was read without an error.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Name of the file, as the caller gave it.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.tenants.name
    }

    /// `tenants_directory` as written, and where.
    #[must_use]
    pub fn tenants_directory(&self) -> Option<(Spot, &str)> {
        self.tenants_directory.as_ref().map(|(at, path)| (*at, &**path))
    }
}

fn example_hint() -> String {
    "write at least `listeners:`, `regions:` and `pools:`; `config/fleetgate.yaml` is an example".into()
}

/// The regions; `None` when one of them has a problem, so that nobody can say which names exist.
fn check_regions(written: Vec<At<Lenient<RegionEntry>>>, reader: &mut Reader<'_>) -> Option<Vec<Region>> {
    let mut regions: Vec<(Spot, Region)> = Vec::with_capacity(written.len());
    let mut all_good = true;
    for (index, At { at, value: Lenient(entry) }) in written.into_iter().enumerate() {
        let Some(RegionEntry { name, standby }) = entry else {
            all_good = false;
            continue;
        };
        let taken = regions.iter().find(|(_, region)| region.name == name.0).map(|(at, _)| *at);
        if let Some(other) = taken {
            reader.inside(Step::Key("regions"), |reader| {
                reader.inside(Step::Index(index), |reader| {
                    let hint = "give each region a name of its own";
                    reader.conflict(
                        at,
                        other,
                        format!("the region `{}` is there twice", name.0),
                        Some(hint.into()),
                    );
                });
            });
        }
        regions.push((at, Region { name: name.0, standby }));
    }
    all_good.then(|| regions.into_iter().map(|(_, region)| region).collect())
}

/// How gateways hear each other, and the gateways of `nodes` with the address of this one.
fn check_nodes(
    written: &mut FileConfig,
    reader: &mut Reader<'_>,
) -> (Medium, Option<(At<SocketAddr>, Nodes)>) {
    match written.nodes.take() {
        Some(Lenient(entry)) => {
            let nodes = entry.and_then(|entry| nodes::check(entry, reader));
            (Medium::Nodes(nodes.as_ref().map(|(_, nodes)| nodes.gateways.len())), nodes)
        }
        None if written.redis.is_some() => (Medium::Redis, None),
        None => (Medium::None, None),
    }
}

fn check_pools(
    written: Option<Named<PoolEntry, POOLS_MAX>>,
    regions: Option<&[Region]>,
    medium: Medium,
    reader: &mut Reader<'_>,
) -> Pools {
    let Some(Named(written)) = written else { return Pools::default() };
    let mut pools = Pools { known: true, ..Pools::default() };
    for (at, name, entry) in written {
        let mut guards = None;
        let checked = entry.and_then(|mut entry| {
            guards = entry.guards.take().map(GuardChanges::of);
            let step = Step::Name(name.clone());
            reader.inside(Step::Key("pools"), |reader| {
                reader.inside(step, |reader| pools::check(at, &name, entry, regions, medium, reader))
            })
        });
        let index = checked.and_then(|pool| {
            let index = PoolIndex(u16::try_from(pools.good.len()).ok()?);
            pools.good.push(pool);
            pools.guards.push(guards);
            Some(index)
        });
        pools.names.push((name, index));
    }
    pools
}

fn check_process(
    written: FileConfig,
    nodes_address: Option<At<SocketAddr>>,
    reader: &mut Reader<'_>,
    cores: u16,
) -> Option<ProcessConfig> {
    let threads = match written.threads {
        Some(threads) => threads.0?.0,
        None => cores.max(1),
    };
    let listeners = listen::check(written.listeners.0?.0, reader);
    let acme = match written.acme {
        Some(Lenient(acme)) => acme::check(Some(acme?), &listeners, reader)?,
        None => acme::check(None, &listeners, reader)?,
    };
    let observe = match written.observe {
        Some(Lenient(observe)) => Some(check_observe(observe?, &listeners, reader)),
        None => None,
    };
    if let Some(nodes) = nodes_address {
        check_nodes_address(nodes, &listeners, observe.as_ref(), reader);
    }
    let connections = connections::check(written.connections.0?, reader);
    let redis = match written.redis {
        Some(Lenient(written)) => Some(redis::check(written?, reader)),
        None => None,
    };
    let dns_zones = dns_zone::check(written.dns_zones.0?.0, reader);
    let resolvers = match written.resolvers {
        Some(Lenient(resolvers)) => resolvers?.0,
        None => Vec::new(),
    };
    let drain = written.drain.0?;
    let spool = written.spool.0?;
    Some(ProcessConfig {
        listeners: listeners.into_iter().map(|(_, listener)| listener).collect(),
        threads,
        connections,
        admin_socket: written.admin.0?.socket.0,
        observe,
        drain: Drain { timeout: drain.timeout.0, websocket_spread: drain.websocket_spread.0 },
        spool: Spool {
            directory: spool.directory.0,
            memory_per_body: spool.memory_per_body.0,
            memory_max: spool.memory_max.0,
            disk_max: spool.disk_max.0,
            disk_max_per_tenant: spool.disk_max_per_tenant.0,
        },
        state_directory: written.state_directory.0?.0,
        dns_zones,
        resolvers: resolvers.into_iter().map(|server| server.0).collect(),
        acme,
        redis,
        nodes_address: nodes_address.map(|nodes| nodes.value),
    })
}

/// Gateways are asked where nobody else is.
fn check_nodes_address(
    nodes: At<SocketAddr>,
    listeners: &[(Spot, ListenerConfig)],
    observe: Option<&Observe>,
    reader: &mut Reader<'_>,
) {
    let address = nodes.value;
    let by_clients = listen::taken(listeners, &ListenAddress::Tcp(address)).is_some();
    let by_probes = address.port() != 0 && observe.is_some_and(|observe| observe.address == address);
    if by_clients || by_probes {
        let message = format!("somebody else is answered at `{address}`");
        let hint = "give the other gateways an address of their own";
        reader.inside(Step::Key("nodes"), |reader| {
            reader.inside(Step::Key("address"), |reader| {
                reader.error(nodes.at, message, Some(hint.into()));
            });
        });
    }
}

fn check_observe(
    written: ObserveEntry,
    listeners: &[(Spot, ListenerConfig)],
    reader: &mut Reader<'_>,
) -> Observe {
    if let Some(other) = listen::taken(listeners, &ListenAddress::Tcp(written.address.value.0)) {
        let message = format!("clients connect to `{}`", written.address.value.0);
        let hint = "give probes and metrics an address of their own";
        reader.inside(Step::Key("observe"), |reader| {
            reader.conflict(written.address.at, other, message, Some(hint.into()));
        });
    }
    let bearer_token = written.bearer_token.map(|secret| secret.0);
    Observe { address: written.address.value.0, bearer_token }
}
