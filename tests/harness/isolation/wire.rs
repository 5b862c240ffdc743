//! A visit over HTTP/1: exact bytes out, answers in order back.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::answer::Head;
use super::crafted::Crafted;
use super::judge;
use super::ledger::Ledger;
use super::visit::{Asked, Step, Then, Visit};
use crate::connection::connect;

/// Makes the visit, on as many connections as the gateway wants for it.
pub(super) async fn make(gateway: SocketAddr, visit: &Visit, ledger: &Ledger) {
    let mut wire = None;
    for step in &visit.steps {
        let mut open = match wire.take() {
            Some(open) => open,
            None => match Wire::open(gateway).await {
                Ok(open) => open,
                Err(error) => return ledger.trouble(&error.to_string()),
            },
        };
        let done = tokio::time::timeout(PATIENCE, open.take_step(step, visit, ledger)).await;
        match done {
            Ok(()) if !open.over => wire = Some(open),
            Ok(()) => {}
            Err(_) => ledger.silent(),
        }
    }
}

struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The gateway closed its side.
    ended: bool,
    /// No further request can be sent.
    over: bool,
    /// A request was sent whose end servers may see at different places.
    loose: bool,
    /// Requests without an answer so far, in the order in which they were sent.
    asked: VecDeque<Asked>,
}

impl Wire {
    async fn open(gateway: SocketAddr) -> io::Result<Self> {
        let stream = connect(gateway).await?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            ended: false,
            over: false,
            loose: false,
            asked: VecDeque::new(),
        })
    }

    /// Afterwards `over` says whether the connection can be used again.
    async fn take_step(&mut self, step: &Step, visit: &Visit, ledger: &Ledger) {
        ledger.sent(step.requests.len(), false);
        self.asked.extend(step.requests.iter().map(Asked::about));
        self.loose |= !step.requests.iter().all(Crafted::is_clear);
        let sent = self.send(step).await.is_ok();
        // A gateway that stopped reading may have said why; that is to be judged, too.
        let most = if sent && step.then == Then::AskOnceMore { 1 } else { usize::MAX };
        match step.then {
            Then::Leave => self.over = true,
            Then::LeaveMidway => {
                // Whatever comes first: nobody reads it.
                self.over = self.stream.readable().await.is_ok();
            }
            Then::HalfClose => {
                self.over = self.stream.shutdown().await.is_err();
                self.read(most, visit, ledger).await;
                self.over = true;
            }
            Then::GoOn | Then::AskOnceMore => self.read(most, visit, ledger).await,
        }
        self.over |= !sent;
    }

    async fn send(&mut self, step: &Step) -> io::Result<()> {
        let wire = step.wire();
        match step.cut.and_then(|at| wire.split_at_checked(at)) {
            Some((first, second)) => {
                self.stream.write_all(first).await?;
                tokio::task::yield_now().await;
                self.stream.write_all(second).await
            }
            None => self.stream.write_all(&wire).await,
        }
    }

    /// Reads answers until every request has one, or so many came, or no more will come.
    async fn read(&mut self, most: usize, visit: &Visit, ledger: &Ledger) {
        let mut count = 0;
        while !self.asked.is_empty() && count < most && !self.over {
            self.answer(visit, ledger).await;
            count += 1;
        }
        // A refusal to a head that could not be read may have a body even if that was a HEAD; then the connection ends.
        // Behind a body with odd framing there may be bytes that are refused as another request.
        let known = !self.over && !self.loose;
        if known && self.asked.is_empty() && !self.buffer.is_empty() {
            ledger.leak(visit, &format!("an answer nobody asked for: {}", self.buffer.escape_ascii()));
            self.over = true;
        }
    }

    /// Waits for one whole answer.
    async fn answer(&mut self, visit: &Visit, ledger: &Ledger) {
        while !self.over {
            match self.judged(ledger) {
                Ok(true) => return,
                Ok(false) if self.ended => self.over = true,
                Ok(false) => {
                    let read = self.stream.read_buf(&mut self.buffer).await;
                    self.ended = !matches!(read, Ok(1..));
                }
                Err(problem) => {
                    ledger.leak(visit, &format!("{problem}: {}", self.buffer.escape_ascii()));
                    self.over = true;
                }
            }
        }
    }

    /// Takes one whole answer off the buffer and judges it; false when there is none yet.
    fn judged(&mut self, ledger: &Ledger) -> Result<bool, String> {
        let Some(head) = Head::read(&self.buffer)? else { return Ok(false) };
        // An answer of Odoo says whose it is; one of the gateway is to the oldest request.
        let place = match &head.said.mark {
            Some(mark) => self.asked.iter().position(|asked| asked.mark.to_string() == *mark),
            None => (!self.asked.is_empty()).then_some(0),
        };
        let Some((place, asked)) = place.and_then(|place| Some((place, self.asked.get(place).copied()?)))
        else {
            return Err(format!("an answer to somebody else ({:?})", head.said));
        };
        let Some(whole) = head.body(&self.buffer, asked.head_only, self.ended)? else { return Ok(false) };
        self.buffer.drain(..whole.end);
        if head.is_interim() {
            return self.judged(ledger);
        }
        self.asked.drain(..=place);
        // What follows is no HTTP, and nobody reads it.
        if head.status == 101 {
            self.buffer.clear();
        }
        self.over = !head.keep;
        if head.said.from_odoo {
            ledger.answered(asked.mark.tenant);
            judge::answer(&asked, &head.said, &whole.body)?;
        } else {
            ledger.refused();
            judge::refusal(&asked, &head.said, &whole.body)?;
        }
        Ok(true)
    }
}
