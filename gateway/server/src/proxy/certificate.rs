//! What the certificate of a client proves to the tenant of its request.

use super::context::RequestContext;
use crate::connection::{ClientCertificate, Origin};
use crate::telemetry::access_log::CertificateEvent;
use fleetgate_core::client_certificate::{CHAIN_HEADER, CertificateFault, HEADER, Proof};
use fleetgate_core::host::HostKey;
use http::HeaderValue;
use pingora::http::RequestHeader;
use std::borrow::Cow;
use std::sync::Arc;

/// A certificate that a tenant asked for, and what came of it.
#[derive(Debug)]
pub(super) struct Shown {
    fault: Option<CertificateFault>,
    certificate: Option<Arc<ClientCertificate>>,
    forward: bool,
}

impl Shown {
    /// The value of `Client-Cert` for Odoo, when it may have it, or for a gateway of another site (`far`), which judges it
    /// again.
    pub(super) fn field(&self, far: bool) -> Option<&str> {
        let certificate =
            self.certificate.as_ref().filter(|_| (self.forward || far) && self.fault.is_none())?;
        Some(certificate.field())
    }

    /// The value of `Client-Cert-Chain` for a gateway of another site, if there is one.
    pub(super) fn chain_field(&self) -> Option<String> {
        self.certificate.as_ref().filter(|_| self.fault.is_none())?.chain_field()
    }

    /// As the access log shows it.
    pub(super) fn event(&self) -> CertificateEvent<'_> {
        let text =
            |of: fn(&ClientCertificate) -> &str| Cow::Borrowed(self.certificate.as_deref().map_or("", of));
        CertificateEvent {
            result: self.fault.map_or("verified", CertificateFault::as_str),
            subject: text(ClientCertificate::subject),
            issuer: text(ClientCertificate::issuer),
            fingerprint: text(ClientCertificate::fingerprint),
        }
    }
}

/// Holds what the connection has shown against what the tenant of a host asks, and remembers it for the log.
pub(super) fn prove(
    context: &mut RequestContext,
    origin: &Origin,
    host: &HostKey,
    head: &RequestHeader,
) -> Proof {
    let snapshot = &context.snapshot;
    if snapshot.fleet.client_certificates.is_empty() || origin.redirect_to_https {
        return Proof::NotNeeded;
    }
    let Some(found) = snapshot.fleet.tenants.resolve(host) else { return Proof::NotNeeded };
    let asked = snapshot.fleet.client_certificates_of(&found);
    let authorities = snapshot.client_authorities(&found);
    let (Some(asked), Some(authorities)) = (asked, authorities) else { return Proof::NotNeeded };
    if origin.tls && !origin.asked_certificate && !origin.gateway {
        return Proof::NotAsked;
    }
    let told = || {
        let chain = head.headers.get_all(CHAIN_HEADER).iter().map(HeaderValue::as_bytes);
        ClientCertificate::told(head.headers.get(HEADER)?.as_bytes(), chain)
    };
    let certificate = if origin.gateway { told().map(Arc::new) } else { origin.certificate.clone() };
    let outcome = match &certificate {
        None => Err(CertificateFault::Absent),
        Some(shown) => shown.judge(authorities.group(), |chain| authorities.verify(chain)),
    };
    let fault = outcome.err();
    let forward = asked.forward;
    context.certificate = Some(Shown { fault, certificate, forward });
    fault.map_or(Proof::Verified, Proof::None)
}
