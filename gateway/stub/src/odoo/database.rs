//! Which database a request is for, decided in the order Odoo decides it.

use std::collections::BTreeSet;

use super::head::Head;
use super::pattern::Pattern;
use super::session::{Session, SessionStore};

/// The databases of a server.
#[derive(Debug)]
pub(crate) struct Databases {
    names: BTreeSet<String>,
}

/// What was decided for one request.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    /// The database, or `None` if the request names none or more than one.
    pub(crate) database: Option<String>,
    /// The session, if the cookie names one that is valid here.
    pub(crate) session: Option<Session>,
    /// True if the database came from `X-Odoo-Database`: no session may be saved.
    pub(crate) stateless: bool,
    /// True if the session and `X-Odoo-Database` disagree, which Odoo answers 403.
    pub(crate) conflict: bool,
}

enum Candidates<'a> {
    Every,
    One(&'a str),
    None,
    Filtered(Pattern),
}

impl Databases {
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self { names: names.into_iter().collect() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Decides as Odoo 19 with OCA `dbfilter_from_header`: session, then `X-Odoo-Database`, then the only candidate.
    /// Candidates come from `X-Odoo-dbfilter`, which replaces the filter of the configuration as in the module's
    /// branches 14.0 and 16.0, else from the first label of the host, else they are all databases.
    /// Source: Odoo 19.0 `odoo/http.py`, `_get_session_and_dbname`, and OCA/server-tools `dbfilter_from_header`.
    pub(crate) fn select(&self, head: &Head, sessions: &SessionStore) -> Selection {
        let candidates = self.candidates(head);
        let asked = head.joined("x-odoo-database");
        let session = head.cookie("session_id").and_then(|id| sessions.find(&id));
        if let Some(session) = session.filter(|session| self.keeps(&candidates, &session.database)) {
            let conflict = asked.is_some_and(|asked| asked != session.database);
            let database = Some(session.database.clone());
            return Selection { database, session: Some(session), stateless: false, conflict };
        }
        if let Some(asked) = asked {
            let database = self.keeps(&candidates, &asked).then(|| asked.into_owned());
            return Selection { database, stateless: true, ..Selection::default() };
        }
        Selection { database: self.only(&candidates).map(str::to_owned), ..Selection::default() }
    }

    /// The names a visitor of this host may see, as on the database selector.
    pub(crate) fn visible(&self, head: &Head) -> Vec<&str> {
        let candidates = self.candidates(head);
        self.names.iter().map(String::as_str).filter(|name| self.keeps(&candidates, name)).collect()
    }

    fn candidates(&self, head: &Head) -> Candidates<'_> {
        if let Some(filter) = head.joined("x-odoo-dbfilter") {
            let Some(pattern) = Pattern::parse(&filter) else {
                tracing::warn!(%filter, "a database filter that is no regular expression matches no database");
                return Candidates::None;
            };
            return match pattern.exact() {
                Some(name) => self.names.get(&name).map_or(Candidates::None, |name| Candidates::One(name)),
                None => Candidates::Filtered(pattern),
            };
        }
        let authority = head.authority();
        let host = authority.strip_prefix("www.").unwrap_or(&authority);
        let label = host.split(['.', ':']).next().unwrap_or_default();
        self.names.get(label).map_or(Candidates::Every, |name| Candidates::One(name))
    }

    fn keeps(&self, candidates: &Candidates<'_>, name: &str) -> bool {
        match candidates {
            Candidates::Every => self.names.contains(name),
            Candidates::One(one) => *one == name,
            Candidates::None => false,
            Candidates::Filtered(pattern) => self.names.contains(name) && pattern.accepts(name),
        }
    }

    fn only<'a>(&'a self, candidates: &Candidates<'a>) -> Option<&'a str> {
        let mut kept = match candidates {
            Candidates::One(one) => return Some(one),
            Candidates::None => return None,
            Candidates::Every | Candidates::Filtered(_) => {
                self.names.iter().filter(|name| self.keeps(candidates, name))
            }
        };
        let first = kept.next()?;
        kept.next().is_none().then_some(first.as_str())
    }
}
