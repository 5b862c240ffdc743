//! Names that end up in headers, logs and metrics, and so are checked once.

use core::fmt;
use std::borrow::Cow;
use std::sync::Arc;

/// Longest tenant id in bytes: it labels metrics and log lines.
const TENANT_ID_BYTES_MAX: usize = 128;
/// Longest database name in bytes (PostgreSQL: NAMEDATALEN - 1).
const DATABASE_NAME_BYTES_MAX: usize = 63;
/// Stands for the label that a `*.suffix` host matched.
const LABEL_PLACEHOLDER: &str = "{1}";

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Over the limit, in bytes.
    #[error("the name is longer than {0} bytes")]
    TooLong(usize),
    /// A character outside the allowed set.
    #[error(
        "the name may hold ASCII letters, digits, `-`, `_` and `.`, and must start with a letter or digit"
    )]
    Character,
    /// `{1}` more than once, or any other brace.
    #[error("`{{1}}` may stand once in the name; no other braces are allowed")]
    Placeholder,
}

fn check(text: &str, bytes_max: usize) -> Result<(), NameError> {
    let starts_well = text.bytes().next().ok_or(NameError::Empty)?.is_ascii_alphanumeric();
    if text.len() > bytes_max {
        return Err(NameError::TooLong(bytes_max));
    }
    let fine = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if starts_well && fine { Ok(()) } else { Err(NameError::Character) }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks the text.
            ///
            /// # Errors
            /// [`NameError`] says which rule the text breaks.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text, $max).map(|()| Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// Stable name of a tenant: letters, digits, `-`, `_`, `.`; at most 128 bytes.
    TenantId,
    TENANT_ID_BYTES_MAX
);
checked_name!(
    /// Name of an Odoo database, as Odoo itself allows it: letters, digits, `-`, `_`, `.`; at most 63 bytes.
    /// Source: Odoo 19 `odoo/addons/web/controllers/database.py`, `DBNAME_PATTERN`.
    DatabaseName,
    DATABASE_NAME_BYTES_MAX
);

/// A name that is either fixed or made from the label that a `*.suffix` host matched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NameTemplate {
    /// Shared, as the config and the table of a large fleet hold the same one.
    text: Arc<str>,
    placeholder_at: Option<u8>,
}

impl NameTemplate {
    /// Reads a tenant id such as `acme` or `{1}`.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn tenant_id(text: &str) -> Result<Self, NameError> {
        Self::parse(text, TENANT_ID_BYTES_MAX)
    }

    /// Reads a database name such as `acme`, `{1}` or `prod_{1}`.
    ///
    /// # Errors
    /// [`NameError`] says which rule the text breaks.
    pub fn database(text: &str) -> Result<Self, NameError> {
        Self::parse(text, DATABASE_NAME_BYTES_MAX)
    }

    fn parse(text: &str, bytes_max: usize) -> Result<Self, NameError> {
        let Some((before, after)) = text.split_once(LABEL_PLACEHOLDER) else {
            if text.contains(['{', '}']) {
                return Err(NameError::Placeholder);
            }
            return check(text, bytes_max).map(|()| Self { text: text.into(), placeholder_at: None });
        };
        if before.contains(['{', '}']) || after.contains(['{', '}']) {
            return Err(NameError::Placeholder);
        }
        // Any label in place of the placeholder must give a valid name: try one that is.
        check(&format!("{before}x{after}"), bytes_max)?;
        let placeholder_at = u8::try_from(before.len()).map_err(|_| NameError::TooLong(bytes_max))?;
        Ok(Self { text: text.into(), placeholder_at: Some(placeholder_at) })
    }

    /// Whether the name depends on the matched label.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.placeholder_at.is_some()
    }

    /// The name as written, with `{1}`.
    #[must_use]
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Whether the name for a matched label is exactly these bytes. Allocates nothing.
    #[must_use]
    pub fn is(&self, label: Option<&str>, bytes: impl Iterator<Item = u8>) -> bool {
        let (Some(at), Some(label)) = (self.placeholder_at, label) else {
            return self.text.bytes().eq(bytes);
        };
        let (before, rest) = self.text.split_at_checked(usize::from(at)).unwrap_or((&self.text, ""));
        let after = rest.strip_prefix(LABEL_PLACEHOLDER).unwrap_or(rest);
        before.bytes().chain(label.bytes()).chain(after.bytes()).eq(bytes)
    }

    /// Whether some label makes this name of it.
    #[must_use]
    pub fn may_be(&self, name: &str) -> bool {
        let Some(at) = self.placeholder_at else { return *self.text == *name };
        let (before, rest) = self.text.split_at_checked(usize::from(at)).unwrap_or((&self.text, ""));
        let after = rest.strip_prefix(LABEL_PLACEHOLDER).unwrap_or(rest);
        let label = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }

    /// The name for a matched label. Borrowed, so without an allocation, when the name is fixed or is the label.
    #[must_use]
    pub fn resolve<'a>(&'a self, label: Option<&'a str>) -> Cow<'a, str> {
        let (Some(at), Some(label)) = (self.placeholder_at, label) else { return Cow::Borrowed(&self.text) };
        if self.text.len() == LABEL_PLACEHOLDER.len() {
            return Cow::Borrowed(label);
        }
        let (before, rest) = self.text.split_at_checked(usize::from(at)).unwrap_or((&self.text, ""));
        let after = rest.strip_prefix(LABEL_PLACEHOLDER).unwrap_or(rest);
        Cow::Owned([before, label, after].concat())
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_resolves_to_the_label_in_its_place() {
        let resolve =
            |text: &str| NameTemplate::database(text).map(|name| name.resolve(Some("shop1")).into_owned());
        assert_eq!(resolve("acme"), Ok("acme".into()));
        assert_eq!(resolve("{1}"), Ok("shop1".into()));
        assert_eq!(resolve("prod_{1}.v2"), Ok("prod_shop1.v2".into()));
    }

    #[test]
    fn a_name_is_the_bytes_that_it_resolves_to_and_no_others() {
        for text in ["acme", "{1}", "prod_{1}.v2", "a{1}", "{1}z"] {
            let name = NameTemplate::database(text).unwrap();
            for label in [None, Some("shop1")] {
                let own = name.resolve(label);
                assert!(name.is(label, own.bytes()), "{text}");
                for other in [format!("{own}x"), format!(" {own}"), own.replace('p', "P"), String::new()] {
                    assert_eq!(name.is(label, other.bytes()), other == *own, "{other}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_known_for_one_that_a_label_may_make() {
        let template = NameTemplate::tenant_id("prod-{1}-x").unwrap();
        for (name, may_be) in [
            ("prod-acme-x", true),
            ("prod--x", false),
            ("prod-x", false),
            ("prod-a.b-x", false),
            ("acme", false),
        ] {
            assert_eq!(template.may_be(name), may_be, "{name}");
        }
        assert!(NameTemplate::tenant_id("acme").unwrap().may_be("acme"));
    }

    #[test]
    fn names_that_would_need_quoting_are_refused() {
        for text in ["a b", "a;b", "a'b", "é", "-a", ".a", "_a", "a\n"] {
            assert_eq!(DatabaseName::parse(text), Err(NameError::Character), "{text:?}");
            assert_eq!(NameTemplate::database(text), Err(NameError::Character), "{text:?}");
        }
        for text in ["{2}", "{1}{1}", "a{", "}"] {
            assert_eq!(NameTemplate::database(text), Err(NameError::Placeholder), "{text:?}");
        }
        assert_eq!(DatabaseName::parse(&"a".repeat(64)), Err(NameError::TooLong(63)));
        assert_eq!(TenantId::parse(""), Err(NameError::Empty));
    }
}
