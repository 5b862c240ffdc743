//! Odoo versions that differ for a gateway.

use core::fmt;

/// A major version of Odoo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OdooVersion {
    /// 14.0
    V14,
    /// 15.0
    V15,
    /// 16.0
    V16,
    /// 17.0
    V17,
    /// 18.0
    V18,
    /// 19.0
    V19,
}

/// A version outside 14.0 to 19.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of 14.0, 15.0, 16.0, 17.0, 18.0, 19.0")]
pub struct UnknownVersion;

impl OdooVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 6] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18, Self::V19];

    /// Reads `19.0`.
    ///
    /// # Errors
    /// [`UnknownVersion`] for any other text.
    pub fn parse(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or(UnknownVersion)
    }

    /// `19.0`
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V14 => "14.0",
            Self::V15 => "15.0",
            Self::V16 => "16.0",
            Self::V17 => "17.0",
            Self::V18 => "18.0",
            Self::V19 => "19.0",
        }
    }

    /// Whether the bus is a websocket (16.0 and later) and not longpolling.
    /// Source: Odoo 16.0 `addons/bus/controllers/websocket.py`; 15.0 `addons/bus/controllers/main.py`.
    #[must_use]
    pub const fn has_websocket(self) -> bool {
        matches!(self, Self::V16 | Self::V17 | Self::V18 | Self::V19)
    }

    /// Whether `X-Odoo-Database` selects a database (19.0 and later).
    /// Source: Odoo 19.0 `odoo/http.py`, `Request._get_session_and_dbname`.
    #[must_use]
    pub const fn has_database_header(self) -> bool {
        matches!(self, Self::V19)
    }
}

impl fmt::Display for OdooVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
