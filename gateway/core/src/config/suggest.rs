//! What somebody probably meant.

/// Least likeness of a suggestion, of 0 to 1 (Jaro-Winkler); below it a guess confuses more than it helps.
const LIKENESS_MIN: f64 = 0.8;

/// The allowed word that is most like a wrong one.
pub(super) fn closest<'a>(word: &str, allowed: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    allowed
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// Most words that a hint lists.
const LISTED_MAX: usize = 20;

/// A hint for a wrong word: the closest one, and all that are allowed.
pub(super) fn hint<'a>(word: &str, allowed: impl Iterator<Item = &'a str> + Clone) -> String {
    let mut all: Vec<&str> = allowed.clone().take(LISTED_MAX.saturating_add(1)).collect();
    if all.len() > LISTED_MAX {
        all.truncate(LISTED_MAX);
        all.push("...");
    }
    let all = if all.is_empty() {
        "nothing is allowed here".into()
    } else {
        format!("allowed: {}", all.join(", "))
    };
    match closest(word, allowed) {
        Some(candidate) => format!("did you mean `{candidate}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_the_word_and_noise_finds_none() {
        let allowed = ["odoo_version", "database_selection", "regions"];
        assert_eq!(closest("odo_version", allowed.into_iter()), Some("odoo_version"));
        assert_eq!(closest("odoo-version", allowed.into_iter()), Some("odoo_version"));
        assert_eq!(closest("Regions", allowed.into_iter()), Some("regions"));
        assert_eq!(closest("workers", allowed.into_iter()), None);
    }
}
