//! Kinds of single values: what is allowed, said once for the reader, the schema and the docs.

use crate::config::Secret;
use crate::config::read::{At, Lenient, Read, Reader, Text, shown};
use crate::config::yaml::Node;
use core::ops::RangeInclusive;
use core::str::FromStr;
use core::time::Duration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A schema for a kind of value: JSON's own keywords, and `x-expected`, the words the docs and messages use.
pub(super) fn schema_of<T: Read>(mut schema: Schema) -> Schema {
    schema.insert("x-expected".into(), T::expected().into_owned().into());
    schema
}

/// Gives kinds that are written as a text their schema.
macro_rules! text_schema {
    ($($(<$(const $parameter:ident: $kind:ty),+>)? $name:ident $(<$($argument:ident),+>)?;)+) => { $(
        impl $(<$(const $parameter: $kind),+>)? schemars::JsonSchema for $name $(<$($argument),+>)? {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $crate::config::file::value::schema_of::<Self>(schemars::json_schema!({ "type": "string" }))
            }
        }
    )+ };
}
pub(super) use text_schema;

text_schema! {
    <const MIN_MS: u64, const MAX_MS: u64> Lasting<MIN_MS, MAX_MS>;
    Name;
    SocketPath;
    Folder;
    FilePath;
    <const CHARS_MAX: usize> Sentence<CHARS_MAX>;
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Lenient<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl Read for bool {
    fn expected() -> Cow<'static, str> {
        "`true` or `false`".into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, Self::expected)?;
        match (&*scalar.text, scalar.plain || scalar.from_environment) {
            ("true", true) => Some(true),
            ("false", true) => Some(false),
            _ => {
                reader.error(
                    node.at,
                    format!("expected {}, found {}", Self::expected(), shown(scalar)),
                    None,
                );
                None
            }
        }
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Whole<const MIN: u16, const MAX: u16>(pub(in crate::config) u16);

impl<const MIN: u16, const MAX: u16> Read for Whole<MIN, MAX> {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from {MIN} to {MAX}").into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, reader, MIN..=MAX, Self::expected).map(Self)
    }
}

impl<const MIN: u16, const MAX: u16> JsonSchema for Whole<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of::<Self>(json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }))
    }
}

/// A number of things within bounds.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Count<const MIN: u32, const MAX: u32>(pub(in crate::config) u32);

impl<const MIN: u32, const MAX: u32> Read for Count<MIN, MAX> {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from {MIN} to {MAX}").into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        whole_number(node, reader, MIN..=MAX, Self::expected).map(Self)
    }
}

impl<const MIN: u32, const MAX: u32> JsonSchema for Count<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of::<Self>(json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX }))
    }
}

pub(super) fn whole_number<N: FromStr + PartialOrd>(
    node: &Node<'_>,
    reader: &mut Reader<'_>,
    bounds: RangeInclusive<N>,
    expected: fn() -> Cow<'static, str>,
) -> Option<N> {
    let scalar = reader.scalar(node, expected)?;
    let digits = scalar.text.bytes().all(|byte| byte.is_ascii_digit());
    let number =
        if digits && (scalar.plain || scalar.from_environment) { scalar.text.parse().ok() } else { None };
    let number = number.filter(|number| bounds.contains(number));
    if number.is_none() {
        reader.error(node.at, format!("expected {}, found {}", expected(), shown(scalar)), None);
    }
    number
}

/// A length of time within bounds, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Lasting<const MIN_MS: u64, const MAX_MS: u64>(pub(in crate::config) Duration);

impl<const MIN_MS: u64, const MAX_MS: u64> Text for Lasting<MIN_MS, MAX_MS> {
    fn expected() -> Cow<'static, str> {
        format!(
            "a time from {} to {}, such as `30s` (units: ms, s, m, h)",
            time_text(Duration::from_millis(MIN_MS)),
            time_text(Duration::from_millis(MAX_MS))
        )
        .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let unit_at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(unit_at).unwrap_or((text, ""));
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "" => return Err("it has no unit".into()),
            _ => return Err("it is not a whole number with one unit".into()),
        };
        if digits.is_empty() {
            return Err("it has no number".into());
        }
        let time_ms = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
        match time_ms {
            Some(ms) if ms < MIN_MS => Err("it is too short".into()),
            Some(ms) if ms <= MAX_MS => Ok(Self(Duration::from_millis(ms))),
            _ => Err("it is too long".into()),
        }
    }
}

/// A time with its largest whole unit.
pub(in crate::config) fn time_text(time: Duration) -> String {
    let ms = time.as_millis();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if ms >= unit_ms && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms.div_euclid(unit_ms));
        }
    }
    if ms == 0 { "0s".into() } else { format!("{ms}ms") }
}

/// Name of a pool or region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::config) struct Name(pub(in crate::config) Box<str>);

/// Longest name of a pool or region in bytes: they label metrics.
const NAME_BYTES_MAX: usize = 63;

impl Text for Name {
    fn expected() -> Cow<'static, str> {
        "a name of at most 63 letters, digits, `-` and `_` that starts with a letter or digit".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let fine = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        match text.len() {
            0 => Err("it is empty".into()),
            length if length > NAME_BYTES_MAX => Err("it is longer than 63 characters".into()),
            _ if starts_well && fine => Ok(Self(text.into())),
            _ => Err("it holds other characters, or starts with one".into()),
        }
    }
}

/// Path of a unix socket.
#[derive(Debug)]
pub(in crate::config) struct SocketPath(pub(in crate::config) Box<str>);

/// Longest path of a unix socket in bytes (Linux: `sun_path` holds 108 with the closing zero; `unix(7)`).
pub(super) const SOCKET_PATH_BYTES_MAX: usize = 107;

impl Text for SocketPath {
    fn expected() -> Cow<'static, str> {
        "a path of at most 107 bytes".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SOCKET_PATH_BYTES_MAX {
            return Err("it is longer than Linux allows for a socket".into());
        }
        Folder::parse(text).map(|Folder(path)| Self(path))
    }
}

/// Path of a folder.
#[derive(Debug)]
pub(in crate::config) struct Folder(pub(in crate::config) Box<str>);

impl Text for Folder {
    fn expected() -> Cow<'static, str> {
        "a path".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("it is empty or holds a zero byte".into());
        }
        Ok(Self(text.into()))
    }
}

/// Path of a file.
#[derive(Debug)]
pub(in crate::config) struct FilePath(pub(in crate::config) Box<str>);

impl Text for FilePath {
    fn expected() -> Cow<'static, str> {
        "a path of a file".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Folder::parse(text).map(|Folder(path)| Self(path))
    }
}

/// A sentence for people.
#[derive(Debug)]
pub(in crate::config) struct Sentence<const CHARS_MAX: usize>(pub(in crate::config) Box<str>);

impl<const CHARS_MAX: usize> Text for Sentence<CHARS_MAX> {
    fn expected() -> Cow<'static, str> {
        format!("a text of at most {CHARS_MAX} characters").into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > CHARS_MAX {
            return Err("it is too long".into());
        }
        if text.chars().any(|character| character.is_control() && character != '\n') {
            return Err("it holds a control character".into());
        }
        Ok(Self(text.trim_end().into()))
    }
}

/// A secret: the text itself, or `file:` and the path of a file that holds it.
#[derive(Debug)]
pub(in crate::config) struct SecretText(pub(in crate::config) Secret);

/// Longest secret in bytes; it has to fit a header field.
const SECRET_BYTES_MAX: usize = 4096;

impl Read for SecretText {
    fn expected() -> Cow<'static, str> {
        "a secret of 1 to 4096 printable ASCII characters: `file:` and the path of a file that holds it, or the text itself"
            .into()
    }

    fn read(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, Self::expected)?;
        let Some(path) = scalar.text.strip_prefix("file:") else {
            return checked_secret(&scalar.text, node, reader);
        };
        match reader.world().secret_file(path) {
            Ok(text) => checked_secret(&text, node, reader),
            Err(reason) => {
                let hint = "`file:` names a file that holds nothing but the secret, at most 64 KiB";
                reader.error(node.at, format!("the secret's file `{path}` {reason}"), Some(hint.into()));
                None
            }
        }
    }
}

fn checked_secret(text: &str, node: &Node<'_>, reader: &mut Reader<'_>) -> Option<SecretText> {
    let problem = match text.len() {
        0 => "the secret is empty",
        length if length > SECRET_BYTES_MAX => "the secret is longer than 4096 bytes",
        _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            "the secret holds a character a header cannot"
        }
        _ => return Some(SecretText(Secret::new(text))),
    };
    reader.error(node.at, problem.into(), Some(format!("expected {}", SecretText::expected())));
    None
}

impl JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema_of::<Self>(json_schema!({ "type": "string", "minLength": 1 }))
    }
}
