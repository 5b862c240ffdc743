//! From a tree to values, with every problem on the way.
//!
//! A derived deserializer stops at the first thing it does not understand. A person who edits a config wants
//! the whole list, so these readers report and go on: one pass finds wrong kinds, unknown, missing and
//! duplicate keys, and values out of range.

use super::problem::{PROBLEMS_PER_FILE_MAX, Place, Problem, Severity, Spot};
use super::reference::References;
use super::suggest;
use super::yaml::{Node, Pair, Scalar, Syntax, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A value that can be read from a node.
pub(super) trait Read: Sized {
    /// What a person should write, for messages: "a whole number".
    fn expected() -> Cow<'static, str>;

    /// Reads the node. `None` after a problem was reported.
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// What stands for a value that a problem was reported about.
    fn unknown() -> Option<Self> {
        None
    }
}

/// What a person should write, put into words only for a message.
type Expected = fn() -> Cow<'static, str>;

/// A value that is written as one text.
pub(super) trait Text: Sized {
    /// What a person should write.
    fn expected() -> Cow<'static, str>;

    /// Reads the text; the error says what is wrong with it, without repeating it.
    fn parse(text: &str) -> Result<Self, String>;
}

impl<T: Text> Read for T {
    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, Self::expected)?;
        match T::parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let hint = format!("expected {}", Self::expected());
                reader.error(node.at, format!("{} is not valid: {reason}", shown(scalar)), Some(hint));
                None
            }
        }
    }
}

/// A value with its position.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<T> {
    pub(super) at: Spot,
    pub(super) value: T,
}

impl<T: Read> Read for At<T> {
    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(|value| Self { at: node.at, value })
    }
}

/// A value that may turn out bad without taking the section around it along.
#[derive(Debug)]
pub(super) struct Lenient<T>(pub(super) Option<T>);

impl<T: Read> Read for Lenient<T> {
    fn expected() -> Cow<'static, str> {
        T::expected()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self(T::read(node, reader)))
    }

    fn unknown() -> Option<Self> {
        Some(Self(None))
    }
}

/// A step of a key path.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Key(&'static str),
    Name(Box<str>),
    Index(usize),
}

/// What a file is read with: where the reader is, and what it found.
pub(super) struct Reader<'w> {
    file: Arc<str>,
    world: &'w dyn References,
    path: Vec<Step>,
    problems: Vec<Problem>,
    errors: usize,
    suppressed: usize,
}

impl<'w> Reader<'w> {
    pub(super) fn new(file: &Arc<str>, world: &'w dyn References) -> Self {
        Self {
            file: Arc::clone(file),
            world,
            path: Vec::new(),
            problems: Vec::new(),
            errors: 0,
            suppressed: 0,
        }
    }

    /// Everything that was found.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        if self.suppressed > 0 {
            let message = format!("{} more problems in this file are not shown", self.suppressed);
            let mut problem = Problem::about_file(&self.file, message, None);
            problem.place.file = Arc::clone(&self.file);
            self.problems.push(problem);
        }
        self.problems
    }

    pub(super) fn world(&self) -> &'w dyn References {
        self.world
    }

    pub(super) fn error_count(&self) -> usize {
        self.errors
    }

    /// Runs a reader one step further down the key path.
    pub(super) fn inside<R>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(step);
        let result = read(self);
        self.path.pop();
        result
    }

    pub(super) fn error(&mut self, at: Spot, message: String, hint: Option<String>) {
        self.report(Severity::Error, at, message, hint, None);
    }

    pub(super) fn warning(&mut self, at: Spot, message: String, hint: Option<String>) {
        self.report(Severity::Warning, at, message, hint, None);
    }

    /// Two places in one file that do not go together.
    pub(super) fn conflict(&mut self, at: Spot, other: Spot, message: String, hint: Option<String>) {
        self.report(Severity::Error, at, message, hint, Some(other));
    }

    fn report(
        &mut self,
        severity: Severity,
        at: Spot,
        message: String,
        hint: Option<String>,
        other: Option<Spot>,
    ) {
        if severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        if self.problems.len() >= PROBLEMS_PER_FILE_MAX {
            self.suppressed = self.suppressed.saturating_add(1);
            return;
        }
        self.problems.push(Problem {
            severity,
            place: Place { file: Arc::clone(&self.file), spot: at },
            key_path: key_path(&self.path),
            message,
            hint,
            other_place: other.map(|spot| Place { file: Arc::clone(&self.file), spot }),
        });
    }

    pub(super) fn syntax(&mut self, syntax: Syntax) {
        self.error(syntax.at, syntax.message, syntax.hint.map(str::to_owned));
    }

    /// The text of a node.
    pub(super) fn scalar<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        expected: Expected,
    ) -> Option<&'n Scalar<'t>> {
        if let Value::Scalar(scalar) = &node.value
            && !scalar.is_null()
        {
            return Some(scalar);
        }
        self.wrong_kind(node, &expected())
    }

    /// Reports a node that is not what was expected.
    fn wrong_kind<R>(&mut self, node: &Node<'_>, expected: &str) -> Option<R> {
        match &node.value {
            Value::Refused { message, hint } => {
                self.error(node.at, message.to_string(), Some((*hint).into()))
            }
            Value::Scalar(scalar) if scalar.is_null() => {
                let hint = format!("write {expected}, or remove the key");
                self.error(node.at, "there is no value here".into(), Some(hint));
            }
            Value::Scalar(scalar) => {
                self.error(node.at, format!("expected {expected}, found {}", shown(scalar)), None);
            }
            Value::List(_) => self.error(node.at, format!("expected {expected}, found a list"), None),
            Value::Map(_) => self.error(node.at, format!("expected {expected}, found a map of keys"), None),
        }
        None
    }

    /// The entries of a list.
    pub(super) fn list<'n, 't>(&mut self, node: &'n Node<'t>, expected: Expected) -> Option<&'n [Node<'t>]> {
        if let Value::List(entries) = &node.value {
            Some(entries)
        } else {
            self.wrong_kind(node, &expected())
        }
    }

    /// The pairs of a map without duplicates.
    pub(super) fn map<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        expected: impl FnOnce() -> Cow<'static, str>,
    ) -> Option<Map<'n, 't>> {
        let Value::Map(pairs) = &node.value else { return self.wrong_kind(node, &expected()) };
        let mut first: HashMap<&str, Spot> = HashMap::new();
        let few = pairs.len() <= 16;
        for (index, pair) in pairs.iter().enumerate() {
            let earlier = if few {
                pairs.iter().take(index).find(|other| other.key == pair.key).map(|other| other.at)
            } else {
                first.insert(&pair.key, pair.at)
            };
            if let Some(earlier) = earlier {
                let message = format!("the key `{}` is there twice", pair.key);
                self.conflict(pair.at, earlier, message, Some("remove one of them".into()));
            }
        }
        Some(Map { at: node.at, pairs })
    }

    /// The pairs of a map whose keys are known in advance.
    pub(super) fn section<'n, 't>(
        &mut self,
        node: &'n Node<'t>,
        keys: &[&'static str],
    ) -> Option<Map<'n, 't>> {
        let map = self.map(node, || keys_expected(keys).into())?;
        for pair in map.pairs {
            if !keys.contains(&&*pair.key) {
                let hint = suggest::hint(&pair.key, keys.iter().copied());
                self.error(pair.at, format!("unknown key `{}`", pair.key), Some(hint));
            }
        }
        Some(map)
    }

    /// The value of a key that must be there.
    pub(super) fn required<T: Read>(&mut self, map: &Map<'_, '_>, key: &'static str) -> Option<T> {
        if let Some(pair) = map.get(key) {
            return self.inside(Step::Key(key), |reader| T::read(&pair.value, reader));
        }
        let hint = format!("write `{key}:` and {}", T::expected());
        self.error(map.at, format!("the key `{key}` is missing"), Some(hint));
        T::unknown()
    }

    /// The value of a key that may be left out.
    #[expect(
        clippy::option_option,
        reason = "the outer one says whether reading went well, as for every reader"
    )]
    pub(super) fn optional<T: Read>(&mut self, map: &Map<'_, '_>, key: &'static str) -> Option<Option<T>> {
        match map.get(key) {
            Some(pair) => self.inside(Step::Key(key), |reader| T::read(&pair.value, reader)).map(Some),
            None => Some(None),
        }
    }

    /// The value of a key that has a default.
    pub(super) fn with_default<T: Read>(
        &mut self,
        map: &Map<'_, '_>,
        key: &'static str,
        default: impl FnOnce() -> serde_json::Value,
    ) -> Option<T> {
        self.inside(Step::Key(key), |reader| match map.get(key) {
            Some(pair) => T::read(&pair.value, reader),
            None => T::read(&Node { at: map.at, ..Node::of_default(&default()) }, reader),
        })
    }
}

/// A map of a file.
pub(super) struct Map<'n, 't> {
    pub(super) at: Spot,
    pub(super) pairs: &'n [Pair<'t>],
}

impl<'n, 't> Map<'n, 't> {
    fn get(&self, key: &str) -> Option<&'n Pair<'t>> {
        self.pairs.iter().find(|pair| pair.key == key)
    }
}

/// A value as a message shows it: short, on one line, and never out of the environment.
pub(super) fn shown(scalar: &Scalar<'_>) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    if scalar.from_environment {
        return "the value out of the environment".into();
    }
    let mut text: String = scalar.text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if scalar.text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        text.push_str("...");
    }
    format!("`{text}`")
}

/// A map with known keys, in words.
pub(super) fn keys_expected(keys: &[&str]) -> String {
    format!("a map with the keys {}", keys.join(", "))
}

/// The key that a field is read from: `static` is written `r#static` in Rust.
pub(super) const fn key_of(field: &'static str) -> &'static str {
    if let [b'r', b'#', key @ ..] = field.as_bytes()
        && let Ok(key) = core::str::from_utf8(key)
    {
        return key;
    }
    field
}

fn key_path(steps: &[Step]) -> String {
    let mut path = String::new();
    for step in steps {
        let name = match step {
            Step::Index(index) => {
                path.push_str(&format!("[{index}]"));
                continue;
            }
            Step::Key(name) => name,
            Step::Name(name) => &**name,
        };
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
    }
    path
}

/// Declares a map with known keys: its type, its reader and its schema from one text.
///
/// `key: Type` must be written; `key: Type = default` may be left out, the default being what a file would
/// say; `key: Option<Type> = null` may be left out and has no default.
macro_rules! section {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$key_meta:meta])* $key:ident : $type:ty $(= $default:tt)?, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $vis struct $name {
            $(
                $(#[$key_meta])*
                $(#[schemars(extend("default" = $default))])?
                $vis $key: $type,
            )*
        }

        impl $crate::config::read::Read for $name {
            fn expected() -> std::borrow::Cow<'static, str> {
                $crate::config::read::keys_expected(&[$($crate::config::read::key_of(stringify!($key))),*]).into()
            }

            fn read(
                node: &$crate::config::yaml::Node<'_>,
                reader: &mut $crate::config::read::Reader<'_>,
            ) -> Option<Self> {
                let map = reader.section(node, &[$($crate::config::read::key_of(stringify!($key))),*])?;
                $( let $key = section!(@read reader map $key $($default)?); )*
                Some(Self { $($key: $key?),* })
            }
        }
    };
    (@read $reader:ident $map:ident $key:ident) => {
        $reader.required(&$map, $crate::config::read::key_of(stringify!($key)))
    };
    (@read $reader:ident $map:ident $key:ident null) => {
        $reader.optional(&$map, $crate::config::read::key_of(stringify!($key)))
    };
    (@read $reader:ident $map:ident $key:ident $default:tt) => {
        $reader.with_default(&$map, $crate::config::read::key_of(stringify!($key)), || serde_json::json!($default))
    };
}

pub(super) use section;
