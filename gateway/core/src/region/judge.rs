//! Where the requests of a pool go.

use super::agreement::{Agreement, Quorum};
use super::policy::{FailoverMode, FailoverPolicy};
use super::verdict::RegionState;
use super::{NotReady, RegionIndex, RegionVerdict};
use crate::health::{DatabaseReading, DatabaseVerdict, Instance, Moment};
use crate::rejection::Rejection;
use core::time::Duration;

/// Where requests go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// To a region.
    Serve(RegionIndex),
    /// Reads alone, to the region that served: two databases take writes.
    Fenced(RegionIndex),
    /// Nowhere: no database is known to take writes.
    Unwritable,
    /// Nowhere until the other nodes agree on the region.
    Agreeing(RegionIndex),
    /// Nowhere: this node hears no majority of the others.
    Isolated,
}

/// The region that serves a request; `reads` says that its method is a safe one.
///
/// # Errors
/// None does.
pub const fn region_of(route: Route, reads: bool) -> Result<RegionIndex, Rejection> {
    match route {
        Route::Serve(region) => Ok(region),
        Route::Fenced(region) if reads => Ok(region),
        Route::Fenced(_) => Err(Rejection::RegionFenced),
        Route::Unwritable | Route::Agreeing(_) | Route::Isolated => Err(Rejection::RegionUnwritable),
    }
}

/// The history that the pool's writes are part of. Kept over restarts, it tells an old primary from the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Led {
    /// Who took the last writes.
    pub instance: Instance,
    /// On which timeline.
    pub timeline: u32,
}

/// Why requests go to another region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveCause {
    /// Its database takes writes, and the one before does not.
    Promoted,
    /// Every backend of the region before is down, and the database is the same.
    Backends,
    /// An operator said so.
    Operator,
}

impl MoveCause {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Promoted, Self::Backends, Self::Operator];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Promoted => "promoted",
            Self::Backends => "backends",
            Self::Operator => "operator",
        }
    }
}

impl Route {
    /// Names of all of them.
    pub const NAMES: [&'static str; 5] = ["serve", "fenced", "unwritable", "agreeing", "isolated"];

    /// Name in logs, metrics and answers of the admin API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serve(_) => "serve",
            Self::Fenced(_) => "fenced",
            Self::Unwritable => "unwritable",
            Self::Agreeing(_) => "agreeing",
            Self::Isolated => "isolated",
        }
    }
}

/// A move from one region to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Region that served.
    pub from: RegionIndex,
    /// Region that serves.
    pub to: RegionIndex,
    /// When.
    pub at: Moment,
    /// Why.
    pub cause: MoveCause,
}

/// A day, for the bound on moves.
const DAY: Duration = Duration::from_secs(86_400);
/// For how long all backends of a region are down before it is left for another. Over a network that loses one packet in
/// twenty, two backends that are well look dead at once for a few seconds about once a year.
pub const DEAD_FOR: Duration = Duration::from_secs(10);
/// Moves that are remembered.
const MOVES_MAX: usize = 32;

/// Decides for one pool.
#[derive(Debug, Clone)]
pub struct Judge {
    policy: FailoverPolicy,
    regions: Vec<RegionState>,
    active: RegionIndex,
    pinned: Option<RegionIndex>,
    frozen: bool,
    led: Option<Led>,
    conflict_since: Option<Moment>,
    /// Since when no backend of the active region serves.
    dead_since: Option<Moment>,
    moves: Vec<Move>,
    moved: [u64; MoveCause::ALL.len()],
    agreement: Agreement,
}

impl Judge {
    /// Starts with the first region that is no standby. `led` is what a process before this one remembered.
    #[must_use]
    pub fn new(policy: FailoverPolicy, regions: Vec<RegionState>, led: Option<Led>) -> Self {
        let active = regions.iter().position(|region| !region.standby).unwrap_or(0);
        let (pinned, frozen, moves) = (None, false, Vec::new());
        let (conflict_since, dead_since, agreement) = (None, None, Agreement::default());
        let moved = [0; MoveCause::ALL.len()];
        Self {
            policy,
            regions,
            active,
            pinned,
            frozen,
            led,
            conflict_since,
            dead_since,
            moves,
            moved,
            agreement,
        }
    }

    /// Goes on with a region that served under an earlier config.
    pub fn resume(&mut self, region: RegionIndex) {
        if region < self.regions.len() {
            self.active = region;
        }
    }

    /// What is believed of all databases.
    #[must_use]
    pub fn database_verdicts(&self) -> Vec<DatabaseVerdict> {
        (0..self.regions.len()).map(|region| self.database(region)).collect()
    }

    /// A region, to note readings in.
    pub fn region_mut(&mut self, region: RegionIndex) -> Option<&mut RegionState> {
        self.regions.get_mut(region)
    }

    /// The regions.
    #[must_use]
    pub fn regions(&self) -> &[RegionState] {
        &self.regions
    }

    /// Grants nothing for a while, as after a start: an earlier judge of this node may have granted another region.
    pub const fn withdraw(&mut self, now: Moment) {
        self.agreement.withdraw(now);
    }

    /// Goes on granting what another process of this node granted until now, and never will again.
    pub fn take_over_grant(&mut self, region: RegionIndex) {
        if region < self.regions.len() {
            self.agreement.take_over(region);
        }
    }

    /// Holds the pool in a region, or lets it go. A region that cannot take writes serves nobody, pinned or not.
    pub fn pin(&mut self, region: Option<RegionIndex>) {
        self.pinned = region.filter(|region| *region < self.regions.len());
    }

    /// Whether automatic moves are forbidden for now.
    pub const fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// Takes another policy.
    pub const fn set_policy(&mut self, policy: FailoverPolicy) {
        self.policy = policy;
    }

    /// Since when two databases take writes, if they do.
    #[must_use]
    pub const fn conflict_since(&self) -> Option<Moment> {
        self.conflict_since
    }

    /// The history that writes are part of.
    #[must_use]
    pub const fn led(&self) -> Option<Led> {
        self.led
    }

    /// The moves that are remembered, oldest first.
    #[must_use]
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// Moves of all time with a cause.
    #[must_use]
    pub fn moves_for(&self, cause: MoveCause) -> u64 {
        let counted = MoveCause::ALL.into_iter().zip(self.moved);
        counted.filter(|(known, _)| *known == cause).map(|(_, count)| count).sum()
    }

    /// What is believed of a region's database.
    #[must_use]
    pub fn database(&self, region: RegionIndex) -> DatabaseVerdict {
        let Some(state) = self.regions.get(region) else { return DatabaseVerdict::Unwatched };
        let verdict = state.database.verdict();
        let left_behind = |reading: &DatabaseReading| {
            let led = self.led.filter(|_| verdict == DatabaseVerdict::Writable);
            led.is_some_and(|led| {
                reading.instance.system != led.instance.system || reading.timeline < led.timeline
            })
        };
        if state.database.last().is_some_and(left_behind) { DatabaseVerdict::Diverged } else { verdict }
    }

    /// What a region could do.
    #[must_use]
    pub fn verdict(&self, region: RegionIndex) -> Option<RegionVerdict> {
        let (state, database) = (self.regions.get(region)?, self.database(region));
        let (active, fenced) = (region == self.active, self.conflict_since.is_some());
        let verdict = state.verdict(database, active && !fenced, &self.policy);
        let able = matches!(
            verdict,
            RegionVerdict::StandbyReady | RegionVerdict::NotReady(NotReady::Check | NotReady::Login)
        );
        if !able || database != DatabaseVerdict::Writable {
            return Some(verdict);
        }
        let rivals = self.writable().any(|other| !self.is_same_server(other, region));
        Some(match (active, rivals) {
            (true, _) => RegionVerdict::ReadOnly,
            (false, true) => RegionVerdict::NotReady(NotReady::Rival),
            (false, false) => verdict,
        })
    }

    /// Whether users can be expected to log in at a region's backends: its database takes the pool's writes.
    #[must_use]
    pub fn expects_logins(&self, region: RegionIndex) -> bool {
        let writes = self.database(region) == DatabaseVerdict::Writable;
        let trusted = region == self.active && self.is_trusted_unwatched(region);
        self.conflict_since.is_none() && (writes || trusted)
    }

    /// The region that this node lets all nodes use: what it says to the others.
    #[must_use]
    pub const fn grant(&self) -> Option<RegionIndex> {
        self.agreement.grant()
    }

    /// Whether the pool has left a region for another database: what is written there now is part of no history.
    #[must_use]
    pub fn is_left_behind(&self, region: RegionIndex) -> bool {
        let elsewhere = self.led.zip(self.reading(region));
        region != self.active && elsewhere.is_some_and(|(led, reading)| led.instance != reading.instance)
    }

    /// Decides. To be called after each reading, and at least once a second.
    pub fn decide(&mut self, quorum: Option<&Quorum>, now: Moment) -> Route {
        let wanted = match self.pinned {
            Some(pinned) => self.obey(pinned, now),
            None if self.conflict_since.is_some() && !self.is_settled_by_databases() => {
                Route::Fenced(self.active)
            }
            None => self.follow_writable(now),
        };
        let fenced = matches!(wanted, Route::Fenced(_));
        self.conflict_since = fenced.then(|| self.conflict_since.unwrap_or(now));
        // Also before the others agree: what was left is no rival of what was promoted.
        if let Route::Serve(region) = wanted {
            self.remember(region);
        }
        match quorum {
            Some(quorum) => self.agree(wanted, quorum, now),
            None => wanted,
        }
    }

    fn agree(&mut self, wanted: Route, quorum: &Quorum, now: Moment) -> Route {
        let region = if let Route::Serve(region) = wanted { Some(region) } else { None };
        let agreed = self.agreement.work_towards(region, quorum, now);
        match region {
            _ if !quorum.hears_majority(now) => Route::Isolated,
            Some(region) if !agreed => Route::Agreeing(region),
            _ => wanted,
        }
    }

    /// What an operator asked for, as far as it is safe.
    fn obey(&mut self, pinned: RegionIndex, now: Moment) -> Route {
        // An operator who pins a region after a conflict has decided which history goes on.
        let able = match self.regions.get(pinned).map(|region| region.database.verdict()) {
            Some(DatabaseVerdict::Writable) => true,
            Some(DatabaseVerdict::Unwatched) => !self.another_writes(pinned),
            _ => false,
        };
        if !able {
            return Route::Unwritable;
        }
        if pinned != self.active {
            self.led = None;
            self.go(pinned, MoveCause::Operator, now);
        }
        Route::Serve(pinned)
    }

    fn follow_writable(&mut self, now: Moment) -> Route {
        let writable: Vec<RegionIndex> = self.writable().collect();
        let active_writes = writable.contains(&self.active);
        let rival = writable.iter().copied().find(|region| {
            *region != self.active && !(active_writes && self.is_same_server(*region, self.active))
        });
        match rival {
            None if active_writes => {
                self.leave_dead_backends(now);
                Route::Serve(self.active)
            }
            None if self.is_trusted_unwatched(self.active) => Route::Serve(self.active),
            None => Route::Unwritable,
            // It may well take writes, as it did or as the config says, and nobody can see that it does not.
            Some(rival) if self.may_write_unseen(rival) => Route::Fenced(self.active),
            Some(rival) if active_writes => self.settle_rivals(rival, now),
            // Two that take writes, and the one before does not: nobody can tell which of them is right.
            Some(rival) if writable.iter().any(|other| !self.is_same_server(*other, rival)) => {
                Route::Fenced(self.active)
            }
            // The very server of the active region answers by another way: the silence on its own way says nothing.
            Some(rival) if self.is_silent_way_to(rival) => {
                self.leave_dead_backends(now);
                Route::Serve(self.active)
            }
            Some(rival) => {
                self.go(rival, MoveCause::Promoted, now);
                Route::Serve(rival)
            }
        }
    }

    /// The active region's database was writable when it was last heard of, and another is.
    fn settle_rivals(&mut self, rival: RegionIndex, now: Moment) -> Route {
        let rivals_since = self.regions.get(rival).and_then(|region| region.database.writable_since());
        let active = self.regions.get(self.active).map(|region| region.database);
        let answered = active.zip(rivals_since).and_then(|(active, since)| active.answered_after(since));
        match answered {
            // It was not asked since: until then it serves, as it did.
            None => Route::Serve(self.active),
            // It says again that it takes writes.
            Some(true) => Route::Fenced(self.active),
            // It is silent, and the other is on a newer timeline: somebody promoted it.
            Some(false) if self.is_newer(rival, self.active) => {
                self.go(rival, MoveCause::Promoted, now);
                Route::Serve(rival)
            }
            Some(false) => Route::Fenced(self.active),
        }
    }

    /// Regions whose databases take writes that are part of the present history.
    fn writable(&self) -> impl Iterator<Item = RegionIndex> + '_ {
        (0..self.regions.len()).filter(|region| self.database(*region) == DatabaseVerdict::Writable)
    }

    fn another_writes(&self, region: RegionIndex) -> bool {
        self.writable().any(|other| other != region)
    }

    /// A region without a probe that ever got an answer is trusted where it is the one that the config names first.
    fn is_trusted_unwatched(&self, region: RegionIndex) -> bool {
        let unwatched = self.database(region) == DatabaseVerdict::Unwatched;
        unwatched && self.regions.get(region).is_some_and(|region| !region.standby)
    }

    fn reading(&self, region: RegionIndex) -> Option<&DatabaseReading> {
        self.regions.get(region)?.database.last()
    }

    /// Whether two regions read the very same database server.
    #[must_use]
    pub fn is_same_server(&self, one: RegionIndex, other: RegionIndex) -> bool {
        one == other
            || self
                .reading(one)
                .zip(self.reading(other))
                .is_some_and(|(one, other)| one.instance == other.instance)
    }

    /// Whether the active region is silent, and read the same server as another one that takes writes.
    fn is_silent_way_to(&self, other: RegionIndex) -> bool {
        self.database(self.active) == DatabaseVerdict::Unreachable && self.is_same_server(other, self.active)
    }

    /// Whether the active region lets nobody look and may take writes beside another one, which goes on with no history that
    /// is remembered.
    fn may_write_unseen(&self, rival: RegionIndex) -> bool {
        let unseen = self.regions.get(self.active).is_some_and(|active| active.database.may_write_unseen());
        let led =
            self.led.zip(self.reading(rival)).is_some_and(|(led, rival)| led.instance == rival.instance);
        unseen && !led && !self.is_same_server(rival, self.active)
    }

    /// The region because of which writes are refused although nobody sees that it takes some: it lets nobody look, or never
    /// did and is silent now.
    #[must_use]
    pub fn unseen_rival(&self) -> Option<RegionIndex> {
        let active = self.regions.get(self.active).filter(|_| self.conflict_since.is_some())?;
        let unwatched = active.database.verdict() == DatabaseVerdict::Unwatched;
        (unwatched || active.database.may_write_unseen()).then_some(self.active)
    }

    fn is_newer(&self, one: RegionIndex, other: RegionIndex) -> bool {
        self.reading(one).zip(self.reading(other)).is_some_and(|(one, other)| {
            one.instance.system == other.instance.system && one.timeline > other.timeline
        })
    }

    /// Whether one database takes writes and all others say that they follow.
    fn is_settled_by_databases(&self) -> bool {
        let mut writable = 0_u32;
        let settled = self.regions.iter().all(|region| match region.database.verdict() {
            DatabaseVerdict::Writable => {
                writable = writable.saturating_add(1);
                true
            }
            DatabaseVerdict::Standby { .. } => true,
            // One that let nobody look and is silent now is as open as any other silence.
            DatabaseVerdict::Unwatched => !region.database.answers().is_failing(),
            DatabaseVerdict::Unreachable | DatabaseVerdict::Diverged => false,
        });
        settled && writable == 1
    }

    /// Leaves a region none of whose backends serves for one on the same database, where the policy lets it.
    fn leave_dead_backends(&mut self, now: Moment) {
        let serves = |region: &RegionState| region.backends_up > 0;
        let dead = self.regions.get(self.active).is_some_and(|region| region.backends > 0 && !serves(region));
        self.dead_since = dead.then(|| self.dead_since.unwrap_or(now));
        let long_dead = self.dead_since.is_some_and(|since| now.saturating_sub(since) >= DEAD_FOR);
        if !long_dead || self.policy.mode == FailoverMode::Manual || self.frozen {
            return;
        }
        let since_last = self.moves.last().map(|last| now.saturating_sub(last.at));
        let today = self.moves.iter().filter(|done| now.saturating_sub(done.at) < DAY).count();
        if since_last.is_some_and(|since| since < self.policy.hold_down)
            || today >= usize::from(self.policy.moves_per_day_max)
        {
            return;
        }
        let target = self.writable().find(|region| {
            *region != self.active
                && self.is_same_server(*region, self.active)
                && self.regions.get(*region).is_some_and(RegionState::may_take_over)
        });
        if let Some(target) = target {
            self.go(target, MoveCause::Backends, now);
        }
    }

    fn go(&mut self, to: RegionIndex, cause: MoveCause, now: Moment) {
        if self.moves.len() >= MOVES_MAX {
            self.moves.remove(0);
        }
        self.moves.push(Move { from: self.active, to, at: now, cause });
        let counted = MoveCause::ALL.into_iter().zip(&mut self.moved).find(|(known, _)| *known == cause);
        if let Some((_, count)) = counted {
            *count = count.saturating_add(1);
        }
        self.dead_since = None;
        self.active = to;
    }

    fn remember(&mut self, region: RegionIndex) {
        if self.regions.get(region).map(|region| region.database.verdict()) == Some(DatabaseVerdict::Writable)
        {
            self.led = self
                .reading(region)
                .map(|reading| Led { instance: reading.instance, timeline: reading.timeline });
        }
    }
}
