//! The connection to Redis: made when it is needed, bounded in time, thrown away when anything is odd.

use fleetgate_core::cluster::{Nonsense, Outcome};
use fleetgate_core::config::{Redis, RedisServer};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, ScriptInvocation, TlsCertificates,
};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// For a connection, names, TLS, Sentinels and login included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// For an answer. Redis answers in less than a millisecond; what takes longer is not worth waiting for.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// Why Redis did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No answer in time.
    #[error("Redis did not answer in time")]
    Late,
    /// It is a replica.
    #[error(
        "Redis takes no writes: it is a replica, so `redis.servers` should name the primary, or Sentinels"
    )]
    ReadOnly,
    /// It refused, or there is no connection.
    #[error("Redis cannot be used")]
    Redis(#[from] RedisError),
    /// It said what cannot be true.
    #[error("Redis says what cannot be true ({}): does something else write to its keys?", .0.0)]
    Nonsense(Nonsense),
    /// The file with certificates cannot be read.
    #[error("the certificates that Redis is known by cannot be read from {path}")]
    Authority {
        /// Path.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl From<Nonsense> for ClusterError {
    fn from(nonsense: Nonsense) -> Self {
        Self::Nonsense(nonsense)
    }
}

impl ClusterError {
    /// What it means for the link.
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Late => Outcome::Late,
            Self::ReadOnly => Outcome::ReadOnly,
            Self::Redis(_) | Self::Nonsense(_) | Self::Authority { .. } => Outcome::Failed,
        }
    }

    fn of(error: RedisError) -> Self {
        if error.code() == Some("READONLY") {
            Self::ReadOnly
        } else if error.is_timeout() {
            Self::Late
        } else {
            Self::Redis(error)
        }
    }
}

/// Where Redis is, and the connection to it, if there is one.
#[derive(Debug)]
pub(super) struct Connection {
    config: Redis,
    main_folder: PathBuf,
    open: Mutex<Option<MultiplexedConnection>>,
}

impl Connection {
    pub(super) fn new(config: Redis, main_folder: &Path) -> Self {
        Self { config, main_folder: main_folder.to_owned(), open: Mutex::default() }
    }

    /// Runs a script. After anything but its answer the connection is closed, and the next call makes a new one: what this
    /// one would say later answers nobody's question.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, ClusterError> {
        let mut connection = self.connection().await?;
        let answer = timeout(ANSWER_TIMEOUT, script.invoke_async::<T>(&mut connection)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.close().await;
                Err(ClusterError::of(error))
            }
            Err(_) => {
                self.close().await;
                Err(ClusterError::Late)
            }
        }
    }

    async fn close(&self) {
        self.open.lock().await.take();
    }

    async fn connection(&self) -> Result<MultiplexedConnection, ClusterError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &*open {
            return Ok(connection.clone());
        }
        let connected = timeout(CONNECT_TIMEOUT, self.connect()).await;
        let connection = connected.map_err(|_| ClusterError::Late)??;
        *open = Some(connection.clone());
        Ok(connection)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, ClusterError> {
        let authority = match &self.config.authority {
            Some(path) => {
                let path = self.main_folder.join(&**path);
                let read = tokio::fs::read(&path).await;
                Some(read.map_err(|source| ClusterError::Authority { path, source })?)
            }
            None => None,
        };
        let opened = match &self.config.sentinel_service {
            Some(service) => self.connect_by_sentinels(service, authority.as_deref()).await,
            None => self.connect_to_first(authority.as_deref()).await,
        };
        opened.map_err(ClusterError::of)
    }

    async fn connect_to_first(&self, authority: Option<&[u8]>) -> RedisResult<MultiplexedConnection> {
        let server = self.config.servers.first().ok_or_else(no_server)?;
        open(self.address(server), self.login(server.database), authority).await
    }

    /// Asks one Sentinel after another who takes writes.
    async fn connect_by_sentinels(
        &self,
        service: &str,
        authority: Option<&[u8]>,
    ) -> RedisResult<MultiplexedConnection> {
        let mut last = no_server();
        for sentinel in &self.config.servers {
            match self.primary_by(sentinel, service, authority).await {
                Ok(primary) => {
                    return open(self.address(&primary), self.login(primary.database), authority).await;
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn primary_by(
        &self,
        sentinel: &RedisServer,
        service: &str,
        authority: Option<&[u8]>,
    ) -> RedisResult<RedisServer> {
        let mut asked = open(self.address(sentinel), RedisConnectionInfo::default(), authority).await?;
        let (host, port): (String, u16) = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(service)
            .query_async(&mut asked)
            .await?;
        Ok(RedisServer { host: host.into(), port, tls: sentinel.tls, database: sentinel.database })
    }

    fn address(&self, server: &RedisServer) -> ConnectionAddr {
        let (host, port) = (server.host.to_string(), server.port);
        if server.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    fn login(&self, database: u16) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(i64::from(database)).set_skip_set_lib_name();
        if let Some(user) = &self.config.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.config.password {
            login = login.set_password(password.reveal());
        }
        login
    }

    /// A key of the fleet. The braces keep them together where Redis is a cluster.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.config.prefix)
    }
}

async fn open(
    address: ConnectionAddr,
    login: RedisConnectionInfo,
    authority: Option<&[u8]>,
) -> RedisResult<MultiplexedConnection> {
    let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(login);
    let client = match authority {
        Some(authority) => {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(authority.to_vec()) };
            Client::build_with_tls(info, certificates)?
        }
        None => Client::open(info)?,
    };
    // Every call has a deadline of its own.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await
}

fn no_server() -> RedisError {
    io::Error::new(io::ErrorKind::NotFound, "no Sentinel knows a primary").into()
}
