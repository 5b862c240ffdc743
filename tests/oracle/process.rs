//! Python, asked what it reads.

use serde_json::Value;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

/// Answers that may wait to be taken: more than are ever asked for at once.
const WAITING: usize = 4096;

/// A Python process that reads calls as Odoo does.
pub(crate) struct Python {
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Python {
    /// The system's, which has Python's own libraries alone.
    pub(crate) fn start() -> Self {
        Self::run(Path::new("python3"), "Debian package python3")
    }

    /// The one that a real Odoo 19 runs on, with its Werkzeug.
    pub(crate) fn of_odoo() -> Self {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.lab");
        let lab = env::var_os("FLEETGATE_LAB").map_or(default, PathBuf::from);
        Self::run(&lab.join("venv/bin/python"), "`.ci/setup odoo` installs it")
    }

    fn run(program: &Path, from: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle/python.py");
        let mut child = Command::new(program)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {} ({from}): {error}", program.display()));
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, answers) = sync_channel(WAITING);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let questions = child.stdin.take();
        Self { child, questions, answers }
    }

    /// Asks many questions at once: a kind and a body each.
    pub(crate) fn ask(&mut self, questions: &[(u8, &[u8])]) -> Vec<Value> {
        assert!(questions.len() <= WAITING, "ask less at once");
        let mut frames = Vec::new();
        for (kind, body) in questions {
            frames.push(*kind);
            frames.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
            frames.extend_from_slice(body);
        }
        let pipe = self.questions.as_mut().unwrap();
        pipe.write_all(&frames).and_then(|()| pipe.flush()).expect("python3 ended; its message is above");
        questions
            .iter()
            .map(|_| {
                let line = self.answers.recv().expect("python3 ended; its message is above");
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
            })
            .collect()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.questions.take());
        let ended = self.child.wait();
        assert!(std::thread::panicking() || ended.is_ok_and(|status| status.success()), "python3 failed");
    }
}
