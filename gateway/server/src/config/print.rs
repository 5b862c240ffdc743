//! Problems for people, with the lines they are about, and for programs.

use super::files::{self, FILE_BYTES_MAX};
use fleetgate_core::config::{Place, Problem, Severity, Spot};
use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Columns of the output. A terminal breaks longer lines by itself, so what counts is to be read in a log.
const WIDTH: usize = 110;

/// Renders problems with the source around them.
pub(super) struct Printer {
    handler: GraphicalReportHandler,
    texts: HashMap<Arc<str>, Option<Arc<str>>>,
}

impl Printer {
    /// `color` is for terminals.
    pub(super) fn new(color: bool) -> Self {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_context_lines(1);
        Self { handler, texts: HashMap::new() }
    }

    /// Writes one problem.
    pub(super) fn print(&mut self, problem: &Problem, out: &mut impl fmt::Write) -> fmt::Result {
        let other = problem.other_place.as_ref().map(|place| Excerpt {
            message: format!("the other is at {place}"),
            help: None,
            severity: miette::Severity::Advice,
            source: self.source(place),
            label: label(self.text(place).as_deref(), place.spot, "here"),
            related: None,
        });
        let place = &problem.place;
        let key = if problem.key_path.is_empty() { "here" } else { &problem.key_path };
        let excerpt = Excerpt {
            message: match place.spot.line {
                0 => format!("{}: {}", place.file, problem.message),
                _ => problem.message.clone(),
            },
            help: problem.hint.clone(),
            severity: match problem.severity {
                Severity::Error => miette::Severity::Error,
                Severity::Warning => miette::Severity::Warning,
            },
            source: self.source(place),
            label: label(self.text(place).as_deref(), place.spot, key),
            related: other.map(Box::new),
        };
        self.handler.render_report(out, &excerpt)?;
        out.write_char('\n')
    }

    fn source(&mut self, place: &Place) -> Option<NamedSource<Arc<str>>> {
        let text = self.text(place)?;
        Some(NamedSource::new(&*place.file, text))
    }

    /// The file's text, read once.
    fn text(&mut self, place: &Place) -> Option<Arc<str>> {
        if place.spot.line == 0 {
            return None;
        }
        let read = |file: &str| {
            let content = files::read(Path::new(file), FILE_BYTES_MAX).ok()?;
            Some(String::from_utf8_lossy(&content.bytes).into())
        };
        self.texts.entry(Arc::clone(&place.file)).or_insert_with(|| read(&place.file)).clone()
    }
}

/// One problem as `fleetgate check -o json` lists it.
pub(super) fn json(problem: &Problem) -> Value {
    let place =
        |place: &Place| json!({ "file": &*place.file, "line": place.spot.line, "column": place.spot.column });
    json!({
        "severity": match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "place": place(&problem.place),
        "key_path": problem.key_path,
        "message": problem.message,
        "hint": problem.hint,
        "other_place": problem.other_place.as_ref().map(place),
    })
}

/// The characters that a spot is about: the value from there to where it ends, on one line.
fn label(text: Option<&str>, spot: Spot, label: &str) -> Option<LabeledSpan> {
    let text = text?;
    let index = usize::try_from(spot.line).ok()?.checked_sub(1)?;
    let line = text.split_inclusive('\n').nth(index).unwrap_or_default();
    let start_of_line: usize = text.split_inclusive('\n').take(index).map(str::len).sum();
    let columns = usize::try_from(spot.column).ok()?.saturating_sub(1);
    let line_text = line.trim_end_matches(['\n', '\r']);
    let before: usize = line_text.chars().take(columns).map(char::len_utf8).sum();
    let value = line_text.get(before..).unwrap_or_default();
    Some(LabeledSpan::new(Some(label.to_owned()), start_of_line.saturating_add(before), value_bytes(value)))
}

/// Bytes of the value at the start of a text: a quoted text, or up to what ends a plain one.
fn value_bytes(text: &str) -> usize {
    let mut characters = text.char_indices();
    let Some((_, first)) = characters.next() else { return 0 };
    let ends = |character: char| match first {
        '"' | '\'' => character == first,
        _ => matches!(character, ',' | ']' | '}' | ':' | ' ' | '#'),
    };
    let quoted = matches!(first, '"' | '\'');
    let end = characters.find(|(_, character)| ends(*character));
    match end {
        Some((at, character)) if quoted => at.saturating_add(character.len_utf8()),
        Some((at, _)) if matches!(first, '{' | '[') => at.min(1),
        Some((at, _)) => at,
        None => text.len(),
    }
}

/// A problem as the renderer wants it.
#[derive(Debug)]
struct Excerpt {
    message: String,
    help: Option<String>,
    severity: miette::Severity,
    source: Option<NamedSource<Arc<str>>>,
    label: Option<LabeledSpan>,
    related: Option<Box<Excerpt>>,
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Excerpt {}

impl Diagnostic for Excerpt {
    fn severity(&self) -> Option<miette::Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help: Box<dyn fmt::Display> = Box::new(self.help.as_ref()?);
        Some(help)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let source: &dyn SourceCode = self.source.as_ref()?;
        Some(source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(core::iter::once(self.label.clone()?)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        let related: &dyn Diagnostic = self.related.as_deref()?;
        Some(Box::new(core::iter::once(related)))
    }
}
