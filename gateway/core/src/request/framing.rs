//! Where the body of a request ends.

use super::Fault;
use crate::rejection::Rejection;

/// Largest length that a request may announce, in bytes: 1 TiB. Nothing that Odoo takes comes near it.
pub const CONTENT_LENGTH_MAX: u64 = 1 << 40;

/// How a request frames its body: one length, or chunks, or nothing. Servers disagree about everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Takes a `Content-Length`. WSGI servers join several, even equal ones (RFC 9110, section 8.6).
    ///
    /// # Errors
    /// It is the second one, no number, or one beyond [`CONTENT_LENGTH_MAX`].
    pub fn take_length(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.length.is_some() || value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Fault::ContentLength.into());
        }
        let add = |length: u64, digit: &u8| length.checked_mul(10)?.checked_add(u64::from(*digit & 15));
        let length = value.iter().try_fold(0, add).filter(|length| *length <= CONTENT_LENGTH_MAX);
        self.length = Some(length.ok_or(Rejection::BodyTooLarge)?);
        Ok(())
    }

    /// Takes a `Transfer-Encoding`. Of `gzip, chunked` a gateway would have to forward the coding, which no WSGI server
    /// knows; two lines are one list for some servers, and the last or the first for others.
    ///
    /// # Errors
    /// It is the second one, or not `chunked`.
    pub fn take_coding(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Fault::TransferEncoding.into());
        }
        self.chunked = true;
        Ok(())
    }

    /// Whether both were there (RFC 9112, section 6.1: an attempt at smuggling).
    #[must_use]
    pub const fn is_ambiguous(self) -> bool {
        self.chunked && self.length.is_some()
    }

    /// The length that was announced.
    #[must_use]
    pub const fn length(self) -> Option<u64> {
        self.length
    }

    /// Whether the body comes in chunks.
    #[must_use]
    pub const fn is_chunked(self) -> bool {
        self.chunked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_number() {
        let length = |value: &str| {
            let mut framing = Framing::default();
            framing.take_length(value.as_bytes()).map(|()| framing.length().unwrap())
        };
        for (value, expected) in [("0", 0), ("5", 5), ("0005", 5), ("1099511627776", CONTENT_LENGTH_MAX)] {
            assert_eq!(length(value), Ok(expected), "{value}");
        }
        for value in ["", "+5", "-1", "0x5", "5,5", "5, 5", "5 5", "5;", "\u{665}", "5\0"] {
            assert_eq!(length(value), Err(Fault::ContentLength.into()), "{value}");
        }
        for value in
            ["1099511627777", "9223372036854775808", "18446744073709551616", "99999999999999999999999"]
        {
            assert_eq!(length(value), Err(Rejection::BodyTooLarge), "{value}");
        }
        let mut framing = Framing::default();
        framing.take_length(b"5").unwrap();
        assert_eq!(framing.take_length(b"5"), Err(Fault::ContentLength.into()));
    }

    #[test]
    fn the_only_coding_is_chunked() {
        for value in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(Framing::default().take_coding(value.as_bytes()), Ok(()), "{value}");
        }
        for value in [
            "",
            "gzip",
            "gzip, chunked",
            "chunked, chunked",
            "chunked,",
            "\"chunked\"",
            "xchunked",
            "\x0bchunked",
        ] {
            let taken = Framing::default().take_coding(value.as_bytes());
            assert_eq!(taken, Err(Fault::TransferEncoding.into()), "{value}");
        }
    }
}
