//! Certificates: folders of PEM files, looked up by the name that a client asks for, taken live when they change.

mod folder;
mod pair;
mod store;
mod watch;

pub use pair::PairError;
pub use store::{CertificateFacts, CertificateStore};

#[cfg(test)]
mod tests;
