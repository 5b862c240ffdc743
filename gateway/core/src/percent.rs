//! Percent-encoding (RFC 3986, section 2.1).

/// Reads the two hexadecimal digits after a `%`: the byte, and what follows it.
pub(crate) fn decode_once(after_percent: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = after_percent.split_first_chunk()?;
    Some((byte_of(high, low)?, rest))
}

/// The byte of two hexadecimal digits.
pub(crate) fn byte_of(high: u8, low: u8) -> Option<u8> {
    Some(hex(high)? << 4 | hex(low)?)
}

/// Appends a byte as `%` and two digits in upper case.
pub(crate) fn encode(byte: u8, to: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + (value - 10) };
    to.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
