//! Why another gateway is not heard, and what to do about it.

use super::SAID_BYTES_MAX;
use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::io;

/// Why another gateway is not heard.
#[derive(Debug, thiserror::Error)]
pub enum NodeProblem {
    /// Its name leads nowhere.
    #[error("its name cannot be looked up ({0}): check `nodes.gateways`, and DNS")]
    Name(io::Error),
    /// Nobody listens.
    #[error("it refuses connections: is it running, and is this its `nodes.address`?")]
    Refused,
    /// The network says no, or the connection broke.
    #[error("the connection does not come about, or breaks ({0}): check the way there")]
    Broken(String),
    /// No answer in time.
    #[error("it does not answer within 1 s: is it overloaded, or the way there cut, by a firewall perhaps?")]
    Late,
    /// Its certificate comes from somebody else.
    #[error("its certificate comes from no authority in `nodes.ca` of this gateway")]
    UnknownAuthority,
    /// Its certificate is for somebody else.
    #[error(
        "its certificate is for another name: is its address in `nodes.gateways` that of another gateway, or was it given the certificate of another?"
    )]
    OtherName,
    /// Its certificate is over, or not yet valid.
    #[error("its certificate has ended or is not valid yet: renew it, or set the clocks")]
    Ended,
    /// Its certificate is bad in another way.
    #[error("its certificate cannot be trusted ({0})")]
    BadCertificate(String),
    /// It does not accept the certificate of this gateway.
    #[error(
        "it does not accept the certificate of this gateway ({0:?}): its `nodes.ca` has to hold the authority, and the certificate must not have ended"
    )]
    NotAccepted(AlertDescription),
    /// It knows no gateway with this one's name.
    #[error(
        "it knows no gateway with the name in the certificate of this one: `nodes.gateways` has to be the same on all, and `nodes.name` the name in the certificate"
    )]
    NotKnown,
    /// There is no TLS with it.
    #[error(
        "it does not speak TLS 1.3 as gateways do ({0}): is its address in `nodes.gateways` that of something else?"
    )]
    NoTls(String),
    /// It is no gateway.
    #[error(
        "it answers as no gateway does ({0}): is its address in `nodes.gateways` that of something else?"
    )]
    NoGateway(String),
    /// It says too much.
    #[error("it says more than {} MiB, which no gateway does", SAID_BYTES_MAX >> 20)]
    TooMuch,
    /// What it says cannot be used.
    #[error("{0}")]
    Useless(String),
}

impl NodeProblem {
    /// Name of none of them: the other gateway is heard.
    pub const NONE: &'static str = "heard";
    /// Names of all of them, and of none.
    pub const NAMES: [&'static str; 12] = [
        Self::NONE,
        "name",
        "refused",
        "broken",
        "late",
        "authority",
        "other_name",
        "ended",
        "certificate",
        "not_accepted",
        "no_gateway",
        "useless",
    ];

    /// Name in metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Refused => "refused",
            Self::Broken(_) => "broken",
            Self::Late => "late",
            Self::UnknownAuthority => "authority",
            Self::OtherName => "other_name",
            Self::Ended => "ended",
            Self::BadCertificate(_) => "certificate",
            Self::NotAccepted(_) | Self::NotKnown => "not_accepted",
            Self::NoTls(_) | Self::NoGateway(_) | Self::TooMuch => "no_gateway",
            Self::Useless(_) => "useless",
        }
    }

    /// What an error of a connection means.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        if let Some(error) = tls_error(error) {
            return Self::of_tls(error);
        }
        match io_kind(error) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(_) => Self::Broken(last_cause(error)),
            None => Self::NoGateway(last_cause(error)),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        if let rustls::Error::AlertReceived(alert) = error {
            return Self::NotAccepted(*alert);
        }
        let rustls::Error::InvalidCertificate(error) = error else { return Self::NoTls(error.to_string()) };
        if matches!(error, CertificateError::UnknownIssuer) {
            return Self::UnknownAuthority;
        }
        if matches!(
            error,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ) {
            return Self::OtherName;
        }
        if matches!(
            error,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ) {
            return Self::Ended;
        }
        Self::BadCertificate(error.to_string())
    }
}

/// The error of TLS below an error.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found.kind());
        }
        next = error.source();
    }
    None
}

fn last_cause(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}
