//! Every guard, from the outside.

mod body_size;
mod crawler_traps;
mod database_names;
mod hidden;

use super::*;
use crate::client_certificate::ClientCertificatesIndex;
use crate::guard::GuardsIndex;
use crate::host::{HostKey, HostPattern};
use crate::pool::PoolIndex;
use crate::tenant::{NameTemplate, Origin, Tenant, TenantState, TenantTable};

/// A request to the tenant `acme`, and the same to a tenant of a star, `shop1`, whose database is `db_shop1`.
struct Request<'a> {
    version: OdooVersion,
    target: &'a str,
    safe_method: bool,
    body: BodyLength,
    client: &'a str,
}

/// GET without a body, from an address that nobody allows.
fn get(target: &str) -> Request<'_> {
    let (safe_method, body) = (true, BodyLength::None);
    Request { version: OdooVersion::V19, target, safe_method, body, client: "192.0.2.1" }
}

/// POST of so many bytes.
fn post(target: &str, bytes: u64) -> Request<'_> {
    Request { safe_method: false, body: BodyLength::Known(bytes), ..get(target) }
}

impl Request<'_> {
    fn of(self, version: OdooVersion) -> Self {
        Self { version, ..self }
    }

    /// What the guards say to it at a host.
    fn at(&self, host: &str, guards: &Guards) -> Result<u64, Rejection> {
        let table = table();
        let (host, _) = HostKey::parse(host.as_bytes()).unwrap();
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let path = NormalPath::new(path.as_bytes())?;
        let class = TrafficClass::of(self.version, &path);
        let found = table.resolve(&host).unwrap();
        let client = self.client.parse().unwrap();
        guards.check(&Asked {
            found,
            version: self.version,
            class,
            path: &path,
            query: query.as_bytes(),
            safe_method: self.safe_method,
            body: self.body,
            client,
        })
    }

    /// The guard that refuses it at `acme.test`, if one does.
    fn refused(&self, guards: &Guards) -> Option<Guard> {
        match self.at("acme.test", guards) {
            Ok(_) => None,
            Err(Rejection::GuardDenied(guard) | Rejection::GuardHidden(guard)) => Some(guard),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn table() -> TenantTable {
    let mut builder = TenantTable::builder(2);
    for (host, database) in [("acme.test", "acme"), ("*.example.com", "db_{1}")] {
        let index = builder
            .add_tenant(Tenant {
                id: NameTemplate::tenant_id(database).unwrap(),
                database: NameTemplate::database(database).unwrap(),
                pool: PoolIndex(0),
                canonical_host: None,
                state: TenantState::Active,
                guards: GuardsIndex::default(),
                limits: crate::limit::LimitsIndex::default(),
                client_certificates: ClientCertificatesIndex::default(),
                origin: Origin::default(),
            })
            .unwrap();
        builder.add_host(&HostPattern::parse(host).unwrap(), index).unwrap();
    }
    builder.build()
}

#[test]
fn names_of_guards_are_unique_and_lead_to_an_answer() {
    let mut names: Vec<_> = Guard::ALL.iter().map(|guard| guard.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Guard::ALL.len());
    for guard in Guard::ALL {
        assert_eq!(guard.rejection().reason(), Some(guard.as_str()));
        assert!(matches!(guard.rejection().status(), 403 | 404), "{guard:?}");
    }
}

#[test]
fn without_settings_the_strict_ones_apply() {
    let none = Guards::at(&[], GuardsIndex(7));
    assert_eq!(get("/web/database/manager").refused(none), Some(Guard::DatabaseManager));
    assert_eq!(get("/web/login").refused(none), None);
}

#[test]
fn a_class_can_be_for_some_networks() {
    let mut guards = Guards::new();
    guards.allow.limit(TrafficClass::Rpc, vec!["10.0.0.0/8".parse().unwrap()]);
    guards.allow.limit(TrafficClass::Page, Vec::new());
    let from = |target, client| Request { client, ..get(target) }.refused(&guards);
    assert_eq!(from("/jsonrpc", "192.0.2.1"), Some(Guard::Addresses));
    assert_eq!(from("/fr/xmlrpc/2/object", "192.0.2.1"), Some(Guard::Addresses));
    assert_eq!(from("/jsonrpc", "10.1.2.3"), None);
    assert_eq!(from("/jsonrpc", "::ffff:10.1.2.3"), None, "IPv4 inside of IPv6");
    assert_eq!(from("/web/login", "10.1.2.3"), Some(Guard::Addresses), "an empty list is for nobody");
    assert_eq!(from("/web/static/x.js", "192.0.2.1"), None);
}
