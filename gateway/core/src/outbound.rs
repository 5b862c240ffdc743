//! What the gateway tells Odoo about a request: each thing once, in one canonical form.

use crate::client_certificate;
use crate::forwarded::Scheme;
use crate::odoo::headers::{DATABASE, DBFILTER, dbfilter_for};
use crate::odoo::paths::is_stateless;
use crate::path::NormalPath;
use crate::pool::{DatabaseSelection, Pool};
use core::net::IpAddr;

/// A request on its way to a backend.
#[derive(Clone, Copy)]
pub struct Outbound<'a> {
    /// Pool that serves it.
    pub pool: &'a Pool,
    /// Database of the tenant.
    pub database: &'a str,
    /// Canonical `host[:port]`.
    pub authority: &'a str,
    /// The client, behind any trusted proxies.
    pub client: IpAddr,
    /// Scheme that the client used.
    pub scheme: Scheme,
    /// Path of the request.
    pub path: &'a NormalPath<'a>,
    /// Whether the request carries Odoo's session cookie.
    pub has_session: bool,
    /// The client's certificate as [`client_certificate::HEADER`](crate::client_certificate::HEADER) writes it, if
    /// it is verified and the tenant wants Odoo to know it, or a gateway of another site is asked.
    pub client_certificate: Option<&'a str>,
    /// What leads from that to its authority, as
    /// [`client_certificate::CHAIN_HEADER`](crate::client_certificate::CHAIN_HEADER) writes it, for a gateway of another site.
    pub client_certificate_chain: Option<&'a str>,
    /// Whether a gateway of another site is asked, which tells Odoo the database itself.
    pub far: bool,
}

impl Outbound<'_> {
    /// Calls `set` for each header that the gateway sets, with its one value.
    ///
    /// Odoo with `proxy_mode` takes the last value of `X-Forwarded-For`, `-Proto` and `-Host`, and none of them
    /// unless `X-Forwarded-Host` is there. Source: Odoo 14.0 to 19.0 `odoo/http.py`, `ProxyFix(x_for=1, x_proto=1,
    /// x_host=1)`.
    ///
    /// # Errors
    /// The first error of `set`.
    pub fn try_for_each<E>(&self, mut set: impl FnMut(&'static str, &str) -> Result<(), E>) -> Result<(), E> {
        let client = self.client.to_string();
        set("host", self.authority)?;
        set("x-forwarded-host", self.authority)?;
        set("x-forwarded-proto", self.scheme.as_str())?;
        set("x-forwarded-for", &client)?;
        set("x-real-ip", &client)?;
        if let Some(certificate) = self.client_certificate {
            set(client_certificate::HEADER, certificate)?;
        }
        if let Some(chain) = self.client_certificate_chain {
            set(client_certificate::CHAIN_HEADER, chain)?;
        }
        if self.far {
            return Ok(());
        }
        match self.pool.database_selection {
            DatabaseSelection::DbfilterHeader => set(DBFILTER, &dbfilter_for(self.database))?,
            DatabaseSelection::Host | DatabaseSelection::Fixed => {}
        }
        // Odoo answers 403 to the header beside a session of another database, so a session goes first.
        let stateless = is_stateless(self.pool.odoo_version, self.path.without_language());
        if self.pool.database_header && stateless && !self.has_session {
            set(DATABASE, self.database)?;
        }
        Ok(())
    }
}
