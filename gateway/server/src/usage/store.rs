//! The usage of all tenants, and the folder that keeps it.
//!
//! One process at a time is the keeper: it says which thresholds fire, tidies the folder up and tells the world. During an
//! upgrade two processes count at once, each in a journal of its own, and their counts add up.

use super::act::Act;
use super::books::{ACTS_MAX, Book, Books, keep_act, wait};
use super::files::{CHECKPOINT, Care, Live, Until, UsageError, follow, read_all, read_ended, read_from};
use super::journal::{Journal, Written};
use super::message::Message;
use super::record::{Note, UsageKey, count_frame, note_frame};
use super::tenant::TenantUsage;
use crate::causes::with_causes;
use crate::state_directory::replace_file;
use arc_swap::ArcSwapOption;
use fleetgate_core::quota::{Balance, Ledger, Periods, Totals};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tenants whose usage is told apart, at most. Those beyond are counted together.
const TENANTS_MAX: usize = 250_000;
/// Stands for the tenants beyond.
const OTHERS: &str = "(others)";
/// File whose lock makes a process the keeper.
pub(super) const KEEPER: &str = "keeper";
/// File that names what is counted in the folder.
const EPOCH: &str = "epoch";
const EPOCH_CHARS: usize = 12;

/// Usage of all tenants.
#[derive(Debug)]
pub struct UsageStore {
    folder: PathBuf,
    journal: ArcSwapOption<Journal>,
    /// Held to change the journal.
    changing: Mutex<()>,
    tenants: Mutex<FxHashMap<UsageKey, Arc<TenantUsage>>>,
    periods: Mutex<Periods>,
    pub(super) acts: Mutex<VecDeque<Act>>,
    pub(super) waiting: Mutex<VecDeque<Message>>,
    live: Mutex<Vec<Live>>,
    /// Usage that could not be written down.
    unsaved: Mutex<FxHashMap<UsageKey, Totals>>,
    keeper: Mutex<Option<File>>,
    is_keeper: AtomicBool,
    /// Whether the process has handed over to another.
    resigned: AtomicBool,
    /// Counts the roles of the process: each assessment is of a config and a role.
    role: AtomicU64,
    failing: AtomicBool,
    /// What went wrong the last time.
    failure: Mutex<String>,
    /// Number of the latest journal that was found.
    found: u64,
    /// Journals that are full and not on disk yet.
    full: Mutex<Vec<Arc<Journal>>>,
    /// Whether journals could not be put together, so that it is said once.
    fold_failed: AtomicBool,
    /// Whether somebody is told about thresholds.
    telling: AtomicBool,
    /// Whether other nodes are told what is used.
    shared: AtomicBool,
    /// Tenants that they have to be told of.
    untold: Mutex<Vec<Arc<str>>>,
    /// Why nothing can be written down, when files were found that must not be touched.
    refusal: Option<UsageError>,
}

impl UsageStore {
    /// Reads a folder and begins a journal in it. On a full disk it begins when there is space again.
    ///
    /// # Errors
    /// The folder holds something that must not be overwritten, or cannot be read.
    pub fn open(folder: &Path) -> Result<Self, UsageError> {
        let found = read_all(folder, Care::Strict)?;
        if found.torn > 0 {
            tracing::warn!(
                bytes = found.torn,
                folder = %folder.display(),
                "the last second of usage before a loss of power is not whole; all before it is"
            );
        }
        let newest = found.journals.last().map_or(found.books.through, |(number, _)| *number);
        let (journal, failure) = match Journal::create(folder, newest) {
            Ok(journal) => (Some(journal), None),
            Err(error) => (None, Some(error)),
        };
        let mut periods = Periods::default();
        let Books { tenants, acts, waiting, .. } = found.books;
        let tenants = tenants.into_iter().map(|(key, book)| (key, Arc::new(restore(book, &mut periods))));
        let store = Self {
            tenants: Mutex::new(tenants.collect()),
            acts: Mutex::new(acts),
            waiting: Mutex::new(waiting),
            live: Mutex::new(found.live),
            found: newest,
            ..Self::empty(folder, journal, periods)
        };
        failure.iter().for_each(|error| store.fail(error));
        store.apply();
        Ok(store)
    }

    /// Counts in memory only, because the folder holds something that must not be overwritten.
    #[must_use]
    pub fn in_memory(folder: &Path, refusal: UsageError) -> Self {
        let store = Self::empty(folder, None, Periods::default());
        store.is_keeper.store(true, Ordering::Release);
        store.fail(&refusal);
        Self { refusal: Some(refusal), ..store }
    }

    fn empty(folder: &Path, journal: Option<Journal>, periods: Periods) -> Self {
        Self {
            folder: folder.to_owned(),
            journal: ArcSwapOption::from(journal.map(Arc::new)),
            changing: Mutex::default(),
            tenants: Mutex::default(),
            periods: Mutex::new(periods),
            acts: Mutex::default(),
            waiting: Mutex::default(),
            live: Mutex::default(),
            unsaved: Mutex::default(),
            keeper: Mutex::default(),
            is_keeper: AtomicBool::new(false),
            resigned: AtomicBool::new(false),
            role: AtomicU64::new(1),
            failing: AtomicBool::new(false),
            failure: Mutex::default(),
            found: 0,
            full: Mutex::default(),
            fold_failed: AtomicBool::new(false),
            telling: AtomicBool::new(false),
            shared: AtomicBool::new(false),
            untold: Mutex::default(),
            refusal: None,
        }
    }

    /// The usage of a tenant.
    #[must_use]
    pub fn tenant(&self, id: &str) -> Arc<TenantUsage> {
        let key = UsageKey::of(id);
        let mut tenants = held(&self.tenants);
        if let Some(known) = tenants.get(&key) {
            return Arc::clone(known);
        }
        if tenants.len() >= TENANTS_MAX && id != OTHERS {
            drop(tenants);
            return self.tenant(OTHERS);
        }
        let usage = Arc::new(TenantUsage::new(id.into(), Totals::default(), Ledger::default()));
        // Before anybody can count for it: a count without a name is nobody's.
        self.keep_note(&Note::Tenant { id: id.into() });
        tenants.insert(key, Arc::clone(&usage));
        usage
    }

    /// The usage of a tenant that has been counted.
    #[must_use]
    pub fn known(&self, id: &str) -> Option<Arc<TenantUsage>> {
        held(&self.tenants).get(&UsageKey::of(id)).cloned()
    }

    /// All tenants that have been counted, by id.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<TenantUsage>> {
        let mut all: Vec<_> = held(&self.tenants).values().cloned().collect();
        all.sort_unstable_by(|left, right| left.id().cmp(right.id()));
        all
    }

    /// Seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// What an assessment is of: a config, and a role of the process.
    pub(super) fn edition(&self, generation: u64) -> u64 {
        generation.saturating_add(self.role.load(Ordering::Acquire))
    }

    /// Whether this process says which thresholds fire.
    #[must_use]
    pub fn is_keeper(&self) -> bool {
        self.is_keeper.load(Ordering::Acquire)
    }

    /// Whether usage is being written down.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !self.failing.load(Ordering::Acquire)
    }

    /// Messages that wait to be delivered.
    #[must_use]
    pub fn messages_waiting(&self) -> usize {
        held(&self.waiting).len()
    }

    /// The message that has waited longest.
    pub(super) fn next_message(&self) -> Option<Message> {
        held(&self.waiting).front().filter(|_| self.is_keeper()).cloned()
    }

    /// A message has arrived, or is given up.
    pub(super) fn done(&self, id: &str) {
        held(&self.waiting).retain(|message| &*message.id != id);
        self.keep_note(&Note::Done { message: id.into() });
    }

    /// Lets all other messages go first.
    pub(super) fn put_last(&self, id: &str) {
        let mut waiting = held(&self.waiting);
        if let Some(message) = waiting.pop_front_if(|message| &*message.id == id) {
            waiting.push_back(message);
        }
    }

    /// What operators did, the oldest first.
    #[must_use]
    pub fn acts(&self) -> Vec<Act> {
        held(&self.acts).iter().cloned().collect()
    }

    /// Whether an act was done before, by its id. Where so many were done that old ones are forgotten, all old ones are.
    #[must_use]
    pub fn knows(&self, act: &Act) -> bool {
        let acts = held(&self.acts);
        let forgotten = acts.len() >= ACTS_MAX && acts.front().is_some_and(|oldest| act.time <= oldest.time);
        let same = |known: &Act| known.tenant == act.tenant && known.deed.id() == act.deed.id();
        forgotten || (act.deed.id().is_some() && acts.iter().any(same))
    }

    pub(super) fn keep_act(&self, act: Act) {
        tracing::info!(tenant = %act.tenant, author = %act.author, reason = %act.reason, deed = ?act.deed,
            "an operator changed what a tenant may use");
        self.keep_note(&Note::Acted(act.clone()));
        keep_act(&mut held(&self.acts), act);
    }

    /// Whether messages about thresholds are kept for somebody from now on.
    pub fn tell(&self, telling: bool) {
        self.telling.store(telling, Ordering::Relaxed);
    }

    /// Tells other nodes of all tenants that have been counted, and of what changes from now on.
    pub fn share(&self) {
        self.shared.store(true, Ordering::Release);
        for usage in self.all() {
            self.note_untold(&usage);
        }
    }

    /// Notes that other nodes have to be told of a tenant.
    pub(super) fn note_untold(&self, usage: &TenantUsage) {
        if self.shared.load(Ordering::Relaxed) && usage.is_newly_untold() {
            held(&self.untold).push(Arc::clone(usage.id()));
        }
    }

    /// Tenants that other nodes have to be told of, so many at most.
    #[must_use]
    pub fn take_untold(&self, most: usize) -> Vec<Arc<TenantUsage>> {
        let mut untold = held(&self.untold);
        let rest = untold.len().saturating_sub(most);
        let taken = untold.split_off(rest);
        drop(untold);
        taken.iter().filter_map(|id| self.known(id)).collect()
    }

    /// Tells other nodes again, because it is not certain that they heard.
    pub fn tell_again(&self, usage: &TenantUsage) {
        self.note_untold(usage);
    }

    /// What tells the usage that is counted in this folder from that of any other, for as long as the folder is there.
    #[must_use]
    pub fn epoch(&self) -> String {
        let path = self.folder.join(EPOCH);
        let known = std::fs::read_to_string(&path).ok().filter(|text| text.len() == EPOCH_CHARS);
        known.unwrap_or_else(|| {
            let epoch: String =
                uuid::Uuid::now_v7().simple().to_string().chars().skip(32 - EPOCH_CHARS).collect();
            if let Err(error) = replace_file(&path, epoch.as_bytes()) {
                tracing::warn!(%error, "usage that is counted here cannot be told from that after a restart");
            }
            epoch
        })
    }

    /// Why usage is not written down, and what to do; `None` while it is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        const IN_MEMORY: &str = "usage of quotas is counted in memory only";
        if let Some(refusal) = &self.refusal {
            return Some(format!("{IN_MEMORY}: {}; restart when that is mended", with_causes(refusal)));
        }
        (!self.is_durable()).then(|| {
            let failure = held(&self.failure);
            format!("{IN_MEMORY} until {} can be written to again: {failure}", self.folder.display())
        })
    }

    pub(super) fn with_periods<R>(&self, use_them: impl FnOnce(&mut Periods) -> R) -> R {
        use_them(&mut held(&self.periods))
    }

    /// Writes usage down.
    pub(super) fn keep_count(&self, key: UsageKey, more: Totals) {
        if self.is_durable() && self.write(&count_frame(key, more)) {
            return;
        }
        self.save_for_later(key, more);
    }

    fn save_for_later(&self, key: UsageKey, more: Totals) {
        let mut unsaved = held(&self.unsaved);
        let kept = unsaved.entry(key).or_default();
        *kept = kept.plus(more);
    }

    /// Writes down what follows from usage, with the messages that go out about it.
    pub(super) fn keep_ledger(&self, id: &str, ledger: &Ledger, fired: Vec<Message>) {
        let queued = if self.telling.load(Ordering::Relaxed) { fired } else { Vec::new() };
        let mut waiting = held(&self.waiting);
        queued.iter().cloned().for_each(|message| wait(&mut waiting, message));
        drop(waiting);
        self.keep_note(&Note::Ledger {
            id: id.into(),
            balances: ledger.balances.iter().map(Balance::record).collect(),
            grants: ledger.grants.clone(),
            queued,
        });
    }

    /// Writes a note down.
    pub(super) fn keep_note(&self, note: &Note) {
        let frame = note_frame(note);
        if frame.is_empty() || !self.write(&frame) {
            tracing::debug!("a note about usage was not written down");
        }
    }

    /// Writes a frame; false when it could not be.
    fn write(&self, frame: &[u8]) -> bool {
        loop {
            let journal = self.journal.load();
            let Some(journal) = journal.as_ref() else { return false };
            let failure = match journal.write(frame) {
                Written::Done => return true,
                Written::Failed(source) => UsageError::Io { path: journal.path.clone(), source },
                Written::Full => match self.change_journal(journal.number) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
            };
            self.fail(&failure);
            return false;
        }
    }

    fn fail(&self, error: &UsageError) {
        *held(&self.failure) = with_causes(error);
        if !self.failing.swap(true, Ordering::AcqRel) {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "usage is counted in memory only until it can be written down again");
        }
    }

    /// Begins the next journal, unless somebody else has.
    fn change_journal(&self, number: u64) -> Result<(), UsageError> {
        let _changing = held(&self.changing);
        let current = self.journal.load_full();
        if current.as_ref().is_some_and(|journal| journal.number != number) {
            return Ok(());
        }
        let next = Journal::create(&self.folder, number)?;
        self.journal.store(Some(Arc::new(next)));
        if let Some(journal) = current {
            journal.close();
            held(&self.full).push(journal);
        }
        Ok(())
    }

    /// Brings to disk what was written, takes up what failed, follows other processes and tidies up. Blocks; to be called
    /// once a second.
    pub fn maintain(&self) {
        self.apply();
        if let Err(error) = self.recover().and_then(|()| self.sync()) {
            self.fail(&error);
        }
        self.follow_others();
        if self.is_keeper() && self.refusal.is_none() {
            let folded = self.fold();
            let failed = folded.is_err();
            if let Err(error) = folded
                && !self.fold_failed.load(Ordering::Relaxed)
            {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "journals of usage cannot be put together; they are kept");
            }
            self.fold_failed.store(failed, Ordering::Relaxed);
        }
    }

    fn sync(&self) -> Result<(), UsageError> {
        let full = std::mem::take(&mut *held(&self.full));
        for journal in full.into_iter().chain(self.journal.load_full()) {
            journal.sync().map_err(UsageError::io(&journal.path))?;
        }
        Ok(())
    }

    /// Begins a journal anew after a failure, with what could not be written down.
    fn recover(&self) -> Result<(), UsageError> {
        if self.is_durable() || self.refusal.is_some() {
            return Ok(());
        }
        let number = self.journal.load().as_ref().map_or(self.found, |journal| journal.number);
        self.change_journal(number)?;
        let mut waiting: Vec<Message> = held(&self.waiting).iter().cloned().collect();
        for usage in self.all() {
            self.keep_note(&Note::Tenant { id: (**usage.id()).into() });
            self.keep_ledger(usage.id(), &usage.book().ledger, std::mem::take(&mut waiting));
        }
        // What is made up for is in the journal before anybody hears that all is well.
        if !self.make_up() {
            return Ok(());
        }
        self.failing.store(false, Ordering::Release);
        tracing::info!("usage is written down again");
        self.make_up();
        Ok(())
    }

    /// Writes down what could not be; false when some of it still cannot.
    fn make_up(&self) -> bool {
        let unsaved = std::mem::take(&mut *held(&self.unsaved));
        unsaved.into_iter().fold(true, |all, (key, more)| {
            let written = self.write(&count_frame(key, more));
            if !written {
                self.save_for_later(key, more);
            }
            all && written
        })
    }

    /// Tries to become the keeper.
    fn apply(&self) {
        if self.is_keeper() || self.resigned.load(Ordering::Acquire) {
            return;
        }
        let path = self.folder.join(KEEPER);
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        if let Ok(file) = file
            && file.try_lock().is_ok()
        {
            *held(&self.keeper) = Some(file);
            self.is_keeper.store(true, Ordering::Release);
            self.role.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Leaves the keeping to the process that serves from now on. What is in flight is still counted.
    pub fn resign(&self) {
        self.resigned.store(true, Ordering::Release);
        self.is_keeper.store(false, Ordering::Release);
        self.role.fetch_add(1, Ordering::AcqRel);
        drop(held(&self.keeper).take());
    }

    /// Reads what other processes have counted since.
    fn follow_others(&self) {
        let mut live = held(&self.live);
        live.retain_mut(|journal| {
            // Asked first: what is written after it was asked is read the next time.
            let ended = journal.file.try_lock_shared().is_ok();
            let Ok(bytes) = read_from(&journal.file, journal.at) else { return !ended };
            let mut books = Books::default();
            let until = if ended { Until::End } else { Until::Hole };
            journal.at = journal.at.saturating_add(follow(&mut books, &bytes, until));
            books.waiting.into_iter().for_each(|message| wait(&mut held(&self.waiting), message));
            books.acts.into_iter().for_each(|act| keep_act(&mut held(&self.acts), act));
            for (key, book) in books.tenants {
                self.take_over(key, book);
            }
            !ended
        });
    }

    /// Adds what another process knows about a tenant.
    fn take_over(&self, key: UsageKey, book: Book) {
        let known = held(&self.tenants).get(&key).cloned();
        let usage = known.unwrap_or_else(|| self.tenant(&book.id));
        usage.add(book.totals);
        self.note_untold(&usage);
        if !book.balances.is_empty() {
            let balances = book.balances.into_iter();
            let balances = self
                .with_periods(|periods| balances.map(|record| Balance::restore(record, periods)).collect());
            usage.book().ledger = Ledger { balances, grants: book.grants };
        }
        usage.look_again(self);
    }

    /// Puts ended journals into the checkpoint, up to the first that is being written.
    fn fold(&self) -> Result<(), UsageError> {
        let current = self.journal.load().as_ref().map_or(0, |journal| journal.number);
        let Some((mut books, folded)) = read_ended(&self.folder, current)? else { return Ok(()) };
        books.tenants.retain(|_, book| !book.id.is_empty());
        let path = self.folder.join(CHECKPOINT);
        replace_file(&path, &books.checkpoint()).map_err(UsageError::io(&path))?;
        for path in folded {
            std::fs::remove_file(&path).map_err(UsageError::io(&path))?;
        }
        Ok(())
    }
}

fn restore(book: Book, periods: &mut Periods) -> TenantUsage {
    let balances = book.balances.into_iter().map(|record| Balance::restore(record, periods));
    let ledger = Ledger { balances: balances.collect(), grants: book.grants };
    TenantUsage::new(book.id.into(), book.totals, ledger)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
