//! How long a body may be.

use super::reading::is_below;
use super::{Asked, Guard};
use crate::rejection::Rejection;
use crate::traffic::TrafficClass;

const MIB: u64 = 1024 * 1024;

/// What a request's head says about its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// Its length in bytes.
    Known(u64),
    /// It is sent until it ends.
    Unknown,
}

impl BodyLength {
    /// Whether a body may come.
    #[must_use]
    pub const fn may_come(self) -> bool {
        !matches!(self, Self::None | Self::Known(0))
    }
}

/// Longest bodies in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BodySizes {
    /// By [`TrafficClass::position`].
    pub classes: [u64; TrafficClass::ALL.len()],
    /// Where a client says who it is: all that stands there is a name and a password.
    pub login: u64,
    /// To the database manager, for who may use it: a whole database may come.
    pub database_manager: u64,
}

impl BodySizes {
    /// Odoo's own bound of 17.0 and later, for every version; less where only little is ever sent. Odoo sets no bound
    /// on the upload of a database. Source: Odoo 17.0 `odoo/http.py`, `DEFAULT_MAX_CONTENT_LENGTH`; 19.0
    /// `addons/web/controllers/database.py`, `restore`.
    pub const DEFAULT: Self = Self {
        // page, rpc, static, report, websocket, longpolling, integration
        classes: [128 * MIB, 128 * MIB, MIB, 128 * MIB, MIB, MIB, 128 * MIB],
        login: MIB,
        database_manager: 16 * 1024 * MIB,
    };

    /// The longest body of a request in bytes.
    ///
    /// # Errors
    /// The body is announced to be longer.
    pub(super) fn check(&self, asked: &Asked<'_>, hidden: Option<Guard>) -> Result<u64, Rejection> {
        let max = if hidden == Some(Guard::DatabaseManager) {
            self.database_manager
        } else {
            let class = self.classes.get(asked.class.position()).copied().unwrap_or_default();
            if asked.body.may_come() && takes_login(asked.path.without_language()) {
                class.min(self.login)
            } else {
                class
            }
        };
        match asked.body {
            BodyLength::Known(length) if length > max => Err(Rejection::BodyTooLarge),
            BodyLength::None | BodyLength::Known(_) | BodyLength::Unknown => Ok(max),
        }
    }
}

/// Routes that take credentials of somebody unknown.
/// Source: Odoo 14.0 to 19.0 `addons/web/controllers`, `addons/auth_signup`, `addons/auth_totp`, `odoo/service/common.py`.
fn takes_login(path: &[u8]) -> bool {
    const ROUTES: [&[u8]; 6] = [
        b"/web/login",
        b"/web/session/authenticate",
        b"/web/signup",
        b"/web/reset_password",
        b"/xmlrpc/common",
        b"/xmlrpc/2/common",
    ];
    ROUTES.iter().any(|route| is_below(path, route))
}
