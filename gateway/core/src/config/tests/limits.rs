//! Limits of tenants: those of the plan, with the tenant's own changes.

use super::{MAIN, config};
use crate::config::GatewayConfig;
use crate::host::HostKey;
use crate::limit::{Limits, Rate};

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
    };
    assert_eq!(of(&config, "small.test"), &small);
    let more = Limits { requests: Rate::new(5, 1, 40), websockets: Some(4), ..small };
    assert_eq!(of(&config, "more.test"), &more);
    assert_eq!(of(&config, "own.test"), &Limits { requests: Rate::new(7, 1, 7), ..Limits::default() });
    assert_eq!(config.fleet.limits.len(), 4, "equal limits are stored once");
}
