//! Keys of an object that must each stand there once.

use crate::rpc::outcome::RpcRefusal;
use crate::rpc::text::Text;

/// Most keys of the envelope and of `params`; Odoo's clients send four.
const KEYS_MAX: usize = 32;

/// Keys seen so far. Python keeps the last of equal keys, other readers the first: equal ones are refused.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Box<[u8]>>);

impl Keys {
    /// Takes a decoded key.
    pub(super) fn add(&mut self, key: &Text) -> Result<(), RpcRefusal> {
        let key = key.get().ok_or(RpcRefusal::Length)?;
        if self.0.iter().any(|seen| **seen == *key) {
            return Err(RpcRefusal::DuplicateKey);
        }
        if self.0.len() >= KEYS_MAX {
            return Err(RpcRefusal::Length);
        }
        self.0.push(key.into());
        Ok(())
    }
}
