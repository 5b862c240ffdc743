//! Bounds on filters.

use super::{Guard, Guards, get};
use crate::guard::CrawlerTraps;

#[test]
fn filters_have_no_bounds_unless_asked_for() {
    let many = format!("/shop?{}", "attrib=1-2&".repeat(500));
    assert_eq!(get(&many).refused(&Guards::new()), None);
}

#[test]
fn public_pages_with_filters_can_have_bounds_and_all_others_keep_none() {
    let crawler_traps = CrawlerTraps { enabled: true, parameters_max: 3, query_bytes_max: 40 };
    let guards = Guards { crawler_traps, ..Guards::new() };
    let trapped = Some(Guard::CrawlerTraps);
    for (target, expected) in [
        ("/shop", None),
        ("/shop?", None),
        ("/shop?attrib=1-2&attrib=3-4&order=name", None),
        ("/shop?attrib=1-2&attrib=3-4&attrib=5-6&page=2", trapped),
        ("/fr_BE/shop/category/x?a&b&c&d", trapped),
        ("/%73hop?a&b&c&d", trapped),
        ("/event?date=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", None),
        ("/event?date=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", trapped),
        ("/blog/tag/x?a&b&c&d", trapped),
        ("/slides?a&b&c&d", trapped),
        ("/appointment/1?a&b&c&d", trapped),
        ("/forum?a&b&c&d", trapped),
        ("/shopping?a&b&c&d", None),
        ("/web/webclient/translations?a&b&c&d", None),
        ("/my/orders?a&b&c&d", None),
    ] {
        assert_eq!(get(target).refused(&guards), expected, "{target}");
    }
}
