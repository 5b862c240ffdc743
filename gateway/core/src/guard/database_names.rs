//! Names of databases anywhere but in the host.
//!
//! The host says which database a request is for. Odoo takes a name from other places too: some of its routes check it
//! against the `dbfilter`, some open whatever database is named. Only the tenant's own name passes, in one clear
//! spelling; what cannot be read in one way is refused. Names in bodies of RPC are not looked at here.

use super::query::{Decoded, parameters};
use super::reading::after_first_segment;
use super::{Asked, oauth_state};
use crate::odoo::OdooVersion;

/// Which databases a request may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DatabaseNames {
    /// The tenant's own.
    #[default]
    Own,
    /// Any: nothing is looked at.
    Any,
}

/// Whether every database that a request names is the tenant's own.
pub(super) fn all_own(asked: &Asked<'_>) -> bool {
    let whole = asked.path.as_bytes();
    let route = Route::of(whole).or_else(|| Route::of(after_first_segment(whole)));
    let fine = match route {
        Some(Route::Tracking { database }) => is_own(asked, database.iter().copied()),
        // They read a form as they read the query, whatever the method.
        Some(Route::Open | Route::OpenState) if ignores_dbfilter(asked.version) => {
            asked.safe_method && !asked.body.may_come()
        }
        Some(Route::Open | Route::OpenState | Route::State) | None => true,
    };
    let state = matches!(route, Some(Route::State | Route::OpenState));
    fine && (asked.query.is_empty() || query_is_own(asked, state))
}

/// 14.0 and 15.0: the routes of [`Route::Open`] and [`Route::OpenState`] open the database that is named.
/// Source: Odoo 15.0 `addons/web/controllers/main.py`, 16.0 `addons/web/controllers/binary.py`, `company_logo`.
fn ignores_dbfilter(version: OdooVersion) -> bool {
    matches!(version, OdooVersion::V14 | OdooVersion::V15)
}

/// A route that takes the name of a database from elsewhere than a parameter, or without looking at the `dbfilter`.
enum Route<'a> {
    /// In 14.0 and 15.0, opens what `db` or `dbname` says.
    Open,
    /// In 14.0 and 15.0, opens what the key `d` of the JSON in `state` says. Later versions ignore it.
    /// Source: Odoo 14.0 and 15.0 `addons/google_account`, `addons/microsoft_account`, `controllers/main.py`.
    OpenState,
    /// Switches to what the key `d` of the JSON in `state` says. Source: Odoo 14.0 to 19.0
    /// `addons/auth_oauth/controllers/main.py`, `signin`.
    State,
    /// Opens what a segment says. Source: OCA/social `mail_tracking/controllers/main.py`, OCA/mail in 18.0.
    Tracking { database: &'a [u8] },
}

impl<'a> Route<'a> {
    fn of(path: &'a [u8]) -> Option<Self> {
        let is = |route: &[u8]| path.strip_suffix(b"/").unwrap_or(path) == route;
        match path.get(1)? {
            b'w' if is(b"/web/binary/company_logo") || path.starts_with(b"/web/webclient/qweb") => {
                Some(Self::Open)
            }
            b'l' if is(b"/logo") || is(b"/logo.png") => Some(Self::Open),
            b'g' if is(b"/google_account/authentication") => Some(Self::OpenState),
            b'm' if is(b"/microsoft_account/authentication") => Some(Self::OpenState),
            b'a' if is(b"/auth_oauth/signin") => Some(Self::State),
            b'm' => {
                const PREFIXES: [&[u8]; 3] =
                    [b"/mail/tracking/open/", b"/mail/tracking/event/", b"/mail/tracking/all/"];
                let rest = PREFIXES.iter().find_map(|prefix| path.strip_prefix(*prefix))?;
                let database = rest.split(|&byte| byte == b'/').next().filter(|name| !name.is_empty())?;
                Some(Self::Tracking { database })
            }
            _ => None,
        }
    }
}

/// Whether the query names the tenant's own database or none. Nearly all of Odoo's routes ignore a `db`; none needs
/// that of somebody else.
fn query_is_own(asked: &Asked<'_>, has_state: bool) -> bool {
    let (mut names, mut states) = (0_u8, 0_u8);
    parameters(asked.query).all(|(name, value)| {
        if Decoded::is(name, b"db") || Decoded::is(name, b"dbname") {
            names = names.saturating_add(1);
            names == 1 && (value.is_empty() || is_own(asked, Decoded::new(value)))
        } else if Decoded::is(name, b"state") && (has_state || may_be_state(asked.version, value)) {
            states = states.saturating_add(1);
            states == 1
                && oauth_state::names_only(Decoded::new(value), |name| is_own(asked, name.iter().copied()))
        } else {
            !(takes_session_from_query(asked.version) && Decoded::is(name, b"session_id"))
        }
    })
}

/// Whether a value means something to the routes of [`Route::OpenState`], which a tenant may have given any other path:
/// they do nothing with what is no object.
fn may_be_state(version: OdooVersion, value: &[u8]) -> bool {
    let mut text = Decoded::new(value).skip_while(u8::is_ascii_whitespace);
    ignores_dbfilter(version) && text.next() == Some(b'{')
}

/// A session is of one database, so its name selects it; and a link with one logs its reader in as somebody else.
/// Source: Odoo 17.0 `odoo/http.py`, builds before 17.0.20240610, "explicit session".
fn takes_session_from_query(version: OdooVersion) -> bool {
    version <= OdooVersion::V17
}

fn is_own(asked: &Asked<'_>, name: impl Iterator<Item = u8>) -> bool {
    asked.found.tenant.database.is(asked.found.label, name)
}
