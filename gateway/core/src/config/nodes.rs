//! What `nodes` means.

use super::authorities;
use super::file::{BackendAddress, NodesEntry};
use super::problem::Spot;
use super::read::{At, Reader, Step};
use super::suggest;
use crate::certificate::{Certificates, Identity};
use core::net::SocketAddr;

/// Gateways that decide together, and how each of them knows the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Name of this gateway, which is one of them.
    pub name: Box<str>,
    /// What it shows to the others, as a server and as a client.
    pub identity: Identity,
    /// Who signs for gateways.
    pub authorities: Certificates,
    /// All of them, in the order of their names.
    pub gateways: Vec<NodeAddress>,
}

/// Where a gateway is asked by the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Name in its certificate.
    pub name: Box<str>,
    /// Name in DNS or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
}

/// The meaning of the section, and where this gateway listens. `None` after a problem was reported.
pub(super) fn check(written: NodesEntry, reader: &mut Reader<'_>) -> Option<(At<SocketAddr>, Nodes)> {
    reader.inside(Step::Key("nodes"), |reader| {
        let errors_before = reader.error_count();
        let gateways = check_gateways(written.gateways.0, reader);
        let At { at, value: name } = written.name;
        if !gateways.iter().any(|gateway| gateway.name == name.0) {
            reader.inside(Step::Key("name"), |reader| {
                let hint = suggest::hint(&name.0, gateways.iter().map(|gateway| &*gateway.name));
                reader.error(at, format!("this gateway `{}` is none of `gateways`", name.0), Some(hint));
            });
        }
        let authorities = authorities::read(&written.ca, "ca", reader);
        let At { at, value: certificate } = written.certificate;
        let identity = reader.world().identity(&certificate.0, &written.key.0).map_err(|reason| {
            reader.inside(Step::Key("certificate"), |reader| {
                let hint = "name a certificate and the key that belongs to it, both in PEM";
                reader.error(at, reason, Some(hint.into()));
            });
        });
        let address = At { at: written.address.at, value: written.address.value.0 };
        let nodes = Nodes { name: name.0, identity: identity.ok()?, authorities: authorities?, gateways };
        (reader.error_count() == errors_before).then_some((address, nodes))
    })
}

fn check_gateways(
    written: Vec<(Spot, Box<str>, Option<BackendAddress>)>,
    reader: &mut Reader<'_>,
) -> Vec<NodeAddress> {
    let mut gateways: Vec<(Spot, NodeAddress)> = Vec::with_capacity(written.len());
    for (at, name, address) in written {
        let (host, port) = match address {
            Some(BackendAddress::Address(address)) => (address.ip().to_string(), address.port()),
            Some(BackendAddress::Name(host, port)) => (host.as_str().to_owned(), port),
            None => continue,
        };
        let gateway = NodeAddress { name, host: host.into(), port };
        let same = |other: &NodeAddress| other.host == gateway.host && other.port == gateway.port;
        if let Some((other_at, other)) = gateways.iter().find(|(_, other)| same(other)) {
            let message = format!("`{}` and `{}` are asked at one address", other.name, gateway.name);
            let hint = "each gateway counts once: give each its own address";
            reader.inside(Step::Key("gateways"), |reader| {
                reader.conflict(at, *other_at, message, Some(hint.into()));
            });
        }
        gateways.push((at, gateway));
    }
    gateways.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    gateways.into_iter().map(|(_, gateway)| gateway).collect()
}
