//! What must hold of every request that a stand-in Odoo received, and of every answer that came back.

use fleetgate_stub::Received;
use percent_encoding::percent_decode_str;

use super::answer::Said;
use super::mark::{Kind, Mark};
use super::visit::Asked;

/// Headers that decide about databases, with `_` and `.` read as `-`, beside `X-Odoo-dbfilter`.
const DECIDING: [&str; 4] = ["x-openerp-dbfilter", "x-odoo-db", "x-openerp-session-id", "x-openerp-database"];
/// How much of a body is searched for the other tenant's names.
const SEARCHED: usize = 16 * 1024;

/// Judges what a server received; the mark, if the request had one, and what is wrong.
pub(super) fn received(request: &Received) -> (Option<Mark>, Result<(), String>) {
    let marks = values(request, "x-stub-mark");
    let [mark] = marks.as_slice() else {
        return (None, Err(format!("a request with {} marks: nobody sent it", marks.len())));
    };
    match mark.parse::<Mark>() {
        Ok(mark) => (Some(mark), belongs(request, mark)),
        Err(()) => (None, Err(format!("nobody sent a request with the mark {mark:?}"))),
    }
}

fn belongs(request: &Received, mark: Mark) -> Result<(), String> {
    let own = mark.tenant.name();
    if mark.kind == Kind::Hidden {
        return Err("what hid in another request became one".to_owned());
    }
    if mark.kind == Kind::Foreign && is_rpc(&request.target) {
        return Err(format!("a call named a database of {}", mark.tenant.other().name()));
    }
    if request.database.as_deref() != Some(own) {
        return Err(format!("it was given the database {:?}, not {own}", request.database));
    }
    let filter = format!("^{own}$");
    if values(request, "x-odoo-dbfilter") != [filter.as_str()] {
        return Err(format!("X-Odoo-dbfilter is {:?}", values(request, "x-odoo-dbfilter")));
    }
    if values(request, "x-odoo-database").iter().any(|database| *database != own) {
        return Err(format!("X-Odoo-Database is {:?}", values(request, "x-odoo-database")));
    }
    if let Some(name) = DECIDING.iter().find(|name| !values(request, name).is_empty()) {
        return Err(format!("{name} arrived"));
    }
    for name in ["host", "x-forwarded-host"] {
        let hosts = values(request, name);
        if !matches!(hosts.as_slice(), [host] if mark.tenant.owns(host)) {
            return Err(format!("{name} is {hosts:?}"));
        }
    }
    if !request.target.starts_with('/') {
        return Err(format!("its target is {:?}", request.target));
    }
    Ok(())
}

/// Whether Odoo reads the database of a request out of its body.
fn is_rpc(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let path = ["/fr_BE", "/fr"].iter().find_map(|language| path.strip_prefix(language)).unwrap_or(&path);
    path.strip_suffix('/').unwrap_or(path) == "/jsonrpc" || path.starts_with("/xmlrpc/")
}

/// Every value under a name as WSGI and other readers may see it, with `_` and `.` read as `-`.
fn values<'r>(request: &'r Received, name: &str) -> Vec<&'r str> {
    let same = |header: &str| {
        header.len() == name.len()
            && header.bytes().zip(name.bytes()).all(|(left, right)| {
                let left = if matches!(left, b'_' | b'.') { b'-' } else { left.to_ascii_lowercase() };
                left == right
            })
    };
    request.headers.iter().filter(|(header, _)| same(header)).map(|(_, value)| value.as_str()).collect()
}

/// Judges an answer of Odoo to a request.
pub(super) fn answer(asked: &Asked, said: &Said, body: &[u8]) -> Result<(), String> {
    let other = asked.mark.tenant.other();
    if said.mark.as_deref() != Some(asked.mark.to_string().as_str()) {
        return Err(format!("{} was answered with the answer of {:?}", asked.mark, said.mark));
    }
    if said.database.as_deref().is_some_and(|database| database != asked.mark.tenant.name()) {
        return Err(format!("{} was answered from the database {:?}", asked.mark, said.database));
    }
    if holds(body, other.user()) || (!asked.names_other && holds(body, other.name())) {
        return Err(format!("{} was told about {}", asked.mark, other.name()));
    }
    Ok(())
}

/// Judges an answer that the gateway gave by itself.
pub(super) fn refusal(asked: &Asked, said: &Said, body: &[u8]) -> Result<(), String> {
    let other = asked.mark.tenant.other();
    if said.mark.is_some() || said.database.is_some() || holds(body, other.user()) {
        return Err(format!("the gateway's own answer to {} is mixed with Odoo's: {said:?}", asked.mark));
    }
    Ok(())
}

fn holds(body: &[u8], name: &str) -> bool {
    let body = body.get(..SEARCHED).unwrap_or(body);
    let Some(&first) = name.as_bytes().first() else { return false };
    body.iter().enumerate().any(|(at, byte)| {
        *byte == first && body.get(at..).is_some_and(|rest| rest.starts_with(name.as_bytes()))
    })
}
