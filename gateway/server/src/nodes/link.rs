//! The connection to another gateway: made when it is needed, bounded in time, thrown away when anything is odd.

use super::credentials::Credentials;
use super::problem::NodeProblem;
use super::{PATH, SAID_BYTES_MAX};
use fleetgate_core::config::NodeAddress;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// For an answer, with the connection if there is none yet: what takes longer is worth little, and the lease is longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A way to ask another gateway.
pub(super) struct Link {
    credentials: Arc<Credentials>,
    address: NodeAddress,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Empty<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Link {
    pub(super) const fn new(credentials: Arc<Credentials>, address: NodeAddress) -> Self {
        Self { credentials, address, open: None }
    }

    /// Asks once. After anything but an answer the connection is closed.
    ///
    /// # Errors
    /// Why the gateway is not heard.
    pub(super) async fn ask(&mut self) -> Result<Bytes, NodeProblem> {
        let answer = timeout(ANSWER_TIMEOUT, self.exchange()).await.unwrap_or(Err(NodeProblem::Late));
        if answer.is_err() {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self) -> Result<Bytes, NodeProblem> {
        // One that was kept may have been closed by now: then nothing was asked, and a new one is made.
        let open = match self.open.take().filter(|open| !open.sender.is_closed()) {
            Some(open) => open,
            None => self.connect().await?,
        };
        let Open { sender, .. } = self.open.insert(open);
        sender.ready().await.map_err(|error| NodeProblem::of(&error))?;
        let request = Request::get(PATH).header(hyper::header::HOST, &*self.address.name);
        let request =
            request.body(Empty::new()).map_err(|error| NodeProblem::NoGateway(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| NodeProblem::of(&error))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN => return Err(NodeProblem::NotKnown),
            status => return Err(NodeProblem::NoGateway(format!("status {status}"))),
        }
        let body = Limited::new(answer.into_body(), SAID_BYTES_MAX).collect().await;
        match body {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(NodeProblem::TooMuch),
            Err(error) => Err(NodeProblem::of(&*error)),
        }
    }

    async fn connect(&self) -> Result<Open, NodeProblem> {
        let NodeAddress { host, port, name } = &self.address;
        let found: Vec<SocketAddr> =
            lookup_host((&**host, *port)).await.map_err(NodeProblem::Name)?.collect();
        let stream = TcpStream::connect(&*found).await.map_err(|error| NodeProblem::of(&error))?;
        stream.set_nodelay(true).map_err(|error| NodeProblem::of(&error))?;
        let name = ServerName::try_from(name.to_string())
            .map_err(|_| NodeProblem::Useless("its name is none that a certificate can hold".to_owned()))?;
        let secured = self.credentials.connector.connect(name, stream).await;
        let stream = secured.map_err(|error| NodeProblem::of(&error))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| NodeProblem::of(&error))?;
        let driver = tokio::spawn(connection).abort_handle();
        Ok(Open { sender, driver })
    }
}
