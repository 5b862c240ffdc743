//! The line `<?xml version="1.0" encoding="UTF-8"?>`.

use crate::rpc::outcome::RpcRefusal;

/// Encodings in which every ASCII byte stands for itself and for nothing else, and that expat reads without asking
/// Python. ISO-8859-1 is what PHP's `xmlrpc_encode_request` declares unless told otherwise.
const ENCODINGS: [&[u8]; 4] = [b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1"];

/// Checks a declaration, given as the text between `<?` and `?>`.
pub(super) fn check(text: &[u8]) -> Result<(), RpcRefusal> {
    let mut rest = text.strip_prefix(b"xml").ok_or(RpcRefusal::Malformed)?;
    loop {
        rest = rest.trim_ascii_start();
        let Some(equals) = rest.iter().position(|&byte| byte == b'=') else { break };
        let (name, value) = rest.split_at_checked(equals).ok_or(RpcRefusal::Malformed)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii_start();
        let (quote, value) = value.split_first().ok_or(RpcRefusal::Malformed)?;
        let end = value.iter().position(|byte| byte == quote).filter(|_| matches!(quote, b'"' | b'\''));
        let (value, tail) = value.split_at_checked(end.ok_or(RpcRefusal::Malformed)?).unwrap_or_default();
        rest = tail.get(1..).unwrap_or_default();
        match name.trim_ascii_end() {
            b"version" | b"standalone" => {}
            b"encoding" if ENCODINGS.iter().any(|known| known.eq_ignore_ascii_case(value)) => {}
            b"encoding" => return Err(RpcRefusal::Charset),
            _ => return Err(RpcRefusal::Malformed),
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(RpcRefusal::Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_where_ascii_is_ascii_pass() {
        for text in [
            r#"xml version="1.0""#,
            "xml version='1.0' encoding='UTF-8'",
            "xml version = '1.0' encoding = \"utf-8\" standalone='yes' ",
            "xml version='1.0' encoding='us-ascii'",
            "xml version='1.0'\nencoding='ISO-8859-1'",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
        for encoding in ["utf-7", "UTF-16", "cp037", "utf8", "shift_jis", "iso-2022-jp", "hz", ""] {
            let text = format!("xml version='1.0' encoding='{encoding}'");
            assert_eq!(check(text.as_bytes()), Err(RpcRefusal::Charset), "{encoding}");
        }
        for text in [
            "xml-stylesheet href='a'",
            "xml encoding",
            "xml encoding=utf-8",
            "xml encoding='utf-8",
            "XML a='b'",
        ] {
            assert_eq!(check(text.as_bytes()), Err(RpcRefusal::Malformed), "{text}");
        }
    }
}
