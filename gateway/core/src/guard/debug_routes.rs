//! Pages for developers and uploads of code: nothing that a person in production asks for.
//!
//! `/web/become` is left alone: the menu of an administrator has it, and nobody else may use it. `?debug=` is a normal
//! way to work.

use super::reading::is_below;

/// - `/web/tests`: runs the test suites of the web client against the live database.
///   Source: Odoo 14.0 to 19.0 `addons/web/controllers`, 19.0 `addons/im_livechat/controllers/webclient.py`.
/// - `/base_import_module/login_upload`: installs a module, which is code, for a login and a password, without any
///   bound on guesses. Source: Odoo 14.0 to 19.0 `addons/base_import_module/controllers/main.py`.
/// - `/web/proxy/post`: a request of the client's choice, sent by Odoo to itself. Source: Odoo 14.0 and 15.0
///   `addons/web/controllers/main.py`.
/// - `/monitoring/`: state of the servers. The bare `/monitoring` may be a page of a website. Source: Camptocamp
///   odoo-cloud-platform, `monitoring_status`.
const ROUTES: [&[u8]; 4] =
    [b"/web/tests", b"/base_import_module/login_upload", b"/web/proxy/post", b"/monitoring/status"];

/// Whether a path is one of them.
pub(super) fn matches(path: &[u8]) -> bool {
    ROUTES.iter().any(|route| is_below(path, route))
}
