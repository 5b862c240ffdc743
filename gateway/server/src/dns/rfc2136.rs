//! Dynamic updates of DNS (RFC 2136), signed with a shared key (TSIG, RFC 8945).
//!
//! One message over TCP, on a connection of its own. The response code is read before the signature is checked: servers
//! answer a key that they do not know without a signature (RFC 8945, section 5.3.2), and "not signed" is no help to whoever
//! wrote the wrong key. Such an answer is believed as a diagnosis, never as a success.

use super::zones::{DnsError, DnsProvider, Txt};
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleetgate_core::config::{DnsZone, TsigAlgorithm as Algorithm};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode, UpdateMessage};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};
use jiff::Timestamp;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For a connection, the question and its answer.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds that the clocks may differ by (RFC 8945, section 10).
const FUDGE_SECONDS: u16 = 300;
/// How long others may keep a record of ours, in seconds: it is gone soon.
const TTL_SECONDS: u32 = 10;

/// A zone at its primary server.
pub(super) struct Rfc2136 {
    server: SocketAddr,
    zone: Name,
    signer: TSigner,
}

impl Rfc2136 {
    /// A zone of the config.
    pub(super) fn new(zone: &DnsZone) -> Result<Self, DnsError> {
        let key = STANDARD.decode(zone.key_secret.reveal()).map_err(question)?;
        let algorithm = match zone.key_algorithm {
            Algorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            Algorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            Algorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let signer = TSigner::new(key, algorithm, name(zone.key_name.as_str())?, FUDGE_SECONDS);
        let signer = signer.map_err(question)?;
        Ok(Self { server: zone.server, zone: name(zone.zone.as_str())?, signer })
    }

    /// Sends changes, all or none of which are made.
    async fn update(&self, changes: Vec<Record>) -> Result<(), DnsError> {
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        message.metadata.recursion_desired = false;
        let mut zone = Query::new();
        zone.set_name(self.zone.clone()).set_query_class(DNSClass::IN).set_query_type(RecordType::SOA);
        message.add_zone(zone);
        message.add_updates(changes);
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let verifier = message.finalize(&self.signer, now).map_err(question)?;
        let asked = message.to_vec().map_err(question)?;
        let server = || self.server.to_string();
        let unreachable =
            |error: io::Error| DnsError::Unreachable { server: server(), cause: error.to_string() };
        let answer = match timeout(EXCHANGE_TIMEOUT, exchange(self.server, &asked)).await {
            Ok(answer) => answer.map_err(unreachable)?,
            Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
        };
        let forged = |cause: String| DnsError::Forged { server: server(), cause };
        let parsed = Message::from_vec(&answer).map_err(|error| forged(error.to_string()))?;
        if parsed.metadata.id != message.metadata.id {
            return Err(forged("it answers another question".to_owned()));
        }
        if let Some(reason) = refusal(&parsed) {
            return Err(DnsError::Refused { server: server(), reason });
        }
        match verifier {
            Some(mut verifier) => {
                verifier.verify(&answer).map(drop).map_err(|error| forged(error.to_string()))
            }
            None => Err(forged("the question was not signed".to_owned())),
        }
    }
}

#[async_trait]
impl DnsProvider for Rfc2136 {
    async fn publish(&self, record: &Txt) -> Result<(), DnsError> {
        // What a process that was killed has left goes with the same message (RFC 2136, section 2.5.2).
        let mut all = Record::update0(name(&record.name)?, 0, RecordType::TXT);
        all.dns_class = DNSClass::ANY;
        let new = Record::from_rdata(name(&record.name)?, TTL_SECONDS, text(record));
        self.update(vec![all.into_record_of_rdata(), new]).await
    }

    async fn withdraw(&self, record: &Txt) -> Result<(), DnsError> {
        // This record alone (RFC 2136, section 2.5.4).
        let mut gone = Record::from_rdata(name(&record.name)?, 0, text(record));
        gone.dns_class = DNSClass::NONE;
        self.update(vec![gone]).await
    }
}

fn text(record: &Txt) -> RData {
    RData::TXT(TXT::new(vec![record.value.clone()]))
}

fn name(text: &str) -> Result<Name, DnsError> {
    let mut name = Name::from_ascii(text).map_err(question)?;
    name.set_fqdn(true);
    Ok(name)
}

fn question(error: impl std::fmt::Display) -> DnsError {
    DnsError::Question(error.to_string())
}

/// What a response code means to whoever has to mend it; `None` for a success.
fn refusal(answer: &Message) -> Option<String> {
    let code = answer.metadata.response_code;
    let key = answer.signature().and_then(|signature| signature.data.error);
    let reason = match (code, key) {
        (ResponseCode::NoError, None) => return None,
        (_, Some(TsigError::BadKey)) => "it does not know the key (BADKEY): `key_name` or `key_algorithm` is wrong, or the key may not change this name".to_owned(),
        (_, Some(TsigError::BadSig)) => "the key is another one (BADSIG): `key_secret` is wrong".to_owned(),
        (_, Some(TsigError::BadTime)) => "the clocks differ by more than five minutes (BADTIME)".to_owned(),
        (ResponseCode::Refused, _) => "REFUSED: the key may not change this name".to_owned(),
        (ResponseCode::NotAuth, _) => "NOTAUTH: it is not the primary server of the zone, or does not know the key".to_owned(),
        (ResponseCode::NotZone, _) => "NOTZONE: the name is not in the zone".to_owned(),
        (code, _) => code.to_string(),
    };
    Some(reason)
}

/// A message over TCP, behind its length (RFC 1035, section 4.2.2).
async fn exchange(server: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(asked.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], asked].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
