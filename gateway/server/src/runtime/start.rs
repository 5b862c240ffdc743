//! From a config file to a serving process.

use super::drain::Drainer;
use super::engine::{KEPT_BACKEND_CONNECTIONS, engine};
use super::error::StartError;
use super::tls::Tls;
use super::upgrade::upgrade;
use crate::admin::{
    AdminState, ListenerStatus, PhaseCell, Status, admin_router, bind_socket, observe_router,
};
use crate::admin_client::AdminClient;
use crate::cluster::Cluster;
use crate::config::{Loaded, Loader, open_files};
use crate::front::{Capacity, Front, FrontState, Inherited, ListenSocket, Listener, bind};
use crate::lookup::NameLookup;
use crate::nodes::Gateways;
use crate::proxy::{BackendConnections, DrainSchedule, Gateway, GatewayState};
use crate::region::{Medium, RegionMetrics, RegionWatch};
use crate::reload::Reloader;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::spool::{SpoolBounds, SpoolStore};
use crate::state_directory::StateDirectory;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::lines::LinesGuard;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::{operations, panic};
use crate::usage::{Claims, Usage};
use fleetgate_core::config::{GatewayConfig, ListenAddress, ProcessConfig, Spool};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Between two looks at how many workers the pools have, and who was there a moment ago.
const COUNT_WORKERS_EVERY: Duration = Duration::from_millis(100);

/// Runs the gateway until a signal ends it.
///
/// # Errors
/// [`StartError`] when it cannot begin to serve.
pub fn run(config_path: &Path, access_output: impl io::Write + Send + 'static) -> Result<(), StartError> {
    operations::start();
    panic::watch();
    // Read before any thread starts: taking over sockets clears variables of the environment.
    let mut inherited = Inherited::from_environment();
    let cores = std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok());
    let mut loader = Loader::new(config_path, cores.unwrap_or(1));
    let loaded = loader.load().map_err(|problems| {
        crate::reload::log_problems(&problems);
        StartError::Config
    })?;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let threads = usize::from(loaded.config.process.threads.max(1));
    let runtime = runtime.worker_threads(threads).thread_name("fleetgate").enable_all().build()?;
    let Loaded { config: GatewayConfig { process, fleet }, revision, files, problems } = loaded;
    let connections_max = process.connections.that_fit(open_files::raise());
    let store = Arc::new(SnapshotStore::new(Snapshot::build(fleet, &revision, None)));
    runtime.block_on(async move {
        // Heard before anybody can know that the process is there: an early SIGHUP would end it.
        let signals = Signals::listen()?;
        let (log, log_guard) = AccessLog::start(access_output)?;
        let main_folder = config_path.parent().unwrap_or(Path::new(""));
        let tls = Tls::open(&process, main_folder)?;
        let spool = Arc::new(spool_store(&process.spool)?);
        let usage = usage(&process, config_path, &store.load());
        let cluster = cluster(&process, main_folder, &store).await;
        let metrics =
            Arc::new(Metrics::new(Arc::clone(&store), Arc::clone(&spool), tls.stores(), log.lines())?);
        metrics.watch_orders(tls.keeper.clone())?;
        metrics.show_usage(Arc::clone(&usage))?;
        metrics.show_cluster(cluster.clone())?;
        let (store_of_reload, metrics_of_reload) = (Arc::clone(&store), Arc::clone(&metrics));
        let reload =
            Reloader::new(loader, store_of_reload, metrics_of_reload, process.clone(), &problems, &files);
        let state_directory = StateDirectory::new(main_folder, &process.state_directory);
        NameLookup::new(Arc::clone(&store), &process.resolvers, state_directory.clone()).start().await;
        let nodes =
            process.nodes_address.map(|address| bind_one(&ListenAddress::Tcp(address), &mut inherited));
        let nodes = nodes.transpose()?;
        let newest = AdminClient::new(Path::new(&*process.admin_socket));
        let regions = watch_regions(&store, &state_directory, newest, cluster.clone(), nodes.as_ref())?;
        // The first request must not find a region that only the config believes in.
        regions.first_look().await;
        metrics.show(RegionMetrics::new(Arc::clone(&regions))?)?;
        let server = {
            metrics.set_connections_max(connections_max);
            let capacity = Arc::new(Capacity::new(connections_max, process.connections.max_per_client));
            let shared = Shared {
                store,
                spool,
                usage,
                cluster,
                log,
                metrics,
                capacity,
                reload: Arc::new(reload),
                regions,
                nodes,
            };
            Server::start(process, inherited, tls, shared)?
        };
        server.until_signalled(signals, log_guard).await;
        Ok(())
    })
}

/// The signals that the process listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// What the parts of a process share.
struct Shared {
    store: Arc<SnapshotStore>,
    spool: Arc<SpoolStore>,
    usage: Arc<Usage>,
    /// `None`: this node is alone.
    cluster: Option<Arc<Cluster>>,
    log: AccessLog,
    metrics: Arc<Metrics>,
    capacity: Arc<Capacity>,
    reload: Arc<Reloader>,
    regions: Arc<RegionWatch>,
    /// Where the other gateways ask.
    nodes: Option<Listener>,
}

/// A serving process.
struct Server {
    process: ProcessConfig,
    reload: Arc<Reloader>,
    admin: Arc<AdminState>,
    sockets: Vec<Listener>,
    drainer: Drainer,
    /// Ends the listener for probes and metrics: they ask the process that takes new requests.
    handed_over: CancellationToken,
}

impl Server {
    fn start(
        process: ProcessConfig,
        inherited: Inherited,
        tls: Tls,
        shared: Shared,
    ) -> Result<Self, StartError> {
        let Shared { store, spool, usage, cluster, log, metrics, capacity, reload, regions, nodes } = shared;
        let (listeners, observe) = bind_all(&process, inherited)?;
        let all = || listeners.iter().chain(&observe).chain(&nodes);
        let listening = all().map(listener_status).collect();
        let kept = all().map(Listener::duplicate).collect::<io::Result<Vec<_>>>()?;
        let (draining_sender, draining) = watch::channel(false);
        let (drain_begun, stop_accepting) = (CancellationToken::new(), CancellationToken::new());
        let gateway = Gateway::new(Arc::new(GatewayState {
            answers: Arc::clone(&tls.answers),
            store: Arc::clone(&store),
            log,
            metrics: Arc::clone(&metrics),
            spool: Arc::clone(&spool),
            usage: Arc::clone(&usage),
            backends: BackendConnections::start(KEPT_BACKEND_CONNECTIONS),
            clocks: process.connections,
            draining: draining.clone(),
            drain: DrainSchedule { begun: drain_begun.clone(), spread: process.drain.websocket_spread },
        }));
        let proxy = Arc::new(engine(gateway, &process));
        let (connections, accepting) = (TaskTracker::new(), TaskTracker::new());
        let give_up_silent = CancellationToken::new();
        let front = Front::new(FrontState {
            proxy: Arc::clone(&proxy),
            metrics: Arc::clone(&metrics),
            capacity,
            idle_timeout: process.connections.idle_timeout,
            store: Arc::clone(&store),
            stop_accepting: stop_accepting.clone(),
            give_up_silent: give_up_silent.clone(),
            draining,
            connections: connections.clone(),
        });
        let phase = Arc::new(PhaseCell::default());
        let admin = Arc::new(AdminState {
            certificates: tls.stores(),
            keeper: tls.keeper.clone(),
            store: Arc::clone(&store),
            reload: Arc::clone(&reload),
            regions,
            usage: Arc::clone(&usage),
            cluster,
            metrics,
            spool: Arc::clone(&spool),
            phase: Arc::clone(&phase),
            listeners: listening,
            started: Instant::now(),
        });
        let handed_over = CancellationToken::new();
        tokio::spawn(Arc::clone(admin.store.load().accounts()).keep_swept());
        keep_usage(usage, &admin.store, admin.cluster.clone());
        serve_admin(&process, &admin, observe, handed_over.clone())?;
        tls.follow(&process, Arc::clone(&store), drain_begun.clone())?;
        for (listener, entrance) in listeners.into_iter().zip(tls.entrances(&process, &store)?) {
            accepting.spawn(front.clone().accept(listener.socket, Arc::new(entrance)));
        }
        let drainer = Drainer {
            phase,
            drain_begun,
            stop_accepting,
            listeners: accepting,
            give_up_silent,
            draining: draining_sender,
            connections,
            proxy,
            timeout: process.drain.timeout,
        };
        Ok(Self { process, reload, admin, sockets: kept, drainer, handed_over })
    }

    async fn until_signalled(self, mut signals: Signals, log_guard: LinesGuard) {
        let watching = Arc::clone(&self.reload).watch();
        let counting = tokio::spawn(count_workers(Arc::clone(&self.admin.store)));
        let cluster = self.admin.cluster.clone();
        let sharing = cluster.map(|cluster| {
            let (store, usage) = (Arc::clone(&self.admin.store), Arc::clone(&self.admin.usage));
            tokio::spawn(cluster.keep(store, usage))
        });
        self.announce();
        let mut taken_over = Vec::new();
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => { self.reload.reload().await; }
                _ = signals.quit.recv() => tokio::select! {
                    // Told to end while it waits for a successor, it ends without one.
                    _ = signals.terminate.recv() => break,
                    _ = signals.interrupt.recv() => break,
                    successor = self.hand_over() => if let Some(successor) = successor {
                        taken_over = successor.listeners;
                        break;
                    },
                }
            }
        }
        watching.abort();
        leave(self.sockets, &taken_over);
        end(self.drainer, &mut signals).await;
        counting.abort();
        if let (Some(cluster), Some(sharing)) = (&self.admin.cluster, sharing) {
            sharing.abort();
            // What is cut off may still be worked on: its workers are free when the lease has ended.
            if self.admin.store.load().admissions().all(|(_, admission)| admission.load().in_service == 0) {
                cluster.leave().await;
            }
        }
        self.admin.regions.resign();
        drop(log_guard);
    }

    /// Replaces the program; `None` when this process has to go on.
    async fn hand_over(&self) -> Option<Status> {
        match upgrade(&self.sockets, Path::new(&*self.process.admin_socket)).await {
            Ok(successor) => {
                self.handed_over.cancel();
                self.admin.usage.resign();
                self.admin.regions.resign();
                let pid = successor.pid;
                tracing::info!(pid, "a new process serves; this one ends what is in flight");
                Some(successor)
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the upgrade failed; this process goes on serving");
                None
            }
        }
    }

    fn announce(&self) {
        let addresses: Vec<&str> =
            self.admin.listeners.iter().map(|listener| listener.address.as_str()).collect();
        let snapshot = self.admin.store.load();
        tracing::info!(
            listening = addresses.join(" "),
            admin_socket = &*self.process.admin_socket,
            tenants = snapshot.fleet.tenants.len(),
            revision = &*snapshot.revision,
            "serving"
        );
        let ready = [sd_notify::NotifyState::Ready, sd_notify::NotifyState::MainPid(std::process::id())];
        if let Err(error) = sd_notify::notify(&ready) {
            tracing::debug!(%error, "no service manager was told");
        }
    }
}

/// Counts the workers of the pools again and again, until the task is aborted.
async fn count_workers(store: Arc<SnapshotStore>) {
    let mut ticks = tokio::time::interval(COUNT_WORKERS_EVERY);
    loop {
        ticks.tick().await;
        store.load().refresh_admission();
    }
}

/// Binds the listeners, and the one for probes and metrics, or takes them over.
fn bind_all(
    process: &ProcessConfig,
    mut inherited: Inherited,
) -> Result<(Vec<Listener>, Option<Listener>), StartError> {
    let mut bind_at = |address: &ListenAddress| bind_one(address, &mut inherited);
    let addresses = process.listeners.iter().map(|listener| &listener.address);
    let listeners = addresses.map(&mut bind_at).collect::<Result<Vec<_>, _>>()?;
    let observe = process.observe.as_ref().map(|observe| ListenAddress::Tcp(observe.address));
    Ok((listeners, observe.as_ref().map(bind_at).transpose()?))
}

fn bind_one(address: &ListenAddress, inherited: &mut Inherited) -> Result<Listener, StartError> {
    bind(address, inherited).map_err(|source| StartError::Listen { address: address.to_string(), source })
}

/// Watches the regions of pools, and decides about them with the other gateways, if there are some.
fn watch_regions(
    store: &Arc<SnapshotStore>,
    state: &StateDirectory,
    newest: AdminClient,
    cluster: Option<Arc<Cluster>>,
    nodes: Option<&Listener>,
) -> Result<Arc<RegionWatch>, StartError> {
    let Some(Listener { socket: ListenSocket::Tcp(socket), .. }) = nodes else {
        let medium = cluster.map_or(Medium::None, Medium::Redis);
        return Ok(RegionWatch::start(Arc::clone(store), state, newest, medium));
    };
    let (gateways, socket) = (Gateways::new(), socket.try_clone()?);
    let watch = RegionWatch::start(Arc::clone(store), state, newest, Medium::Nodes(Arc::clone(&gateways)));
    let said = Arc::downgrade(&watch);
    gateways.start(store, socket, move || said.upgrade().map(|watch| watch.say()).unwrap_or_default());
    Ok(watch)
}

/// Closes listening sockets. The files of those that no successor has are removed: they would lead to nobody.
fn leave(sockets: Vec<Listener>, taken_over: &[ListenerStatus]) {
    let left = |socket: &&Listener| taken_over.iter().all(|taken| taken.name != socket.configured);
    sockets.iter().filter(left).for_each(Listener::remove_file);
}

fn listener_status(listener: &Listener) -> ListenerStatus {
    ListenerStatus { name: listener.configured.clone(), address: listener.actual.clone() }
}

async fn end(drainer: Drainer, signals: &mut Signals) {
    tokio::select! {
        () = drainer.drain() => {}
        _ = signals.terminate.recv() => tracing::warn!("told to end twice; what is in flight is cut"),
        _ = signals.interrupt.recv() => tracing::warn!("told to end twice; what is in flight is cut"),
    }
}

/// Keeps usage, and tells about thresholds, as long as the process lives.
fn keep_usage(usage: Arc<Usage>, snapshots: &Arc<SnapshotStore>, cluster: Option<Arc<Cluster>>) {
    tokio::spawn(Arc::clone(&usage).keep());
    let snapshots = Arc::clone(snapshots);
    let claims = cluster.map(|cluster| -> Arc<dyn Claims> { cluster });
    tokio::spawn(usage.tell(move || snapshots.load().fleet.quota_webhook.clone(), claims));
}

/// The usage of tenants. Its folder is read before the first request, if there is a quota.
fn usage(process: &ProcessConfig, config_path: &Path, snapshot: &Snapshot) -> Arc<Usage> {
    let main_folder = config_path.parent().unwrap_or(Path::new(""));
    let usage = Usage::new(StateDirectory::new(main_folder, &process.state_directory));
    if snapshot.fleet.limits.iter().any(|limits| limits.quotas.is_some()) {
        usage.store().tell(snapshot.fleet.quota_webhook.is_some());
    }
    Arc::new(usage)
}

/// This node among others, if there are any. It has spoken to them before it serves, or has waited long enough for them.
async fn cluster(process: &ProcessConfig, main_folder: &Path, store: &SnapshotStore) -> Option<Arc<Cluster>> {
    let cluster = Arc::new(Cluster::new(process.redis.clone()?, main_folder));
    cluster.exchange(&store.load(), true).await;
    Some(cluster)
}

fn spool_store(config: &Spool) -> Result<SpoolStore, StartError> {
    let directory = Path::new(&*config.directory);
    let Spool { memory_per_body, memory_max, disk_max, disk_max_per_tenant, .. } = *config;
    let bounds = SpoolBounds { memory_per_body, memory_max, disk_max, disk_max_per_tenant };
    SpoolStore::new(directory, bounds)
        .map_err(|source| StartError::Spool { directory: directory.to_owned(), source })
}

fn serve_admin(
    process: &ProcessConfig,
    admin: &Arc<AdminState>,
    observe: Option<Listener>,
    handed_over: CancellationToken,
) -> Result<(), StartError> {
    let path = Path::new(&*process.admin_socket);
    let socket =
        bind_socket(path).map_err(|source| StartError::AdminSocket { path: path.to_owned(), source })?;
    let api = admin_router(Arc::clone(admin));
    tokio::spawn(async move { axum::serve(socket, api).await });
    if let Some(listener) = observe {
        let token = process.observe.as_ref().and_then(|observe| observe.bearer_token.clone());
        let router = observe_router(Arc::clone(admin), token);
        let ListenSocket::Tcp(socket) = listener.socket else { return Ok(()) };
        let socket = TcpListener::from_std(socket)?;
        let served = axum::serve(socket, router).with_graceful_shutdown(handed_over.cancelled_owned());
        tokio::spawn(served.into_future());
    }
    Ok(())
}
