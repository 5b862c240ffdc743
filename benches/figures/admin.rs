//! Calls to the admin API of a running gateway.

use crate::Failure;
use crate::answer::Incoming;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For one call.
const PATIENCE: Duration = Duration::from_secs(30);

/// An admin socket.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) PathBuf);

impl Admin {
    /// The process that serves, unless it is about to end.
    pub(crate) async fn serving_process(&self) -> Result<Option<u32>, Failure> {
        let status = self.call("GET", "/v1/status").await?;
        let pid = status.get("pid").and_then(Value::as_u64).ok_or("a status without a process id")?;
        let serving = status.get("phase").is_some_and(|phase| phase == "serving");
        Ok(serving.then_some(u32::try_from(pid)?))
    }

    /// Reads the config's files again, and is told of no problem in them.
    pub(crate) async fn reload(&self) -> Result<(), Failure> {
        let report = self.call("POST", "/v1/reload").await?;
        let problems = report.get("problems").and_then(Value::as_array);
        if problems.is_some_and(Vec::is_empty) {
            Ok(())
        } else {
            Err(format!("a reload failed: {report}").into())
        }
    }

    /// What a tenant has used of a quota; 0 if it has not used any.
    pub(crate) async fn used(&self, tenant: &str, quota: &str) -> Result<u64, Failure> {
        let list = self.call("GET", &format!("/v1/quota?tenant={tenant}")).await?;
        if let Some(problem) = list.get("problem").and_then(Value::as_str) {
            return Err(format!("usage is not written down: {problem}").into());
        }
        let mut rows = list.get("quotas").and_then(Value::as_array).into_iter().flatten();
        let row = rows.find(|row| row.get("quota").is_some_and(|name| name == quota));
        Ok(row.and_then(|row| row.get("used")).and_then(Value::as_u64).unwrap_or(0))
    }

    /// What is known of the first pool's regions.
    pub(crate) async fn pool(&self) -> Result<Value, Failure> {
        let mut report = self.call("GET", "/v1/regions").await?;
        let pools = report.get_mut("pools").and_then(Value::as_array_mut);
        Ok(pools.and_then(|pools| pools.first_mut()).map(Value::take).ok_or("no pool is watched")?)
    }

    /// Moves a pool to a region.
    pub(crate) async fn pin(&self, pool: &str, region: &str) -> Result<(), Failure> {
        self.call("POST", &format!("/v1/regions/pin?pool={pool}&region={region}&reason=figures")).await?;
        Ok(())
    }

    async fn call(&self, method: &str, target: &str) -> Result<Value, Failure> {
        timeout(PATIENCE, self.exchange(method, target)).await?
    }

    async fn exchange(&self, method: &str, target: &str) -> Result<Value, Failure> {
        let mut stream = UnixStream::connect(&self.0).await?;
        stream.write_all(format!("{method} {target} HTTP/1.1\r\nHost: fleetgate\r\n\r\n").as_bytes()).await?;
        let mut incoming = Incoming::new();
        let answer = incoming.answer(&mut stream).await?;
        let body = incoming.body(&answer);
        if answer.status == 200 {
            return Ok(serde_json::from_slice(body)?);
        }
        Err(format!("{method} {target} was answered {}: {}", answer.status, String::from_utf8_lossy(body))
            .into())
    }
}
