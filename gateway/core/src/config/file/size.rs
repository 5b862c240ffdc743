//! Sizes in bytes.

use super::value::text_schema;
use crate::config::read::Text;
use std::borrow::Cow;

const UNITS: [(u64, &str); 5] =
    [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];

/// A size in bytes within bounds.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) struct Size<const MIN: u64, const MAX: u64>(pub(in crate::config) u64);

impl<const MIN: u64, const MAX: u64> Text for Size<MIN, MAX> {
    fn expected() -> Cow<'static, str> {
        let (min, max) = (size_text(MIN), size_text(MAX));
        format!("a size from {min} to {max}, such as `10MiB` (units: B, KiB, MiB, GiB, TiB)").into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let unit_at = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(unit_at).unwrap_or((text, ""));
        let (bytes_per_unit, _) = UNITS.into_iter().find(|(_, name)| *name == unit).ok_or_else(|| {
            if unit.is_empty() {
                "it has no unit".to_owned()
            } else {
                "it is not a whole number with one unit".to_owned()
            }
        })?;
        if digits.is_empty() {
            return Err("it has no number".into());
        }
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes_per_unit)) {
            Some(bytes) if bytes < MIN => Err("it is too small".into()),
            Some(bytes) if bytes <= MAX => Ok(Self(bytes)),
            _ => Err("it is too large".into()),
        }
    }
}

text_schema! { <const MIN: u64, const MAX: u64> Size<MIN, MAX>; }

/// A size with its largest whole unit.
fn size_text(bytes: u64) -> String {
    let fits = |unit: u64| bytes >= unit && bytes.is_multiple_of(unit);
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| fits(*unit)).unwrap_or((1, "B"));
    format!("{}{name}", bytes.checked_div(unit).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_unit_and_bounds() {
        type Small = Size<1, { 1 << 30 }>;
        for (text, bytes) in [("1B", 1), ("64KiB", 65_536), ("128MiB", 134_217_728), ("1GiB", 1 << 30)] {
            assert_eq!(Small::parse(text).unwrap().0, bytes, "{text}");
        }
        for text in ["", "5", "MiB", "1.5MiB", "-1B", "0B", "2GiB", "1MB", "1 MiB", "99999999999999999999TiB"]
        {
            assert!(Small::parse(text).is_err(), "{text}");
        }
        assert_eq!(size_text(1 << 30), "1GiB");
        assert_eq!(size_text(1_500), "1500B");
    }
}
