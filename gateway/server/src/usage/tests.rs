use super::files::{CHECKPOINT, Care, journals, read_all};
use super::record::UsageKey;
use super::*;
use fleetgate_core::quota::{Meter, Quota, QuotaKey, QuotaTerms, Stage, Threshold, Totals};
use fleetgate_core::traffic::TrafficClass;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

fn terms(limit: u64) -> Arc<QuotaTerms> {
    let threshold = |percent, stage| Threshold { percent, stage, only: None };
    Arc::new(QuotaTerms {
        quotas: vec![Quota { key: QuotaKey::parse("requests_per_month").unwrap(), limit }],
        thresholds: vec![threshold(50, Stage::Warned), threshold(100, Stage::Stopped)],
        ..QuotaTerms::default()
    })
}

fn open(folder: &Path) -> Arc<UsageStore> {
    Arc::new(UsageStore::open(folder).unwrap())
}

fn request(store: &Arc<UsageStore>, tenant: &str, terms: &Arc<QuotaTerms>) -> Result<Charge, OverQuota> {
    Charge::request(store, &store.tenant(tenant), 1, terms, Some(TrafficClass::Page))
}

fn on_disk(folder: &Path, tenant: &str) -> Totals {
    read_all(folder, Care::Strict).unwrap().books.tenants[&UsageKey::of(tenant)].totals
}

#[test]
fn what_is_settled_is_in_the_files_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut charge = request(&store, "acme", &terms(10)).unwrap();
    charge.leaves(700);
    assert_eq!(on_disk(folder.path(), "acme"), Totals([1, 700, 0, 0]));
    charge.left(1_000);
    drop(charge);
    request(&store, "zen", &terms(10)).unwrap().refund_unless_reached();
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.tenant("acme").totals(), Totals([1, 1_000, 0, 0]));
    assert_eq!(store.tenant("zen").totals(), Totals::default());
}

#[test]
fn a_quota_admits_exactly_its_limit_from_many_threads_and_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let admit = |store: &Arc<UsageStore>| {
        let admit = || (0..200).filter(|_| request(store, "acme", &terms(1_000)).is_ok()).count();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(admit)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        })
    };
    assert_eq!(admit(&open(folder.path())), 800);
    let store = open(folder.path());
    assert_eq!((admit(&store), store.tenant("acme").stage()), (200, Stage::Stopped));
    let refused = request(&store, "acme", &terms(1_000)).unwrap_err();
    assert!((1..=3_600).contains(&refused.retry_after_seconds));
    assert_eq!(on_disk(folder.path(), "acme").of(Meter::Requests), 1_000);
    // Files cost no worker and say what is wrong.
    let file = Charge::request(&store, &store.tenant("acme"), 1, &terms(1_000), Some(TrafficClass::Static));
    assert!(file.is_ok());
}

#[test]
fn thresholds_are_told_once_over_restarts_and_folds() {
    let folder = tempfile::tempdir().unwrap();
    let terms = terms(4);
    for round in 0..6 {
        let store = open(folder.path());
        store.tell(true);
        store.maintain();
        assert!(store.is_keeper());
        drop(request(&store, "acme", &terms));
        assert_eq!(store.messages_waiting(), [0, 1, 1, 2, 2, 2][round], "{round}");
    }
    let store = open(folder.path());
    let waiting = store.waiting.lock().unwrap();
    let percents: Vec<u16> = waiting.iter().map(|message| message.percent).collect();
    assert_eq!(percents, [50, 100]);
    assert_eq!((waiting[1].used, waiting[1].limit, &*waiting[1].quota), (4, 4, "requests_per_month"));
}

#[test]
fn journals_are_folded_into_a_checkpoint_that_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let store = open(folder.path());
        for _ in 0..10 {
            drop(request(&store, "acme", &terms(1_000)).unwrap());
        }
    }
    assert_eq!(journals(folder.path()).unwrap().len(), 3);
    let store = open(folder.path());
    store.maintain();
    assert_eq!(journals(folder.path()).unwrap().len(), 1);
    assert_eq!(on_disk(folder.path(), "acme").of(Meter::Requests), 30);
    drop(store);
    // As a crash leaves it: the checkpoint is written, a folded journal is still there.
    let (number, path) = journals(folder.path()).unwrap().pop().unwrap();
    let copy = std::fs::read(&path).unwrap();
    open(folder.path()).maintain();
    assert!(!path.exists());
    std::fs::write(&path, copy).unwrap();
    assert_eq!(open(folder.path()).tenant("acme").totals().of(Meter::Requests), 30, "journal {number}");
}

#[test]
fn two_processes_count_together_and_one_of_them_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let terms = terms(10);
    let old = open(folder.path());
    drop(request(&old, "acme", &terms));
    let new = open(folder.path());
    [&old, &new].into_iter().for_each(|store| store.tell(true));
    assert!(old.is_keeper() && !new.is_keeper());
    drop(request(&new, "acme", &terms));
    old.resign();
    new.maintain();
    assert!(new.is_keeper());
    // The old one drains: what it serves still counts, and thresholds are told by the new one.
    for _ in 0..4 {
        drop(request(&old, "acme", &terms));
        old.maintain();
    }
    assert_eq!(old.messages_waiting(), 0);
    new.maintain();
    drop(request(&new, "acme", &terms));
    assert_eq!(new.tenant("acme").totals().of(Meter::Requests), 7);
    assert_eq!(new.messages_waiting(), 1);
    assert_eq!(journals(folder.path()).unwrap().len(), 2, "the journal of the old one is being written");
    drop(request(&old, "globex", &terms));
    drop(old);
    new.maintain();
    new.maintain();
    assert_eq!(new.tenant("globex").totals().of(Meter::Requests), 1);
    assert_eq!(journals(folder.path()).unwrap().len(), 1);
    assert_eq!(on_disk(folder.path(), "acme").of(Meter::Requests), 7);
}

#[test]
fn a_torn_end_is_left_out_and_damage_before_it_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let terms = terms(1_000);
    drop(request(&store, "acme", &terms));
    store.maintain();
    drop(request(&store, "acme", &terms));
    let (_, path) = journals(folder.path()).unwrap().pop().unwrap();
    let end = Scan::end(&path);
    drop(store);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff], end - 9).unwrap();
    let found = read_all(folder.path(), Care::Strict).unwrap();
    assert!(found.torn > 0);
    assert_eq!(found.books.tenants[&UsageKey::of("acme")].totals.of(Meter::Requests), 1);
    // The note of the tenant was on disk before.
    file.write_all_at(&[0xff], 60).unwrap();
    let refusal = UsageStore::open(folder.path()).unwrap_err().to_string();
    assert!(refusal.contains("journal-") && refusal.contains("fleetgate quota repair"), "{refusal}");
    assert!(read_all(folder.path(), Care::Lenient).is_ok());
}

#[test]
fn files_of_somebody_else_are_refused_and_left_alone() {
    for name in ["journal-000000000001", "journal-x", CHECKPOINT] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, "Dear diary,\n").unwrap();
        let refusal = UsageStore::open(folder.path()).unwrap_err();
        assert!(refusal.to_string().contains("move it"), "{refusal}");
        // Counting goes on all the same.
        let store = Arc::new(UsageStore::in_memory(folder.path(), refusal));
        assert_eq!((0..20).filter(|_| request(&store, "acme", &terms(5)).is_ok()).count(), 5);
        store.maintain();
        assert!(!store.is_durable());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Dear diary,\n");
    }
}

struct Scan;

impl Scan {
    /// Where the last frame of a journal ends.
    fn end(path: &Path) -> u64 {
        let bytes = std::fs::read(path).unwrap();
        u64::try_from(bytes.iter().rposition(|byte| *byte != 0).unwrap()).unwrap() / 8 * 8 + 8
    }
}

#[test]
fn without_space_for_a_journal_counting_goes_on_and_is_made_up_for_later() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("usage"), parent.path().join("away"));
    std::fs::create_dir(&folder).unwrap();
    let store = open(&folder);
    let terms = terms(1_000_000_000);
    drop(request(&store, "acme", &terms).unwrap());
    // No further journal can be made here, as on a full disk.
    std::fs::rename(&folder, &away).unwrap();
    std::fs::write(&folder, "").unwrap();
    let mut requests = 1;
    while store.is_durable() {
        drop(request(&store, "acme", &terms).unwrap());
        requests += 1;
        assert!(requests < 1_000_000, "a journal has no end");
    }
    for tenant in ["acme", "zen"] {
        drop(request(&store, tenant, &terms).unwrap());
    }
    store.maintain();
    assert!(!store.is_durable() && store.problem().is_some());
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&away, &folder).unwrap();
    store.maintain();
    assert_eq!((store.is_durable(), store.problem()), (true, None));
    assert_eq!(on_disk(&folder, "acme").of(Meter::Requests), requests + 1);
    assert_eq!(on_disk(&folder, "zen").of(Meter::Requests), 1);
}

#[test]
fn a_repair_keeps_what_can_be_read_and_puts_the_rest_aside() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for _ in 0..5 {
        drop(request(&store, "acme", &terms(100)).unwrap());
    }
    store.maintain();
    assert!(repair(folder.path()).unwrap_err().to_string().contains("end it first"));
    let (_, path) = journals(folder.path()).unwrap().pop().unwrap();
    let end = Scan::end(&path);
    drop(store);
    // One of the counts, which the mark behind it says was on disk.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff], end - 8 - 20).unwrap();
    assert!(UsageStore::open(folder.path()).is_err());
    let repaired = repair(folder.path()).unwrap();
    assert!(repaired.tenants == 1 && repaired.unreadable_bytes > 0, "{repaired:?}");
    assert!(repaired.aside.join(path.file_name().unwrap()).exists());
    assert_eq!(open(folder.path()).tenant("acme").totals().of(Meter::Requests), 4);
}
