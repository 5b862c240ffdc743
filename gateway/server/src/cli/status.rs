//! `status` and `reload` for people.

use crate::acme::AcmeFacts;
use crate::admin::{AdmissionStatus, BackendStatus, Phase, Status};
use crate::cluster::ClusterFacts;
use crate::reload::{HeldBack, ProblemNote, ReloadReport};
use std::fmt::Write;

/// Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _infallible = writeln!($text, $($arg)*); };
}

pub(super) fn text(status: &Status) -> String {
    let mut text = String::new();
    let phase = match status.phase {
        Phase::Serving => "serving",
        Phase::Draining => "draining",
    };
    line!(
        text,
        "fleetgate {} pid {}: {phase} for {}",
        status.version,
        status.pid,
        duration(status.uptime_seconds)
    );
    let config = &status.config;
    line!(
        text,
        "config     revision {} generation {}, {} tenants",
        config.revision,
        config.generation,
        config.tenants
    );
    problems(&mut text, &config.problems, &config.held_back, &config.restart_needed);
    if let Some(problem) = &status.usage_problem {
        line!(text, "PROBLEM    {problem}");
    }
    nodes_text(&mut text, status);
    for listener in &status.listeners {
        line!(text, "listening  {}", listener.address);
    }
    let certificates = &status.certificates;
    for problem in &certificates.problems {
        line!(text, "PROBLEM    {problem}; what served before, if anything did, serves on");
    }
    if let Some(first) = &certificates.ends_first {
        let (count, name, end) = (certificates.serving, &first.name, first.not_after);
        line!(text, "tls        certificates: {count}; the first to end is {name}, at {end}");
    }
    if let Some(acme) = &status.acme {
        acme_text(&mut text, acme);
    }
    line!(text, "clients    {} connections of {} at most", status.connections, status.connections_max);
    let spool = &status.spool;
    line!(
        text,
        "bodies     {} of {} in memory, {} of {} on disk",
        size(spool.memory_bytes),
        size(spool.memory_max),
        size(spool.disk_bytes),
        size(spool.disk_max)
    );
    for pool in &status.pools {
        let standby = match pool.standby.as_slice() {
            [] => String::new(),
            regions => format!(", standby {}", regions.join(", ")),
        };
        let region = pool.region.as_deref().unwrap_or("none");
        line!(text, "\npool {}: Odoo {} in {region}{standby}", pool.name, pool.odoo_version);
        if let Some(admission) = &pool.admission {
            line!(text, "  {}", admission_text(admission));
        }
        for backend in &pool.backends {
            line!(text, "  {}", backend_text(backend));
        }
    }
    if status.panics > 0 {
        line!(text, "\n{} panics; please report them: the log has the places", status.panics);
    }
    text
}

/// This node among others.
fn nodes_text(text: &mut String, status: &Status) {
    if let Some(cluster) = &status.cluster {
        cluster_text(text, cluster);
    }
    for gateway in &status.gateways {
        let heard =
            gateway.milliseconds_ago.map_or("never heard".to_owned(), |ago| format!("heard {ago} ms ago"));
        line!(text, "gateway    {}: {heard}", gateway.gateway);
        if let Some(problem) = &gateway.problem {
            line!(text, "PROBLEM    {}: {problem}", gateway.gateway);
        }
    }
}

fn cluster_text(text: &mut String, cluster: &ClusterFacts) {
    let ClusterFacts { node, redis, since, nodes, divided_tenants, problem } = cluster;
    line!(
        text,
        "nodes      {node} of {}; Redis is {redis} since {since}; {divided_tenants} tenants divided by demand",
        nodes.len()
    );
    if let Some(problem) = problem {
        line!(text, "PROBLEM    {problem}; each node goes on with the part it has");
    }
}

fn admission_text(admission: &AdmissionStatus) -> String {
    let waiting = admission.work.iter().filter(|work| work.waiting > 0);
    let waiting: Vec<String> = waiting.map(|work| format!("{} {}", work.waiting, work.class)).collect();
    let waiting = if waiting.is_empty() {
        "nobody waits".to_owned()
    } else {
        format!("waiting: {}", waiting.join(", "))
    };
    format!("{} of {} workers busy, {waiting}", admission.held, admission.workers)
}

fn acme_text(text: &mut String, acme: &AcmeFacts) {
    let waiting = match acme.over_budget {
        0 => String::new(),
        count => format!(", {count} wait for their budget"),
    };
    let AcmeFacts { names, served, directory, issued, .. } = acme;
    line!(
        text,
        "acme       {served} of {names} names have a certificate{waiting}; {issued} issued by {directory}"
    );
    for trouble in &acme.troubles {
        let old = if trouble.served { "the old certificate serves on" } else { "no certificate serves it" };
        line!(text, "PROBLEM    {}: {} ({}); {old}", trouble.name, trouble.message, trouble.reason);
        line!(text, "           {} Tried again at {}", trouble.advice, trouble.next_try);
    }
    if let more @ 1.. = acme.failing.saturating_sub(acme.troubles.len()) {
        line!(text, "           {more} more names have no new certificate; the log has them");
    }
    for star in &acme.without_zone {
        line!(text, "PROBLEM    {star}: no certificate can be ordered: a star needs `dns-01`");
    }
}

fn backend_text(backend: &BackendStatus) -> String {
    let failing = if backend.failing { "  REFUSES CONNECTIONS" } else { "" };
    let failures = match backend.connect_failures {
        0 => String::new(),
        count => format!(", {count} failed connections"),
    };
    format!(
        "{}  {} requests, {} on the bus ({}){failures}{failing}",
        backend.http, backend.http_in_flight, backend.websocket_in_flight, backend.websocket
    )
}

pub(super) fn reload_text(report: &ReloadReport) -> String {
    let mut text = String::new();
    line!(text, "{}: generation {}, revision {}", report.result, report.generation, report.revision);
    problems(&mut text, &report.problems, &report.held_back, &report.restart_needed);
    text
}

fn problems(text: &mut String, problems: &[ProblemNote], held_back: &[HeldBack], restart_needed: &[String]) {
    for problem in problems {
        line!(text, "PROBLEM    {}: {}", problem.place, problem.message);
    }
    for file in held_back {
        let serving = file.serving.as_deref().map_or("nothing of it serves".to_owned(), |revision| {
            format!("its revision {revision} serves instead")
        });
        line!(text, "HELD BACK  {} since {}: {serving}", file.path, file.since);
    }
    if !problems.is_empty() {
        line!(text, "           `fleetgate check` shows each problem with its source");
    }
    if !restart_needed.is_empty() {
        line!(text, "RESTART    changed, but only a restart applies: {}", restart_needed.join(", "));
    }
}

/// A size with its largest unit, cut off.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes >> 10),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes >> 20),
        1_073_741_824.. => format!("{} GiB", bytes >> 30),
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}
