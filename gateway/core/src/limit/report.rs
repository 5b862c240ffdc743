//! What a client is told about limits: the fields `RateLimit-Policy` and `RateLimit` of
//! draft-ietf-httpapi-ratelimit-headers-10, Lists of RFC 9651.

use core::fmt::Write;

/// Limits of one report at most. A request is charged to a handful.
const REPORTED_MAX: usize = 4;

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitUnit {
    /// Requests over time.
    Requests,
    /// Bytes of bodies over time.
    ContentBytes,
    /// Requests, or websockets, at once.
    ConcurrentRequests,
}

impl LimitUnit {
    /// Value of `qu`; `None` for the default.
    const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Requests => None,
            Self::ContentBytes => Some("content-bytes"),
            Self::ConcurrentRequests => Some("concurrent-requests"),
        }
    }
}

/// How much of a limit is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitUse {
    /// Name: lower-case letters, digits and `_`.
    pub name: &'static str,
    /// What is counted.
    pub unit: LimitUnit,
    /// Units that may be used in the window.
    pub quota: u64,
    /// Seconds of the window; `None` where there is none.
    pub window_seconds: Option<u64>,
    /// Units that are left.
    pub remaining: u64,
    /// Seconds after which more is left; `None` where nobody knows.
    pub reset_seconds: Option<u64>,
}

/// Largest integer of a structured field (RFC 9651, section 3.3.1).
const INTEGER_MAX: u64 = 999_999_999_999_999;

/// The limits that a client should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LimitReport {
    uses: [Option<LimitUse>; REPORTED_MAX],
}

impl LimitReport {
    /// Adds a limit. One too many is left out.
    pub fn push(&mut self, used: LimitUse) {
        if let Some(free) = self.uses.iter_mut().find(|place| place.is_none()) {
            *free = Some(used);
        }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.uses[0].is_none()
    }

    /// The limits.
    pub fn uses(&self) -> impl Iterator<Item = &LimitUse> {
        self.uses.iter().flatten()
    }

    /// Value of `RateLimit-Policy`.
    #[must_use]
    pub fn policy_field(&self) -> String {
        self.list(|text, used| {
            write!(text, ";q={}", used.quota.min(INTEGER_MAX))?;
            if let Some(unit) = used.unit.as_str() {
                write!(text, ";qu=\"{unit}\"")?;
            }
            used.window_seconds.map_or(Ok(()), |window| write!(text, ";w={}", window.min(INTEGER_MAX)))
        })
    }

    /// Value of `RateLimit`.
    #[must_use]
    pub fn use_field(&self) -> String {
        self.list(|text, used| {
            write!(text, ";r={}", used.remaining.min(INTEGER_MAX))?;
            used.reset_seconds.map_or(Ok(()), |reset| write!(text, ";t={}", reset.min(INTEGER_MAX)))
        })
    }

    fn list(&self, parameters: impl Fn(&mut String, &LimitUse) -> core::fmt::Result) -> String {
        let mut text = String::new();
        for used in self.uses() {
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _infallible = write!(text, "{comma}\"{}\"", used.name);
            let _infallible = parameters(&mut text, used);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lists_of_strings_with_integer_parameters() {
        let mut report = LimitReport::default();
        assert!(report.is_empty());
        report.push(LimitUse {
            name: "requests",
            unit: LimitUnit::Requests,
            quota: 200,
            window_seconds: Some(4),
            remaining: 0,
            reset_seconds: Some(1),
        });
        report.push(LimitUse {
            name: "concurrent_requests",
            unit: LimitUnit::ConcurrentRequests,
            quota: 6,
            window_seconds: None,
            remaining: 0,
            reset_seconds: None,
        });
        assert_eq!(
            report.policy_field(),
            "\"requests\";q=200;w=4, \"concurrent_requests\";q=6;qu=\"concurrent-requests\""
        );
        assert_eq!(report.use_field(), "\"requests\";r=0;t=1, \"concurrent_requests\";r=0");
    }
}
