//! `explain` for people.

use crate::admin::Explanation;
use std::fmt::Write;

pub(super) fn text(url: &str, told: &Explanation) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{name:<10} {value}");
    };
    row("request", url);
    row("verdict", &verdict(told));
    for (name, value) in [("host", &told.host), ("tenant", &told.tenant), ("database", &told.database)] {
        row(name, value.as_deref().unwrap_or("-"));
    }
    if let Some(pool) = &told.pool {
        row("pool", &format!("{pool}, tenant {}", told.state.as_deref().unwrap_or("-")));
    }
    if let (Some(class), Some(port)) = (&told.class, &told.port) {
        row("class", &format!("{class}, {port} port in {}", told.region.as_deref().unwrap_or("-")));
        row("backends", &told.backends.join(" then "));
    }
    for (at, (name, value)) in told.headers.iter().enumerate() {
        row(if at == 0 { "headers" } else { "" }, &format!("{name}: {value}"));
    }
    for (at, why) in told.why.iter().enumerate() {
        row(if at == 0 { "why" } else { "" }, why);
    }
    text
}

fn verdict(told: &Explanation) -> String {
    match (&told.location, told.status, &told.rejection) {
        (Some(location), _, _) => format!("redirect to {location}"),
        (_, Some(status), Some(code)) => format!("reject {status} {code}"),
        _ => told.verdict.clone(),
    }
}
