//! Asking the gateways of another site, where nothing else of it is reached from here.

use super::database::Statement;
use super::http::exchange;
use super::odoo::Seen;
use crate::snapshot::{BackendState, BackendTlsClient};
use fleetgate_core::health::Reading;
use fleetgate_core::region::{FarWord, GATEWAYS_HOST, RegionWord, word_path};
use http_body_util::Empty;
use hyper::Request;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// One region of a pool, as the gateways there see it.
pub(super) struct FarRegion {
    pub(super) pool: Box<str>,
    pub(super) region: Box<str>,
    pub(super) tls: Option<Arc<BackendTlsClient>>,
    /// For an answer.
    pub(super) patience: Duration,
    /// How old what they have seen may be.
    pub(super) fresh: Duration,
}

impl FarRegion {
    /// Asks one gateway whether requests may be sent to it.
    pub(super) async fn ask(&self, gateway: SocketAddr) -> Seen {
        match self.word_of(gateway).await {
            Ok(RegionWord { backends_up: 0, .. }) => {
                (Reading::Fail, "the gateway says that no backend serves there".to_owned())
            }
            Ok(RegionWord { backends_up, .. }) => {
                (Reading::Pass, format!("the gateway says that {backends_up} backends serve there"))
            }
            Err(words) => (Reading::Fail, words),
        }
    }

    /// Asks the gateways about the database, one after the other until one has seen it.
    pub(super) async fn ask_about_database(&self, gateways: &[Arc<BackendState>]) -> Statement {
        let mut silence = Vec::new();
        let mut blind = None;
        for gateway in gateways {
            let address = gateway.http.address;
            match self.word_of(address).await {
                Ok(RegionWord { database: Some(database), .. }) => {
                    let age = database.age();
                    if age <= self.fresh {
                        return Statement::Told { seen: database.reading(), age };
                    }
                    silence.push(format!("{address}: it last saw its database {age:?} ago"));
                }
                Ok(RegionWord { database: None, .. }) => {
                    blind = Some(format!("{address} does not watch its database, or may not look"));
                }
                Err(words) => silence.push(format!("{address}: {words}")),
            }
        }
        blind.map_or_else(|| Statement::Silent(silence.join("; ")), Statement::Refused)
    }

    async fn word_of(&self, gateway: SocketAddr) -> Result<RegionWord, String> {
        let asked = async {
            let request = Request::get(word_path(&self.pool)).header(http::header::HOST, GATEWAYS_HOST);
            let request = request.body(Empty::new()).map_err(|error| error.to_string())?;
            let (status, body) = exchange(gateway, request, self.tls.as_deref()).await?;
            if status != 200 {
                return Err(format!("it says {status}: has it a pool `{}`?", self.pool));
            }
            let mut word: FarWord =
                serde_json::from_slice(&body).map_err(|error| format!("it is no Fleetgate: {error}"))?;
            let word = word.regions.remove(&*self.region);
            word.ok_or_else(|| format!("it has no servers in a region `{}` of the pool", self.region))
        };
        let answer = timeout(self.patience, asked).await;
        answer.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.patience)))
    }
}
