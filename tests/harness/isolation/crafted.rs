//! One request of a tenant, put together from what it asks for and how that is twisted.

use super::ask::Ask;
use super::dice::Dice;
use super::framing::{self, Framed};
use super::mark::{self, Kind, Mark};
use super::tenants::{Sessions, Tenant, Words};
use super::twist;

/// A request as it goes over the wire of HTTP/1, and what of it can go over HTTP/2.
#[derive(Clone, Debug)]
pub(super) struct Crafted {
    pub(super) mark: Mark,
    pub(super) method: &'static str,
    pub(super) target: String,
    /// `:authority` of HTTP/2.
    pub(super) authority: String,
    /// Lines that name the host in HTTP/1.
    pub(super) host: String,
    /// All other lines.
    pub(super) lines: Vec<String>,
    pub(super) body: String,
    pub(super) framed: Framed,
    version: &'static str,
}

/// Where a request stands in the trial.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) visit: u64,
    pub(super) request: usize,
}

/// What is twisted.
#[derive(Clone, Copy, Debug, Default)]
struct Twists {
    host: bool,
    target: bool,
    path: bool,
    selector: bool,
    lines: usize,
    framing: bool,
    version: bool,
}

impl Twists {
    fn roll(dice: &mut Dice) -> Self {
        let mut twists = Self::default();
        // Half of the requests are honest: what is done to the others must not show in them.
        let count = if dice.once_in(2) { 0 } else { 1 + dice.below(3) };
        for _ in 0..count {
            match dice.below(12) {
                0 => twists.host = true,
                1 => twists.target = true,
                2 | 3 => twists.path = true,
                4 | 5 => twists.selector = true,
                6..=9 => twists.lines += 1,
                10 => twists.framing = true,
                _ => twists.version = dice.once_in(4),
            }
        }
        twists
    }
}

impl Crafted {
    /// Any request of any tenant.
    pub(super) fn roll(dice: &mut Dice, place: Place, sessions: &Sessions) -> Self {
        let words = words(dice, place, sessions);
        let twists = Twists::roll(dice);
        let ask = Ask::roll(dice, &words);
        Self::put_together(dice, place, &words, ask, twists)
    }

    /// A request that nobody refuses.
    pub(super) fn plain(dice: &mut Dice, place: Place, sessions: &Sessions) -> Self {
        let words = words(dice, place, sessions);
        Self::put_together(dice, place, &words, Ask::plain(), Twists::default())
    }

    /// A handshake for a websocket, with twisted lines.
    pub(super) fn handshake(dice: &mut Dice, place: Place, sessions: &Sessions) -> Self {
        let words = words(dice, place, sessions);
        let twists = Twists { lines: dice.below(3), ..Twists::default() };
        let ask = Ask { target: "/websocket?version=19.0-1".to_owned(), ..Ask::plain() };
        let mut crafted = Self::put_together(dice, place, &words, ask, twists);
        let lines = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Origin: http://{own}",
        ];
        crafted.lines.extend(lines.iter().map(|line| words.fill(line)));
        crafted
    }

    fn put_together(dice: &mut Dice, place: Place, words: &Words<'_>, ask: Ask, twists: Twists) -> Self {
        let kind = if ask.foreign { Kind::Foreign } else { Kind::Own };
        let mark = Mark { tenant: words.tenant, visit: place.visit, request: place.request, kind };
        let mut target = ask.target;
        if twists.path {
            target = twist::path(dice, &target);
        }
        if twists.selector {
            target = twist::selector(dice, &target);
        }
        if twists.target {
            target = format!("{}{target}", dice.pick(&twist::TARGETS));
        }
        let host = if twists.host { dice.pick(&twist::TWISTED_HOSTS) } else { dice.pick(&twist::HOSTS) };
        let authority = if twists.host { dice.pick(&twist::AUTHORITIES) } else { "{own}" };
        let mut lines = vec![format!("{}: {mark}", mark::HEADER)];
        if let Some(kind) = ask.content_type {
            lines.push(format!("Content-Type: {kind}"));
        }
        if dice.once_in(3) {
            lines.push(words.fill(dice.pick(&twist::COOKIES)));
        }
        for _ in 0..twists.lines {
            let line = words.fill(dice.pick(&twist::LINES));
            let line = twist::spell_name(dice, &line);
            let at = dice.below(lines.len() + 1);
            lines.insert(at, line);
        }
        let body = ask.body;
        let framed = if twists.framing {
            framing::odd(dice, &body, words)
        } else {
            framing::clear(dice, &body, ask.method)
        };
        let version = if twists.version {
            dice.pick(&["HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", "HTTP/0.9"])
        } else {
            "HTTP/1.1"
        };
        Self {
            mark,
            method: ask.method,
            target: words.fill(&target),
            authority: words.fill(authority),
            host: words.fill(host),
            lines,
            body,
            framed,
            version,
        }
    }

    /// Adds the request to what goes over the wire of HTTP/1.
    pub(super) fn write(&self, wire: &mut Vec<u8>) {
        let head = [self.method, " ", &self.target, " ", self.version, "\r\n", &self.host, "\r\n"];
        head.iter().for_each(|part| wire.extend_from_slice(part.as_bytes()));
        for line in self.lines.iter().chain(&self.framed.lines) {
            wire.extend_from_slice(line.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&self.framed.wire);
    }

    /// Whether a client of HTTP/1 knows for certain where its answer will be, or that there is none.
    pub(super) fn is_clear(&self) -> bool {
        let strange = |line: &String| {
            let line = line.to_ascii_lowercase();
            line.contains("\r\n\r\n") || line.starts_with("expect") || line.starts_with("upgrade")
        };
        self.framed.clear && self.version == "HTTP/1.1" && !self.lines.iter().any(strange)
    }

    /// Whether the request itself names the other tenant, so that its answer may repeat it.
    pub(super) fn names(&self, tenant: Tenant) -> bool {
        let name = tenant.name().as_bytes();
        let texts = self.lines.iter().chain([&self.host, &self.authority, &self.target, &self.body]);
        let mut parts = texts.map(String::as_bytes).chain([self.framed.wire.as_slice()]);
        parts.any(|part| part.windows(name.len()).any(|window| window.eq_ignore_ascii_case(name)))
    }
}

fn words<'a>(dice: &mut Dice, place: Place, sessions: &'a Sessions) -> Words<'a> {
    let tenant = dice.pick(&Tenant::BOTH);
    let host = dice.pick(&tenant.hosts());
    let hidden_host = if dice.once_in(2) { tenant.host() } else { tenant.other().host() };
    let mark = Mark { tenant, visit: place.visit, request: place.request, kind: Kind::Hidden };
    let hidden =
        format!("GET /stub/echo HTTP/1.1\r\nHost: {hidden_host}\r\n{}: {mark}\r\n\r\n", mark::HEADER);
    Words { tenant, host, sessions, hidden }
}
