//! Files over time: whatever is written, what was served by a file that did not change is served on.

use super::{MAIN, main_file, tenant_file};
use crate::config::{GatewayConfig, MainFile, Revisions, Running, TenantFile, compile, settle};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is written into a file at one step.
#[derive(Debug, Clone)]
enum Content {
    /// Tenants with these numbers; two files may claim one.
    Tenants(BTreeSet<u8>),
    /// No YAML.
    Broken,
    /// A list with an entry that is wrong.
    Wrong(BTreeSet<u8>),
    Deleted,
}

fn content() -> impl Strategy<Value = Content> {
    let tenants = || prop::collection::btree_set(0_u8..6, 0..4);
    prop_oneof![
        4 => tenants().prop_map(Content::Tenants),
        1 => Just(Content::Broken),
        1 => tenants().prop_map(Content::Wrong),
        1 => Just(Content::Deleted),
    ]
}

fn text(tenants: &BTreeSet<u8>) -> String {
    tenants.iter().map(|id| format!("- {{ id: t{id}, hosts: [h{id}.test] }}\n")).collect()
}

/// A file as the loader keeps it.
#[derive(Default)]
struct Kept {
    exists: bool,
    new: Option<Arc<TenantFile>>,
    last_good: Option<Arc<TenantFile>>,
    whole: bool,
}

impl Kept {
    fn write(&mut self, name: &str, content: &Content) {
        let parsed = |text: &str| Some(tenant_file(name, text).0);
        match content {
            Content::Tenants(tenants) => self.new = parsed(&text(tenants)),
            Content::Broken => self.new = parsed("- {"),
            Content::Wrong(tenants) => self.new = parsed(&(text(tenants) + "- { id: wrong }\n")),
            Content::Deleted => *self = Self::default(),
        }
        self.exists = !matches!(content, Content::Deleted);
    }
}

/// The file and the host of every tenant.
type Claims = BTreeSet<(String, String)>;

fn claims(file: &TenantFile) -> Claims {
    let hosts = file.entries.iter().flat_map(|entry| &entry.hosts);
    hosts.map(|host| (file.name.to_string(), host.pattern.to_string())).collect()
}

fn served_by(config: &GatewayConfig) -> Claims {
    let file_of = |index| {
        let origin = config.fleet.tenants.get(index).unwrap().origin;
        config.fleet.files[usize::try_from(origin.file).unwrap()].to_string()
    };
    config.fleet.tenants.hosts().map(|(host, index)| (file_of(index), host.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_that_did_not_change_loses_nothing(
        steps in prop::collection::vec(prop::collection::vec(prop::option::of(content()), 3), 1..8),
    ) {
        let main = Arc::new(main_file(MAIN).0);
        let mut files: [Kept; 3] = Default::default();
        for step in steps {
            let mut safe = BTreeSet::new();
            for (index, (file, change)) in files.iter_mut().zip(&step).enumerate() {
                match change {
                    Some(change) => file.write(&format!("t{index}.yaml"), change),
                    None if file.whole => safe.extend(file.last_good.as_deref().map(claims).unwrap_or_default()),
                    None => {}
                }
            }
            let present: Vec<usize> = (0..files.len()).filter(|&index| files[index].exists).collect();
            let revisions: Vec<Revisions<TenantFile>> = present
                .iter()
                .map(|&index| Revisions { new: files[index].new.clone(), last_good: files[index].last_good.clone(), from_start: false })
                .collect();
            let kept_main = Revisions { new: Some(Arc::clone(&main)), last_good: Some(Arc::clone(&main)), from_start: true };
            let settled = settle(&kept_main, &revisions).expect("the main file is sound");
            let served = served_by(&settled.config);
            prop_assert!(served.is_superset(&safe), "{safe:?} of unchanged files, but {served:?}");
            check_against_plain_compile(&main, &revisions, &served, &settled.files)?;
            for (&index, running) in present.iter().zip(&settled.files) {
                let file = &mut files[index];
                file.whole = *running == Running::New;
                if file.whole {
                    file.last_good = file.new.clone();
                }
                if *running == Running::LastGood {
                    let kept = file.last_good.as_deref().map(claims).unwrap_or_default();
                    prop_assert!(served.is_superset(&kept), "{kept:?} of the last good revision, but {served:?}");
                }
            }
        }
    }
}

/// Files that fit together are served as they are, all of them.
fn check_against_plain_compile(
    main: &MainFile,
    revisions: &[Revisions<TenantFile>],
    served: &Claims,
    running: &[Running],
) -> Result<(), TestCaseError> {
    let new: Vec<Arc<TenantFile>> = revisions.iter().filter_map(|file| file.new.clone()).collect();
    let all_sound = new.iter().all(|file| file.is_sound());
    let plain = compile(main, &new);
    if all_sound && plain.problems.iter().all(|problem| !problem.is_error()) {
        let wanted: Claims = new.iter().flat_map(|file| claims(file)).collect();
        prop_assert_eq!(served, &wanted);
        prop_assert!(running.iter().all(|running| *running == Running::New), "{:?}", running);
    }
    Ok(())
}
