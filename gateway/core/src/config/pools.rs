//! One pool, checked against the regions.

use super::Secret;
use super::file::{
    BackendAddress, BackendEntry, FailoverEntry, FreezeEntry, GatewaysEntry, IdentityEntry, List,
    PATRONI_MEMBERS_MAX, PoolEntry, PoolRegionEntry, PoolTlsEntry, PostgresTlsEntry, PostgresUrl, Url,
};
use super::problem::Spot;
use super::read::{At, Reader, Step};
use super::suggest;
use super::{authorities, health};
use crate::certificate::Identity;
use crate::health::Damping;
use crate::pool::{
    Backend, BackendPlace, BackendTls, DatabaseSource, Pool, PoolRegion, PostgresTls, Region, SameSite,
    SessionCookie, Timeouts, WebsocketTimeouts,
};
use crate::region::{FailoverMode, FailoverPolicy, Freeze, LEASE};
use core::num::NonZeroU16;
use core::time::Duration;

/// Least idle timeout that leaves Odoo's own pings the time to arrive (55 s in 19.0), with a margin.
const WEBSOCKET_IDLE_SENSIBLE: Duration = Duration::from_secs(75);
/// For how long requests wait where gateways decide together: silence, a promotion, and a lease before the next grant.
const HOLD_TOGETHER: Duration = Duration::from_secs(15);
/// What a move takes at the least where gateways decide together: the lease, and three seconds for the rest.
const HOLD_TOGETHER_MIN: Duration = LEASE.saturating_add(Duration::from_secs(3));

/// How gateways that decide together hear each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Medium {
    /// They do not.
    None,
    /// Over a Redis.
    Redis,
    /// Directly; how many of them there are, if that is known.
    Nodes(Option<usize>),
}

/// Checks a pool. `None` after a problem was reported, here or with the regions, which then are `None` too.
pub(super) fn check(
    at: Spot,
    name: &str,
    mut written: PoolEntry,
    regions: Option<&[Region]>,
    medium: Medium,
    reader: &mut Reader<'_>,
) -> Option<Pool> {
    let errors_before = reader.error_count();
    let watched = written.health.enabled;
    reader.inside(Step::Key("failover"), |reader| check_together(&written.failover, watched, medium, reader));
    check_values(&written, reader);
    let tls = written.tls.and_then(|tls| reader.inside(Step::Key("tls"), |reader| check_tls(tls, reader)));
    let secure = written.postgres_tls.is_some();
    let damping = health::damping_of_all(&written.health);
    let regions = reader.inside(Step::Key("regions"), |reader| {
        check_regions(at, written.regions.0, regions, (secure, damping), reader)
    });
    let postgres_tls = written
        .postgres_tls
        .and_then(|tls| reader.inside(Step::Key("postgres_tls"), |reader| check_postgres_tls(tls, reader)));
    let decides_with_others = written.failover.quorum.is_some();
    let watched = health::check(written.health, decides_with_others, reader);
    let freezes = check_freezes(core::mem::take(&mut written.failover.freeze.0), reader);
    let regions = regions.filter(|regions| check_watched(at, &written.failover, regions, reader));
    let pool = Pool {
        health: watched.probes,
        agent: watched.agent,
        login: watched.login,
        freezes,
        postgres_tls,
        failover: failover(&written.failover),
        name: name.into(),
        odoo_version: written.odoo_version.0,
        database_selection: written.database_selection.0,
        database_header: written.database_header.value,
        backends_per_tenant: u8::try_from(written.backends_per_tenant.0).unwrap_or(u8::MAX),
        session_cookie: SessionCookie {
            secure: written.session_cookie.secure,
            same_site: written.session_cookie.same_site.value.0.0,
        },
        stream_paths: written.stream_paths.0.into_iter().map(|start| start.0).collect(),
        filestore: written.filestore.map(|folder| folder.0),
        tls,
        http: Timeouts {
            connect: written.http.connect_timeout.0,
            read: written.http.read_timeout.0,
            write: written.http.write_timeout.0,
        },
        longpolling: Timeouts {
            connect: written.longpolling.connect_timeout.0,
            read: written.longpolling.read_timeout.0,
            write: written.longpolling.write_timeout.0,
        },
        websocket: WebsocketTimeouts {
            connect: written.websocket.connect_timeout.0,
            handshake: written.websocket.handshake_timeout.0,
            idle: written.websocket.idle_timeout.value.0,
        },
        regions: regions?,
    };
    (reader.error_count() == errors_before).then_some(pool)
}

fn check_freezes(written: Vec<At<FreezeEntry>>, reader: &mut Reader<'_>) -> Box<[Freeze]> {
    let mut freezes = Vec::with_capacity(written.len());
    for (index, At { at, value }) in written.into_iter().enumerate() {
        let freeze = Freeze { from: value.from.0, until: value.until.0 };
        if freeze.from >= freeze.until {
            reader.inside(Step::Key("failover"), |reader| {
                reader.inside(Step::Key("freeze"), |reader| {
                    reader.inside(Step::Index(index), |reader| {
                        reader.error(
                            at,
                            "it ends before it begins".into(),
                            Some("write `from` before `until`".into()),
                        );
                    });
                });
            });
        }
        freezes.push(freeze);
    }
    freezes.into()
}

fn failover(written: &FailoverEntry) -> FailoverPolicy {
    let hold = if written.quorum.is_some() { HOLD_TOGETHER } else { FailoverPolicy::default().hold };
    FailoverPolicy {
        mode: written.mode.value.0,
        quorum: written.quorum.as_ref().and_then(|quorum| u8::try_from(quorum.value.0).ok()),
        hold_down: written.hold_down.0,
        moves_per_day_max: u8::try_from(written.moves_per_day_max.0).unwrap_or(u8::MAX),
        lag_max: written.lag_max.0,
        hold: written.hold.as_ref().map_or(hold, |hold| hold.value.0),
    }
}

/// Whether gateways that decide together can, and have the time to.
fn check_together(failover: &FailoverEntry, watched: bool, medium: Medium, reader: &mut Reader<'_>) {
    let Some(At { at, value: quorum }) = &failover.quorum else { return };
    let (quorum, at) = (usize::from(quorum.0), *at);
    reader.inside(Step::Key("quorum"), |reader| match medium {
        _ if !watched => {
            let message = "nothing of this pool is asked, so there is nothing to decide about".into();
            let hint = "leave `quorum` out, or `health.enabled: false`";
            reader.error(at, message, Some(hint.into()));
        }
        Medium::None => {
            let message = "the gateways have no way to hear each other".into();
            let hint = "write `nodes:` or `redis:`, or leave `quorum` out";
            reader.error(at, message, Some(hint.into()));
        }
        Medium::Nodes(Some(gateways)) if gateways != quorum => {
            let message = format!("`nodes.gateways` names {gateways} gateways, and this says {quorum}");
            let hint = "write the same number: each gateway of `nodes` decides, and nobody else";
            reader.error(at, message, Some(hint.into()));
        }
        Medium::Redis | Medium::Nodes(_) => {}
    });
    if let Some(hold) = failover.hold.as_ref().filter(|hold| too_short(hold.value.0)) {
        reader.inside(Step::Key("hold"), |reader| {
            let message = "requests that wait give up before gateways that decide together can have moved";
            let hint = "a move takes them a lease of 5 s and what the promotion takes: leave it out for 15 s, or write `0s` to hold nothing";
            reader.warning(hold.at, message.into(), Some(hint.into()));
        });
    }
}

/// Whether requests wait, and for less than gateways that decide together need.
fn too_short(hold: Duration) -> bool {
    !hold.is_zero() && hold < HOLD_TOGETHER_MIN
}

/// Which database takes writes is known of all regions, or is no question at all.
fn check_watched(
    at: Spot,
    failover: &FailoverEntry,
    regions: &[PoolRegion],
    reader: &mut Reader<'_>,
) -> bool {
    let watched = regions.iter().filter(|region| region.database.is_some()).count();
    if watched > 0 && watched < regions.len() {
        let without = regions.iter().find(|region| region.database.is_none());
        let name = without.map_or("", |region| &region.name);
        let message =
            format!("the region `{name}` of the pool has no `postgres` or `patroni`, and others have");
        let hint = "write it for each region of the pool: nobody can say else which one takes writes";
        reader.error(at, message, Some(hint.into()));
        return false;
    }
    if failover.mode.value.0 == FailoverMode::Automatic && watched == 0 {
        let message = "the pool moves by itself, and its databases are not watched".into();
        let hint = "write `postgres:` for each region of the pool, or `mode: manual`";
        reader.inside(Step::Key("failover"), |reader| {
            reader.inside(Step::Key("mode"), |reader| {
                reader.error(failover.mode.at, message, Some(hint.into()));
            });
        });
        return false;
    }
    true
}

/// Values that are allowed each, but not together.
fn check_values(written: &PoolEntry, reader: &mut Reader<'_>) {
    let version = written.odoo_version.0;
    if written.database_header.value && !version.has_database_header() {
        reader.inside(Step::Key("database_header"), |reader| {
            let message = format!("Odoo {version} does not read `X-Odoo-Database`");
            let hint = "leave it `false`: only Odoo 19.0 selects a database by this header";
            reader.error(written.database_header.at, message, Some(hint.into()));
        });
    }
    let cookie = &written.session_cookie;
    if cookie.same_site.value.0.0 == Some(SameSite::None) && !cookie.secure {
        reader.inside(Step::Key("session_cookie"), |reader| {
            let message = "browsers refuse a cookie with `SameSite=None` and without `Secure`".into();
            let hint = "write `secure: true`, or another `same_site`";
            reader.error(cookie.same_site.at, message, Some(hint.into()));
        });
    }
    let idle = &written.websocket.idle_timeout;
    if idle.value.0 < WEBSOCKET_IDLE_SENSIBLE {
        let (section, key) = (Step::Key("websocket"), Step::Key("idle_timeout"));
        reader.inside(section, |reader| {
            reader.inside(key, |reader| {
                let message =
                    "healthy websockets will be cut: Odoo pings a quiet one only after 45 to 55 seconds";
                reader.warning(idle.at, message.into(), Some("write `75s` or more".into()));
            });
        });
    }
}

/// Reads the files that the section names. `None` after a problem was reported.
fn check_tls(written: PoolTlsEntry, reader: &mut Reader<'_>) -> Option<BackendTls> {
    let authorities = authorities::read(&written.ca, "ca", reader);
    let client = check_identity(written.client_certificate, reader).ok()?;
    Some(BackendTls { server_name: written.server_name.0, authorities: authorities?, client })
}

/// Reads the files that the section names. `None` after a problem was reported.
fn check_postgres_tls(written: PostgresTlsEntry, reader: &mut Reader<'_>) -> Option<PostgresTls> {
    let authorities = authorities::read(&written.ca, "ca", reader);
    let client = check_identity(written.client_certificate, reader).ok()?;
    Some(PostgresTls { authorities: authorities?, client })
}

/// Reads the files that `client_certificate` names, if it is written. `Err` after a problem was reported.
fn check_identity(
    written: Option<At<IdentityEntry>>,
    reader: &mut Reader<'_>,
) -> Result<Option<Identity>, ()> {
    let Some(At { at, value }) = written else { return Ok(None) };
    reader.world().identity(&value.certificate.0, &value.key.0).map(Some).map_err(|reason| {
        reader.inside(Step::Key("client_certificate"), |reader| {
            let hint = "name a certificate and the key that belongs to it, both in PEM";
            reader.error(at, reason, Some(hint.into()));
        });
    })
}

fn check_database(
    postgres: Option<At<PostgresUrl>>,
    patroni: Option<At<List<Url, 1, PATRONI_MEMBERS_MAX>>>,
    secure: bool,
    reader: &mut Reader<'_>,
) -> Option<DatabaseSource> {
    match (postgres, patroni) {
        (None, None) => None,
        (Some(postgres), None) => Some(DatabaseSource::Postgres(check_postgres(postgres, secure, reader))),
        (None, Some(At { at, value: List(urls) })) => {
            if !secure && urls.iter().any(|url| url.0.tls) {
                let hint = "write `postgres_tls:` with the `ca` of the members in the pool";
                reader.inside(Step::Key("patroni"), |reader| {
                    let message = "nobody says whose certificates Patroni's members show".into();
                    reader.error(at, message, Some(hint.into()));
                });
            }
            Some(DatabaseSource::Patroni(urls.into_iter().map(|url| url.0).collect()))
        }
        (Some(postgres), Some(patroni)) => {
            let message = "the region has both `postgres` and `patroni`".into();
            let hint = "remove one of them: each says whether the database takes writes";
            reader.inside(Step::Key("patroni"), |reader| {
                reader.conflict(patroni.at, postgres.at, message, Some(hint.into()));
            });
            None
        }
    }
}

/// A URL that asks for TLS is not asked in the clear.
fn check_postgres(At { at, value }: At<PostgresUrl>, secure: bool, reader: &mut Reader<'_>) -> Secret {
    let url = value.0;
    let mut modes = url.reveal().split(['?', '&']).filter_map(|pair| pair.strip_prefix("sslmode="));
    let asks = modes.find(|mode| !["disable", "allow", "prefer"].contains(mode)).map(str::to_owned);
    if let Some(mode) = asks.filter(|mode| !secure || mode != "require") {
        reader.inside(Step::Key("postgres"), |reader| {
            let message = format!("`sslmode={mode}` is not how TLS with PostgreSQL is written here");
            let hint = "write `postgres_tls:` with a `ca` in the pool, and leave `sslmode` out: certificates are then verified in full";
            reader.error(at, message, Some(hint.into()));
        });
    }
    url
}

fn check_regions(
    at: Spot,
    written: Vec<(Spot, Box<str>, Option<PoolRegionEntry>)>,
    regions: Option<&[Region]>,
    (secure, damping): (bool, Damping),
    reader: &mut Reader<'_>,
) -> Option<Vec<PoolRegion>> {
    let (mut servers, mut far) = (Vec::new(), Vec::new());
    let mut checked: Vec<(usize, PoolRegion)> = Vec::new();
    let mut all_good = regions.is_some();
    for (name_at, name, entry) in written {
        let checked_region = entry.and_then(|mut entry| {
            let checks = entry.checks.take().map(|checks| checks.0).unwrap_or_default();
            reader.inside(Step::Name(name.clone()), |reader| {
                let checks = reader
                    .inside(Step::Key("checks"), |reader| health::check_region(checks, damping, reader));
                let asked = check_region(name_at, entry, secure, (&mut servers, &mut far), reader);
                asked.map(|asked| (asked, checks))
            })
        });
        let declared = regions.unwrap_or_default();
        let found = declared.iter().enumerate().find(|(_, region)| region.name == name);
        if found.is_none() && regions.is_some() {
            let hint = suggest::hint(&name, declared.iter().map(|region| &*region.name));
            reader.error(name_at, format!("no region `{name}` is declared"), Some(hint));
        }
        match (found, checked_region) {
            (Some((order, region)), Some(((backends, database, gateways), checks))) => {
                let standby = region.standby;
                checked.push((order, PoolRegion { name, standby, backends, database, gateways, checks }));
            }
            _ => all_good = false,
        }
    }
    if all_good && checked.iter().all(|(_, region)| region.standby) {
        let hint = "give it backends in a region that has no `standby: true`";
        reader.error(at, "the pool has backends in standby regions alone".into(), Some(hint.into()));
    }
    checked.sort_by_key(|(order, _)| *order);
    all_good.then(|| checked.into_iter().map(|(_, region)| region).collect())
}

/// Servers that a pool has already, and where they are written.
type Known = Vec<(Spot, BackendPlace)>;

/// Who is asked in a region, who says whether its database takes writes, and TLS with gateways if it is them. `None` after a
/// problem was reported.
fn check_region(
    at: Spot,
    entry: PoolRegionEntry,
    secure: bool,
    (servers, far): (&mut Known, &mut Known),
    reader: &mut Reader<'_>,
) -> Option<(Vec<BackendPlace>, Option<DatabaseSource>, Option<BackendTls>)> {
    let PoolRegionEntry { backends, gateways, postgres, patroni, checks: _ } = entry;
    match (backends, gateways) {
        (Some(List(backends)), None) => {
            let database = check_database(postgres, patroni, secure, reader);
            Some((check_backends(backends, servers, reader), database, None))
        }
        (None, Some(gateways)) => {
            if postgres.is_some() || patroni.is_some() {
                let message = "the gateways of a region say themselves what its database does".into();
                reader.error(at, message, Some("remove `postgres` or `patroni` beside `gateways`".into()));
            }
            let (places, tls) =
                reader.inside(Step::Key("gateways"), |reader| check_gateways(gateways.value, far, reader))?;
            Some((places, Some(DatabaseSource::Gateways), Some(tls)))
        }
        (Some(_), Some(_)) | (None, None) => {
            let message = "a region has either `backends` or `gateways`".into();
            reader.error(at, message, Some("write one of the two".into()));
            None
        }
    }
}

/// `None` after a problem was reported.
fn check_gateways(
    entry: GatewaysEntry,
    far: &mut Known,
    reader: &mut Reader<'_>,
) -> Option<(Vec<BackendPlace>, BackendTls)> {
    let mut places = Vec::with_capacity(entry.addresses.0.len());
    for At { at, value } in entry.addresses.0 {
        let place = match value {
            BackendAddress::Address(http) => {
                BackendPlace::Fixed(Backend { http, websocket: http, workers: None })
            }
            BackendAddress::Name(name, http) => {
                BackendPlace::Named { name, http, websocket: http, workers: None }
            }
        };
        if let Some((other, _)) = far.iter().find(|(_, other)| other.to_string() == place.to_string()) {
            let hint = "a gateway stands for one region of a pool; remove one of them";
            reader.conflict(at, *other, format!("the gateway `{place}` is there twice"), Some(hint.into()));
        }
        far.push((at, place.clone()));
        places.push(place);
    }
    let At { at, value } = entry.tls;
    let tls = reader.inside(Step::Key("tls"), |reader| check_tls(value, reader))?;
    if tls.client.is_none() {
        let message = "gateways of another site serve nobody who shows no certificate".into();
        reader.inside(Step::Key("tls"), |reader| {
            reader.error(at, message, Some("write `client_certificate`".into()));
        });
    }
    Some((places, tls))
}

fn check_backends(
    written: Vec<At<BackendEntry>>,
    servers: &mut Known,
    reader: &mut Reader<'_>,
) -> Vec<BackendPlace> {
    let mut backends = Vec::with_capacity(written.len());
    for (index, At { at, value }) in written.into_iter().enumerate() {
        let checked = reader.inside(Step::Key("backends"), |reader| {
            reader.inside(Step::Index(index), |reader| check_backend(at, value, servers, reader))
        });
        let Some(backend) = checked else { continue };
        servers.push((at, backend.clone()));
        backends.push(backend);
    }
    backends
}

fn check_backend(
    at: Spot,
    written: BackendEntry,
    servers: &[(Spot, BackendPlace)],
    reader: &mut Reader<'_>,
) -> Option<BackendPlace> {
    let workers = written.workers.and_then(|workers| NonZeroU16::new(workers.0));
    let websocket_at = written.websocket.as_ref().map_or(at, |websocket| websocket.at);
    let websocket = written.websocket.map_or_else(|| written.http.clone(), |websocket| websocket.value);
    let backend = match (written.http, websocket) {
        (BackendAddress::Address(http), BackendAddress::Address(websocket)) => {
            BackendPlace::Fixed(Backend { http, websocket, workers })
        }
        (BackendAddress::Name(name, http), BackendAddress::Name(same, websocket)) if name == same => {
            BackendPlace::Named { name, http, websocket, workers }
        }
        _ => {
            reader.inside(Step::Key("websocket"), |reader| {
                let message = "the two ports of a backend are at one server, and these are two".into();
                let hint = "where one of them holds a name, write the same name for both";
                reader.error(websocket_at, message, Some(hint.into()));
            });
            return None;
        }
    };
    if let Some((other, _)) = servers.iter().find(|(_, other)| other.to_string() == backend.to_string()) {
        let hint = "a server counts once in a pool; remove one of them";
        reader.conflict(at, *other, format!("the backend `{backend}` is there twice"), Some(hint.into()));
    }
    if servers.first().is_some_and(|(_, first)| first.workers().is_some() != workers.is_some()) {
        let hint = "say the `workers` of each backend of the pool, or of none";
        let message = "of some backends it is known how many requests they serve at once, of others not";
        reader.error(at, message.into(), Some(hint.into()));
    }
    Some(backend)
}
