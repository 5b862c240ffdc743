//! `tenants` for people.

use crate::admin::{TenantList, TenantRow};
use std::fmt::Write;

pub(super) fn text(list: &TenantList) -> String {
    let header =
        ["TENANT", "DATABASE", "POOL", "STATE", "PLAN", "REQUESTS", "REJECTED", "WEBSOCKETS", "HOSTS"];
    let rows: Vec<[String; 9]> = list.tenants.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column).map(|cell| cell.chars().count()));
        cells.chain(header.get(column).map(|name| name.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    let mut write_row = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        // Writing to a string does not fail.
        let _infallible = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    };
    write_row(&header.map(str::to_owned));
    rows.iter().for_each(|row| write_row(row));
    let shown = list.tenants.len();
    if shown < list.total {
        let _infallible =
            writeln!(text, "{shown} of {} tenants; narrow with a filter or raise --limit", list.total);
    }
    text
}

fn cells(row: &TenantRow) -> [String; 9] {
    [
        row.id.clone(),
        row.database.clone(),
        row.pool.clone(),
        row.state.clone(),
        row.plan.clone().unwrap_or_default(),
        row.requests.to_string(),
        row.rejections.to_string(),
        row.websockets.to_string(),
        row.hosts.join(" "),
    ]
}
