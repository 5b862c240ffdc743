//! Sessions: which database and user a `session_id` cookie stands for.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// Length of a session id since Odoo 16. Source: Odoo 19.0 `odoo/http.py`, `STORED_SESSION_BYTES` and `generate_key`.
const SID_LETTERS: usize = 84;
/// Beyond this the store starts anew: a load test must not eat the memory of the machine.
const SESSIONS_MAX: usize = 200_000;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A session as the server keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) database: String,
    /// The user who logged in; `None` for a visitor.
    pub(crate) login: Option<String>,
}

/// A store of sessions. Clones share it, as servers of one region share a directory or a Redis.
#[derive(Clone, Debug, Default)]
pub struct SessionStore {
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

impl SessionStore {
    pub(crate) fn find(&self, id: &str) -> Option<Session> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub(crate) fn open(&self, database: &str, login: Option<&str>) -> Session {
        let id = new_id();
        let session =
            Session { id: id.clone(), database: database.to_owned(), login: login.map(str::to_owned) };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= SESSIONS_MAX {
            sessions.clear();
        }
        sessions.insert(id, session.clone());
        session
    }

    pub(crate) fn end(&self, id: &str) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

fn new_id() -> String {
    // A fresh RandomState is keyed by the system once and then counts on, so ids differ; secrecy is not needed.
    let mut bits = 0_u64;
    let letters = (0..SID_LETTERS).map(|place| {
        if place % 10 == 0 {
            bits = RandomState::new().hash_one(place);
        }
        let letter = usize::try_from(bits & 63).ok().and_then(|index| ALPHABET.get(index)).copied();
        bits >>= 6;
        char::from(letter.unwrap_or(b'A'))
    });
    letters.collect()
}
