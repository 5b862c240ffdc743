//! `/web/database/*`: the manager and the selector.
//!
//! Whoever knows or guesses one master password creates, copies, downloads, replaces and drops the databases of every
//! tenant of the servers; as long as it is still `admin`, the first caller sets it. `list_db = False` turns the work
//! off, but not the pages.
//! Source: Odoo 14.0 `addons/web/controllers/main.py`, 19.0 `addons/web/controllers/database.py`.

use super::query::{Decoded, parameters};
use super::reading::{after_first_segment, starts_with};

const ROUTE: &[u8] = b"/web/database";

/// The parameter that everything but its pages needs. Nothing else of Odoo has it, so it tells the manager's work apart
/// where a tenant has given its routes other paths. Source: Odoo 14.0 `addons/web/controllers/main.py`, 19.0
/// `addons/web/controllers/database.py`.
pub(crate) const MASTER_PASSWORD: &[u8] = b"master_pwd";

/// Whether a query asks for the manager's work.
pub(super) fn is_asked_by(query: &[u8]) -> bool {
    parameters(query).any(|(name, _)| Decoded::is(name, MASTER_PASSWORD))
}

/// Whether a path is one of the manager's, by itself or behind a language.
pub(crate) fn is_below(path: &[u8]) -> bool {
    matches(path) || matches(after_first_segment(path))
}

/// Whether a path is one of the manager's.
pub(super) fn matches(path: &[u8]) -> bool {
    // Any odd end of the segment is caught too, such as `;x`, a dot or a space. Longer words are something else.
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    starts_with(path, ROUTE) && !path.get(ROUTE.len()).is_some_and(word)
}
