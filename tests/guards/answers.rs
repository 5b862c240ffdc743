//! Answers of our own: written in one place.

use crate::repository::{assert_none, paths_in, read};

/// What only one file may do. `websocket.rs` passes on what Odoo answers.
const ONLY_IN: [(&str, &[&str]); 5] = [
    ("AnswerShape::of(", &["answer.rs"]),
    (".advice()", &["answer.rs"]),
    ("write_response_header(", &["answer.rs", "websocket.rs"]),
    ("write_response_body(", &["answer.rs", "websocket.rs"]),
    ("respond_error", &[]),
];

#[test]
fn only_the_answer_room_turns_a_rejection_into_an_answer() {
    let mut problems = Vec::new();
    for path in paths_in("gateway/server/src/", &[".rs"]) {
        let text = read(&path);
        for (act, rooms) in ONLY_IN {
            let allowed = rooms.iter().any(|room| path == format!("gateway/server/src/proxy/{room}"));
            if text.contains(act) && !allowed {
                problems.push(format!("{path} has `{act}`"));
            }
        }
    }
    assert_none(&problems, "answers of our own are written by proxy/answer.rs alone, but:");
}
