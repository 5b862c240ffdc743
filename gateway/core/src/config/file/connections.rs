//! Limits of client connections, as written.

use super::value::{Count, Lasting};
use crate::config::read::{At, section};

section! {
    /// How many clients may be connected at once, and how slow they may be. One connection too many is closed before
    /// anything of it is read.
    pub(in crate::config) struct ConnectionsEntry {
        /// Connections in all. Each may need two open files, one of them to a backend; the process raises its limit of
        /// open files to the hard one, and takes no more connections than fit into that.
        #[schemars(extend("x-default" = "`50000`, or as many as fit"))]
        max: Option<At<Count<16, 10_000_000>>> = null,
        /// Connections of one client: of an IPv4 address, or of the /64 of an IPv6 address. An office behind one address is
        /// one client. Of balancers in `proxy_protocol`, the clients that they name are counted; `trusted_proxies` are
        /// not counted at all.
        max_per_client: Count<1, 10_000_000> = 2_000,
        /// For a TLS handshake, and for the head of each request, from its first byte to its last. A head that comes too
        /// slowly is answered with 408.
        head_timeout: Lasting<1_000, 600_000> = "10s",
        /// For the first byte of a request on an open connection, after the last answer or from the beginning.
        idle_timeout: Lasting<1_000, 3_600_000> = "75s",
        /// How far a client may lag behind `bytes_per_second_min` while it sends a body or reads an answer: the longest
        /// standstill of a phone between two cells. A body that comes too slowly is answered with 408; who reads too
        /// slowly is cut.
        patience: Lasting<1_000, 600_000> = "30s",
        /// Bytes that have to move in a second, on average. Time without them is taken off `patience`, bytes give it back.
        bytes_per_second_min: Count<1, 1_000_000> = 500,
    }
}
