//! The bytes of a connection, in the clear or through TLS.

use super::Socket;
use tokio_rustls::TlsStream;
use tokio_util::either::Either;

/// A connection with a client or a backend: in the clear (left), or through TLS, whose state is large (right).
pub type Transport = Either<Socket, Box<TlsStream<Socket>>>;

/// The connection below.
pub(super) fn socket_of(transport: &Transport) -> &Socket {
    match transport {
        Either::Left(stream) => stream,
        Either::Right(stream) => stream.get_ref().0,
    }
}
