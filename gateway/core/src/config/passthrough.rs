//! Names of a listener whose connections are passed on.

use super::file::PassthroughEntry;
use super::model::PassthroughRoute;
use super::problem::Spot;
use super::read::{At, Reader, Step};
use crate::host::HostPattern;

/// The routes of the listener that is read. A name leads to one server.
pub(super) fn check(
    written: Vec<At<PassthroughEntry>>,
    redirects: bool,
    reader: &mut Reader<'_>,
) -> Vec<PassthroughRoute> {
    let mut report = |index: usize, report: &mut dyn FnMut(&mut Reader<'_>)| {
        reader.inside(Step::Key("passthrough"), |reader| {
            reader.inside(Step::Index(index), report);
        });
    };
    let mut taken: Vec<(Spot, HostPattern)> = Vec::new();
    let mut routes = Vec::with_capacity(written.len());
    for (index, At { at, value: route }) in written.into_iter().enumerate() {
        let PassthroughEntry { hosts, address, idle_timeout, proxy_protocol } = route;
        if redirects {
            let message = "a listener that redirects to `https://` sees no TLS that it could pass on";
            let hint = "remove `passthrough` or `redirect_to_https`";
            report(index, &mut |reader| reader.error(at, message.into(), Some(hint.into())));
        }
        for At { at, value: host } in &hosts.0 {
            if let Some((other, _)) = taken.iter().find(|(_, taken)| *taken == host.0) {
                let (other, message) = (*other, format!("the name `{}` leads to two servers", host.0));
                let hint = "remove it from one of them";
                report(index, &mut |reader| reader.conflict(*at, other, message.clone(), Some(hint.into())));
            }
            taken.push((*at, host.0.clone()));
        }
        let hosts = hosts.0.into_iter().map(|host| host.value.0).collect();
        let idle_timeout = idle_timeout.0;
        routes.push(PassthroughRoute { hosts, address: address.0, idle_timeout, proxy_protocol });
    }
    routes
}
