//! The bytes of an HTTP/1 client, checked before Pingora parses them.

use fleetgate_core::rejection::Rejection;
use fleetgate_core::request::{ChunkReader, Fault, HeadReader, HeadRoom, Progress};
use std::io;
use std::task::{Poll, ready};
use tokio::io::ReadBuf;

/// Stands for a head that was refused. Nobody answers to the host, should it ever be taken for a request.
const REFUSED_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n";

/// Lets a request pass as long as RFC 9112 reads it in one way only.
///
/// A head goes on when it is whole: Pingora's timeout for one read then holds for all of it. Instead of a head that
/// must be refused, another one goes on that stands for it, and the gate says why: so every refusal has its answer,
/// its count and its line in the log. Chunks are followed to their end.
#[derive(Debug)]
pub(super) struct Gate {
    room: HeadRoom,
    stage: Stage,
    refused: Option<Rejection>,
}

#[derive(Debug)]
enum Stage {
    /// A head is awaited; what has come of it is held.
    Head { reader: HeadReader, held: Vec<u8> },
    /// Bytes that may pass, up to where they have passed, and then the body.
    Passing { bytes: Vec<u8>, passed: usize, chunks: Option<ChunkReader> },
    /// A body, or what follows after a switch of protocols.
    Body { chunks: Option<ChunkReader> },
}

impl Gate {
    /// For requests whose heads may be so large.
    pub(super) fn new(room: HeadRoom) -> Self {
        let stage = Stage::Head { reader: HeadReader::new(room), held: Vec::new() };
        Self { room, stage, refused: None }
    }

    /// For the next request.
    pub(super) fn await_request(&mut self) {
        *self = Self::new(self.room);
    }

    /// Why the request was refused, if it was.
    pub(super) const fn refused(&self) -> Option<Rejection> {
        self.refused
    }

    /// Whether bytes were read that nobody got.
    pub(super) fn holds_bytes(&self) -> bool {
        match &self.stage {
            Stage::Head { held, .. } => !held.is_empty(),
            Stage::Passing { .. } => true,
            Stage::Body { .. } => false,
        }
    }

    /// Whether a head has begun and its rest has not come.
    pub(super) fn holds_part_of_head(&self) -> bool {
        matches!(&self.stage, Stage::Head { held, .. } if !held.is_empty())
    }

    /// Refuses a head whose rest does not come.
    pub(super) fn give_up(&mut self) {
        self.refuse(Rejection::HeadTooSlow);
    }

    /// Reads by `read`, which appends to a buffer, and passes on what may pass.
    pub(super) fn poll_read(
        &mut self,
        buf: &mut ReadBuf<'_>,
        mut read: impl FnMut(&mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            match &mut self.stage {
                Stage::Passing { .. } => break,
                Stage::Body { .. } if self.refused.is_some() => return Poll::Ready(Err(broken())),
                Stage::Body { chunks } => {
                    ready!(read(buf))?;
                    let new = buf.filled().get(before..).unwrap_or_default();
                    if chunks.as_mut().is_some_and(|chunks| chunks.read(new).is_err()) {
                        buf.set_filled(before);
                        self.refused = Some(Fault::Chunks.into());
                        return Poll::Ready(Err(broken()));
                    }
                    return Poll::Ready(Ok(()));
                }
                Stage::Head { reader, held } => {
                    ready!(read(buf))?;
                    let new = buf.filled().get(before..).unwrap_or_default();
                    if new.is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    if held.is_empty() {
                        match judge(reader, new) {
                            Verdict::Partial => held.extend_from_slice(new),
                            Verdict::Pass(chunks) => {
                                self.stage = Stage::Body { chunks };
                                return Poll::Ready(Ok(()));
                            }
                            Verdict::Refuse(rejection) => self.refuse(rejection),
                        }
                    } else {
                        held.extend_from_slice(new);
                        match judge(reader, held) {
                            Verdict::Partial => {}
                            Verdict::Pass(chunks) => {
                                let bytes = std::mem::take(held);
                                self.stage = Stage::Passing { bytes, passed: 0, chunks };
                            }
                            Verdict::Refuse(rejection) => self.refuse(rejection),
                        }
                    }
                    buf.set_filled(before);
                }
            }
        }
        self.pass(buf);
        Poll::Ready(Ok(()))
    }

    fn refuse(&mut self, rejection: Rejection) {
        self.refused = Some(rejection);
        self.stage = Stage::Passing { bytes: REFUSED_HEAD.to_vec(), passed: 0, chunks: None };
    }

    fn pass(&mut self, buf: &mut ReadBuf<'_>) {
        let Stage::Passing { bytes, passed, chunks } = &mut self.stage else { return };
        let rest = bytes.get(*passed..).unwrap_or_default();
        let here = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(here);
        *passed = passed.saturating_add(here.len());
        if *passed >= bytes.len() {
            self.stage = Stage::Body { chunks: *chunks };
        }
    }
}

/// Tells whoever reads a body that it broke.
fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Fault::Chunks)
}

enum Verdict {
    Partial,
    Pass(Option<ChunkReader>),
    Refuse(Rejection),
}

/// Judges what has come of a request: its head, and the start of its body behind it.
fn judge(reader: &mut HeadReader, bytes: &[u8]) -> Verdict {
    match reader.read(bytes) {
        Progress::Partial => Verdict::Partial,
        Progress::Refused(rejection) => Verdict::Refuse(rejection),
        Progress::Whole { chunked: false, .. } => Verdict::Pass(None),
        Progress::Whole { bytes: head, chunked: true } => {
            let mut chunks = ChunkReader::default();
            match chunks.read(bytes.get(head..).unwrap_or_default()) {
                Ok(()) => Verdict::Pass(Some(chunks)),
                Err(_) => Verdict::Refuse(Fault::Chunks.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that passes of pieces that a client sends, read into a buffer of some bytes at a time.
    fn passed(gate: &mut Gate, pieces: &[&[u8]], room: usize) -> Result<String, io::ErrorKind> {
        let mut pieces = pieces.iter();
        let mut all = Vec::new();
        loop {
            let mut space = vec![0; room];
            let mut buf = ReadBuf::new(&mut space);
            let polled = gate.poll_read(&mut buf, |buf| match pieces.next() {
                Some(piece) => {
                    buf.put_slice(piece);
                    Poll::Ready(Ok(()))
                }
                None => Poll::Pending,
            });
            match polled {
                Poll::Pending => return Ok(String::from_utf8(all).unwrap()),
                // What passed before the end is what Pingora parses.
                Poll::Ready(Err(_)) if !all.is_empty() => return Ok(String::from_utf8(all).unwrap()),
                Poll::Ready(Err(error)) => return Err(error.kind()),
                Poll::Ready(Ok(())) => all.extend_from_slice(buf.filled()),
            }
        }
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[test]
    fn a_head_goes_on_when_it_is_whole() {
        let mut gate = Gate::new(HeadRoom::CLIENT);
        let (first, second) = HEAD.split_at(20);
        assert_eq!(passed(&mut gate, &[first.as_bytes()], 64).as_deref(), Ok(""));
        assert!(gate.holds_bytes());
        let rest = format!("{second}5\r\nhel");
        assert_eq!(passed(&mut gate, &[rest.as_bytes()], 64), Ok(format!("{HEAD}5\r\nhel")));
        assert!(!gate.holds_bytes());
        assert_eq!(
            passed(&mut gate, &[b"lo\r\n", b"0\r\n\r\nmore"], 64).as_deref(),
            Ok("lo\r\n0\r\n\r\nmore")
        );
        assert_eq!(gate.refused(), None);
    }

    #[test]
    fn a_small_buffer_gets_a_held_head_in_pieces() {
        let mut gate = Gate::new(HeadRoom::CLIENT);
        let pieces: Vec<&[u8]> = HEAD.as_bytes().chunks(7).collect();
        assert_eq!(passed(&mut gate, &pieces, 7), Ok(HEAD.to_owned()));
    }

    #[test]
    fn another_head_stands_for_one_that_is_refused() {
        let broken = format!("{HEAD}\r\n");
        for (pieces, fault) in [
            (&["GET / HTTP/1.1\n"][..], Fault::LineEnd),
            (&["GET / HT", "TP/1.1\r\nA: b", "\r\n c\r\n"], Fault::FoldedLine),
            (&[broken.as_str()], Fault::Chunks),
        ] {
            let mut gate = Gate::new(HeadRoom::CLIENT);
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let seen = passed(&mut gate, &pieces, 64).unwrap();
            assert_eq!(seen.as_bytes(), REFUSED_HEAD, "{fault}");
            assert_eq!(gate.refused(), Some(fault.into()));
        }
    }

    #[test]
    fn a_body_ends_where_its_chunks_break() {
        let mut gate = Gate::new(HeadRoom::CLIENT);
        assert_eq!(
            passed(&mut gate, &[HEAD.as_bytes(), b"5\r\nhello\r\n"], 64),
            Ok(format!("{HEAD}5\r\nhello\r\n"))
        );
        assert_eq!(passed(&mut gate, &[b"\r\n"], 64), Err(io::ErrorKind::InvalidData));
        assert_eq!(gate.refused(), Some(Fault::Chunks.into()));
    }
}
