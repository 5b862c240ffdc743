//! Routes that are expected to take the same time.

use crate::backend::stable_hash;
use crate::path::NormalPath;
use crate::traffic::TrafficClass;

/// Groups of each traffic class.
const GROUPS_PER_CLASS: u16 = 64;
/// Segments of a path that tell routes apart: `/web/dataset/call_kw/<model>/<method>` has five
/// (Odoo 14.0 to 19.0 `addons/web/controllers/dataset.py`).
const SEGMENTS: usize = 5;

/// One of a bounded number of groups of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RouteGroup(u16);

impl RouteGroup {
    /// Number of groups.
    pub const COUNT: u16 = GROUPS_PER_CLASS * 7;

    /// The group of a path. Numbers in it are ids of records and do not count. Files are one group: reading any takes
    /// the same time.
    #[must_use]
    pub fn of(class: TrafficClass, path: &NormalPath<'_>) -> Self {
        let first = GROUPS_PER_CLASS.saturating_mul(u16::try_from(class.position()).unwrap_or(0));
        if class == TrafficClass::Static {
            return Self(first);
        }
        let hash = path
            .without_language()
            .split(|&byte| byte == b'/')
            .filter(|segment| segment.iter().any(|byte| !byte.is_ascii_digit() && *byte != b','))
            .take(SEGMENTS)
            .fold(0_u64, |hash, segment| hash.rotate_left(7) ^ stable_hash(segment));
        let group = stable_hash(&hash.to_le_bytes()).checked_rem(u64::from(GROUPS_PER_CLASS));
        Self(first.saturating_add(group.and_then(|group| u16::try_from(group).ok()).unwrap_or(0)))
    }

    /// Place among all groups, below [`Self::COUNT`].
    pub(super) const fn position(self) -> u16 {
        self.0
    }

    #[cfg(test)]
    pub(super) const fn numbered(number: u16) -> Self {
        Self(number % Self::COUNT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(class: TrafficClass, path: &str) -> RouteGroup {
        RouteGroup::of(class, &NormalPath::new(path.as_bytes()).unwrap())
    }

    #[test]
    fn records_of_one_route_are_one_group_and_methods_are_not() {
        let page = |path: &str| group(TrafficClass::Page, path);
        assert_eq!(page("/odoo/sales/17"), page("/odoo/sales/4711"));
        assert_eq!(page("/fr/shop"), page("/shop"));
        let call = |method: &str| page(&format!("/web/dataset/call_kw/sale.order/{method}"));
        assert_ne!(call("web_search_read"), call("action_confirm"));
        assert_ne!(group(TrafficClass::Rpc, "/jsonrpc"), group(TrafficClass::Page, "/jsonrpc"));
        let file = |path: &str| group(TrafficClass::Static, path);
        assert_eq!(file("/web/static/a.js"), file("/sale/static/b/c.png"));
    }

    #[test]
    fn whatever_clients_ask_for_there_are_no_more_groups() {
        for number in 0..10_000 {
            for class in TrafficClass::ALL {
                assert!(group(class, &format!("/x{number}/y")).position() < RouteGroup::COUNT);
            }
        }
    }
}
