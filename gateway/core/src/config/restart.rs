//! What a reload cannot change.

use super::model::ProcessConfig;

/// Keys of the config that differ and that only a restart applies, in the order of the reference.
#[must_use]
pub fn needs_restart(old: &ProcessConfig, new: &ProcessConfig) -> Vec<&'static str> {
    // Taken apart so that a new setting cannot be forgotten here.
    let ProcessConfig {
        listeners,
        threads,
        connections,
        admin_socket,
        observe,
        drain,
        spool,
        state_directory,
        dns_zones,
        resolvers,
        acme,
        redis,
        nodes_address,
    } = old;
    [
        ("listeners", *listeners != new.listeners),
        ("threads", *threads != new.threads),
        ("connections", *connections != new.connections),
        ("admin", *admin_socket != new.admin_socket),
        ("observe", *observe != new.observe),
        ("drain", *drain != new.drain),
        ("spool", *spool != new.spool),
        ("state_directory", *state_directory != new.state_directory),
        ("dns_zones", *dns_zones != new.dns_zones),
        ("resolvers", *resolvers != new.resolvers),
        ("acme", *acme != new.acme),
        ("redis", *redis != new.redis),
        ("nodes.address", *nodes_address != new.nodes_address),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MAIN, config};
    use super::*;

    #[test]
    fn settings_of_the_process_are_named_and_those_of_the_fleet_are_not() {
        let tenants = [("t.yaml", "- { id: acme, hosts: [acme.test] }")];
        let old = config(MAIN, &tenants).process;
        let reloadable = MAIN.replace("10.0.0.11", "10.0.0.12") + "trusted_proxies: [10.0.0.0/8]\n";
        assert_eq!(needs_restart(&old, &config(&reloadable, &tenants).process), Vec::<&str>::new());
        let changed = MAIN.replace("8080", "8081")
            + "threads: 1\nconnections: { max: 100 }\nadmin: { socket: /tmp/s }\nobserve: { address: \"127.0.0.1:1\" }\ndrain: { timeout: 1s }\nstate_directory: state\n";
        let keys = needs_restart(&old, &config(&changed, &tenants).process);
        assert_eq!(
            keys,
            ["listeners", "threads", "connections", "admin", "observe", "drain", "state_directory"]
        );
    }
}
