//! What logins at the backends of a region say together.

use super::{Damped, Standing};

/// Whether users can log in at a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginVerdict {
    /// Nobody has tried, or not often enough.
    Unknown,
    /// At each backend where it was tried.
    Works,
    /// At some of its backends.
    Partly,
    /// At none of its backends: it is the database, the user, or what all of them have in common.
    Fails,
}

impl LoginVerdict {
    /// Names of all of them.
    pub const NAMES: [&'static str; 4] = ["unknown", "works", "partly", "fails"];

    /// What follows from the logins at all backends of a region.
    #[must_use]
    pub fn of<'a>(logins: impl Iterator<Item = &'a Damped>) -> Self {
        let (mut passing, mut failing, mut unknown) = (false, false, false);
        for login in logins {
            match login.standing() {
                Standing::Passing => passing = true,
                Standing::Failing => failing = true,
                Standing::Unknown => unknown = true,
            }
        }
        match (passing, failing) {
            (false, true) if !unknown => Self::Fails,
            (true, true) => Self::Partly,
            (true, false) => Self::Works,
            (false, _) => Self::Unknown,
        }
    }

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Works => "works",
            Self::Partly => "partly",
            Self::Fails => "fails",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Damping, Moment, Reading};

    fn login(readings: &str) -> Damped {
        let mut login = Damped::default();
        for (at, reading) in readings.bytes().enumerate() {
            let reading = if reading == b'+' { Reading::Pass } else { Reading::Fail };
            login.note(reading, Damping { fall: 3, rise: 2 }, Moment::from_secs(u64::try_from(at).unwrap()));
        }
        login
    }

    #[test]
    fn logins_of_a_region_fail_when_they_fail_at_each_of_its_backends() {
        for (readings, expected) in [
            (&["", ""][..], LoginVerdict::Unknown),
            (&["+", ""], LoginVerdict::Works),
            (&["+", "---"], LoginVerdict::Partly),
            (&["---", ""], LoginVerdict::Unknown),
            (&["---", "---"], LoginVerdict::Fails),
        ] {
            let logins: Vec<Damped> = readings.iter().map(|readings| login(readings)).collect();
            assert_eq!(LoginVerdict::of(logins.iter()), expected, "{readings:?}");
        }
    }
}
