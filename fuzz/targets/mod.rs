//! What is fuzzed: functions that take any bytes and panic when a promise is broken. `cargo fuzz` runs them on nightly
//! (`fuzz_targets/`), `tests/fuzz` and the figure `fuzz_executions` run them on stable.

// Each program that includes this file uses some of it.
#![allow(dead_code, unreachable_pub, reason = "shared by cargo-fuzz, a test and a figure")]

pub mod connection;
pub mod guards;
pub mod mutation;
pub mod odoo;
pub mod request;
pub mod rpc;

use mutation::{Random, mutate};
use std::path::{Path, PathBuf};

/// A function, the folder of its corpus, and words of its format.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the target and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// What mutations insert.
    pub words: &'static [&'static str],
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "chunks", run: request::chunks, words: &request::CHUNK_WORDS },
    Target { name: "cookies", run: connection::cookies, words: &connection::COOKIE_WORDS },
    Target { name: "filestore", run: odoo::file, words: &odoo::FILE_WORDS },
    Target { name: "form", run: odoo::form, words: &odoo::FORM_WORDS },
    Target { name: "guards", run: guards::targets, words: &guards::WORDS },
    Target { name: "head", run: request::head, words: &request::HEAD_WORDS },
    Target { name: "host", run: request::host, words: &request::HOST_WORDS },
    Target { name: "proxy_protocol", run: connection::proxy_protocol, words: &connection::PROXY_WORDS },
    Target { name: "rpc_json", run: rpc::json, words: &rpc::JSON_WORDS },
    Target { name: "rpc_xml", run: rpc::xml, words: &rpc::XML_WORDS },
];

impl Target {
    /// The documents of the corpus in the repository, in the order of their names.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn corpus(&self, repository: &Path) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let folder = repository.join("fuzz/corpus").join(self.name);
        let mut paths =
            std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        paths.into_iter().map(|path| std::fs::read(&path).map(|document| (path, document))).collect()
    }

    /// Runs the target on the corpus, then on changed documents of it until told to stop; how often it ran. The input
    /// that broke a promise is shown before the panic goes on.
    pub fn run_until(&self, corpus: &[Vec<u8>], seed: u64, mut stop: impl FnMut(u64) -> bool) -> u64 {
        let mut random = Random::new(seed);
        let mut runs = 0;
        let run = |input: &[u8]| {
            if let Err(panic) = std::panic::catch_unwind(|| (self.run)(input)) {
                eprintln!("{} broke at {:?}\n{input:?}", self.name, String::from_utf8_lossy(input));
                std::panic::resume_unwind(panic);
            }
        };
        for document in corpus {
            run(document);
            runs += 1;
        }
        while !stop(runs) {
            let mut input = random.of(corpus).cloned().unwrap_or_default();
            let other = random.of(corpus).cloned().unwrap_or_default();
            mutate(&mut random, &mut input, self.words, &other);
            run(&input);
            runs += 1;
        }
        runs
    }
}
