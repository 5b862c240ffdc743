//! Verdicts that change, told to operators.

use fleetgate_core::health::{BackendVerdict, DatabaseVerdict, LoginVerdict, Standing};
use fleetgate_core::region::{RegionVerdict, Route};
use serde::Serialize;

/// What becomes of a check that did not pass when requests moved to its region.
pub(super) const OVERRULED: &str = "overruled";

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Subject {
    /// A backend.
    Backend,
    /// The database of a region.
    Database,
    /// What a region could do for a pool.
    Region,
    /// Whether a user of the probe can log in at a region.
    Login,
    /// A check of what a region needs to take over.
    Check,
    /// Where the requests of a pool go.
    Route,
}

impl Subject {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Database => "database",
            Self::Region => "region",
            Self::Login => "login",
            Self::Check => "check",
            Self::Route => "route",
        }
    }
}

/// A verdict that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct VerdictEvent {
    /// What it is about.
    pub(super) subject: Subject,
    /// Pool.
    pub(super) pool: String,
    /// Region; of a route, the one that requests go to. Empty when they go nowhere.
    pub(super) region: String,
    /// HTTP port of the backend; empty for other subjects.
    pub(super) backend: String,
    /// Verdict before.
    pub(super) from: &'static str,
    /// Verdict now.
    pub(super) to: &'static str,
    /// What was seen, or why, in words.
    pub(super) saw: String,
}

impl VerdictEvent {
    /// Writes it to the operational log: an ERROR when nobody can save anything or users meet what is missing, an INFO when all
    /// is well.
    pub(super) fn log(&self) {
        let Self { pool, region, backend, from, to, saw, .. } = self;
        let subject = self.subject.as_str();
        let alarm = match self.subject {
            Subject::Route => *to != Route::Serve(0).as_str(),
            Subject::Login => *to == LoginVerdict::Fails.as_str(),
            Subject::Check => *to == OVERRULED,
            Subject::Backend | Subject::Database | Subject::Region => false,
        };
        if alarm {
            tracing::error!(subject, pool, region, from, to, "{saw}");
        } else if self.is_good() {
            tracing::info!(subject, pool, region, backend, from, to, saw, "a verdict changed");
        } else {
            tracing::warn!(subject, pool, region, backend, from, to, saw, "a verdict changed");
        }
    }

    /// Whether nothing is wrong with what it is about any more, or at all.
    fn is_good(&self) -> bool {
        match self.subject {
            Subject::Backend => self.to == BackendVerdict::Up.as_str(),
            Subject::Database => {
                self.from == DatabaseVerdict::Unwatched.as_str()
                    && self.to != DatabaseVerdict::Diverged.as_str()
            }
            Subject::Region => {
                [RegionVerdict::Serving.as_str(), RegionVerdict::StandbyReady.as_str()].contains(&self.to)
            }
            Subject::Route => true,
            Subject::Login => self.to == LoginVerdict::Works.as_str(),
            Subject::Check => self.to == Standing::Passing.as_str(),
        }
    }
}

/// What a route means for those who save something, and what to do.
pub(super) const fn told_of(route: Route) -> &'static str {
    match route {
        Route::Serve(_) => "requests go to this region",
        Route::Fenced(_) => {
            "TWO DATABASES TAKE WRITES: writes are refused. Make one of them a standby of the other, or decide which history goes on with `fleetgate regions pin`"
        }
        Route::Unwritable => {
            "no database of the pool takes writes: requests are refused. Bring the primary back, or promote a standby; the pool follows by itself"
        }
        Route::Agreeing(_) => "too few gateways let this region be used: requests are refused",
        Route::Isolated => "this gateway hears no majority of the others: requests are refused",
    }
}

/// The same of [`Route::Fenced`] where the region that served, or that the config names first, lets nobody look.
pub(super) fn told_of_unseen(region: &str) -> String {
    format!(
        "THE DATABASE OF {region} LETS NOBODY LOOK, AND ANOTHER ONE TAKES WRITES: it may take some too, so writes are refused. Mend the user, password, pg_hba.conf or certificates of the probe, or decide which history goes on with `fleetgate regions pin`"
    )
}
