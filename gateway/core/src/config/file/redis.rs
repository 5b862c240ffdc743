//! `redis` as written.

use super::collection::List;
use super::value::{Folder, Name, SecretText, Sentence, Whole, text_schema};
use crate::config::read::{At, Text, section};
use crate::config::redis::RedisServer;
use std::borrow::Cow;

/// Most servers: there are three to five Sentinels.
const SERVERS_MAX: usize = 16;

section! {
    /// The Redis that [several nodes](nodes.md) share. One node needs none.
    pub(in crate::config) struct RedisEntry {
        /// The server, as `redis://host:port`, or `rediss://host:port` for TLS; a database follows as `/2`. With
        /// `sentinel_service`, the Sentinels.
        servers: At<List<RedisUrl, 1, SERVERS_MAX>>,
        /// Name by which the Sentinels know the service. Left out, `servers` is Redis itself.
        #[schemars(extend("x-default" = "`servers` is Redis itself"))]
        sentinel_service: Option<Name> = null,
        /// File with certificates in PEM to know servers with `rediss` by, relative to the folder of the main file. Left
        /// out, those of the system.
        #[schemars(extend("x-default" = "those of the system"))]
        authority: Option<Folder> = null,
        /// User of Redis (ACL). Left out, Redis' default user.
        #[schemars(extend("x-default" = "Redis' default user"))]
        user: Option<Sentence<128>> = null,
        /// Password of Redis.
        password: Option<SecretText> = null,
        /// Name of this node, another one for each: its usage of quotas is counted under it. Left out, the name of the
        /// machine.
        #[schemars(extend("x-default" = "the name of the machine"))]
        node: Option<Name> = null,
        /// How many nodes there usually are. A node that has never reached Redis takes this part of each limit.
        usual_nodes: Whole<1, 64> = 2,
        /// Beginning of all keys in Redis, the same for all nodes of a fleet, and another for each fleet.
        prefix: Name = "fleetgate",
    }
}

/// URL of a Redis.
#[derive(Debug)]
pub(in crate::config) struct RedisUrl(pub(in crate::config) RedisServer);

impl Text for RedisUrl {
    fn expected() -> Cow<'static, str> {
        "a URL such as `redis://10.0.0.5:6379` or `rediss://redis.example.com:6379`, without user and password".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        RedisServer::parse(text).map(Self).map_err(str::to_owned)
    }
}

text_schema! {
    RedisUrl;
}
