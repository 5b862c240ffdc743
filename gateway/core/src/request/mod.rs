//! A request as it may come in: read strictly, into types, before anything is decided about it.
//!
//! Whatever two servers could read in two ways is refused here, so that the gateway and Odoo see the same request.
//! [`HeadReader`] and [`ChunkReader`] look at the bytes of HTTP/1, before any parser smooths them over; [`Fields`]
//! judges the fields of both versions; [`Target`] is the one spelling of what is asked for.

mod chunks;
mod fault;
mod fields;
mod framing;
mod head;
mod method;
mod parsed;
mod target;

pub use chunks::{BrokenChunks, ChunkReader};
pub use fault::Fault;
pub use fields::Fields;
pub use framing::{CONTENT_LENGTH_MAX, Framing};
pub use head::{HeadReader, HeadRoom, Progress};
pub use method::{ALLOW, is_allowed};
pub use parsed::judge_parsed;
pub use target::Target;

/// Longest head of a request, in bytes: request line, fields and the empty line after them.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Longest target, in bytes. Odoo's own URLs exceed 8 KiB: `/web/webclient/translations` names every module.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;
/// Most header fields of a request.
pub const FIELDS_MAX: usize = 100;

/// Versions of HTTP that differ in what a request may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, no `Expect`, no `Upgrade`.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2: frames say where a body ends.
    Http2,
}
