use super::CertificateStore;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring;
use std::fs;
use std::path::Path;
use std::sync::Arc;

struct Made {
    chain: String,
    key: String,
}

fn make(names: &[&str]) -> Made {
    signed(CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap())
}

fn signed(params: CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    Made { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn write(folder: &Path, name: &str, made: &Made) {
    fs::write(folder.join(format!("{name}.crt")), &made.chain).unwrap();
    fs::write(folder.join(format!("{name}.key")), &made.key).unwrap();
}

fn open(folder: &Path) -> CertificateStore {
    CertificateStore::open(folder, Arc::new(ring::default_provider())).unwrap()
}

fn problem(store: &CertificateStore, name: &str) -> Option<String> {
    store.facts().into_iter().find(|facts| facts.name == name).unwrap().problem
}

#[test]
fn a_name_finds_its_own_certificate_then_that_of_its_suffix() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "acme", &make(&["acme.example.com", "shop.acme.test"]));
    let kubernetes = folder.path().join("wildcard");
    fs::create_dir(&kubernetes).unwrap();
    let made = make(&["*.example.com"]);
    fs::write(kubernetes.join("tls.crt"), &made.chain).unwrap();
    fs::write(kubernetes.join("tls.key"), &made.key).unwrap();
    let one_file = make(&["one.test"]);
    fs::write(folder.path().join("one.pem"), one_file.key + &one_file.chain).unwrap();
    let store = open(folder.path());
    let same = |one: &str, other: &str| Arc::ptr_eq(&store.find(one).unwrap(), &store.find(other).unwrap());
    assert!(same("acme.example.com", "ACME.Example.com"));
    assert!(same("acme.example.com", "shop.acme.test"));
    assert!(same("zen.example.com", "other.example.com"));
    assert!(!same("zen.example.com", "acme.example.com"));
    assert!(store.find("one.test").is_some());
    for name in ["example.com", "a.b.example.com", "acme.test", "", "*.example.com"] {
        assert!(store.find(name).is_none(), "{name}");
    }
}

#[test]
fn a_pair_that_breaks_is_named_and_keeps_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (good, other) = (make(&["acme.test"]), make(&["zen.test"]));
    write(folder.path(), "acme", &good);
    write(folder.path(), "zen", &other);
    let store = open(folder.path());
    let first = store.find("acme.test").unwrap();
    let files = [
        ("acme.key", other.key.as_str()),
        ("acme.crt", "no certificate"),
        ("acme.key", ""),
        ("acme.crt", ""),
    ];
    for (file, text) in files {
        write(folder.path(), "acme", &good);
        fs::write(folder.path().join(file), text).unwrap();
        store.reload();
        let problem = problem(&store, "acme").unwrap();
        assert!(problem.contains(file), "{problem}");
        assert!(store.find("acme.test").is_some() && store.find("zen.test").is_some());
    }
    write(folder.path(), "acme", &make(&["acme.test"]));
    store.reload();
    assert_eq!(problem(&store, "acme"), None);
    assert!(!Arc::ptr_eq(&first, &store.find("acme.test").unwrap()), "the new one serves");
    fs::remove_file(folder.path().join("acme.crt")).unwrap();
    store.reload();
    assert!(store.find("acme.test").is_none(), "what is gone does not serve");
}

#[test]
fn what_cannot_be_kept_is_refused_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let mut stapled = CertificateParams::new(vec!["acme.test".to_owned()]).unwrap();
    let feature = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
    stapled.custom_extensions.push(feature);
    write(folder.path(), "stapled", &signed(stapled));
    write(folder.path(), "nameless", &signed(CertificateParams::new(Vec::new()).unwrap()));
    let store = open(folder.path());
    assert!(problem(&store, "stapled").unwrap().contains("must-staple"));
    assert!(problem(&store, "nameless").unwrap().contains("names no host"));
    assert!(store.find("acme.test").is_none());
}

#[test]
fn of_two_for_a_name_the_one_that_ends_later_serves() {
    let folder = tempfile::tempdir().unwrap();
    let ending = |year| {
        let mut params = CertificateParams::new(vec!["acme.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        signed(params)
    };
    let (older, newer) = (ending(2040), ending(2050));
    write(folder.path(), "b-older", &older);
    write(folder.path(), "a-newer", &newer);
    let both = open(folder.path());
    fs::remove_file(folder.path().join("b-older.crt")).unwrap();
    let newer_alone = open(folder.path());
    let certificate = |store: &CertificateStore| store.find("acme.test").unwrap().cert.clone();
    assert_eq!(certificate(&both), certificate(&newer_alone));
}
