//! The two tenants, and the words in which they speak of each other.

use fleetgate_stub::StubOdoo;

use crate::gateway::backend;

/// The databases of every server: those of the two tenants, and others whose names begin or end like theirs.
pub const DATABASES: [&str; 5] = ["acme", "globex", "acme2", "old_globex", "initech"];

/// The file of tenants. Hosts of one tenant name the other in their first label.
pub const TENANTS: &str = "\
- { id: acme, hosts: [acme.test, globex.acme.test, xn--bro-hoa.acme.test] }
- { id: globex, hosts: [globex.test, acme.globex.test, xn--bro-hoa.globex.test] }
";

/// The main file of a gateway before some servers that have all of [`DATABASES`]. Listener, admin socket and folder of
/// tenants are left to the caller.
pub fn main_file(servers: &[StubOdoo]) -> String {
    let backends: Vec<String> = servers.iter().map(backend).collect();
    format!(
        "regions: [ {{ name: eu }} ]\n\
         pools:\n  main:\n    odoo_version: \"19.0\"\n    database_selection: dbfilter_header\n    health: {{ enabled: false }}\n    \
         database_header: true\n    stream_paths: [/stub/drip, /stub/upload]\n    \
         backends_per_tenant: {}\n    session_cookie: {{ secure: false }}\n    \
         regions: {{ eu: {{ backends: [ {} ] }} }}\n",
        backends.len(),
        backends.join(", ")
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tenant {
    Acme,
    Globex,
}

impl Tenant {
    pub(super) const BOTH: [Self; 2] = [Self::Acme, Self::Globex];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Acme => Self::Globex,
            Self::Globex => Self::Acme,
        }
    }

    /// Its id and its database.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Globex => "globex",
        }
    }

    pub(super) fn hosts(self) -> [&'static str; 3] {
        match self {
            Self::Acme => ["acme.test", "globex.acme.test", "xn--bro-hoa.acme.test"],
            Self::Globex => ["globex.test", "acme.globex.test", "xn--bro-hoa.globex.test"],
        }
    }

    pub(super) fn host(self) -> &'static str {
        let [first, _, _] = self.hosts();
        first
    }

    /// Who is logged in there; pages of a session name them.
    pub(super) fn user(self) -> &'static str {
        match self {
            Self::Acme => "wile.e.coyote",
            Self::Globex => "hank.scorpio",
        }
    }

    /// Whether a host, in whatever spelling a client may use, is one of this tenant's.
    pub(super) fn owns(self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        self.hosts().iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Cookies of users who are logged in.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    pub(super) acme: String,
    pub(super) globex: String,
}

impl Sessions {
    pub(super) fn of(&self, tenant: Tenant) -> &str {
        match tenant {
            Tenant::Acme => &self.acme,
            Tenant::Globex => &self.globex,
        }
    }
}

/// What the placeholders of a spelling stand for.
#[derive(Debug)]
pub(super) struct Words<'a> {
    pub(super) tenant: Tenant,
    /// The host that is asked.
    pub(super) host: &'static str,
    pub(super) sessions: &'a Sessions,
    /// A whole request of the other tenant that hides in something.
    pub(super) hidden: String,
}

impl Words<'_> {
    /// `{own}` and `{other}` are hosts, `{OWN}` in capitals; `{own_db}`, `{other_db}` databases; `{own_sid}`,
    /// `{other_sid}` sessions; `{hidden}` a request.
    pub(super) fn fill(&self, spelling: &str) -> String {
        let mut text = String::with_capacity(spelling.len() + 32);
        let mut rest = spelling;
        while let Some((before, after)) = rest.split_once('{') {
            text.push_str(before);
            let word = after.split_once('}').and_then(|(name, tail)| Some((self.word(name)?, tail)));
            match word {
                Some((word, tail)) => {
                    text.push_str(&word);
                    rest = tail;
                }
                None => {
                    text.push('{');
                    rest = after;
                }
            }
        }
        text.push_str(rest);
        text
    }

    fn word(&self, name: &str) -> Option<String> {
        let other = self.tenant.other();
        let word = match name {
            "own" => self.host,
            "OWN" => return Some(self.host.to_ascii_uppercase()),
            "other" => other.host(),
            "own_db" => self.tenant.name(),
            "other_db" => other.name(),
            "own_sid" => self.sessions.of(self.tenant),
            "other_sid" => self.sessions.of(other),
            "hidden" => &self.hidden,
            _ => return None,
        };
        Some(word.to_owned())
    }
}
