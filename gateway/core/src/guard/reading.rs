//! Routes that are hidden, in every way in which a server may read their path.

use super::{Guard, database_manager, debug_routes, filestore, job_runners};
use crate::path::DecodedPath;

/// The guard of a hidden route.
///
/// The route may stand behind one segment: the code of a language in addresses is free text (Odoo 19.0
/// `addons/base/models/res_lang.py`, `url_code`), and `addons/http_routing` drops it before it looks for the route. A
/// path that still holds a percent sign is decoded once more, for servers in between that do so.
pub(super) fn hidden_route(path: &DecodedPath) -> Option<Guard> {
    let whole = path.as_bytes();
    in_either_reading(whole).or_else(|| {
        let encoded = whole.contains(&b'%');
        if encoded { in_either_reading(DecodedPath::new(whole).as_bytes()) } else { None }
    })
}

fn in_either_reading(path: &[u8]) -> Option<Guard> {
    guard_of(path).or_else(|| guard_of(after_first_segment(path)))
}

/// The path behind its first segment.
pub(super) fn after_first_segment(path: &[u8]) -> &[u8] {
    let slash = path.iter().skip(1).position(|&byte| byte == b'/');
    slash.and_then(|before| path.get(before.saturating_add(1)..)).unwrap_or_default()
}

fn guard_of(path: &[u8]) -> Option<Guard> {
    // Nearly every path is done with after one byte.
    match path.get(1)?.to_ascii_lowercase() {
        b'w' if database_manager::matches(path) => Some(Guard::DatabaseManager),
        b'w' if filestore::matches(path) => Some(Guard::Filestore),
        b'w' | b'b' | b'm' if debug_routes::matches(path) => Some(Guard::DebugRoutes),
        b'q' | b'c' if job_runners::matches(path) => Some(Guard::JobRunners),
        _ => None,
    }
}

/// Whether a path starts with a route, whatever the case. Odoo minds the case; what stands in between may not.
pub(super) fn starts_with(path: &[u8], route: &[u8]) -> bool {
    path.get(..route.len()).is_some_and(|start| start.eq_ignore_ascii_case(route))
}

/// Whether a path is a route or below it, whatever the case. A segment also ends at `;`, where some servers cut it.
pub(super) fn is_below(path: &[u8], route: &[u8]) -> bool {
    starts_with(path, route) && matches!(path.get(route.len()), None | Some(b'/' | b';'))
}
