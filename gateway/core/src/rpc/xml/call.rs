//! A call read from XML.

use super::lexer::{Lexer, Token};
use super::tag::Tag;
use crate::rpc::answer::RpcAnswer;
use crate::rpc::call::{Argument, Call, DATABASE_AT, Judgement};
use crate::rpc::outcome::{Denial, Replacement, RpcOutcome, RpcRefusal};
use crate::rpc::policy::RpcPolicy;
use crate::rpc::route::{FaultCodes, Service};
use core::ops::Range;

/// Deepest nesting of elements: a list in a list takes three.
const DEPTH_MAX: usize = 384;
/// Elements that are open around the value of a parameter: the call, its parameters, the parameter.
const PARAM_DEPTH: usize = 3;

/// An open element, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// Before `methodName`, before `params`, at its end.
    MethodCall(u8),
    MethodName,
    Params,
    /// Whether its value was there.
    Param(bool),
    /// Whether its type was there.
    Value(bool),
    /// Whether its data was there.
    Array(bool),
    Data,
    Struct,
    /// Before `name`, before `value`, at its end.
    Member(u8),
    /// An element that holds text only.
    Text(Tag),
}

/// Reads the one shape of a call that the specification draws (xmlrpc.com, "Payload format"). `xmlrpc.client` looks at
/// the types alone, wherever they stand; a document of this shape it reads as it is meant.
#[derive(Debug)]
pub(in crate::rpc) struct XmlCall {
    faults: FaultCodes,
    lexer: Lexer,
    open: Vec<Open>,
    /// The call element was closed.
    ended: bool,
    /// Place of the parameter that is being read.
    place: u32,
    call: Call,
    over: Option<Result<Denial, RpcRefusal>>,
}

impl XmlCall {
    pub(in crate::rpc) fn new(service: Service, faults: FaultCodes) -> Self {
        Self {
            faults,
            lexer: Lexer::new(),
            open: Vec::new(),
            ended: false,
            place: 0,
            call: Call::new(service),
            over: (service == Service::Unknown).then_some(Ok(Denial::Method)),
        }
    }

    pub(in crate::rpc) const fn may_forward(&self) -> bool {
        self.over.is_none()
    }

    pub(in crate::rpc) fn feed(&mut self, piece: &[u8], policy: &RpcPolicy) {
        let mut rest = piece;
        while self.over.is_none() {
            let step = match self.lexer.next(&mut rest) {
                Ok(Some(token)) => self.token(token, policy),
                Ok(None) => break,
                Err(refusal) => Err(refusal),
            };
            if let Err(refusal) = step {
                self.over = Some(Err(refusal));
            }
        }
    }

    /// Whether it asks whether a password is right.
    pub(in crate::rpc) fn is_login(&self) -> bool {
        self.call.is_login()
    }

    pub(in crate::rpc) fn finish(self, policy: &RpcPolicy) -> RpcOutcome {
        let denied = |denial| RpcOutcome::Answer(RpcAnswer::xml_fault(denial, self.faults));
        match self.over {
            Some(Err(refusal)) => return RpcOutcome::Refuse(refusal),
            Some(Ok(denial)) => return denied(denial),
            None if !self.ended || !self.lexer.is_at_rest() => {
                return RpcOutcome::Refuse(RpcRefusal::Malformed);
            }
            None => {}
        }
        match self.call.judge(policy) {
            Judgement::Pass(alias) => RpcOutcome::Forward {
                replace: alias
                    .map(|range| Replacement { range, bytes: policy.database.as_str().as_bytes().into() }),
            },
            Judgement::Local(value) => RpcOutcome::Answer(RpcAnswer::xml_value(&value)),
            Judgement::Denied(denial) => denied(denial),
        }
    }

    fn token(&mut self, token: Token, policy: &RpcPolicy) -> Result<(), RpcRefusal> {
        match token {
            Token::Start(tag) => self.start(tag),
            Token::End(tag) => self.end(tag, policy),
        }
    }

    fn start(&mut self, tag: Tag) -> Result<(), RpcRefusal> {
        // No element that holds others holds text.
        if !self.lexer.content().blank {
            return Err(RpcRefusal::Shape);
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(RpcRefusal::Depth);
        }
        let Some(parent) = self.open.last_mut() else {
            if self.ended || tag != Tag::MethodCall {
                return Err(RpcRefusal::Shape);
            }
            self.open.push(Open::MethodCall(0));
            return Ok(());
        };
        let child = match (&mut *parent, tag) {
            (Open::MethodCall(step @ 0), Tag::MethodName) => {
                *step = 1;
                Open::MethodName
            }
            (Open::MethodCall(step @ 1), Tag::Params) => {
                *step = 2;
                Open::Params
            }
            (Open::Params, Tag::Param) => Open::Param(false),
            (Open::Param(done @ false), Tag::Value) => {
                *done = true;
                Open::Value(false)
            }
            (Open::Value(typed @ false), Tag::Array) => {
                *typed = true;
                Open::Array(false)
            }
            (Open::Value(typed @ false), Tag::Struct) => {
                *typed = true;
                Open::Struct
            }
            (Open::Value(typed @ false), Tag::String | Tag::Scalar(_)) => {
                *typed = true;
                Open::Text(tag)
            }
            (Open::Array(done @ false), Tag::Data) => {
                *done = true;
                Open::Data
            }
            (Open::Data, Tag::Value) => Open::Value(false),
            (Open::Struct, Tag::Member) => Open::Member(0),
            (Open::Member(step @ 0), Tag::Name) => {
                *step = 1;
                Open::Text(Tag::Name)
            }
            (Open::Member(step @ 1), Tag::Value) => {
                *step = 2;
                Open::Value(false)
            }
            _ => return Err(RpcRefusal::Shape),
        };
        self.open.push(child);
        Ok(())
    }

    fn end(&mut self, tag: Tag, policy: &RpcPolicy) -> Result<(), RpcRefusal> {
        let blank = self.lexer.content().blank;
        match (self.open.pop(), tag) {
            (Some(Open::MethodCall(1 | 2)), Tag::MethodCall) if blank => self.ended = true,
            (Some(Open::MethodName), Tag::MethodName) => self.call.method = self.text(),
            (Some(Open::Params), Tag::Params) | (Some(Open::Data), Tag::Data) if blank => {}
            (Some(Open::Struct), Tag::Struct) | (Some(Open::Member(2)), Tag::Member) if blank => {}
            (Some(Open::Array(true)), Tag::Array) if blank => {}
            (Some(Open::Param(true)), Tag::Param) if blank => self.param_ended(policy),
            // Without a type it is a text.
            (Some(Open::Value(false)), Tag::Value) => self.scalar(Tag::String, PARAM_DEPTH),
            (Some(Open::Value(true)), Tag::Value) if blank => {}
            (Some(Open::Text(open)), _) if open == tag => self.scalar(tag, PARAM_DEPTH + 1),
            _ => return Err(RpcRefusal::Shape),
        }
        Ok(())
    }

    /// The text between the last two tags.
    fn text(&self) -> Argument {
        Argument::Text(self.lexer.content().text.clone(), self.range())
    }

    fn range(&self) -> Range<u64> {
        self.lexer.content().start..self.lexer.tag_start()
    }

    /// Something that holds no elements ended. It is an argument if it was open at this depth.
    fn scalar(&mut self, tag: Tag, depth: usize) {
        if self.open.len() == depth {
            let value = if tag == Tag::String { self.text() } else { Argument::Other };
            if let Some(argument) = self.call.argument_mut(self.place) {
                *argument = value;
            }
        }
    }

    /// With the database a denial is sure, and the rest need not be read.
    fn param_ended(&mut self, policy: &RpcPolicy) {
        if self.place == DATABASE_AT
            && let Judgement::Denied(denial @ Denial::Database) = self.call.judge(policy)
        {
            self.over = Some(Ok(denial));
        }
        self.place = self.place.saturating_add(1);
    }
}
