//! What the store says, believed only where it makes sense.

use super::NODES_MAX;

/// What another node holds of something, and how much is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The node.
    pub node: Box<str>,
    /// Units it holds.
    pub held: u32,
    /// What its clients ask for, in any unit that is the same on all nodes.
    pub demand: u64,
}

/// The answer of the store cannot be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonsense(pub &'static str);

impl Claim {
    /// Reads a claim as the store writes it: units, a space, the demand.
    ///
    /// # Errors
    /// It is none, or claims more than there is.
    pub fn parse(node: &str, text: &str, capacity: u32) -> Result<Self, Nonsense> {
        let (held, demand) = text.split_once(' ').ok_or(Nonsense("a claim is not two numbers"))?;
        let held: u32 = held.parse().map_err(|_| Nonsense("a claim holds no number of units"))?;
        let demand = demand.parse().map_err(|_| Nonsense("a claim has no demand"))?;
        if held > capacity {
            return Err(Nonsense("a node claims more than there is"));
        }
        Ok(Self { node: node.into(), held, demand })
    }
}

/// Who is there, as the store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The nodes whose leases have not ended, this one included, in the order of their names.
    pub nodes: Vec<Box<str>>,
    /// Whether the store knew this node before it was asked.
    pub known: bool,
    /// For how long the store has had what it knows, in milliseconds.
    pub age_ms: u64,
}

impl Heard {
    /// Checks what the store said about nodes.
    ///
    /// # Errors
    /// It cannot be true.
    pub fn check(
        me: &str,
        mut nodes: Vec<Box<str>>,
        known: bool,
        now_ms: i64,
        born_ms: i64,
    ) -> Result<Self, Nonsense> {
        if now_ms <= 0 || born_ms <= 0 {
            return Err(Nonsense("the store has no time"));
        }
        if nodes.len() > NODES_MAX {
            return Err(Nonsense("there are more nodes than a fleet has"));
        }
        nodes.sort_unstable();
        if nodes.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Nonsense("a node is there twice"));
        }
        if !nodes.iter().any(|node| &**node == me) {
            return Err(Nonsense("this node is not there, though it has just been written down"));
        }
        // A clock that was set back makes the store young: that is the careful side.
        let age_ms = u64::try_from(now_ms.saturating_sub(born_ms)).unwrap_or(0);
        Ok(Self { nodes, known, age_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_not_believed() {
        let nodes = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<Box<str>>>();
        let heard = Heard::check("a", nodes(&["b", "a"]), true, 5_000, 1_000).unwrap();
        assert_eq!((heard.nodes.len(), heard.age_ms), (2, 4_000));
        assert_eq!(Heard::check("a", nodes(&["a"]), true, 1, 1_000).unwrap().age_ms, 0);
        for (names, now) in [(&["b"][..], 1), (&[], 1), (&["a", "a"], 1), (&["a"], 0), (&["a"], -7)] {
            assert!(Heard::check("a", nodes(names), true, now, 1).is_err(), "{names:?} {now}");
        }
        let many: Vec<Box<str>> = (0..=NODES_MAX).map(|node| format!("{node}").into()).collect();
        assert!(Heard::check("1", many, true, 1, 1).is_err());
        assert_eq!(Claim::parse("b", "5 70", 8).unwrap().held, 5);
        for text in ["", "5", "9 1", "-1 1", "5 x", "5 -1", "nan nan", "1e3 4"] {
            assert!(Claim::parse("b", text, 8).is_err(), "{text}");
        }
    }
}
