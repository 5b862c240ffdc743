//! How many clients are connected, in all and from one place.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use fleetgate_core::client::ClientKey;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts connections and knows how many there may be.
///
/// A client is in the map for as long as it has a connection, so the map is no larger than the cap of all connections.
#[derive(Debug)]
pub struct Capacity {
    max: u32,
    max_per_client: u32,
    open: AtomicU32,
    clients: DashMap<ClientKey, u32>,
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are as many as there may be.
    Total,
    /// The client has as many as one client may have.
    Client,
}

impl Full {
    /// Label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Client => "client",
        }
    }
}

impl Capacity {
    /// Room for so many connections.
    #[must_use]
    pub fn new(max: u32, max_per_client: u32) -> Self {
        Self { max, max_per_client, open: AtomicU32::new(0), clients: DashMap::default() }
    }

    /// Takes a place for a connection.
    ///
    /// # Errors
    /// [`Full::Total`].
    pub(super) fn enter(self: &Arc<Self>) -> Result<Place, Full> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Total);
        }
        Ok(Place { capacity: Arc::clone(self), client: None })
    }

    fn add(&self, client: ClientKey) -> bool {
        match self.clients.entry(client) {
            Entry::Vacant(first) => {
                first.insert(1);
                true
            }
            Entry::Occupied(mut others) => {
                let room = *others.get() < self.max_per_client;
                *others.get_mut() += u32::from(room);
                room
            }
        }
    }

    fn remove(&self, client: ClientKey) {
        if let Entry::Occupied(mut others) = self.clients.entry(client) {
            if *others.get() > 1 {
                *others.get_mut() -= 1;
            } else {
                others.remove();
            }
        }
    }
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    capacity: Arc<Capacity>,
    client: Option<ClientKey>,
}

impl Place {
    /// Counts the connection among those of its client, once that is known.
    ///
    /// # Errors
    /// [`Full::Client`].
    pub(super) fn belongs_to(&mut self, address: IpAddr) -> Result<(), Full> {
        let client = ClientKey::from(address);
        if !self.capacity.add(client) {
            return Err(Full::Client);
        }
        if let Some(before) = self.client.replace(client) {
            self.capacity.remove(before);
        }
        Ok(())
    }

    /// Counts the connection among those of no client any more: it is of somebody who stands for many.
    pub(super) fn belongs_to_many(&mut self) {
        if let Some(before) = self.client.take() {
            self.capacity.remove(before);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            self.capacity.remove(client);
        }
        self.capacity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_in_all_and_per_client_and_come_back() {
        let capacity = Arc::new(Capacity::new(3, 2));
        let enter = |client: &str| {
            let mut place = capacity.enter()?;
            place.belongs_to(address(client)).map(|()| place)
        };
        let first = enter("192.0.2.1").unwrap();
        let _second = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), Full::Client);
        let _third = enter("2001:db8::1").unwrap();
        assert_eq!(enter("2001:db8::2").unwrap_err(), Full::Total);
        drop(first);
        let _fourth = enter("192.0.2.1").unwrap();
    }

    #[test]
    fn nothing_is_left_of_clients_that_are_gone() {
        let capacity = Arc::new(Capacity::new(100, 1));
        std::thread::scope(|scope| {
            for thread in 0..4_u8 {
                let capacity = &capacity;
                scope.spawn(move || {
                    for client in 0..=255_u8 {
                        let mut place = capacity.enter().unwrap();
                        place.belongs_to([192, 0, thread, client].into()).unwrap();
                    }
                });
            }
        });
        assert!(capacity.clients.is_empty());
        assert_eq!(capacity.open.load(Ordering::Relaxed), 0);
    }
}
