//! What `acme` means.

use super::file::AcmeEntry;
use super::model::{ListenerConfig, Secret};
use super::problem::Spot;
use super::read::{At, Reader, Step};
use crate::acme::{Budget, Challenge};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Certificates by ACME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of the server's directory.
    pub directory: Box<str>,
    /// `mailto:` URLs of people.
    pub contact: Vec<Box<str>>,
    /// Account of the server's owner to bind ours to.
    pub external_account: Option<ExternalAccount>,
    /// File with certificates to know the server by, instead of those of the system.
    pub directory_ca: Option<Box<str>>,
    /// Challenges in the order of trials.
    pub challenges: Vec<Challenge>,
    /// Where a host has to lead. Empty: anywhere.
    pub addresses: Vec<IpAddr>,
    /// Servers that are asked for names. Empty: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// Part of a lifetime, in hundredths, after which a certificate is renewed.
    pub renew_at_percent: u8,
    /// How long the certificate of a host is kept that no tenant has.
    pub unwanted_kept_for: Duration,
    /// How much may be ordered.
    pub budget: Budget,
}

/// An external account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Key id.
    pub key_id: Box<str>,
    /// Key, in base64url without padding.
    pub hmac_key: Secret,
}

/// Checks `acme` beside the listeners that use it. The outer `None` after a problem.
#[expect(clippy::option_option, reason = "the outer one says whether reading went well, as for every reader")]
pub(super) fn check(
    written: Option<At<AcmeEntry>>,
    listeners: &[(Spot, ListenerConfig)],
    reader: &mut Reader<'_>,
) -> Option<Option<Acme>> {
    let user = listeners.iter().find(|(_, listener)| listener.tls.as_ref().is_some_and(|tls| tls.acme));
    let Some(At { at, value: written }) = written else {
        if let Some((at, _)) = user {
            let hint = "write `acme: { terms_of_service_agreed: true }`, or remove `acme` from the listener";
            reader.error(
                *at,
                "a listener takes its certificates from ACME, and there is no `acme:`".into(),
                Some(hint.into()),
            );
        }
        return Some(None);
    };
    reader.inside(Step::Key("acme"), |reader| {
        if user.is_none() {
            let hint = "write `tls: { acme: true }` for one";
            reader.warning(
                at,
                "no listener serves certificates of ACME, so none is ordered".into(),
                Some(hint.into()),
            );
        }
        if !written.terms_of_service_agreed.value {
            let hint = "read the terms of the server, and write `true`, or remove `acme`";
            reader.error(
                written.terms_of_service_agreed.at,
                "no certificate is issued to those who do not agree".into(),
                Some(hint.into()),
            );
        }
        let external_account = match written.external_account {
            Some(account) => {
                let At { at, value: key } = account.hmac_key;
                if URL_SAFE_NO_PAD.decode(key.0.reveal()).is_err() {
                    let hint = "expected base64url without `=`, as the server's owner gives it";
                    reader.error(
                        at,
                        "the key of the external account is not valid".into(),
                        Some(hint.into()),
                    );
                }
                Some(ExternalAccount { key_id: account.key_id.0, hmac_key: key.0 })
            }
            None => None,
        };
        let percent = u8::try_from(written.renew_at_percent.0).ok()?;
        Some(Some(Acme {
            directory: written.directory.0,
            contact: written.contact.0.iter().map(|email| format!("mailto:{}", email.0).into()).collect(),
            external_account,
            directory_ca: written.directory_ca.map(|path| path.0),
            challenges: written.challenges.0.into_iter().map(|challenge| challenge.0).collect(),
            addresses: written
                .addresses
                .into_iter()
                .flat_map(|list| list.0)
                .map(|address| address.0)
                .collect(),
            resolvers: written.resolvers.into_iter().flat_map(|list| list.0).map(|server| server.0).collect(),
            renew_at_percent: percent,
            unwanted_kept_for: written.unwanted_kept_for.0,
            budget: Budget {
                orders_per_hour: written.orders_per_hour.0,
                orders_per_domain_per_week: written.orders_per_domain_per_week.0,
            },
        }))
    })
}
