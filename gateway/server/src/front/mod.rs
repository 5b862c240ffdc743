//! The connection front: listeners, client streams, and what runs on them.

mod capacity;
mod entrance;
mod hello;
mod listen;
mod passthrough;
mod proxy_protocol;
mod serve;
mod tls;

pub use capacity::{Capacity, Full};
pub use entrance::Entrance;
pub use listen::{INHERITED_NAMES_VARIABLE, Inherited, Listener, bind};
pub use passthrough::Passthrough;
pub use serve::{Front, FrontState};
pub use tls::{Certificates, TlsFront};
