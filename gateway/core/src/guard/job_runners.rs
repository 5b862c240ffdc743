//! Routes that run queued jobs for whoever asks: as the superuser, without a login, in a database that the request
//! names. The runner beside Odoo asks Odoo itself, not the gateway, unless `ODOO_QUEUE_JOB_HOST` says so.

use super::reading::is_below;

/// - `/queue_job`: `/runjob` is open to all, `/create_test_job` to administrators; static files of the module stay
///   reachable. Source: OCA/queue 14.0 to 18.0 `queue_job/controllers/main.py`, `queue_job/jobrunner/runner.py`.
/// - `/connector/runjob`: the same before it was split off. Source: OCA/connector 9.0 `connector/controllers/main.py`.
const ROUTES: [&[u8]; 3] = [b"/queue_job/runjob", b"/queue_job/create_test_job", b"/connector/runjob"];

/// Whether a path is one of them.
pub(super) fn matches(path: &[u8]) -> bool {
    ROUTES.iter().any(|route| is_below(path, route))
}
