//! `${NAME}` in values, and what a config may ask its caller for.

use crate::certificate::{Certificates, Identity};
use std::borrow::Cow;

/// The world outside of a config. Core reads neither environment nor files, so the caller does.
///
/// Both answer with the value, or with what is wrong in words for people.
pub trait References {
    /// Value of an environment variable.
    ///
    /// # Errors
    /// What is wrong, such as `is not set`; it follows the variable's name in a sentence.
    fn variable(&self, name: &str) -> Result<String, String>;

    /// Text of a file that holds a secret, without its last line break.
    ///
    /// # Errors
    /// What is wrong, such as `does not exist`; it follows the file's path in a sentence.
    fn secret_file(&self, path: &str) -> Result<String, String>;

    /// The certificates of authorities in a file, at least one.
    ///
    /// # Errors
    /// What is wrong, such as `does not exist`; it follows the file's path in a sentence.
    fn authorities(&self, path: &str) -> Result<Certificates, String>;

    /// A certificate with its chain, and the key that belongs to it.
    ///
    /// # Errors
    /// What is wrong, as a sentence of its own.
    fn identity(&self, certificate: &str, key: &str) -> Result<Identity, String>;

    /// Files that the process may have open at most; `None` when nobody knows.
    fn open_files_max(&self) -> Option<u64> {
        None
    }
}

/// A world without variables and files: for text that is known to refer to neither.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReferences;

impl References for NoReferences {
    fn variable(&self, _name: &str) -> Result<String, String> {
        Err("is not set".into())
    }

    fn secret_file(&self, _path: &str) -> Result<String, String> {
        Err("does not exist".into())
    }

    fn authorities(&self, _path: &str) -> Result<Certificates, String> {
        Err("does not exist".into())
    }

    fn identity(&self, certificate: &str, _key: &str) -> Result<Identity, String> {
        Err(format!("the file `{certificate}` does not exist"))
    }
}

/// Replaces every `${NAME}` in a value; `$${` stands for `${` itself.
///
/// This works on one parsed value at a time, so a variable cannot add keys or entries.
pub(super) fn expand<'t>(text: Cow<'t, str>, world: &dyn References) -> Result<(Cow<'t, str>, bool), String> {
    if !text.contains("${") {
        return Ok((text, false));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest: &str = &text;
    let mut replaced = false;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let (name, after) = after
            .split_once('}')
            .ok_or("`${` has no closing `}`; write `$${` for the characters themselves")?;
        if !is_variable_name(name) {
            return Err(format!(
                "`${{{name}}}` is no variable name; write letters, digits and `_`, or `$${{` for the characters themselves"
            ));
        }
        let value =
            world.variable(name).map_err(|reason| format!("the environment variable `{name}` {reason}"))?;
        out.push_str(&value);
        replaced = true;
        rest = after;
    }
    out.push_str(rest);
    Ok((Cow::Owned(out), replaced))
}

fn is_variable_name(name: &str) -> bool {
    let starts_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Host;

    impl References for Host {
        fn variable(&self, name: &str) -> Result<String, String> {
            if name == "HOST" { Ok("acme: [x]\n${HOST}".into()) } else { Err("is not set".into()) }
        }

        fn secret_file(&self, path: &str) -> Result<String, String> {
            NoReferences.secret_file(path)
        }

        fn authorities(&self, path: &str) -> Result<Certificates, String> {
            NoReferences.authorities(path)
        }

        fn identity(&self, certificate: &str, key: &str) -> Result<Identity, String> {
            NoReferences.identity(certificate, key)
        }
    }

    fn expanded(text: &str) -> Result<String, String> {
        expand(text.into(), &Host).map(|(text, _)| text.into_owned())
    }

    #[test]
    fn a_variable_is_replaced_once_and_never_read_as_yaml() {
        assert_eq!(expanded("a-${HOST}-b"), Ok("a-acme: [x]\n${HOST}-b".into()));
        assert_eq!(expanded("plain $HOST $ {} text"), Ok("plain $HOST $ {} text".into()));
    }

    #[test]
    fn two_dollars_stand_for_one() {
        assert_eq!(expanded("$${HOST}"), Ok("${HOST}".into()));
        assert_eq!(expanded("a$${b"), Ok("a${b".into()));
    }

    #[test]
    fn a_variable_that_cannot_be_is_named() {
        assert_eq!(expanded("${NOPE}"), Err("the environment variable `NOPE` is not set".into()));
        for text in ["${", "${HOST", "${}", "${1A}", "${A-b}", "${A:-b}"] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }
}
