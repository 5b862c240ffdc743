//! Errors as people are told them.

use std::error::Error;

/// An error and what lies below it, in one line.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        line.push_str(&format!(": {below}"));
        cause = below.source();
    }
    line
}
