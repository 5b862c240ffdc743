//! The connection front: listeners, client streams, and what runs on them.

mod listen;
mod serve;

pub use listen::{INHERITED_NAMES_VARIABLE, Inherited, Listener, bind};
pub use serve::{Front, FrontState};
