//! Sees to it that every name has a certificate that is good.

use super::account::account;
use super::answers::Answers;
use super::attempt::{Wish, issue};
use super::book::{AcmeFacts, Book, seed};
use super::https::Https;
use super::leaf::Leaf;
use super::pointing::Pointing;
use super::proof::Proofs;
use super::trouble::{StartError, Trouble};
use super::vault::{Lock, Vault};
use crate::certificates::CertificateStore;
use crate::dns::DnsZones;
use crate::snapshot::{Snapshot, SnapshotStore};
use crate::state_directory::StateDirectory;
use fleetgate_core::acme::{Challenge, Failure, Moment, Ordered, Window, registered_domain, wanted};
use fleetgate_core::config::{Acme, DnsZone};
use fleetgate_core::host::HostPattern;
use instant_acme::Account;
use jiff::Timestamp;
use rustls::crypto::ring;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest time between two looks: files of others change without an event.
const LOOK: Duration = Duration::from_secs(60);
/// Time until a lock that another process has is asked for again.
const LOCKED: Duration = Duration::from_secs(2);
/// How long an account is used before the server's directory is read again.
const ACCOUNT_AGE: Duration = Duration::from_secs(3_600);
/// Time between two questions about a renewal window (RFC 9773, section 4.3.2, recommends 6 hours).
const WINDOW_AGE: Duration = Duration::from_secs(6 * 3_600);
/// For a server that knows nothing of renewal windows: time until it is asked again.
const NO_WINDOW_AGE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Orders certificates, and renews them.
pub struct AcmeKeeper {
    settings: Acme,
    vault: Vault,
    store: Arc<CertificateStore>,
    https: Https,
    pointing: Option<Pointing>,
    proofs: Proofs,
    book: Mutex<Book>,
}

/// What the keeper works with once everything else is there.
#[derive(Clone)]
pub struct KeeperParts {
    /// Whose hosts need certificates.
    pub snapshots: Arc<SnapshotStore>,
    /// Folder of each listener that serves certificates of ACME.
    pub folders: Vec<Option<Arc<CertificateStore>>>,
    /// Challenges that listeners can answer.
    pub challenges: Vec<Challenge>,
    /// Ends the ordering.
    pub stop: CancellationToken,
}

/// What goes from one look to the next.
struct Look {
    parts: KeeperParts,
    account: Option<(Account, Instant)>,
}

impl AcmeKeeper {
    /// Reads what was kept. Paths are relative to the folder of the main file.
    ///
    /// # Errors
    /// [`StartError`] says what to change.
    pub fn open(
        settings: Acme,
        zones: &[DnsZone],
        main_folder: &Path,
        state: &StateDirectory,
        answers: Arc<Answers>,
    ) -> Result<Self, StartError> {
        let vault = Vault::open(state, &settings.directory)?;
        let folder = vault.certificates();
        let store = CertificateStore::open(folder, Arc::new(ring::default_provider()))
            .map_err(|source| StartError::Certificates { folder: folder.to_owned(), source })?;
        let directory_ca = settings.directory_ca.as_ref().map(|file| main_folder.join(&**file));
        let https = Https::new(directory_ca.as_deref())?;
        let pointing = Pointing::new(&settings)?;
        let (proofs, book) = (Proofs::new(answers, DnsZones::new(zones)?), Mutex::default());
        Ok(Self { settings, vault, store: Arc::new(store), https, pointing, proofs, book })
    }

    /// The certificates that were issued.
    #[must_use]
    pub fn store(&self) -> &Arc<CertificateStore> {
        &self.store
    }

    /// Begins to order, on a thread of its own.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self: &Arc<Self>, parts: KeeperParts) -> Result<(), StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let keeper = Arc::clone(self);
        let run = move || {
            loop {
                let look = Look { parts: parts.clone(), account: None };
                let kept = Arc::clone(&keeper).keep(look);
                if runtime.block_on(async { tokio::spawn(kept).await }).is_ok() {
                    return;
                }
                tracing::error!("ordering certificates panicked; it goes on in a minute");
                std::thread::sleep(LOOK);
            }
        };
        std::thread::Builder::new().name("acme".to_owned()).spawn(run)?;
        Ok(())
    }

    /// What operators see.
    #[must_use]
    pub fn facts(&self) -> AcmeFacts {
        self.book().facts(&self.settings.directory, self.settings.renew_at_percent, now())
    }

    async fn keep(self: Arc<Self>, mut look: Look) {
        let mut published = look.parts.snapshots.published();
        while !look.parts.stop.is_cancelled() {
            published.mark_unchanged();
            // An order that was begun is ended: its proof is in the zone.
            let pause = self.look(&mut look).await;
            tokio::select! {
                _ = timeout(pause, published.changed()) => {}
                () = look.parts.stop.cancelled() => {}
            }
        }
    }

    /// Does what is due now, one thing after the other, and says how long nothing will be.
    async fn look(&self, look: &mut Look) -> Duration {
        self.take_stock(look);
        if let Err(error) = self.give_up(look) {
            tracing::warn!(%error, "cannot look for certificates that nobody wants any more; it is tried again");
        }
        loop {
            if look.parts.stop.is_cancelled() {
                return Duration::ZERO;
            }
            let now = now();
            let percent = self.settings.renew_at_percent;
            let next = self.book().next(percent, now).map(|(name, at)| (name.clone(), at));
            if let Some((name, at)) = &next
                && *at <= now
            {
                match self.vault.lock() {
                    Ok(Some(lock)) => self.order(look, name, lock).await,
                    Ok(None) => return LOCKED,
                    Err(error) => {
                        let message = format!("the lock of orders cannot be taken: {error}");
                        self.note_failure(name, Trouble::new(Failure::Storage, message));
                    }
                }
                self.take_stock(look);
                continue;
            }
            let window = self.book().next_window(now).cloned();
            let Some(name) = window else {
                let due = next.map_or(LOOK, |(_, at)| at.since(now));
                return due.clamp(Duration::from_secs(1), LOOK);
            };
            self.ask_window(look, &name).await;
        }
    }

    /// Looks at what is wanted and what is there. Another process may have been here in between.
    fn take_stock(&self, look: &Look) {
        self.store.reload();
        let snapshot = look.parts.snapshots.load();
        let folders = &look.parts.folders;
        let in_folder = |name: &HostPattern| {
            let holds = |folder: &Option<Arc<CertificateStore>>| {
                folder.as_ref().is_some_and(|store| store.holds(name))
            };
            !folders.is_empty() && folders.iter().all(holds)
        };
        let hosts = hosts_of(&snapshot).into_iter();
        let wanted =
            wanted(hosts, &look.parts.challenges, in_folder, |host| self.proofs.reach(host.as_str()));
        let mut book = self.book();
        book.want(wanted);
        for (name, entry) in &mut book.names {
            let lifetime = self.store.of(name).and_then(|key| Leaf::of(&key)).map(|leaf| leaf.lifetime);
            if lifetime != entry.lifetime {
                // Whoever got it, the name has a new one.
                let failed_before = std::mem::take(&mut entry.failures);
                if lifetime.is_none() {
                    entry.failures = failed_before;
                }
                (entry.lifetime, entry.window, entry.ask_window_at) = (lifetime, None, Moment::default());
            }
        }
    }

    /// Gives certificates up that no host of a tenant has wanted for long.
    fn give_up(&self, look: &Look) -> io::Result<()> {
        // Whoever has the lock will look, too.
        let Some(_lock) = self.vault.lock()? else { return Ok(()) };
        let before = self.vault.unwanted();
        let mut unwanted = self.vault.unwanted();
        let kept = self.vault.names()?.into_iter();
        let hosts = hosts_of(&look.parts.snapshots.load());
        let given_up = unwanted.look(kept, hosts.into_iter(), now(), self.settings.unwanted_kept_for);
        if unwanted != before {
            self.vault.keep_unwanted(&unwanted)?;
        }
        for name in &given_up {
            self.vault.remove_certificate(name)?;
            tracing::info!(name = %name, "a certificate was given up: no tenant has its host any more");
        }
        if !given_up.is_empty() {
            self.store.reload();
        }
        Ok(())
    }

    async fn order(&self, look: &mut Look, name: &HostPattern, lock: Lock) {
        // What another process got while this one waited for the lock is as good.
        self.take_stock(look);
        let (percent, now) = (self.settings.renew_at_percent, now());
        let Some((renewal, failures)) = self.book().names.get(name).and_then(|entry| {
            let due = entry.due(percent, seed(name)) <= now;
            due.then_some((entry.lifetime.is_some(), entry.failures.count()))
        }) else {
            return;
        };
        let started = Instant::now();
        let ended = match self.prepare(name, renewal).await {
            Ok(None) => return,
            Ok(Some(())) => self.issue(look, name, failures).await,
            Err(trouble) => Err(trouble),
        };
        drop(lock);
        match ended {
            Ok(challenge) => {
                let mut book = self.book();
                book.issued = book.issued.saturating_add(1);
                let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(name = %name, challenge = challenge.as_str(), renewal, milliseconds, "a certificate was issued");
            }
            Err(trouble) => {
                // The server may be another one when it is back.
                look.account = None;
                self.note_failure(name, trouble);
            }
        }
    }

    /// Looks whether an order makes sense and is within the budget, and notes it. `None`: it has to wait.
    async fn prepare(&self, name: &HostPattern, renewal: bool) -> Result<Option<()>, Trouble> {
        let domain = registered_domain(host_of(name));
        let mut ledger = self.vault.ledger();
        let now = now();
        let at = ledger.may_order_at(domain, renewal, self.settings.budget, now);
        if at > now {
            if let Some(entry) = self.book().names.get_mut(name) {
                entry.held_until = at;
            }
            return Ok(None);
        }
        if let (Some(pointing), HostPattern::Exact(host)) = (&self.pointing, name) {
            pointing.check(host.as_str()).await?;
        }
        ledger.note(Ordered { at: now, domain: domain.into(), renewal });
        self.vault.keep_ledger(&ledger).map_err(|error| {
            Trouble::new(Failure::Storage, format!("what is ordered cannot be noted: {error}"))
        })?;
        Ok(Some(()))
    }

    async fn issue(&self, look: &mut Look, name: &HostPattern, failures: u32) -> Result<Challenge, Trouble> {
        let account = self.account(look).await?;
        let by_record = self.proofs.reach(host_of(name));
        let can = |way: &Challenge| way.fits(name) && (*way != Challenge::Dns01 || by_record);
        let ways = look.parts.challenges.iter().copied().filter(can);
        let ways: Vec<Challenge> = ways.collect();
        // After a failure the next way is tried.
        let turn = usize::try_from(failures).unwrap_or_default().checked_rem(ways.len()).unwrap_or_default();
        let challenge = ways.get(turn).copied().ok_or_else(|| {
            Trouble::new(Failure::Refused, "no challenge of `acme.challenges` can prove it")
        })?;
        let replaces = self.replaced(name);
        let wish = Wish { name: name.clone(), challenge, replaces };
        let pem = issue(&account, &wish, &self.proofs).await?;
        let unusable = |error: &dyn std::error::Error| {
            Trouble::new(Failure::Storage, format!("what the server issued cannot be used: {error}"))
        };
        let file = self.vault.file_of(name);
        self.store.check(&file, pem.as_bytes(), name).map_err(|error| unusable(&error))?;
        self.vault.keep_certificate(name, &pem).map_err(|error| unusable(&error))?;
        self.store.reload();
        Ok(challenge)
    }

    /// The certificate that an order replaces, if the server spoke of its renewal.
    fn replaced(&self, name: &HostPattern) -> Option<instant_acme::CertificateIdentifier<'static>> {
        self.book().names.get(name)?.window?;
        Leaf::of(&*self.store.of(name)?)?.identifier
    }

    async fn account(&self, look: &mut Look) -> Result<Account, Trouble> {
        if let Some((account, since)) = &look.account
            && since.elapsed() < ACCOUNT_AGE
        {
            return Ok(account.clone());
        }
        let account = account(&self.settings, &self.https, &self.vault).await?;
        look.account = Some((account.clone(), Instant::now()));
        Ok(account)
    }

    /// Asks when a certificate should be replaced.
    async fn ask_window(&self, look: &mut Look, name: &HostPattern) {
        let mut asked = (None, WINDOW_AGE);
        let identifier = self.store.of(name).and_then(|key| Leaf::of(&key)?.identifier);
        if let (Some(identifier), Ok(account)) = (identifier, self.account(look).await) {
            asked = match account.renewal_info(&identifier).await {
                Ok((info, _)) => {
                    let window = &info.suggested_window;
                    let (start, end) = (window.start.unix_timestamp(), window.end.unix_timestamp());
                    (Some(Window { start: Moment(start), end: Moment(end) }), WINDOW_AGE)
                }
                Err(instant_acme::Error::Unsupported(_)) => (None, NO_WINDOW_AGE),
                Err(error) => {
                    tracing::debug!(name = %name, %error, "the server does not say when to renew");
                    (None, WINDOW_AGE)
                }
            };
        }
        if let Some(entry) = self.book().names.get_mut(name) {
            (entry.window, entry.ask_window_at) = (asked.0.or(entry.window), now().after(asked.1));
        }
    }

    fn note_failure(&self, name: &HostPattern, trouble: Trouble) {
        let Trouble { failure, message, account_gone } = trouble;
        if account_gone && let Err(error) = self.vault.lay_account_aside() {
            tracing::error!(%error, "the server no longer knows the ACME account, and it cannot be laid aside");
        }
        let mut book = self.book();
        book.count(failure);
        let percent = self.settings.renew_at_percent;
        let Some(entry) = book.names.get_mut(name) else { return };
        entry.failures = entry.failures.and(failure, now());
        // Whoever fails for days is told of less and less often.
        if entry.failures.count().is_power_of_two() {
            let next_try = Timestamp::from_second(entry.due(percent, seed(name)).0).unwrap_or_default();
            tracing::warn!(
                name = %name,
                reason = failure.as_str(),
                %next_try,
                old_serves = entry.lifetime.is_some(),
                "no certificate was issued: {message}; {}",
                failure.remedy()
            );
        }
        entry.message = message;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hosts of all tenants.
fn hosts_of(snapshot: &Snapshot) -> Vec<HostPattern> {
    let hosts = snapshot.fleet.tenants.hosts();
    hosts.filter_map(|(host, _)| HostPattern::parse(&host.to_string()).ok()).collect()
}

/// A name without its star.
fn host_of(name: &HostPattern) -> &str {
    match name {
        HostPattern::Exact(host) | HostPattern::Suffix(host) => host.as_str(),
    }
}

fn now() -> Moment {
    Moment(Timestamp::now().as_second())
}
