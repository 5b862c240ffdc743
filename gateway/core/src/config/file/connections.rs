//! Limits of client connections, as written.

use super::value::Count;
use crate::config::read::{At, section};

section! {
    /// How many clients may be connected at once. One connection more is closed before anything of it is read.
    pub(in crate::config) struct ConnectionsEntry {
        /// Connections in all. Each may need two open files, one of them to a backend; the process raises its limit of
        /// open files to the hard one, and takes no more connections than fit into that.
        #[schemars(extend("x-default" = "`50000`, or as many as fit"))]
        max: Option<At<Count<16, 10_000_000>>> = null,
        /// Connections of one client: of an IPv4 address, or of the /64 of an IPv6 address. An office behind one address is
        /// one client. Of balancers in `proxy_protocol`, the clients that they name are counted; `trusted_proxies` are
        /// not counted at all.
        max_per_client: Count<1, 10_000_000> = 2_000,
    }
}
