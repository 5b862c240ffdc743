//! What is wrong in TLS with a server, in words for an operator.

use crate::causes::with_causes;
use crate::upstream::tls_cause;
use rustls::{AlertDescription, CertificateError, Error};
use std::io;

/// Why there is no TLS with a server, and what to do.
pub(super) fn tls_words(error: &io::Error) -> String {
    match tls_cause(error) {
        Some(cause) => match remedy(cause) {
            Some(remedy) => format!("no TLS with it: {cause}; {remedy}"),
            None => format!("no TLS with it: {cause}"),
        },
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it ends the connection in the middle of the TLS handshake".to_owned()
        }
        None => format!("no TLS with it: {}", with_causes(error)),
    }
}

fn remedy(error: &Error) -> Option<&'static str> {
    if let Error::InvalidCertificate(problem) = error {
        return of_certificate(problem);
    }
    if let Error::AlertReceived(alert) = error {
        return of_alert(*alert);
    }
    if let Error::PeerIncompatible(_) = error {
        return Some("it has to speak TLS 1.2 or 1.3");
    }
    matches!(error, Error::InvalidMessage(_))
        .then_some("it seems to speak something else than TLS on this port")
}

const fn of_certificate(problem: &CertificateError) -> Option<&'static str> {
    use CertificateError as Problem;
    if matches!(problem, Problem::Expired | Problem::ExpiredContext { .. }) {
        return Some("renew its certificate");
    }
    if matches!(problem, Problem::NotValidYet | Problem::NotValidYetContext { .. }) {
        return Some("compare the clocks of the two machines");
    }
    if matches!(problem, Problem::NotValidForName | Problem::NotValidForNameContext { .. }) {
        return Some("its certificate is for other names than the config has it");
    }
    if matches!(problem, Problem::UnknownIssuer) {
        return Some("its certificate comes from nobody whom `ca` names");
    }
    None
}

/// RFC 8446, section 6.2.
fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    use AlertDescription as Alert;
    let about_us = [
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::CertificateRequired,
    ];
    if matches!(alert, Alert::ProtocolVersion | Alert::InsufficientSecurity) {
        return Some("it has to speak TLS 1.2 or 1.3");
    }
    let refuses = about_us.contains(&alert);
    refuses.then_some("it does not accept the gateway's certificate: look at `client_certificate`")
}
