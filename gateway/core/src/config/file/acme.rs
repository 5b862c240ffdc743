//! `acme` as written.

use super::address::{Address, Server};
use super::collection::{Choice, List, OneOf};
use super::value::{Folder, Lasting, SecretText, Sentence, Whole, text_schema};
use crate::acme::Challenge;
use crate::config::read::{At, Text, section};
use std::borrow::Cow;

/// Most addresses of people.
const CONTACTS_MAX: usize = 10;
/// Most addresses that a host may lead to.
const ADDRESSES_MAX: usize = 256;
/// Most servers that are asked for names.
const RESOLVERS_MAX: usize = 8;

section! {
    /// [Certificates that are ordered and renewed](operations.md#certificates-by-acme) from a server of ACME (RFC 8555), for
    /// the hosts of all tenants that no folder has a certificate for. They are served by listeners with `tls.acme`.
    pub(in crate::config) struct AcmeEntry {
        /// URL of the server's directory. For trials, Let's Encrypt has
        /// `https://acme-staging-v02.api.letsencrypt.org/directory`.
        directory: DirectoryUrl = "https://acme-v02.api.letsencrypt.org/directory",
        /// Whether you agree to the terms of service of the server. It issues nothing without.
        terms_of_service_agreed: At<bool>,
        /// E-mail addresses that the server may write to.
        contact: List<Email, 0, CONTACTS_MAX> = [],
        /// An account of the server's owner to bind ours to, where the server asks for one.
        external_account: Option<ExternalAccountEntry> = null,
        /// File with certificates in PEM to know the server by, relative to the folder of the main file. Left out, those of
        /// the system.
        #[schemars(extend("x-default" = "those of the system"))]
        directory_ca: Option<Folder> = null,
        /// How names are proved to be yours, in the order of trials: after a failure the next one is tried. `http-01` needs
        /// a listener without `tls` that is reached on port 80, `tls-alpn-01` one with `tls.acme` on port 443, `dns-01` an
        /// entry of `dns_zones` that holds the name; a `*.suffix` host is proved by that alone.
        challenges: List<OneOf<Challenge>, 1, 3> = ["http-01", "tls-alpn-01", "dns-01"],
        /// Public addresses of this gateway. A certificate is ordered only for a host whose name leads to these and no
        /// other. Left out, names are not looked up.
        #[schemars(extend("x-default" = "names are not looked up"))]
        addresses: Option<List<Address, 1, ADDRESSES_MAX>> = null,
        /// Servers that are asked where a host leads.
        #[schemars(extend("x-default" = "those of the system"))]
        resolvers: Option<List<Server, 1, RESOLVERS_MAX>> = null,
        /// Part of a certificate's lifetime, in hundredths, after which it is renewed, less up to a twentieth so that not
        /// all come at once. A server that says when (ARI, RFC 9773) is followed instead.
        renew_at_percent: Whole<10, 95> = 66,
        /// How long the certificate of a host is kept after no tenant has the host any more. One that comes back in time
        /// needs no order. At `0s` it goes at once.
        unwanted_kept_for: Lasting<0, 31_536_000_000> = "720h",
        /// Most orders in an hour. Let's Encrypt allows 300 in three hours.
        orders_per_hour: Whole<1, 10_000> = 80,
        /// Most new certificates in a week for hosts of one registered domain. Let's Encrypt allows 50; renewals do not
        /// count.
        orders_per_domain_per_week: Whole<1, 50_000> = 40,
    }
}

section! {
    /// An external account (RFC 8555, section 7.3.4).
    pub(in crate::config) struct ExternalAccountEntry {
        /// Key id, as the server's owner gives it.
        key_id: Sentence<256>,
        /// Key, in base64url.
        hmac_key: At<SecretText>,
    }
}

impl Choice for Challenge {
    const CHOICES: &'static [(&'static str, Self)] =
        &[("http-01", Self::Http01), ("tls-alpn-01", Self::TlsAlpn01), ("dns-01", Self::Dns01)];
}

/// URL of a directory.
#[derive(Debug)]
pub(in crate::config) struct DirectoryUrl(pub(in crate::config) Box<str>);

impl Text for DirectoryUrl {
    fn expected() -> Cow<'static, str> {
        "a URL that starts with `https://`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").ok_or("it does not start with `https://`")?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it names no server".into());
        }
        Ok(Self(text.into()))
    }
}

/// An e-mail address.
#[derive(Debug)]
pub(in crate::config) struct Email(pub(in crate::config) Box<str>);

/// Longest e-mail address in bytes (RFC 5321, section 4.5.3.1.3, without the brackets).
const EMAIL_BYTES_MAX: usize = 254;

impl Text for Email {
    fn expected() -> Cow<'static, str> {
        "an e-mail address, such as `ops@example.com`".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        // RFC 8555, section 7.3: one address, without header fields.
        let fine = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'?' | b':' | b'<' | b'>');
        match text.split_once('@') {
            Some((name, host))
                if !name.is_empty()
                    && host.contains('.')
                    && text.len() <= EMAIL_BYTES_MAX
                    && text.bytes().all(fine) =>
            {
                Ok(Self(text.into()))
            }
            _ => Err("it is no e-mail address".into()),
        }
    }
}

text_schema! {
    DirectoryUrl;
    Email;
}
