//! Public pages whose filters combine without end: a crawler that follows every link never finishes, and each page it
//! asks for is computed anew.
//!
//! Off by default: what is too much depends on the shop.
//! Source: Odoo 14.0 to 19.0 `addons/website_sale/controllers/main.py` (`attrib`, `attribute_values`, `tags`, `order`),
//! `website_event`, `website_blog`, `website_slides`, `website_forum`, `website_appointment`.

/// Bounds on the query of such a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrawlerTraps {
    /// Whether there are bounds.
    pub enabled: bool,
    /// Most parameters.
    pub parameters_max: u16,
    /// Longest query in bytes.
    pub query_bytes_max: u16,
}

impl CrawlerTraps {
    /// No bounds, and what they are once they are turned on.
    pub const OFF: Self = Self { enabled: false, parameters_max: 8, query_bytes_max: 512 };

    /// Whether a page is asked for with too many filters.
    pub(super) fn catches(self, path: &[u8], query: &[u8]) -> bool {
        if !self.enabled || query.is_empty() || !is_trap(path) {
            return false;
        }
        let parameters = query.split(|&byte| byte == b'&').count();
        parameters > usize::from(self.parameters_max) || query.len() > usize::from(self.query_bytes_max)
    }
}

fn is_trap(path: &[u8]) -> bool {
    let inner = path.strip_prefix(b"/").unwrap_or_default();
    let segment = inner.split(|&byte| byte == b'/').next().unwrap_or_default();
    matches!(segment, b"shop" | b"event" | b"blog" | b"slides" | b"appointment" | b"forum")
}
