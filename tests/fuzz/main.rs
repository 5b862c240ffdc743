//! The fuzz targets on a stable toolchain: the corpus, and some thousand changed documents of it, the same in every
//! run. `cargo +nightly fuzz run NAME` goes further; see CONTRIBUTING.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a target says what broke"
)]

#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::path::Path;
use targets::TARGETS;

/// Changed documents for each target, unless `FUZZ_RUNS` says how many.
const RUNS: u64 = 10_000;

/// A number that the environment may say.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().expect("a number"))
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn no_document_near_the_corpus_breaks_a_promise() {
    for target in TARGETS {
        let corpus = target.corpus(repository()).unwrap_or_else(|error| panic!("{}: {error}", target.name));
        let corpus: Vec<Vec<u8>> = corpus.into_iter().map(|(_, document)| document).collect();
        assert!(corpus.len() >= 3, "{}: a corpus has at least three documents", target.name);
        let (runs_wanted, seed) = (number("FUZZ_RUNS", RUNS), number("FUZZ_SEED", 1));
        assert!(target.run_until(&corpus, seed, |runs| runs >= runs_wanted) >= runs_wanted);
    }
}

#[test]
fn every_target_can_be_run_by_cargo_fuzz() {
    for target in TARGETS {
        let path = repository().join(format!("fuzz/fuzz_targets/{}.rs", target.name));
        let program =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(program.contains("fuzz_target!"), "{}", path.display());
        let manifest = std::fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
        assert!(
            manifest.contains(&format!("name = \"{}\"", target.name)),
            "fuzz/Cargo.toml lacks {}",
            target.name
        );
    }
}
