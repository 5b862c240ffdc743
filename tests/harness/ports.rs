//! Ports for servers that cannot choose one themselves, or that come back where they were.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::sync::{Mutex, PoisonError};

/// What this process took, so that no other test takes it. The kernel frees them when the process ends.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// Below the range that the kernel takes the ports of outgoing connections and of port 0 from.
const FIRST: u16 = 12_000;

/// A port of 127.0.0.1 that nobody uses now, and that nobody else takes before this process ends: no outgoing connection,
/// as it is below their range, and no other test, as the name of an abstract socket stands for it.
pub fn free_port() -> u16 {
    let end = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let end = end.and_then(|range| range.split_whitespace().next()?.parse().ok()).unwrap_or(32_768);
    // Processes that start one after another begin their search apart.
    let spread = std::process::id().wrapping_mul(211) % u32::from(end - FIRST);
    let start = FIRST + u16::try_from(spread).unwrap_or(0);
    let taken = (start..end).chain(FIRST..start).find(|port| take(*port));
    taken.unwrap_or_else(|| panic!("no port is free from {FIRST} to {end}"))
}

/// [`free_port`] of 127.0.0.1.
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

fn take(port: u16) -> bool {
    let name = UnixAddress::from_abstract_name(format!("fleetgate-port-{port}"));
    let Ok(sign) = name.and_then(|name| UnixListener::bind_addr(&name)) else { return false };
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    if free {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).push(sign);
    }
    free
}
