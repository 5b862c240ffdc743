//! Limits of tenants: those of the plan, with the tenant's own changes.

use super::{MAIN, config};
use crate::config::GatewayConfig;
use crate::host::HostKey;
use crate::limit::{ClassLimits, Limits, Rate};
use crate::traffic::TrafficClass;

fn of<'a>(config: &'a GatewayConfig, host: &str) -> &'a Limits {
    let (host, _) = HostKey::parse(host.as_bytes()).unwrap();
    let tenant = config.fleet.tenants.resolve(&host).unwrap().tenant;
    Limits::at(&config.fleet.limits, tenant.limits)
}

#[test]
fn a_tenant_has_the_limits_of_its_plan_with_its_own_changes() {
    let main = format!(
        "{MAIN}plans: {{ small: {{ requests_per_second: 5, burst: 20, concurrent_requests: 2, websockets: 3 }}, \
         open: {{ websockets: 9 }} }}\n"
    );
    let tenants = "\
- { id: none, hosts: [none.test] }
- { id: small, hosts: [small.test], plan: small }
- { id: also, hosts: [also.test], plan: small }
- { id: more, hosts: [more.test], plan: small, limits: { burst: 40, websockets: 4 } }
- { id: own, hosts: [own.test], limits: { requests_per_second: 7 } }
";
    let config = config(&main, &[("t.yaml", tenants)]);
    assert_eq!(of(&config, "none.test"), &Limits::default());
    let small = Limits {
        plan: Some("small".into()),
        requests: Rate::new(5, 1, 20),
        concurrent_requests: Some(2),
        websockets: Some(3),
        ..Limits::default()
    };
    assert_eq!(of(&config, "small.test"), &small);
    let more = Limits { requests: Rate::new(5, 1, 40), websockets: Some(4), ..small };
    assert_eq!(of(&config, "more.test"), &more);
    assert_eq!(of(&config, "own.test"), &Limits { requests: Rate::new(7, 1, 7), ..Limits::default() });
    assert_eq!(config.fleet.limits.len(), 4, "equal limits are stored once");
}

#[test]
fn every_key_of_a_plan_reaches_its_meaning() {
    let main = format!(
        "{MAIN}plans:\n  all:\n    requests_per_second: 30\n    bytes_per_second: 1MiB\n    burst_bytes: 8MiB\n    \
         concurrent_requests: 9\n    classes:\n      rpc: {{ requests_per_second: 2, burst: 4, concurrent_requests: 3 }}\n      \
         report: {{ concurrent_requests: 1 }}\n    client: {{ requests_per_second: 5, burst: 6 }}\n    \
         session: {{ requests_per_second: 7 }}\n    api_key: {{ requests_per_second: 8 }}\n    \
         logins: {{ attempts_per_minute: 10, failures_per_minute: 11 }}\n    mails_per_hour: 12\n"
    );
    let tenants = "- { id: a, hosts: [a.test], plan: all, limits: { classes: { rpc: { burst: 5 } } } }\n";
    let config = config(&main, &[("t.yaml", tenants)]);
    let limits = of(&config, "a.test");
    assert_eq!(limits.bytes, Rate::new(1 << 20, 1, 8 << 20));
    let class = |class| limits.class(class).copied().unwrap();
    assert_eq!(
        class(TrafficClass::Rpc),
        ClassLimits { requests: Rate::new(2, 1, 5), concurrent_requests: Some(3) }
    );
    assert_eq!(class(TrafficClass::Report), ClassLimits { requests: None, concurrent_requests: Some(1) });
    assert_eq!(class(TrafficClass::Page), ClassLimits::default());
    assert_eq!(limits.client, Rate::new(5, 1, 6));
    assert_eq!(limits.session, Rate::new(7, 1, 7));
    assert_eq!(limits.api_key, Rate::new(8, 1, 8));
    assert_eq!(limits.login_attempts, Rate::new(10, 60, 10));
    assert_eq!(limits.login_failures, Rate::new(11, 60, 11));
    assert_eq!(limits.mails, Rate::new(12, 3_600, 12));
}
