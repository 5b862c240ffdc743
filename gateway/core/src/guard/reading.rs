//! Routes that are hidden, in every way in which a server may read their path.

use super::{Guard, database_manager, debug_routes, filestore, job_runners};
use crate::percent::byte_of;

/// Times that a path is decoded, by Odoo and by servers in between.
const DECODINGS_MAX: u8 = 4;
/// Bytes of a path that are decoded again: more than any hidden route behind any language needs.
const DECODED_BYTES_MAX: usize = 256;

/// The guard of a hidden route.
///
/// The route may stand behind one segment: the code of a language in addresses is free text (Odoo 19.0
/// `addons/base/models/res_lang.py`, `url_code`), and `addons/http_routing` drops it before it looks for the route.
pub(super) fn hidden_route(path: &[u8]) -> Option<Guard> {
    let found = in_either_reading(path);
    if found.is_some() || !path.contains(&b'%') {
        return found;
    }
    let mut buffer = [0; DECODED_BYTES_MAX];
    let mut len = path.len().min(DECODED_BYTES_MAX);
    buffer.get_mut(..len)?.copy_from_slice(path.get(..len)?);
    for _ in 0..DECODINGS_MAX {
        let before = len;
        len = decode_again(&mut buffer, len);
        let found = in_either_reading(buffer.get(..len)?);
        if found.is_some() || len == before {
            return found;
        }
    }
    None
}

/// Percent-decodes the start of a buffer in place, with slashes standing alone; returns its new length.
fn decode_again(buffer: &mut [u8], len: usize) -> usize {
    let (mut from, mut to) = (0_usize, 0_usize);
    while let Some(rest) = buffer.get(from..len)
        && let Some(&first) = rest.first()
    {
        let escaped = rest.split_first_chunk::<3>().and_then(|([_, high, low], _)| byte_of(*high, *low));
        let (byte, taken) = escaped.filter(|_| first == b'%').map_or((first, 1), |byte| (byte, 3));
        from = from.saturating_add(taken);
        let last = to.checked_sub(1).and_then(|at| buffer.get(at));
        if byte == b'/' && last == Some(&b'/') {
            continue;
        }
        if let Some(slot) = buffer.get_mut(to) {
            *slot = byte;
            to = to.saturating_add(1);
        }
    }
    to
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
