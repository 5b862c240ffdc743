//! The connection front: listeners, client streams, and what runs on them.

mod capacity;
mod entrance;
mod hello;
mod listen;
mod passthrough;
mod proxy_protocol;
mod serve;
mod socket_file;
mod tickets;
mod tls;

pub use capacity::{Capacity, Full};
pub use entrance::{Entrance, Peers};
pub use listen::{INHERITED_NAMES_VARIABLE, Inherited, ListenSocket, Listener, bind};
pub use passthrough::Passthrough;
pub use serve::{Front, FrontState};
pub use tls::{Certificates, TlsFront};
