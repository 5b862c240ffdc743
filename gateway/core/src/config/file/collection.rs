//! Choices, lists and maps.

use super::value::{Name, schema_of};
use crate::config::problem::Spot;
use crate::config::read::{Read, Reader, Step, Text, shown};
use crate::config::suggest;
use crate::config::yaml::{Node, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// One of a few words.
pub(in crate::config) trait Choice: Copy + 'static {
    /// The words and what they mean.
    const CHOICES: &'static [(&'static str, Self)];
}

/// A value that is written as one of a few words.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct OneOf<T>(pub(in crate::config) T);

impl<T: Choice> OneOf<T> {
    fn words() -> impl Iterator<Item = &'static str> + Clone {
        T::CHOICES.iter().map(|(word, _)| *word)
    }
}

impl<T: Choice> Read for OneOf<T> {
    fn expected() -> Cow<'static, str> {
        let words: Vec<String> = Self::words().map(|word| format!("`{word}`")).collect();
        format!("one of {}", words.join(", ")).into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, Self::expected)?;
        let found = T::CHOICES.iter().find(|(word, _)| *word == scalar.text);
        if found.is_none() {
            let hint = suggest::hint(&scalar.text, Self::words());
            reader.error(node.at, format!("{} is not allowed here", shown(scalar)), Some(hint));
        }
        found.map(|(_, value)| Self(*value))
    }
}

impl<T: Choice> JsonSchema for OneOf<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOf".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = Self::words().collect();
        schema_of::<Self>(json_schema!({ "type": "string", "enum": words }))
    }
}

/// A list with bounds on its length.
#[derive(Debug)]
pub(in crate::config) struct List<T, const MIN: usize, const MAX: usize>(pub(in crate::config) Vec<T>);

impl<T: Read, const MIN: usize, const MAX: usize> Read for List<T, MIN, MAX> {
    fn expected() -> Cow<'static, str> {
        let least = if MIN == 0 { String::new() } else { format!("at least {MIN} and ") };
        format!("a list of {least}at most {MAX}, each {}", T::expected()).into()
    }

    /// Entries that are bad are reported and left out.
    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.list(node, Self::expected)?;
        if entries.len() < MIN || entries.len() > MAX {
            let message = format!("the list has {} entries", entries.len());
            reader.error(node.at, message, Some(format!("expected at least {MIN} and at most {MAX}")));
            return None;
        }
        let read = |(index, entry)| reader.inside(Step::Index(index), |reader| T::read(entry, reader));
        Some(Self(entries.iter().enumerate().filter_map(read).collect()))
    }
}

impl<T: JsonSchema + Read, const MIN: usize, const MAX: usize> JsonSchema for List<T, MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "List".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        schema_of::<Self>(json_schema!({ "type": "array", "minItems": MIN, "maxItems": MAX, "items": items }))
    }
}

/// A map from names that the operator chose. The value of a name is `None` after a problem with it.
#[derive(Debug)]
pub(in crate::config) struct Named<T, const MAX: usize>(
    pub(in crate::config) Vec<(Spot, Box<str>, Option<T>)>,
);

impl<T: Read, const MAX: usize> Read for Named<T, MAX> {
    fn expected() -> Cow<'static, str> {
        format!("a map from at most {MAX} names, each to {}", T::expected()).into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        if let Value::Map(pairs) = &node.value
            && (pairs.is_empty() || pairs.len() > MAX)
        {
            let hint = format!("expected at least 1 and at most {MAX}");
            reader.error(node.at, format!("there are {} names in it", pairs.len()), Some(hint));
            return None;
        }
        let map = reader.map(node, Self::expected)?;
        let mut named = Vec::with_capacity(map.pairs.len());
        for pair in map.pairs {
            if let Err(reason) = <Name as Text>::parse(&pair.key) {
                let hint = format!("expected {}", <Name as Text>::expected());
                let key: String = pair.key.chars().take(80).flat_map(char::escape_debug).collect();
                reader.error(pair.at, format!("the name `{key}` is not valid: {reason}"), Some(hint));
                continue;
            }
            let step = Step::Name((&*pair.key).into());
            let value = reader.inside(step, |reader| T::read(&pair.value, reader));
            named.push((pair.at, (&*pair.key).into(), value));
        }
        Some(Self(named))
    }
}

impl<T: JsonSchema + Read, const MAX: usize> JsonSchema for Named<T, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Named".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let values = generator.subschema_for::<T>();
        schema_of::<Self>(
            json_schema!({ "type": "object", "minProperties": 1, "maxProperties": MAX, "additionalProperties": values }),
        )
    }
}
