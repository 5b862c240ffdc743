//! The other gateways of `nodes`: who they are, what each last said, and answering them.
//!
//! A gateway asks each of the others, and believes an answer from whoever proves to be the one that was asked. Nobody can say
//! anything unasked, and the moment of asking is the oldest that an answer can be, so no clocks are compared. What is said
//! is a text that this room does not read.

mod answer;
mod credentials;
mod gateways;
mod link;
mod problem;

pub use gateways::{Gateways, Said, Standing};
pub use problem::NodeProblem;

use std::time::Duration;

/// Longest text that a gateway says, in bytes.
pub const SAID_BYTES_MAX: usize = 4 * 1024 * 1024;
/// From one question to the next.
pub const ASK_EVERY: Duration = Duration::from_millis(250);
/// What is asked for.
const PATH: &str = "/v1/regions";
