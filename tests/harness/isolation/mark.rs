//! What a request says about itself, so that whoever meets it later knows whose it is.

use std::fmt;
use std::str::FromStr;

use super::tenants::Tenant;

/// The header that carries a [`Mark`]; the stand-in Odoo repeats it in its answer.
pub(super) const HEADER: &str = "X-Stub-Mark";

/// Whose a request is, where it comes from, and what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) tenant: Tenant,
    pub(super) visit: u64,
    pub(super) request: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its tenant's Odoo may see it.
    Own,
    /// It hides in the body or a header of another request and is never one itself.
    Hidden,
    /// Its body names the database of the other tenant: no RPC route may see it.
    Foreign,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Own, Self::Hidden, Self::Foreign];

    fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Hidden => "hidden",
            Self::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.tenant.name(), self.visit, self.request, self.kind.name())
    }
}

impl FromStr for Mark {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(());
        let (tenant, visit, request, kind) = (part()?, part()?, part()?, part()?);
        let tenant = Tenant::BOTH.into_iter().find(|known| known.name() == tenant).ok_or(())?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).ok_or(())?;
        let (visit, request) = (visit.parse().map_err(|_| ())?, request.parse().map_err(|_| ())?);
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Self { tenant, visit, request, kind })
    }
}
