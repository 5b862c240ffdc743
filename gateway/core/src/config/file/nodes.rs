//! `nodes` as written.

use super::address::{BackendAddress, Socket};
use super::collection::Named;
use super::value::{FilePath, Name};
use crate::config::read::{At, section};

/// Most gateways that decide together: what `quorum` of a pool may say.
const GATEWAYS_MAX: usize = 63;

section! {
    /// The gateways that [decide together](regions.md#gateways-that-decide-together), and ask each other over TLS 1.3 what they
    /// see. Each shows a certificate for its own name, from an authority that signs for nobody else. With `redis` beside it,
    /// Redis divides limits and quotas, and carries nothing of this.
    pub(in crate::config) struct NodesEntry {
        /// Name of this gateway: one of `gateways`, and the one that its certificate holds. `${HOSTNAME}` keeps the file the
        /// same everywhere.
        name: At<Name>,
        /// Address that the other gateways ask. Whoever shows no certificate of one of them gets no answer.
        #[schemars(extend("x-applies" = "restart"))]
        address: At<Socket>,
        /// File with this gateway's certificate in PEM, and behind it those that lead to its authority. It is for servers and
        /// for clients, and taken live when it changes. Relative paths start at the folder of the main file.
        certificate: At<FilePath>,
        /// File with its private key in PEM, not encrypted.
        key: FilePath,
        /// File with the certificates of the authorities that sign for gateways, in PEM. Nobody else is trusted.
        ca: At<FilePath>,
        /// All gateways that decide together, this one included: their names, and where each of them is asked. The same on
        /// all of them; change it by one gateway at a time.
        gateways: Named<BackendAddress, GATEWAYS_MAX>,
    }
}
