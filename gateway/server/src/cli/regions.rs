//! `regions` for people.

use crate::admin::RegionList;
use crate::region::{BackendReport, CheckReport, GatewayReport, OverruledReport, PoolReport, RegionReport};
use std::fmt::Write;

/// Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _infallible = writeln!($text, $($arg)*); };
}

/// One block a pool, one line a region.
pub(super) fn text(list: &RegionList) -> String {
    let mut text = String::new();
    if list.dry_run {
        line!(text, "a dry run: nothing was changed; this is how it would be");
    }
    if list.pools.is_empty() {
        line!(text, "no pool is watched: `health.enabled` is false for all of them");
    }
    for pool in &list.pools {
        heading(&mut text, pool);
        for region in &pool.regions {
            line!(text, "  {}", region_text(region));
        }
    }
    text
}

/// Everything about one pool: each signal, since when, and what would happen next.
pub(super) fn explain_text(name: &str, list: &RegionList) -> String {
    let mut text = String::new();
    let Some(pool) = list.pools.iter().find(|pool| pool.pool == name) else {
        line!(text, "no pool `{name}` is watched; there are {}", names(list));
        return text;
    };
    heading(&mut text, pool);
    for overruled in &pool.overruled {
        let OverruledReport { region, seconds_ago, words } = overruled;
        line!(text, "  MOVED to {region} {seconds_ago} s ago, although it was not ready: {words}");
    }
    line!(text, "\n  {}", pool.next);
    for region in &pool.regions {
        line!(text, "\n  {}", region_text(region));
        let database = &region.database;
        let saw = if database.saw.is_empty() { "never asked" } else { &database.saw };
        line!(text, "    database  {} for {} s: {saw}", database.verdict, database.since_seconds);
        if let Some(login) = &region.login {
            let saw = if login.saw.is_empty() { String::new() } else { format!(" ({})", login.saw) };
            line!(text, "    login     {}{saw}: {}", login.verdict, login.means);
        }
        for check in &region.checks {
            let CheckReport { check, standing, since_seconds, saw, consequence } = check;
            let saw = if saw.is_empty() { "it has not run yet" } else { saw };
            let means = if standing == "passing" { String::new() } else { format!("; {consequence}") };
            line!(text, "    check     {check} {standing} for {since_seconds} s: {saw}{means}");
        }
        for name in &region.names {
            let problem = name.problem.as_ref().map(|problem| format!("  PROBLEM: {problem}"));
            let (leads, problem) = (name.addresses.join(", "), problem.unwrap_or_default());
            let known = name.remembered.map(|at| format!(", as of {at}, before this start"));
            line!(text, "    name      {} leads to {leads}{}{problem}", name.name, known.unwrap_or_default());
        }
        for backend in &region.backends {
            line!(text, "    backend   {} {}", backend.backend, backend.verdict);
            if let Some(draining) = &backend.draining {
                let by = by(&draining.author, &draining.reason);
                line!(text, "              DRAINING since {}{by}", draining.since);
            }
            signals(&mut text, backend);
        }
    }
    if !pool.gateways.is_empty() {
        line!(text, "\n  other gateways");
    }
    for gateway in &pool.gateways {
        line!(text, "    {}", gateway_text(gateway));
    }
    if !pool.moves.is_empty() {
        line!(text, "\n  moves");
    }
    for done in &pool.moves {
        line!(text, "    {} s ago from {} to {}: {}", done.seconds_ago, done.from, done.to, done.cause);
    }
    text
}

fn gateway_text(gateway: &GatewayReport) -> String {
    let grants = gateway.grants.as_deref().unwrap_or("none yet");
    let heard = match (gateway.milliseconds_ago, &*gateway.node) {
        (Some(ago), node) => format!("{node} is for {grants}, {ago} ms ago"),
        (None, "") => "they are not heard".to_owned(),
        (None, node) => format!("{node} is not heard"),
    };
    let problem = gateway.problem.as_ref().map(|problem| format!("  PROBLEM: {problem}"));
    heard + &problem.unwrap_or_default()
}

fn heading(text: &mut String, pool: &PoolReport) {
    let serving = pool.regions.iter().find(|region| Some(&region.region) == pool.serving.as_ref());
    let alarm = match serving.map(serving_backends) {
        _ if pool.route != "serve" => "  <-- NOBODY CAN SAVE ANYTHING",
        Some(0) => "  <-- NO BACKEND SERVES",
        _ => "",
    };
    line!(text, "pool {}: {}{alarm}", pool.pool, pool.means);
    if let Some(seconds) = pool.conflict_seconds {
        line!(text, "  FENCED for {seconds} s");
    }
    if let Some(until) = &pool.frozen_until {
        line!(text, "  FROZEN until {until}: it does not move by itself");
    }
    if let Some(pin) = &pool.pin {
        let until = pin.expires.map(|expires| format!(" until {expires}")).unwrap_or_default();
        line!(text, "  PINNED to {} since {}{until}{}", pin.region, pin.since, by(&pin.author, &pin.reason));
    }
}

fn by(author: &str, reason: &str) -> String {
    let author = if author.is_empty() { String::new() } else { format!(" by {author}") };
    let reason = if reason.is_empty() { "no reason was given" } else { reason };
    format!("{author}: {reason}")
}

fn serving_backends(region: &RegionReport) -> usize {
    region.backends.iter().filter(|backend| !["down", "draining"].contains(&&*backend.verdict)).count()
}

fn region_text(region: &RegionReport) -> String {
    let up = serving_backends(region);
    let why = region.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    format!(
        "{}: {}{why}, database {}, {up} of {} backends serve",
        region.region,
        region.verdict,
        region.database.verdict,
        region.backends.len()
    )
}

fn signals(text: &mut String, backend: &BackendReport) {
    for signal in &backend.signals {
        let failures = match signal.failures {
            0 => String::new(),
            count => format!(", {count} failures count"),
        };
        line!(
            text,
            "              {} {} for {} s{failures}: {}",
            signal.signal,
            signal.standing,
            signal.since_seconds,
            signal.saw
        );
    }
}

fn names(list: &RegionList) -> String {
    let names: Vec<&str> = list.pools.iter().map(|pool| &*pool.pool).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
