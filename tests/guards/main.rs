//! Rules of this repository that no compiler checks. A failure says which file breaks which rule.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a guard that cannot read the repository is a failed test"
)]

mod answers;
mod arrows;
mod crates;
mod documents;
mod layout;
mod links;
mod repository;
