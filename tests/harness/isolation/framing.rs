//! How a body is put on the wire: in ways on which everybody agrees, and in ways on which servers have differed.

use super::dice::Dice;
use super::tenants::Words;

/// A body on the wire of HTTP/1.
#[derive(Clone, Debug, Default)]
pub(super) struct Framed {
    /// Header lines, without their ends.
    pub(super) lines: Vec<String>,
    pub(super) wire: Vec<u8>,
    /// False when servers may differ about where the request ends.
    pub(super) clear: bool,
    /// More bytes were announced than are sent.
    pub(super) unfinished: bool,
}

/// Frames that are legal.
pub(super) fn clear(dice: &mut Dice, body: &str, method: &str) -> Framed {
    if body.is_empty() && matches!(method, "GET" | "HEAD" | "OPTIONS") {
        return Framed { clear: true, ..Framed::default() };
    }
    if dice.once_in(4) {
        let lines = vec!["Transfer-Encoding: chunked".to_owned()];
        return Framed { lines, wire: chunks(dice, body, "", ""), clear: true, unfinished: false };
    }
    let lines = vec![format!("Content-Length: {}", body.len())];
    Framed { lines, wire: body.as_bytes().to_vec(), clear: true, unfinished: false }
}

/// Frames that are odd or wrong, with a request of the other tenant behind the end that some reader may see.
pub(super) fn odd(dice: &mut Dice, body: &str, words: &Words<'_>) -> Framed {
    match dice.below(4) {
        0 => odd_chunks(dice, body, words),
        1 => two_framings(dice, words),
        2 => odd_length(dice, body, words),
        _ => wrong_length(dice, body, words),
    }
}

fn chunks(dice: &mut Dice, body: &str, extension: &str, trailers: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(body.len() + 64);
    let mut rest = body;
    while !rest.is_empty() {
        let at = (1 + dice.below(rest.len().min(30_000))).min(rest.len());
        let Some((chunk, after)) = rest.split_at_checked(at) else { break };
        wire.extend_from_slice(format!("{:x}{extension}\r\n{chunk}\r\n", chunk.len()).as_bytes());
        rest = after;
    }
    wire.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
    wire
}

fn odd_chunks(dice: &mut Dice, body: &str, words: &Words<'_>) -> Framed {
    let lines = vec!["Transfer-Encoding: chunked".to_owned()];
    if dice.once_in(2) {
        let extension = dice.pick(&[";a=b", ";a=\"b\"", "; x", " ", ";a=\"\r\n\"", ";a\n"]);
        let trailers = words.fill(dice.pick(&[
            "",
            "X-Odoo-dbfilter: ^{other_db}$\r\n",
            "Host: {other}\r\nX-Forwarded-Host: {other}\r\n",
            "Content-Length: 5\r\n",
        ]));
        return Framed { lines, wire: chunks(dice, body, extension, &trailers), ..Framed::default() };
    }
    let hidden = &words.hidden;
    let wire = match dice.below(9) {
        0 => format!("\r\n{hidden}0\r\n\r\n"),
        1 => format!("0x1\r\na\r\n0\r\n\r\n{hidden}"),
        2 => format!("+1\r\na\r\n0\r\n\r\n{hidden}"),
        3 => format!("1\r\na{hidden}0\r\n\r\n"),
        4 => format!("1\na\n0\n\n{hidden}"),
        5 => format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", 0x1_0000_0000_0000_0000_u128 + 5),
        6 => format!("-1\r\n\r\n{hidden}"),
        7 => format!("1\r\nab\r\n0\r\n\r\n{hidden}"),
        _ => format!("1\r\na\r0\r\n\r\n{hidden}"),
    };
    Framed { lines, wire: wire.into_bytes(), ..Framed::default() }
}

fn two_framings(dice: &mut Dice, words: &Words<'_>) -> Framed {
    let hidden = &words.hidden;
    let coding = dice.pick(&[
        "Transfer-Encoding: chunked",
        "transfer-encoding:chunked",
        "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: CHUNKED",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer_Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "Transfer-Encoding: ",
    ]);
    // The hidden request is body for one reader and the next request for the other. Who drops a name with `_` reads by
    // the length, and must not meet it.
    let (length, wire) = if coding.contains('_') || dice.once_in(2) {
        let wire = format!("0\r\n\r\n{hidden}");
        (wire.len(), wire)
    } else {
        let wire = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
        (wire.find('\n').map_or(4, |at| at + 1), wire)
    };
    let length = format!("Content-Length: {length}");
    let lines =
        if dice.once_in(2) { vec![length, coding.to_owned()] } else { vec![coding.to_owned(), length] };
    Framed { lines, wire: wire.into_bytes(), ..Framed::default() }
}

fn odd_length(dice: &mut Dice, body: &str, words: &Words<'_>) -> Framed {
    let (bytes, hidden) = (body.len(), &words.hidden);
    let whole = bytes + hidden.len();
    let line = match dice.below(12) {
        0 => format!("Content-Length: {bytes}\r\nContent-Length: {bytes}"),
        1 => format!("Content-Length: {bytes}\r\nContent-Length: {whole}"),
        2 => format!("Content-Length: {whole}\r\nContent-Length: {bytes}"),
        3 => format!("Content-Length: {bytes}, {bytes}"),
        4 => format!("Content-Length: +{bytes}"),
        5 => format!("Content-Length: {bytes} {whole}"),
        6 => format!("Content-Length: {bytes}.0"),
        7 => format!("Content-Length: {bytes:#x}"),
        8 => format!("Content_Length: {bytes}\r\nContent-Length: {whole}"),
        9 => format!("Content-Length : {whole}\r\nContent-Length: {bytes}"),
        10 => "Content-Length: ".to_owned(),
        _ => format!("Content-Length: -{bytes}"),
    };
    Framed { lines: vec![line], wire: format!("{body}{hidden}").into_bytes(), ..Framed::default() }
}

/// A length that is a number, and the wrong one. What is left over after it is no request.
fn wrong_length(dice: &mut Dice, body: &str, words: &Words<'_>) -> Framed {
    let hidden = &words.hidden;
    if dice.once_in(2) {
        let length = body.len() + hidden.len() + 1 + dice.below(1_000);
        let wire = format!("{body}{hidden}").into_bytes();
        return Framed {
            lines: vec![format!("Content-Length: {length}")],
            wire,
            clear: false,
            unfinished: true,
        };
    }
    let wire = format!("{body}left over\r\n{hidden}").into_bytes();
    Framed { lines: vec![format!("Content-Length: {}", body.len())], wire, ..Framed::default() }
}
