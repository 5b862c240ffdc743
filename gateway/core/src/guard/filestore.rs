//! `/web/filestore/*`: where Odoo with `--x-sendfile` tells a proxy to find a file. A client that asks for it by name
//! wants the file without Odoo's leave. There is no reason to let anybody, so nothing opens it.
//! Source: Odoo 16.0 to 19.0 `addons/web/controllers/binary.py`, `content_filestore`; `odoo/http.py`, `Stream`.

use super::reading::is_below;

/// Whether a path is below the filestore.
pub(super) fn matches(path: &[u8]) -> bool {
    is_below(path, b"/web/filestore")
}
