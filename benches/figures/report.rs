//! The figures there are, and how they are printed.

use crate::{
    Failure, acme, admission, bad_http1, certificates, cpu, failover, fairness, fuzz, guards, h2_abuse,
    handshake, idle_tls, isolation, limit_change, limits, memory, nodes, quotas, reload, rpc, slow,
    slowloris, spoofs, upgrade,
};
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

/// A measured figure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: Unit,
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    Mebibytes,
    Kibibytes,
    Bytes,
    Ratio,
    Percent,
    Count,
}

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Mebibytes => "MiB",
            Self::Kibibytes => "KiB",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
            Self::Percent => "percent",
            Self::Count => "count",
        }
    }

    const fn decimals(self) -> usize {
        match self {
            Self::Bytes | Self::Count => 0,
            Self::Seconds | Self::Percent => 1,
            Self::Nanoseconds
            | Self::Microseconds
            | Self::Milliseconds
            | Self::Mebibytes
            | Self::Kibibytes => 1,
            Self::Ratio => 3,
        }
    }
}

/// What is measured together, or cannot be measured.
pub(crate) type Measured = Pin<Box<dyn Future<Output = Result<Vec<Figure>, Failure>>>>;

/// Figures that one run yields.
pub(crate) struct Group {
    pub(crate) names: &'static [&'static str],
    pub(crate) measure: fn() -> Measured,
}

/// All figures, in the order in which they are measured.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        names: &["admit_ns_10k_tenants", "admit_ns_100k_tenants", "admit_allocations"],
        measure: || Box::pin(admission::measure()),
    },
    Group {
        names: &["limit_check_ns_10k", "limit_check_ns_100k", "limit_check_ns_100k_2_threads"],
        measure: || Box::pin(limits::charging()),
    },
    Group {
        names: &["manager_block_spellings", "manager_block_leaks"],
        measure: || Box::pin(guards::of_the_database_manager()),
    },
    Group { names: &["proxy_cpu_vs_bare_pingora"], measure: || Box::pin(cpu::beside_bare_pingora()) },
    Group { names: &["worker_path_cpu_vs_nginx"], measure: || Box::pin(cpu::worker_path_beside_nginx()) },
    Group { names: &["proxy_cpu_vs_nginx"], measure: || Box::pin(cpu::beside_nginx()) },
    Group { names: &["proxy_cpu_vs_traefik"], measure: || Box::pin(cpu::beside_traefik()) },
    Group {
        names: &["rss_mib_10k_tenants"],
        measure: || Box::pin(memory::of_tenants("rss_mib_10k_tenants", 10_000)),
    },
    Group {
        names: &["rss_mib_100k_tenants"],
        measure: || Box::pin(memory::of_tenants("rss_mib_100k_tenants", 100_000)),
    },
    Group {
        names: &["bytes_per_idle_tenant"],
        measure: || Box::pin(memory::of_idle_tenants("bytes_per_idle_tenant", memory::LIMITS)),
    },
    Group {
        names: &["bytes_per_idle_tenant_with_quota"],
        measure: || Box::pin(memory::of_idle_tenants("bytes_per_idle_tenant_with_quota", memory::QUOTA)),
    },
    Group {
        names: &["limit_change_ms", "limit_change_by_reload_ms"],
        measure: || Box::pin(limit_change::durations()),
    },
    Group {
        names: &[
            "rate_error_percent_2_nodes",
            "rate_error_percent_2_nodes_over",
            "rate_error_percent_2_nodes_under",
        ],
        measure: || Box::pin(nodes::two()),
    },
    Group {
        names: &[
            "rate_error_percent_4_nodes",
            "rate_error_percent_4_nodes_over",
            "rate_error_percent_4_nodes_under",
        ],
        measure: || Box::pin(nodes::four()),
    },
    Group {
        names: &["redis_outage_failed_requests", "redis_outage_over_admission_percent"],
        measure: || Box::pin(nodes::outage()),
    },
    Group { names: &["counters_lost_kill9", "counters_counted"], measure: || Box::pin(quotas::over_kills()) },
    Group { names: &["reload_ms_10k_tenants"], measure: || Box::pin(reload::duration()) },
    Group {
        names: &["reload_failed_requests", "reload_lost_websockets"],
        measure: || Box::pin(reload::under_load()),
    },
    Group { names: &["tls_handshake_cpu_vs_nginx"], measure: || Box::pin(handshake::beside_nginx()) },
    Group { names: &["tls_handshake_cpu_vs_traefik"], measure: || Box::pin(handshake::beside_traefik()) },
    Group {
        names: &["sni_lookup_ns_10k_certs", "cert_reload_ms_10k", "rss_mib_10k_certs"],
        measure: || Box::pin(certificates::measure()),
    },
    Group { names: &["idle_conn_kib_tls"], measure: || Box::pin(idle_tls::memory()) },
    Group { names: &["slowloris_p99_ratio", "slowloris_held"], measure: || Box::pin(slowloris::measure()) },
    Group {
        names: &["h2_abuse_rss_mib", "h2_abuse_honest_failed"],
        measure: || Box::pin(h2_abuse::measure()),
    },
    Group { names: &["acme_issue_seconds"], measure: || Box::pin(acme::issue()) },
    Group { names: &["websocket_kib_each"], measure: || Box::pin(memory::of_websockets()) },
    Group {
        names: &[
            "bad_http1_vectors",
            "bad_http1_refused",
            "bad_http1_refused_nginx",
            "bad_http1_refused_haproxy",
            "bad_http1_laxer_than_nginx",
        ],
        measure: || Box::pin(bad_http1::beside_peers()),
    },
    Group {
        names: &["header_spoof_spellings", "header_spoof_leaks"],
        measure: || Box::pin(spoofs::of_headers()),
    },
    Group { names: &["upgrade_failed_requests"], measure: || Box::pin(upgrade::under_load()) },
    Group { names: &["rpc_guard_cpu_us_10kib"], measure: || Box::pin(rpc::everyday()) },
    Group { names: &["rpc_guard_rss_mib_100mib_body"], measure: || Box::pin(rpc::large()) },
    Group { names: &["fuzz_executions"], measure: || Box::pin(fuzz::executions()) },
    Group { names: &["isolation_requests", "isolation_leaks"], measure: || Box::pin(isolation::measure()) },
    Group {
        names: &[
            "slow_upload_worker_seconds",
            "slow_upload_worker_seconds_nginx",
            "slow_upload_worker_seconds_traefik",
        ],
        measure: || Box::pin(slow::uploads()),
    },
    Group {
        names: &[
            "slow_download_worker_seconds",
            "slow_download_worker_seconds_nginx",
            "slow_download_worker_seconds_traefik",
        ],
        measure: || Box::pin(slow::downloads()),
    },
    Group {
        names: &[
            "victim_p99_ratio_equal_cost",
            "victim_p99_ratio_equal_cost_haproxy",
            "victim_p99_ratio_equal_cost_traefik",
        ],
        measure: || Box::pin(fairness::equal_cost()),
    },
    Group {
        names: &[
            "victim_p99_ratio_long_jobs",
            "victim_p99_ratio_long_jobs_haproxy",
            "victim_p99_ratio_long_jobs_traefik",
        ],
        measure: || Box::pin(fairness::long_jobs()),
    },
    Group {
        names: &[
            "victim_p99_ratio_real_odoo",
            "victim_p99_ratio_real_odoo_haproxy",
            "victim_p99_ratio_real_odoo_traefik",
        ],
        measure: || Box::pin(fairness::real_odoo()),
    },
    Group {
        names: &["detect_ms_refused", "detect_ms_blackhole"],
        measure: || Box::pin(failover::detection()),
    },
    Group { names: &["switch_ms", "served_from_unpromoted"], measure: || Box::pin(failover::outage()) },
    Group {
        names: &[
            "failed_reads_backend_kill",
            "failed_reads_backend_kill_haproxy",
            "failed_reads_backend_kill_traefik",
            "writes_sent_twice",
            "writes_sent_twice_haproxy",
            "writes_sent_twice_traefik",
        ],
        measure: || Box::pin(failover::beside_peers()),
    },
    Group { names: &["websocket_reconnect_p99_ms"], measure: || Box::pin(failover::of_websockets()) },
    Group {
        names: &["probe_cpu_percent_1000_backends"],
        measure: || Box::pin(failover::thousand_backends()),
    },
    Group { names: &["false_failovers", "false_refusals"], measure: || Box::pin(failover::lost_packets()) },
    Group { names: &["split_brain"], measure: || Box::pin(failover::split_brain()) },
    Group { names: &["jain_index", "utilisation_lost_percent"], measure: || Box::pin(fairness::shares()) },
];

/// Prints figures as `name value unit`.
pub(crate) fn print(figures: &[Figure], only: Option<&str>) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    for figure in figures.iter().filter(|figure| only.is_none_or(|only| only == figure.name)) {
        let (value, decimals) = (figure.value, figure.unit.decimals());
        writeln!(output, "{} {value:.decimals$} {}", figure.name, figure.unit.as_str())?;
    }
    output.flush()
}

/// The middle value; of an even number of values, the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied()?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(values.len() / 2 - 1).map(|lower| f64::midpoint(*lower, upper))
}

/// The time that 99 of a hundred stay below.
pub(crate) fn p99(mut taken: Vec<Duration>) -> Duration {
    taken.sort_unstable();
    let place = (taken.len() * 99 / 100).min(taken.len().saturating_sub(1));
    taken.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn every_figure_has_a_name_of_its_own() {
        let mut names: Vec<_> = GROUPS.iter().flat_map(|group| group.names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
