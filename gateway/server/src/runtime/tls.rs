//! Certificates of all listeners: from folders, and by ACME.

use super::error::StartError;
use crate::acme::{AcmeKeeper, Answers, KeeperParts};
use crate::certificates::CertificateStore;
use crate::front::{Certificates, Entrance, Passthrough, Peers, TlsFront};
use crate::snapshot::SnapshotStore;
use crate::state_directory::StateDirectory;
use fleetgate_core::acme::Challenge;
use fleetgate_core::config::{ListenAddress, ListenerConfig, ListenerTls, ProcessConfig};
use rustls::crypto::ring;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where the listeners' certificates come from.
pub(super) struct Tls {
    /// Folder of each listener, in the order of the config.
    folders: Vec<Option<Arc<CertificateStore>>>,
    /// Orders certificates, if any listener serves what it gets.
    pub(super) keeper: Option<Arc<AcmeKeeper>>,
    /// Proofs for the server of ACME.
    pub(super) answers: Arc<Answers>,
}

impl Tls {
    /// Reads the certificates. Folders are relative to that of the main file.
    pub(super) fn open(process: &ProcessConfig, main_folder: &Path) -> Result<Self, StartError> {
        let provider = Arc::new(ring::default_provider());
        let open = |listener: &ListenerConfig| {
            let Some(folder) = listener.tls.as_ref().and_then(|tls| tls.certificates.as_ref()) else {
                return Ok(None);
            };
            let folder = main_folder.join(&**folder);
            CertificateStore::open(&folder, Arc::clone(&provider))
                .map(|store| Some(Arc::new(store)))
                .map_err(|source| StartError::Certificates { folder, source })
        };
        let folders = process.listeners.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let answers = Arc::new(Answers::default());
        let used = process.listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.acme));
        let keeper = match process.acme.clone().filter(|_| used) {
            Some(settings) => {
                let state = StateDirectory::new(main_folder, &process.state_directory);
                Some(Arc::new(AcmeKeeper::open(
                    settings,
                    &process.dns_zones,
                    main_folder,
                    &state,
                    Arc::clone(&answers),
                )?))
            }
            None => None,
        };
        Ok(Self { folders, keeper, answers })
    }

    /// All stores of certificates.
    pub(super) fn stores(&self) -> Vec<Arc<CertificateStore>> {
        let issued = self.keeper.as_ref().map(|keeper| Arc::clone(keeper.store()));
        self.folders.iter().flatten().cloned().chain(issued).collect()
    }

    /// What happens to connections of each listener.
    pub(super) fn entrances(
        &self,
        process: &ProcessConfig,
        tenants: &Arc<SnapshotStore>,
    ) -> Result<Vec<Entrance>, StartError> {
        let with_folders = process.listeners.iter().zip(&self.folders);
        let entrance = |(listener, folder): (&ListenerConfig, &Option<Arc<CertificateStore>>)| {
            let tls = |tls: &ListenerTls| {
                let certificates = self.certificates(tls, folder.clone());
                match &listener.gateways {
                    Some(authorities) => TlsFront::for_gateways(certificates, tls, authorities),
                    None => TlsFront::new(certificates, tls, Arc::clone(tenants)),
                }
            };
            Ok(Entrance {
                tls: listener.tls.as_ref().map(tls).transpose()?,
                passthrough: Passthrough::new(&listener.passthrough),
                redirect_to_https: listener.redirect_to_https,
                peers: peers(listener),
                clocks: process.connections,
            })
        };
        with_folders.map(entrance).collect()
    }

    fn certificates(&self, tls: &ListenerTls, folder: Option<Arc<CertificateStore>>) -> Certificates {
        let keeper = self.keeper.as_ref().filter(|_| tls.acme);
        let acme = keeper.map(|keeper| (Arc::clone(keeper.store()), Arc::clone(&self.answers)));
        Certificates { folder, acme }
    }

    /// Begins to look at the folders, and to order what is missing until the process ends.
    pub(super) fn follow(
        &self,
        process: &ProcessConfig,
        snapshots: Arc<SnapshotStore>,
        stop: CancellationToken,
    ) -> Result<(), StartError> {
        for store in self.stores() {
            tokio::spawn(store.follow());
        }
        let (Some(keeper), Some(settings)) = (&self.keeper, &process.acme) else { return Ok(()) };
        let by_acme = |listener: &ListenerConfig| listener.tls.as_ref().is_some_and(|tls| tls.acme);
        let listeners = process.listeners.iter().zip(&self.folders);
        let folders = listeners.filter(|(listener, _)| by_acme(listener)).map(|(_, folder)| folder.clone());
        let plain = process.listeners.iter().any(|listener| listener.tls.is_none());
        let challenges = settings.challenges.iter().copied();
        let challenges = challenges.filter(|challenge| *challenge != Challenge::Http01 || plain).collect();
        keeper.start(KeeperParts { snapshots, folders: folders.collect(), challenges, stop })?;
        Ok(())
    }
}

fn peers(listener: &ListenerConfig) -> Peers {
    if listener.gateways.is_some() {
        return Peers::Gateways;
    }
    match &listener.address {
        ListenAddress::Tcp(_) => Peers::Network { balancers: listener.proxy_protocol.clone() },
        ListenAddress::Unix(unix) => Peers::Unix(unix.trust),
    }
}
