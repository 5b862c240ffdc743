//! What the frames of an HTTP/2 client are worth (RFC 9113).
//!
//! A frame of a few bytes can cost a server more than its sender: an answer, a look-up, a turn of the scheduler. Frames
//! that carry nothing are therefore bounded by what else the connection does. Nothing here reads a header or a body.

use core::time::Duration;

/// With which every client begins (section 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of the head of a frame (section 4.1).
const FRAME_HEAD_BYTES: usize = 9;
/// Frames without a use that a connection may send at once.
pub const IDLE_FRAMES_MAX: u32 = 1_000;
/// Of these, how many come back each second: keepalives of the most anxious client are one.
const IDLE_FRAMES_PER_SECOND: u32 = 10;
/// Bytes of bodies, either way, that earn a frame: clients confirm what they have read by frames (section 5.2), the most
/// zealous two for 4 KiB.
const BYTES_PER_FRAME: u64 = 1_024;
/// Frames that a request may bring along: its cancellation, a priority, windows.
const FRAMES_PER_REQUEST: u32 = 4;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const FLAG_END_STREAM: u8 = 1;
const FLAG_END_HEADERS: u8 = 4;

/// A client sends too many frames that carry nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood;

/// Follows the frames of one client by their heads.
#[derive(Debug)]
pub struct FrameMeter {
    preface_left: usize,
    head: [u8; FRAME_HEAD_BYTES],
    head_len: usize,
    payload_left: u32,
    /// Highest stream that the client has opened.
    last_stream: u32,
    /// A header block has begun and not ended.
    in_block: bool,
    /// Ends of preface and header blocks so far.
    whole: u32,
    frames_left: u32,
    refilled: Duration,
    bytes_unpaid: u64,
}

impl Default for FrameMeter {
    fn default() -> Self {
        Self {
            preface_left: PREFACE.len(),
            head: [0; FRAME_HEAD_BYTES],
            head_len: 0,
            payload_left: 0,
            last_stream: 0,
            in_block: false,
            whole: 0,
            frames_left: IDLE_FRAMES_MAX,
            refilled: Duration::ZERO,
            bytes_unpaid: 0,
        }
    }
}

impl FrameMeter {
    /// What the client owes us at once: the preface, or the rest of a request's head. Each has a number of its own.
    #[must_use]
    pub const fn owed(&self) -> Option<u32> {
        if self.preface_left > 0 || self.in_block { Some(self.whole) } else { None }
    }

    /// Takes note of bytes to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.earn_bytes(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Follows the next bytes of the client. `now` is the time since any moment that stays.
    ///
    /// # Errors
    /// [`Flood`]: the connection should be ended.
    pub fn feed(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), Flood> {
        if self.preface_left > 0 {
            let preface = self.preface_left.min(bytes.len());
            bytes = bytes.get(preface..).unwrap_or_default();
            self.preface_left = self.preface_left.saturating_sub(preface);
            self.whole = self.whole.wrapping_add(u32::from(self.preface_left == 0));
        }
        while !bytes.is_empty() {
            let payload = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = bytes.get(payload..).unwrap_or_default();
            self.payload_left = self.payload_left.saturating_sub(u32::try_from(payload).unwrap_or(u32::MAX));
            if self.payload_left > 0 {
                break;
            }
            self.end_block();
            while let (Some(free), Some((next, rest))) =
                (self.head.get_mut(self.head_len), bytes.split_first())
            {
                *free = *next;
                self.head_len = self.head_len.saturating_add(1);
                bytes = rest;
            }
            if self.head_len == FRAME_HEAD_BYTES {
                self.head_len = 0;
                self.begin_frame(now)?;
            }
        }
        self.end_block();
        Ok(())
    }

    fn begin_frame(&mut self, now: Duration) -> Result<(), Flood> {
        let [a, b, c, kind, flags, stream @ ..] = self.head;
        self.payload_left = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes(stream);
        let carries_nothing = match kind {
            DATA => {
                self.earn_bytes(u64::from(self.payload_left));
                self.payload_left == 0 && flags & FLAG_END_STREAM == 0
            }
            HEADERS => {
                self.in_block = true;
                // Streams are opened in order (section 5.1.1); on one that was opened before, these are trailers.
                let opens = stream > self.last_stream;
                if opens {
                    self.last_stream = stream;
                    self.frames_left =
                        self.frames_left.saturating_add(FRAMES_PER_REQUEST).min(IDLE_FRAMES_MAX);
                }
                !opens
            }
            _ => true,
        };
        if carries_nothing { self.spend(now) } else { Ok(()) }
    }

    /// A header block ends with the last byte of a frame that says so.
    fn end_block(&mut self) {
        let [_, _, _, kind, flags, ..] = self.head;
        let last = matches!(kind, HEADERS | CONTINUATION) && flags & FLAG_END_HEADERS != 0;
        if self.in_block && self.payload_left == 0 && self.head_len == 0 && last {
            self.in_block = false;
            self.whole = self.whole.wrapping_add(1);
        }
    }

    fn earn_bytes(&mut self, bytes: u64) {
        let bytes = self.bytes_unpaid.saturating_add(bytes);
        let frames = u32::try_from(bytes.checked_div(BYTES_PER_FRAME).unwrap_or(0)).unwrap_or(u32::MAX);
        self.bytes_unpaid = bytes.checked_rem(BYTES_PER_FRAME).unwrap_or(0);
        self.frames_left = self.frames_left.saturating_add(frames).min(IDLE_FRAMES_MAX);
    }

    fn spend(&mut self, now: Duration) -> Result<(), Flood> {
        let seconds = now.saturating_sub(self.refilled).as_secs();
        if seconds > 0 {
            let seconds_in_u32 = u32::try_from(seconds).unwrap_or(u32::MAX);
            let back = seconds_in_u32.saturating_mul(IDLE_FRAMES_PER_SECOND);
            self.frames_left = self.frames_left.saturating_add(back).min(IDLE_FRAMES_MAX);
            self.refilled = self.refilled.saturating_add(Duration::from_secs(seconds));
        }
        self.frames_left = self.frames_left.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        frame_of(1, kind, flags, payload)
    }

    fn frame_of(stream: u32, kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.resize(FRAME_HEAD_BYTES + payload, 0x5a);
        frame
    }

    fn begun() -> FrameMeter {
        let mut meter = FrameMeter::default();
        assert_eq!(meter.owed(), Some(0));
        meter.feed(PREFACE, Duration::ZERO).unwrap();
        assert_eq!(meter.owed(), None);
        meter
    }

    /// How many of these frames a fresh connection may send.
    fn endured(frame: impl Fn(u32) -> Vec<u8>) -> u32 {
        let mut meter = begun();
        (0..5_000).find(|at| meter.feed(&frame(*at), Duration::ZERO).is_err()).unwrap_or(5_000)
    }

    #[test]
    fn frames_that_carry_nothing_are_bounded() {
        for kind in [2, 3, 4, PING, WINDOW_UPDATE, CONTINUATION, 0x42] {
            assert_eq!(endured(|_| frame(kind, 0, 8)), IDLE_FRAMES_MAX, "{kind}");
        }
        assert_eq!(endured(|_| frame(DATA, 0, 0)), IDLE_FRAMES_MAX);
        let trailers = endured(|_| frame(HEADERS, FLAG_END_HEADERS, 9));
        assert_eq!(trailers, IDLE_FRAMES_MAX + 1, "the first opens the stream");
    }

    #[test]
    fn frames_that_carry_something_are_not_and_earn_others() {
        assert_eq!(endured(|_| frame(DATA, 0, 1)), 5_000);
        assert_eq!(endured(|_| frame(DATA, FLAG_END_STREAM, 0)), 5_000);
        assert_eq!(endured(|at| frame_of(2 * at + 1, HEADERS, FLAG_END_HEADERS, 30)), 5_000);
        // A download: two windows for each 4 KiB that were sent.
        let mut meter = begun();
        for _ in 0..20_000 {
            meter.sent(4_096);
            meter.feed(&frame(WINDOW_UPDATE, 0, 4), Duration::ZERO).unwrap();
            meter.feed(&frame(WINDOW_UPDATE, 0, 4), Duration::ZERO).unwrap();
        }
        // A request that is taken back, again and again, is one for others to count.
        let pair = |at| [frame_of(2 * at + 1, HEADERS, FLAG_END_HEADERS, 9), frame(3, 0, 4)].concat();
        assert_eq!(endured(pair), 5_000);
    }

    #[test]
    fn a_keepalive_each_second_goes_on_for_ever() {
        let mut meter = begun();
        for second in 0..100_000 {
            meter.feed(&frame(PING, 0, 8), Duration::from_secs(second)).unwrap();
        }
    }

    #[test]
    fn the_head_of_a_request_is_owed_until_its_last_byte() {
        let mut meter = begun();
        let head = [frame(HEADERS, 0, 20), frame(CONTINUATION, FLAG_END_HEADERS, 5)].concat();
        for (at, byte) in head.iter().enumerate() {
            assert_eq!(meter.owed().is_some(), at >= FRAME_HEAD_BYTES, "before byte {at}");
            meter.feed(&[*byte], Duration::ZERO).unwrap();
        }
        assert_eq!(meter.owed(), None);
        meter.feed(&frame(HEADERS, FLAG_END_HEADERS, 0), Duration::ZERO).unwrap();
        assert_eq!(meter.owed(), None);
        let first = {
            meter.feed(&frame(HEADERS, 0, 3), Duration::ZERO).unwrap();
            meter.owed()
        };
        meter.feed(&frame(CONTINUATION, FLAG_END_HEADERS, 3), Duration::ZERO).unwrap();
        meter.feed(&frame(HEADERS, 0, 3), Duration::ZERO).unwrap();
        assert_ne!(meter.owed(), first, "another head has a clock of its own");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            kinds in prop::collection::vec((0_u8..12, any::<u8>(), 0_usize..50), 0..60),
            cuts in prop::collection::vec(1_usize..40, 1..60),
        ) {
            let mut bytes = PREFACE.to_vec();
            kinds.iter().for_each(|(kind, flags, payload)| bytes.extend(frame(*kind, *flags, *payload)));
            let mut whole = FrameMeter::default();
            whole.feed(&bytes, Duration::ZERO).unwrap();
            let mut pieces = FrameMeter::default();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                pieces.feed(piece, Duration::ZERO).unwrap();
                rest = more;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }
}
