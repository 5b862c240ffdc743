//! Bodies kept between a client and a backend, so that neither waits for the other: in memory up to a bound of each
//! and one of all, then in a file that has no name. A crash leaves nothing behind, and nobody can open what another tenant sent.

mod answer;
mod body;
mod file;
mod store;

pub use answer::AnswerSpool;
pub use body::BodySpool;
pub use file::SpoolError;
pub use store::{BODY_BYTES_MIN, BytesHeld, SpoolBounds, SpoolStore};

#[cfg(test)]
mod tests;
