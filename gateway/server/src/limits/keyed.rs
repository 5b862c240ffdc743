//! Limits that count for each of many clients: one quota, many keys.

use super::clock::moment;
use super::keys::KeyTable;
use fleetgate_core::limit::{LimitName, Limits, Moment, Rate};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};
use rustc_hash::FxHashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The limiters of one set of limits.
#[derive(Debug, Default, Clone)]
pub struct KeyedLimiters {
    by_name: Vec<(LimitName, Arc<KeyedLimiter>)>,
}

impl KeyedLimiters {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The limiter of a limit, if there is one.
    #[must_use]
    pub fn get(&self, name: LimitName) -> Option<&Arc<KeyedLimiter>> {
        self.by_name.iter().find(|(known, _)| *known == name).map(|(_, limiter)| limiter)
    }
}

/// Makes limiters, and finds those that are there already: a reload forgets nobody, unless it changes the quota.
#[derive(Debug)]
pub struct LimiterPool {
    table: Arc<KeyTable>,
    serial: AtomicU64,
}

impl Default for LimiterPool {
    fn default() -> Self {
        Self { table: Arc::default(), serial: AtomicU64::new(1) }
    }
}

impl LimiterPool {
    /// The limiters of every set of limits, by its place. `previous` are those of the last snapshot.
    pub fn of_fleet(&self, limits: &[Limits], previous: &[KeyedLimiters]) -> Vec<KeyedLimiters> {
        let mut known: FxHashMap<(LimitName, Rate), Arc<KeyedLimiter>> = FxHashMap::default();
        for (name, limiter) in previous.iter().flat_map(|limiters| &limiters.by_name) {
            known.insert((*name, limiter.rate), Arc::clone(limiter));
        }
        let mut of_limits = |limits: &Limits| KeyedLimiters {
            by_name: LimitName::ALL
                .into_iter()
                .filter_map(|name| {
                    let rate = limits.keyed(name)?;
                    let limiter = known.entry((name, rate)).or_insert_with(|| Arc::new(self.make(rate)));
                    Some((name, Arc::clone(limiter)))
                })
                .collect(),
        };
        limits.iter().map(&mut of_limits).collect()
    }

    fn make(&self, rate: Rate) -> KeyedLimiter {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let store = KeyStore { table: Arc::clone(&self.table), made: moment(Instant::now()) };
        let burst = u32::try_from(rate.burst()).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MAX);
        let interval = Duration::from_nanos(rate.interval_ps().div_ceil(1_000));
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(NonZeroU32::MAX));
        let limiter = RateLimiter::new(quota.allow_burst(burst), store, ProcessClock);
        KeyedLimiter { serial, rate, table: Arc::clone(&self.table), limiter }
    }
}

/// One quota for each of many keys.
#[derive(Debug)]
pub struct KeyedLimiter {
    /// Tells its keys from those of other limiters in the one table.
    serial: u64,
    rate: Rate,
    table: Arc<KeyTable>,
    limiter: RateLimiter<u64, KeyStore, ProcessClock, NoOpMiddleware<Nanos>>,
}

impl KeyedLimiter {
    /// The key of a client of a tenant. What tells the client apart is hashed and not kept.
    #[must_use]
    pub fn key(&self, tenant: &str, client: impl Hash) -> u64 {
        self.table.key((self.serial, tenant, client))
    }

    /// Charges one unit.
    ///
    /// # Errors
    /// The nanoseconds until there is one.
    pub fn charge(&self, key: u64) -> Result<(), u64> {
        self.limiter.check_key(&key).map_err(|refused| {
            let wait = refused.wait_time_from(ProcessClock.now());
            u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)
        })
    }

    /// Charges one unit that is used already, and so may be one too many.
    pub fn charge_debt(&self, key: u64, now: Moment) {
        let charge = |arrival: Option<u64>| {
            Ok::<_, std::convert::Infallible>(((), self.rate.charge_debt(arrival.unwrap_or(0), now, 1)))
        };
        let Ok(()) = self.table.update(key, charge);
    }

    /// Whether there is a unit, without charging it.
    ///
    /// # Errors
    /// The nanoseconds until there is one.
    pub fn peek(&self, key: u64, now: Moment) -> Result<(), u64> {
        let arrival = self.table.get(key).unwrap_or(0);
        self.rate.charge(arrival, now, 1, 0).map(drop).map_err(|refused| refused.wait_ns)
    }

    /// The rate of each key.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }
}

/// The clock of limits, for governor.
#[derive(Debug, Clone, Copy)]
struct ProcessClock;

impl Clock for ProcessClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(moment(Instant::now()))
    }
}

/// The one table as governor sees it. A limiter of governor counts from when it was made; in the table all numbers are on
/// the clock of limits.
#[derive(Debug)]
struct KeyStore {
    table: Arc<KeyTable>,
    made: Moment,
}

impl StateStore for KeyStore {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.table.update(*key, |arrival| {
            let own = arrival.map(|arrival| Nanos::new(arrival.saturating_sub(self.made)));
            f(own).map(|(answer, next)| (answer, next.as_u64().saturating_add(self.made)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiters(limits: &[Limits], previous: &[KeyedLimiters], pool: &LimiterPool) -> Vec<KeyedLimiters> {
        pool.of_fleet(limits, previous)
    }

    #[test]
    fn each_key_has_the_whole_quota_and_a_reload_forgets_none() {
        let pool = LimiterPool::default();
        let limits = [Limits { client: Rate::new(1, 3_600, 5), ..Limits::default() }];
        let first = limiters(&limits, &[], &pool);
        let limiter = first[0].get(LimitName::Client).unwrap();
        let taken = |limiter: &KeyedLimiter, tenant: &str, client: u32| {
            let key = limiter.key(tenant, client);
            (0..10).filter(|_| limiter.charge(key).is_ok()).count()
        };
        assert_eq!(
            (taken(limiter, "acme", 1), taken(limiter, "acme", 2), taken(limiter, "zen", 1)),
            (5, 5, 5)
        );
        let second = limiters(&limits, &first, &pool);
        let again = second[0].get(LimitName::Client).unwrap();
        assert_eq!(taken(again, "acme", 1), 0);
        let wait = again.charge(again.key("acme", 1_u32)).unwrap_err();
        assert!(wait > 3_500_000_000_000 && wait <= 3_600_000_000_000, "{wait}");
        assert!(first[0].get(LimitName::Session).is_none());
    }

    #[test]
    fn failures_are_charged_afterwards_and_looked_at_before() {
        let pool = LimiterPool::default();
        let limits = [Limits { login_failures: Rate::new(2, 60, 2), ..Limits::default() }];
        let made = limiters(&limits, &[], &pool);
        let limiter = made[0].get(LimitName::LoginFailures).unwrap();
        let (key, now) = (limiter.key("acme", 1_u32), 1_000_000_000);
        for _ in 0..10 {
            assert_eq!(limiter.peek(key, now), Ok(()), "a look costs nothing");
        }
        limiter.charge_debt(key, now);
        limiter.charge_debt(key, now);
        assert_eq!(limiter.peek(key, now), Err(30_000_000_000));
        assert_eq!(limiter.peek(key, now + 30_000_000_000), Ok(()));
    }
}
