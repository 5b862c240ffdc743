//! The small part of Python's regular expressions that database filters are written in.

/// A filter with the meaning of Python's `re.match`: anchored at the start, not at the end.
///
/// Understood: literals, `\` before a literal, `.`, `*`, `^` at the start, `$` or `\Z` at the end. Anything else
/// makes the filter match nothing, and says so in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    atoms: Vec<Atom>,
    ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Atom {
    literal: Option<char>,
    repeats: bool,
}

impl Pattern {
    /// Reads a filter; `None` if it uses what this part does not understand.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('^').unwrap_or(text);
        let end = text.strip_suffix('$').or_else(|| text.strip_suffix("\\Z"));
        let mut atoms: Vec<Atom> = Vec::new();
        let mut letters = end.unwrap_or(text).chars();
        while let Some(letter) = letters.next() {
            let literal = match letter {
                '*' => {
                    atoms.last_mut().filter(|atom| !atom.repeats)?.repeats = true;
                    continue;
                }
                '\\' => Some(letters.next().filter(|escaped| !escaped.is_alphanumeric())?),
                '.' => None,
                '(' | ')' | '[' | ']' | '{' | '}' | '|' | '+' | '?' | '^' | '$' => return None,
                other => Some(other),
            };
            atoms.push(Atom { literal, repeats: false });
        }
        Some(Self { atoms, ends: end.is_some() })
    }

    /// The only name this filter accepts, when it is of the form `^name$`.
    pub(crate) fn exact(&self) -> Option<String> {
        let literals: Option<String> =
            self.atoms.iter().map(|atom| atom.literal.filter(|_| !atom.repeats)).collect();
        literals.filter(|_| self.ends)
    }

    /// Whether a database name passes.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        accepts(&self.atoms, &name, self.ends)
    }
}

fn accepts(atoms: &[Atom], name: &[char], ends: bool) -> bool {
    let Some((atom, atoms)) = atoms.split_first() else { return !ends || name.is_empty() };
    let takes = |letter: &char| atom.literal.is_none_or(|literal| literal == *letter);
    if !atom.repeats {
        return name.split_first().is_some_and(|(letter, rest)| takes(letter) && accepts(atoms, rest, ends));
    }
    let mut name = name;
    loop {
        if accepts(atoms, name, ends) {
            return true;
        }
        match name.split_first() {
            Some((letter, rest)) if takes(letter) => name = rest,
            Some(_) | None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn escaped_name_between_anchors_accepts_only_that_name() {
        let pattern = Pattern::parse(r"^shop\.acme\-eu$").unwrap();
        assert_eq!(pattern.exact().as_deref(), Some("shop.acme-eu"));
        assert!(pattern.accepts("shop.acme-eu"));
        assert!(!pattern.accepts("shopxacme-eu"));
        assert!(!pattern.accepts("shop.acme-eu2"));
    }

    #[test]
    fn filter_without_end_accepts_every_longer_name() {
        let pattern = Pattern::parse("acme").unwrap();
        assert_eq!(pattern.exact(), None);
        assert!(pattern.accepts("acme") && pattern.accepts("acme_staging"));
        assert!(!pattern.accepts("my_acme"));
    }

    #[test]
    fn dot_star_accepts_everything() {
        assert!(Pattern::parse(".*").unwrap().accepts("anything"));
        assert!(Pattern::parse("^.*_eu$").unwrap().accepts("acme_eu"));
        assert!(!Pattern::parse("^.*_eu$").unwrap().accepts("acme_us"));
    }

    #[test]
    fn what_is_not_understood_is_no_filter() {
        for text in ["^(a|b)$", "[a-z]+", "*a", "a**", r"\d", "^a$,^b$"] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }
}
