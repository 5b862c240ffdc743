//! YAML text to a tree with a position on every node. The only place that knows the YAML parser.
//!
//! A subset: one document, no anchors, aliases, merge keys or tags. So a file can be neither a bomb nor a
//! cycle, and every value stands where it is used. Scalars keep the text as written; what they are read as
//! depends on the key alone, so `19.0`, `no` and `007` are safe as names.
//!
//! The tree holds what is wrong as nodes of their own, so that the reader, which knows the key path, reports
//! all of it. Only text that is no YAML ends the reading.

use super::problem::Spot;
use super::reference::{References, expand};
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use std::borrow::Cow;

/// Deepest nesting of either block or flow collections; the config needs 8.
const NESTING_MAX: usize = 16;

/// A node of the tree.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) at: Spot,
    pub(super) value: Value<'t>,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Value<'t> {
    Scalar(Scalar<'t>),
    List(Vec<Node<'t>>),
    Map(Vec<Pair<'t>>),
    /// Something that is refused; says why, and what to do.
    Refused {
        message: Box<str>,
        hint: &'static str,
    },
}

/// One text.
#[derive(Debug)]
pub(super) struct Scalar<'t> {
    pub(super) text: Cow<'t, str>,
    /// Written without quotes, so it may be a number, a boolean or nothing.
    pub(super) plain: bool,
    /// Holds a value of the environment, which messages must not show.
    pub(super) from_environment: bool,
}

impl Scalar<'_> {
    /// Whether it stands for no value at all (YAML 1.2.2, section 10.3.2).
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }
}

/// A key of a map and its value.
#[derive(Debug)]
pub(super) struct Pair<'t> {
    pub(super) at: Spot,
    pub(super) key: Cow<'t, str>,
    pub(super) value: Node<'t>,
}

/// Why the text is not YAML.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) at: Spot,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

/// Reads nodes from a text, one by one or as a whole.
pub(super) struct Document<'t, 'w> {
    parser: Parser<'t, StrInput<'t>>,
    world: &'w dyn References,
}

/// How a document starts.
pub(super) enum Start<'t> {
    /// Nothing in it, or only comments.
    Empty,
    /// A list, whose entries [`Document::next_entry`] returns.
    List,
    /// Anything else.
    Node(Node<'t>),
}

impl<'t, 'w> Document<'t, 'w> {
    pub(super) fn new(text: &'t str, world: &'w dyn References) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
            disallow_directives: true,
            flow_nesting_limit: NESTING_MAX,
            block_nesting_limit: NESTING_MAX,
        };
        Self { parser: Parser::new_from_str_with_options(text, options), world }
    }

    /// Reads up to the first node. A list is left open, so that a long one never stands in memory as a whole.
    pub(super) fn start(&mut self) -> Result<Start<'t>, Syntax> {
        loop {
            match self.event()? {
                None => return Ok(Start::Empty),
                Some((
                    Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd,
                    _,
                )) => {}
                Some((Event::SequenceStart(_, 0, None), _)) => return Ok(Start::List),
                Some((event, span)) => {
                    let node = self.node(event, span)?;
                    self.end()?;
                    let empty = matches!(&node.value, Value::Scalar(scalar) if scalar.is_null());
                    return Ok(if empty { Start::Empty } else { Start::Node(node) });
                }
            }
        }
    }

    /// The next entry of the list that the document is.
    pub(super) fn next_entry(&mut self) -> Result<Option<Node<'t>>, Syntax> {
        match self.event()? {
            Some((Event::SequenceEnd, _)) | None => self.end().map(|()| None),
            Some((event, span)) => self.node(event, span).map(Some),
        }
    }

    /// Nothing may follow the first document.
    fn end(&mut self) -> Result<(), Syntax> {
        while let Some((event, span)) = self.event()? {
            if let Event::DocumentStart(..) = event {
                return Err(Syntax {
                    at: spot(&span),
                    message: "the file holds a second document".into(),
                    hint: Some("remove the `---` between them, or use a file for each"),
                });
            }
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Option<(Event<'t>, Span)>, Syntax> {
        self.parser.next().transpose().map_err(|error| syntax(&error))
    }

    /// The node that an event starts. Recursion is bounded by the parser's nesting limits.
    fn node(&mut self, event: Event<'t>, span: Span) -> Result<Node<'t>, Syntax> {
        let at = spot(&span);
        let (mut value, anchored, tagged) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (self.scalar(text, style == ScalarStyle::Plain), anchor != 0, tag.is_some())
            }
            Event::SequenceStart(_, anchor, tag) => (self.list()?, anchor != 0, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => (self.map()?, anchor != 0, tag.is_some()),
            Event::Alias(_) | Event::UnresolvedAlias(_) => (
                refused("aliases (`*name`) are not supported", "write the value out where it is needed"),
                false,
                false,
            ),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Anchor(..)
            | Event::SequenceEnd
            | Event::MappingEnd
            | _ => (refused("there is no value here", "write one"), false, false),
        };
        if anchored {
            value = refused("anchors (`&name`) are not supported", "write the value out where it is needed");
        } else if tagged {
            value = refused("tags (`!name`) are not supported", "remove the tag");
        }
        Ok(Node { at, value })
    }

    fn scalar(&self, text: Cow<'t, str>, plain: bool) -> Value<'t> {
        match expand(text, self.world) {
            Ok((text, from_environment)) => Value::Scalar(Scalar { text, plain, from_environment }),
            Err(reason) => {
                refused(&reason, "`${NAME}` stands for an environment variable of the gateway's process")
            }
        }
    }

    fn list(&mut self) -> Result<Value<'t>, Syntax> {
        let mut entries = Vec::new();
        loop {
            match self.event()? {
                Some((Event::SequenceEnd, _)) | None => return Ok(Value::List(entries)),
                Some((event, span)) => entries.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value<'t>, Syntax> {
        let mut pairs = Vec::new();
        loop {
            let (at, key) = match self.event()? {
                Some((Event::MappingEnd, _)) | None => return Ok(Value::Map(pairs)),
                Some((Event::Scalar(text, ..), span)) => (spot(&span), text),
                Some((event, span)) => {
                    self.node(event, span)?;
                    return Err(Syntax {
                        at: spot(&span),
                        message: "a key is not a plain word".into(),
                        hint: Some("put quotes around a value that starts with `{`, `[`, `*` or `&`"),
                    });
                }
            };
            let Some((event, span)) = self.event()? else { return Ok(Value::Map(pairs)) };
            pairs.push(Pair { at, key, value: self.node(event, span)? });
        }
    }
}

fn refused<'t>(message: &str, hint: &'static str) -> Value<'t> {
    Value::Refused { message: message.into(), hint }
}

fn spot(span: &Span) -> Spot {
    Spot { line: number(span.start.line()), column: number(span.start.col()).saturating_add(1) }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn syntax(error: &ScanError) -> Syntax {
    let at =
        Spot { line: number(error.marker().line()), column: number(error.marker().col()).saturating_add(1) };
    Syntax { at, message: format!("this is not YAML: {}", error.info()), hint: None }
}

impl Node<'static> {
    /// A default of the config's own, as a file would write it.
    pub(super) fn of_default(value: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let scalar =
            |text: String, plain| Value::Scalar(Scalar { text: text.into(), plain, from_environment: false });
        let value = match value {
            Json::Null => scalar(String::new(), true),
            Json::Bool(value) => scalar(value.to_string(), true),
            Json::Number(value) => scalar(value.to_string(), true),
            Json::String(text) => scalar(text.clone(), false),
            Json::Array(entries) => Value::List(entries.iter().map(Self::of_default).collect()),
            Json::Object(map) => Value::Map(
                map.iter()
                    .map(|(key, value)| Pair {
                        at: Spot::default(),
                        key: key.clone().into(),
                        value: Self::of_default(value),
                    })
                    .collect(),
            ),
        };
        Self { at: Spot::default(), value }
    }
}
