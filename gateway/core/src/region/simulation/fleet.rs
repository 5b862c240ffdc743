//! Two PostgreSQL servers, as they really are.

use super::dice::Dice;
use fleetgate_core::health::{DatabaseReading, Instance, Role};

/// A PostgreSQL server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    up: bool,
    writable: bool,
    timeline: u32,
    start: u64,
}

impl Server {
    pub(super) const fn takes_writes(self) -> bool {
        self.up && self.writable
    }

    fn reading(self, region: usize) -> DatabaseReading {
        let first = if region == 0 { 0 } else { 1_000_000 };
        let role = if self.writable { Role::Writable } else { Role::Standby { lag_ms: 10 } };
        let instance = Instance { system: 7, server: first + self.start };
        DatabaseReading { instance, timeline: self.timeline, role }
    }
}

/// The two servers of a fleet.
#[derive(Debug, Clone)]
pub(super) struct Fleet {
    pub(super) servers: [Server; 2],
}

impl Fleet {
    pub(super) const fn new() -> Self {
        let primary = Server { up: true, writable: true, timeline: 1, start: 1 };
        Self { servers: [primary, Server { writable: false, ..primary }] }
    }

    /// What the probe sees, if it gets through.
    pub(super) fn seen(&self, region: usize) -> Option<DatabaseReading> {
        let server = self.servers[region];
        server.up.then(|| server.reading(region))
    }

    /// Something happens to a server: it dies, comes back as it was, is promoted, or is made to follow the other. The
    /// operators of this fleet promote whatever they like, fenced or not.
    pub(super) fn happen(&mut self, dice: &mut Dice) {
        let region = dice.pick(2);
        let highest = self.servers.iter().map(|server| server.timeline).max().unwrap_or_default();
        let server = &mut self.servers[region];
        match dice.roll(4) {
            0 => server.up = false,
            1 if !server.up => *server = Server { up: true, start: server.start + 1, ..*server },
            2 if server.up && !server.writable => {
                *server = Server { writable: true, timeline: highest + 1, ..*server };
            }
            3 if highest > server.timeline || !server.writable => {
                *server = Server { up: true, writable: false, timeline: highest, start: server.start + 1 };
            }
            _ => {}
        }
    }
}
