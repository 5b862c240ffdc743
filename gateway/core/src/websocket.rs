//! Websocket frames, as far as a gateway needs them: where one ends, and how to say goodbye.

/// Close code "service restart": clients of Odoo reconnect at once (RFC 6455 registry; Odoo 16.0 and later
/// `addons/bus/static/src/workers/websocket_worker.js`).
pub const CLOSE_RESTART: u16 = 1012;
/// Close code "try again later": clients of Odoo reconnect with growing pauses (RFC 6455 registry; the same file).
pub const CLOSE_TRY_AGAIN_LATER: u16 = 1013;
/// Close code "going away" (RFC 6455, section 7.4.1).
pub const CLOSE_GOING_AWAY: u16 = 1001;

const OPCODE_CLOSE: u8 = 0x8;
/// Opcode, length, extended length and mask at their longest (RFC 6455, section 5.2).
const HEADER_BYTES_MAX: usize = 14;

/// An unmasked close frame, as servers send it.
#[must_use]
pub fn close_frame(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | OPCODE_CLOSE, 2, high, low]
}

/// Follows one direction of a websocket, so that a frame of our own can be put between two frames.
#[derive(Debug, Default)]
pub struct FrameTracker {
    header: [u8; HEADER_BYTES_MAX],
    header_len: usize,
    payload_left: u64,
    closed: bool,
}

impl FrameTracker {
    /// Takes the next bytes. Returns how many of them end the last whole frame among them; `None` when no frame
    /// ends here.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut boundary = None;
        let mut at = 0_usize;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.payload_left > 0 {
                let skip = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(rest.len());
                self.payload_left = self.payload_left.saturating_sub(u64::try_from(skip).unwrap_or(u64::MAX));
                at = at.saturating_add(skip);
                if self.payload_left == 0 {
                    boundary = Some(at);
                }
                continue;
            }
            if let (Some(slot), Some(&byte)) = (self.header.get_mut(self.header_len), rest.first()) {
                *slot = byte;
            }
            self.header_len = self.header_len.saturating_add(1);
            at = at.saturating_add(1);
            if let Some(payload) = self.payload_of_header() {
                self.closed |= self.header.first().is_some_and(|first| first & 0x0f == OPCODE_CLOSE);
                self.header_len = 0;
                self.payload_left = payload;
                if payload == 0 {
                    boundary = Some(at);
                }
            }
        }
        boundary
    }

    /// Whether the bytes so far end with a whole frame.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    /// Whether a close frame has begun.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    fn payload_of_header(&self) -> Option<u64> {
        let header = self.header.get(..self.header_len)?;
        let (&[_, second], rest) = header.split_first_chunk::<2>()?;
        let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
        let (length_len, payload) = match second & 0x7f {
            126 => (2, u64::from(u16::from_be_bytes(*rest.first_chunk::<2>()?))),
            127 => (8, u64::from_be_bytes(*rest.first_chunk::<8>()?)),
            short => (0, u64::from(short)),
        };
        (rest.len() == length_len + mask_len).then_some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(opcode: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        let mask = if masked { 0x80 } else { 0 };
        match payload.len() {
            short @ 0..126 => frame.push(mask | u8::try_from(short).unwrap()),
            medium @ 126..65_536 => {
                frame.push(mask | 126);
                frame.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                frame.push(mask | 127);
                frame.extend(u64::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        frame.extend(payload);
        frame
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            sizes in prop::collection::vec((0_usize..70_000, any::<bool>()), 1..6),
            cut in 1_usize..9_000,
        ) {
            let frames: Vec<Vec<u8>> = sizes.iter().map(|(size, masked)| frame(2, *masked, &vec![7; *size])).collect();
            let ends: Vec<usize> = frames.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) }).collect();
            let stream = frames.concat();
            let mut tracker = FrameTracker::default();
            let mut at = 0;
            for chunk in stream.chunks(cut) {
                let found = tracker.feed(chunk).map(|end| at + end);
                at += chunk.len();
                let expected = ends.iter().copied().filter(|end| *end > at - chunk.len() && *end <= at).max();
                prop_assert_eq!(found, expected);
                prop_assert_eq!(tracker.at_boundary(), ends.contains(&at));
            }
            prop_assert!(!tracker.closed());
        }
    }

    #[test]
    fn a_close_frame_is_seen() {
        let mut tracker = FrameTracker::default();
        assert_eq!(tracker.feed(&close_frame(CLOSE_RESTART)), Some(4));
        assert!(tracker.closed());
        assert_eq!(close_frame(1012), [0x88, 2, 3, 0xf4]);
    }
}
