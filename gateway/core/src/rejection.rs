//! Answers of our own. Each has a stable code.

use crate::admission::Shortage;
use crate::client_certificate::CertificateFault;
use crate::guard::Guard;
use crate::host::HostError;
use crate::limit::LimitName;
use crate::quota::QuotaKey;
use crate::request::Fault;
use crate::rpc::{Denial, FaultCodes, RpcRefusal, RpcRoute};
use crate::traffic::TrafficClass;

/// Why a request is answered by the gateway itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The request names no host, or none that can be one.
    BadHost(HostError),
    /// No tenant answers to the host.
    UnknownHost,
    /// The TLS handshake asked for another tenant's host, or for nobody's, or before the tenant asked for certificates.
    WrongServerName,
    /// The tenant asks for a client certificate of its authorities, and the client has shown none.
    ClientCertificate(CertificateFault),
    /// A quota is used up so far that requests of the class are refused.
    QuotaExhausted {
        /// Which.
        quota: QuotaKey,
        /// Seconds after which the client may try again.
        retry_after_seconds: u32,
    },
    /// The tenant is suspended.
    TenantSuspended,
    /// The tenant is under maintenance.
    TenantMaintenance {
        /// Seconds after which the client may try again.
        retry_after_seconds: u32,
    },
    /// The request cannot be read the same way by the gateway and by Odoo.
    BadRequest(Fault),
    /// The body is longer than the tenant's limit for the class.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// There is no space left to keep the body until it is whole.
    SpoolFull,
    /// A guard refuses the request.
    GuardDenied(Guard),
    /// A guard keeps a route from being found.
    GuardHidden(Guard),
    /// A method that Odoo does not serve.
    MethodNotAllowed,
    /// A body of a request of HTTP/1.0 that does not say how long it is.
    LengthRequired,
    /// The target is longer than [`crate::request::TARGET_BYTES_MAX`].
    TargetTooLong,
    /// An expectation other than `100-continue`.
    ExpectationFailed,
    /// The head is larger than [`crate::request::HEAD_BYTES_MAX`], or has more than [`crate::request::FIELDS_MAX`]
    /// fields.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTooSlow,
    /// A call by a program is denied. The client gets a fault of its protocol, which has the status 200.
    RpcDenied(Denial),
    /// The body of a call cannot be read in one way only.
    RpcUnreadable(RpcRefusal),
    /// The body of a call is encoded in a way that Odoo does not read.
    RpcMediaType(RpcRefusal),
    /// The tenant, or one of its clients, asks more often than its limit lets it.
    RateLimited {
        /// Which limit.
        limit: LimitName,
        /// Seconds after which the client may try again.
        retry_after_seconds: u32,
    },
    /// The tenant, or one of its clients, asks more at once than its limit lets it.
    ConcurrencyLimited {
        /// Which limit.
        limit: LimitName,
        /// Seconds after which the client may try again.
        retry_after_seconds: u32,
    },
    /// No database of the pool is known to take writes, so no region serves.
    RegionUnwritable,
    /// Two databases of the pool take writes, so none gets any.
    RegionFenced,
    /// The answer came when the pool had left the region for another database: nobody knows whether that has what was
    /// written.
    RegionLeft,
    /// A gateway of another site sent the request here, and here it would be sent to another site.
    RegionElsewhere,
    /// All workers of the pool are busy, and too many requests wait for them.
    Overloaded {
        /// What is short.
        shortage: Shortage,
        /// Seconds after which the client may try again.
        retry_after_seconds: u32,
    },
    /// No backend of the pool took a connection.
    BackendUnreachable,
    /// A backend took a connection, and there is no TLS with it as the pool's `tls` asks for. It saw no request, or
    /// refused it unread.
    BackendUntrusted,
    /// The backend ended the connection before its answer was whole.
    BackendReset,
    /// The backend was silent for longer than the pool's timeout.
    BackendTimeout,
    /// The backend answered something that is not HTTP.
    BackendInvalid,
    /// Odoo asked the gateway to send a file that is not there.
    FileMissing,
    /// Odoo asked the gateway to send a file that it may not send.
    FileRefused,
    /// The gateway failed; the log has the reason.
    Internal,
}

/// Seconds after which a client may try again when a backend failed.
const BACKEND_RETRY_AFTER_SECONDS: u32 = 5;
/// Seconds after which a client may ask again for a suspended tenant.
const SUSPENDED_RETRY_AFTER_SECONDS: u32 = 3_600;

impl Rejection {
    /// One of each, for documents and tests.
    pub const ALL: [Self; 37] = [
        Self::BadHost(HostError::Empty),
        Self::UnknownHost,
        Self::WrongServerName,
        Self::ClientCertificate(CertificateFault::Absent),
        Self::TenantSuspended,
        Self::TenantMaintenance { retry_after_seconds: 0 },
        Self::BadRequest(Fault::TargetForm),
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::SpoolFull,
        Self::GuardDenied(Guard::DatabaseNames),
        Self::GuardHidden(Guard::DatabaseManager),
        Self::MethodNotAllowed,
        Self::LengthRequired,
        Self::TargetTooLong,
        Self::ExpectationFailed,
        Self::HeadTooLarge,
        Self::HeadTooSlow,
        Self::RpcDenied(Denial::Database),
        Self::RpcUnreadable(RpcRefusal::Malformed),
        Self::RpcMediaType(RpcRefusal::Charset),
        Self::RateLimited { limit: LimitName::Requests, retry_after_seconds: 0 },
        Self::ConcurrencyLimited { limit: LimitName::ConcurrentRequests, retry_after_seconds: 0 },
        Self::RegionUnwritable,
        Self::RegionFenced,
        Self::RegionElsewhere,
        Self::RegionLeft,
        Self::Overloaded { shortage: Shortage::Queue, retry_after_seconds: 0 },
        Self::QuotaExhausted { quota: QuotaKey::ALL[0], retry_after_seconds: 0 },
        Self::BackendUnreachable,
        Self::BackendUntrusted,
        Self::BackendReset,
        Self::BackendTimeout,
        Self::BackendInvalid,
        Self::FileMissing,
        Self::FileRefused,
        Self::Internal,
    ];

    /// Name in logs, metrics and bodies; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadHost(_) => "bad_host",
            Self::UnknownHost => "unknown_host",
            Self::WrongServerName => "wrong_server_name",
            Self::ClientCertificate(_) => "client_certificate",
            Self::TenantSuspended => "tenant_suspended",
            Self::TenantMaintenance { .. } => "tenant_maintenance",
            Self::BadRequest(_) => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::SpoolFull => "spool_full",
            Self::GuardDenied(_) => "guard_denied",
            Self::GuardHidden(_) => "guard_hidden",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::LengthRequired => "length_required",
            Self::TargetTooLong => "target_too_long",
            Self::ExpectationFailed => "expectation_failed",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTooSlow => "head_too_slow",
            Self::RpcDenied(_) => "rpc_denied",
            Self::RpcUnreadable(_) => "rpc_unreadable",
            Self::RpcMediaType(_) => "rpc_media_type",
            Self::RateLimited { .. } => "rate_limited",
            Self::ConcurrencyLimited { .. } => "concurrency_limited",
            Self::RegionUnwritable => "region_unwritable",
            Self::RegionFenced => "region_fenced",
            Self::RegionElsewhere => "region_elsewhere",
            Self::RegionLeft => "region_left",
            Self::Overloaded { .. } => "overloaded",
            Self::QuotaExhausted { .. } => "quota_exhausted",
            Self::BackendUnreachable => "backend_unreachable",
            Self::BackendUntrusted => "backend_untrusted",
            Self::BackendReset => "backend_reset",
            Self::BackendTimeout => "backend_timeout",
            Self::BackendInvalid => "backend_invalid",
            Self::FileMissing => "file_missing",
            Self::FileRefused => "file_refused",
            Self::Internal => "internal",
        }
    }

    /// Which of several causes of the same code it was: the name of a guard, of a limit, of a fault of the request or of
    /// a certificate, or of what is wrong with a call.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        if let Self::GuardDenied(guard) | Self::GuardHidden(guard) = self {
            Some(guard.as_str())
        } else if let Self::BadRequest(fault) = self {
            Some(fault.as_str())
        } else if let Self::ClientCertificate(fault) = self {
            Some(fault.as_str())
        } else if let Self::RpcDenied(denial) = self {
            Some(denial.code())
        } else if let Self::RpcUnreadable(refusal) | Self::RpcMediaType(refusal) = self {
            Some(refusal.code())
        } else if let Some(limit) = self.limit() {
            Some(limit.as_str())
        } else if let Self::Overloaded { shortage, .. } = self {
            Some(shortage.as_str())
        } else if let Self::QuotaExhausted { quota, .. } = self {
            Some(quota.as_str())
        } else {
            None
        }
    }

    /// The limit that was reached.
    #[must_use]
    pub const fn limit(self) -> Option<LimitName> {
        if let Self::RateLimited { limit, .. } | Self::ConcurrencyLimited { limit, .. } = self {
            Some(limit)
        } else {
            None
        }
    }

    /// Whether clients are told so in their own protocol. They asked for too much, or at a busy moment, and go on at once.
    /// For all else Odoo's web client must see a body that is no JSON: it then waits until the server is back.
    #[must_use]
    pub const fn is_for_the_moment(self) -> bool {
        self.limit().is_some() || matches!(self, Self::Overloaded { .. } | Self::QuotaExhausted { .. })
    }

    /// Status of the answer. 421 for an unknown host (RFC 9110, section 15.5.20).
    ///
    /// Failures of a backend are 503 and 504, never 502 on our behalf for a silent one: Odoo's web client reads
    /// each of them, with a body that is no JSON, as "connection lost" and comes back by itself.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BadHost(_) | Self::BadRequest(_) | Self::RpcUnreadable(_) => 400,
            Self::GuardDenied(_) | Self::RpcDenied(_) | Self::ClientCertificate(_) => 403,
            Self::FileMissing | Self::GuardHidden(_) => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTooSlow | Self::HeadTooSlow => 408,
            Self::LengthRequired => 411,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::RpcMediaType(_) => 415,
            Self::ExpectationFailed => 417,
            Self::UnknownHost | Self::WrongServerName => 421,
            Self::RateLimited { .. } | Self::ConcurrencyLimited { .. } | Self::QuotaExhausted { .. } => 429,
            Self::HeadTooLarge => 431,
            Self::Internal => 500,
            Self::RegionLeft | Self::BackendReset | Self::BackendInvalid | Self::FileRefused => 502,
            Self::TenantSuspended
            | Self::TenantMaintenance { .. }
            | Self::RegionUnwritable
            | Self::RegionFenced
            | Self::RegionElsewhere
            | Self::Overloaded { .. }
            | Self::BackendUnreachable
            | Self::BackendUntrusted => 503,
            Self::BackendTimeout => 504,
            Self::SpoolFull => 507,
        }
    }

    /// Seconds for `Retry-After`, where trying again makes sense.
    #[must_use]
    pub const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::TenantMaintenance { retry_after_seconds }
            | Self::RateLimited { retry_after_seconds, .. }
            | Self::QuotaExhausted { retry_after_seconds, .. }
            | Self::ConcurrencyLimited { retry_after_seconds, .. }
            | Self::Overloaded { retry_after_seconds, .. } => Some(retry_after_seconds),
            Self::TenantSuspended => Some(SUSPENDED_RETRY_AFTER_SECONDS),
            Self::BackendUnreachable
            | Self::BackendUntrusted
            | Self::SpoolFull
            | Self::RegionUnwritable
            | Self::RegionFenced
            | Self::RegionElsewhere => Some(BACKEND_RETRY_AFTER_SECONDS),
            Self::BadHost(_)
            | Self::UnknownHost
            | Self::WrongServerName
            | Self::ClientCertificate(_)
            | Self::BadRequest(_)
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::GuardDenied(_)
            | Self::GuardHidden(_)
            | Self::MethodNotAllowed
            | Self::LengthRequired
            | Self::TargetTooLong
            | Self::ExpectationFailed
            | Self::HeadTooLarge
            | Self::HeadTooSlow
            | Self::RpcDenied(_)
            | Self::RpcUnreadable(_)
            | Self::RpcMediaType(_)
            | Self::RegionLeft
            | Self::BackendReset
            | Self::BackendTimeout
            | Self::BackendInvalid
            | Self::FileMissing
            | Self::FileRefused
            | Self::Internal => None,
        }
    }

    /// Heading for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadHost(_)
            | Self::BadRequest(_)
            | Self::MethodNotAllowed
            | Self::LengthRequired
            | Self::ExpectationFailed
            | Self::RpcUnreadable(_)
            | Self::RpcMediaType(_) => "This request cannot be understood",
            Self::UnknownHost => "Nothing lives at this address",
            Self::WrongServerName => "This connection is for another address",
            Self::GuardDenied(_) | Self::RpcDenied(_) => "This is not allowed",
            Self::ClientCertificate(_) => "A certificate is needed here",
            Self::GuardHidden(_) => "There is no such page",
            Self::TenantSuspended => "This service is suspended",
            Self::TenantMaintenance { .. } => "Down for maintenance",
            Self::Overloaded { .. } => "Too busy right now",
            Self::BodyTooLarge | Self::TargetTooLong | Self::HeadTooLarge => "This is too large",
            Self::RateLimited { .. } | Self::ConcurrencyLimited { .. } => "Too many requests",
            Self::BodyTooSlow | Self::HeadTooSlow => "This took too long to arrive",
            Self::QuotaExhausted { .. } => "The quota is used up",
            Self::BackendUnreachable
            | Self::BackendUntrusted
            | Self::SpoolFull
            | Self::RegionUnwritable
            | Self::RegionFenced
            | Self::RegionElsewhere => "Temporarily not available",
            Self::FileMissing => "This file does not exist",
            Self::RegionLeft
            | Self::BackendReset
            | Self::BackendInvalid
            | Self::FileRefused
            | Self::Internal => "Something went wrong",
            Self::BackendTimeout => "This took too long",
        }
    }

    /// A sentence for people: what to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::BadHost(_) => "The host name of the request is missing or malformed.",
            Self::GuardDenied(_) => "Go back to the start page. If you need this, ask your provider.",
            Self::GuardHidden(_) => "Check the address, or go back to the start page.",
            Self::BadRequest(_) => "The request is malformed.",
            Self::RpcDenied(_) => {
                "Check the name of the database: it must be the one that lives at this address."
            }
            Self::RpcUnreadable(_) => "The body must be one call, as XML-RPC or JSON-RPC defines it.",
            Self::RpcMediaType(_) => "Send JSON as application/json, XML in UTF-8, and neither compressed.",
            Self::MethodNotAllowed => "The method is not served here.",
            Self::LengthRequired => "The request must say how long its body is.",
            Self::TargetTooLong => "The address is too long.",
            Self::ExpectationFailed => "The request expects what no server does.",
            Self::HeadTooLarge => {
                "The request has too many or too long header fields. Deleting the cookies of this site may help."
            }
            Self::ClientCertificate(_) => {
                "Choose the certificate that your provider gave you when the browser asks, or install it first."
            }
            Self::WrongServerName => "Please open the address again.",
            Self::UnknownHost => "Check the address. If it is yours, ask your provider to add it.",
            Self::TenantSuspended => "Please contact your provider.",
            Self::TenantMaintenance { .. } => "We will be back soon.",
            Self::BodyTooLarge => "What you sent is larger than this service takes.",
            Self::BodyTooSlow | Self::HeadTooSlow => {
                "Please try again over a better connection. Nothing was saved."
            }
            Self::SpoolFull => "There is no space for what you sent right now. Nothing was saved.",
            Self::QuotaExhausted { .. } => {
                "What this service may use in this period is used up. Nothing was saved. Ask your provider for more."
            }
            Self::RateLimited { .. } => {
                "The limit of this service is reached for a moment. Nothing was saved."
            }
            Self::ConcurrencyLimited { .. } => {
                "This service is busy with as much as it may do at once. Nothing was saved."
            }
            Self::RegionUnwritable | Self::RegionElsewhere => {
                "We are working on it. If you were saving, save it again later."
            }
            Self::RegionFenced => "Nothing can be saved right now. We are working on it.",
            Self::Overloaded { .. } => {
                "The servers are busy with other requests. Nothing was saved. Please try again in a moment."
            }
            Self::BackendUnreachable | Self::BackendUntrusted => {
                "The server does not answer right now. If you were saving, save it again later."
            }
            Self::RegionLeft => {
                "This service has moved to another place meanwhile. If you were saving, check whether it was saved before you repeat it."
            }
            Self::BackendReset | Self::BackendInvalid => {
                "The server's answer was broken off. If you were saving, check whether it was saved before you repeat it."
            }
            Self::BackendTimeout => {
                "The server is still busy with it. If you were saving, check whether it was saved before you repeat it."
            }
            Self::FileMissing => "It may have been removed. Ask whoever gave you the link.",
            Self::FileRefused => "The server may not send this file. Please tell your provider.",
            Self::Internal => "The failure has been recorded. Please try again.",
        }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::BadRequest(fault)
    }
}

impl From<RpcRefusal> for Rejection {
    fn from(refusal: RpcRefusal) -> Self {
        if refusal.is_about_media() { Self::RpcMediaType(refusal) } else { Self::RpcUnreadable(refusal) }
    }
}

impl From<HostError> for Rejection {
    fn from(error: HostError) -> Self {
        Self::BadHost(error)
    }
}

/// Form of an answer of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerShape {
    /// A page for a person.
    Page,
    /// One line of text. Odoo's web client takes a body that is no JSON as "connection lost" and reconnects by
    /// itself; RPC libraries report the status. Source: Odoo 16.0 and later `web/static/src/core/network/rpc.js`.
    Text,
    /// `application/problem+json` (RFC 9457).
    Problem,
    /// An error of JSON-RPC with `data`, as Odoo's web client shows it in a dialog. Without `data` the call would never
    /// end. Source: Odoo 16.0 and later `web/static/src/core/network/rpc.js`, `core/errors/error_handlers.js`.
    JsonRpc,
    /// A fault of XML-RPC.
    XmlRpc(FaultCodes),
}

/// Who gets an answer, as far as its request tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asker<'r> {
    /// Traffic class, once known.
    pub class: Option<TrafficClass>,
    /// Route of a call, if it is one.
    pub route: Option<RpcRoute<'r>>,
    /// Path as sent.
    pub path: &'r [u8],
    /// Value of `Accept`.
    pub accept: Option<&'r [u8]>,
    /// Whether the body is JSON by its `Content-Type`.
    pub sends_json: bool,
}

impl AnswerShape {
    /// Chooses the form of a rejection for who asks.
    #[must_use]
    pub fn of(rejection: Rejection, asker: &Asker<'_>) -> Self {
        if rejection.is_for_the_moment() {
            match asker.route {
                Some(RpcRoute::Xml { faults, .. }) => return Self::XmlRpc(faults),
                Some(RpcRoute::Json2 { .. }) => return Self::Problem,
                Some(RpcRoute::Json | RpcRoute::Authenticate) => return Self::JsonRpc,
                Some(RpcRoute::Elsewhere | RpcRoute::DatabaseManager) | None if asker.sends_json => {
                    return Self::JsonRpc;
                }
                Some(RpcRoute::Elsewhere | RpcRoute::DatabaseManager) | None => {}
            }
        }
        let accepts = |media: &[u8]| asker.accept.is_some_and(|accept| contains_ignore_case(accept, media));
        if asker.path.starts_with(b"/json/") || accepts(b"application/problem+json") {
            Self::Problem
        } else if accepts(b"text/html") && !matches!(asker.class, Some(TrafficClass::Rpc)) {
            Self::Page
        } else {
            Self::Text
        }
    }
}

fn contains_ignore_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let mut codes: Vec<&str> = Rejection::ALL.iter().map(|rejection| rejection.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Rejection::ALL.len());
        assert!(Rejection::ALL.iter().all(|rejection| rejection.status() >= 400));
    }

    #[test]
    fn pages_are_for_people_and_text_is_for_odoos_web_client() {
        let shape = |class, path: &str, accept: &str| {
            let asker = Asker {
                class,
                path: path.as_bytes(),
                accept: Some(accept.as_bytes()),
                sends_json: true,
                route: None,
            };
            AnswerShape::of(Rejection::BackendUnreachable, &asker)
        };
        let browser = "text/html,application/xhtml+xml";
        assert_eq!(shape(Some(TrafficClass::Page), "/odoo", browser), AnswerShape::Page);
        assert_eq!(shape(Some(TrafficClass::Page), "/web/dataset/call_kw", "*/*"), AnswerShape::Text);
        assert_eq!(shape(Some(TrafficClass::Rpc), "/jsonrpc", "application/json"), AnswerShape::Text);
        assert_eq!(shape(Some(TrafficClass::Rpc), "/json/2/x/y", "*/*"), AnswerShape::Problem);
        assert_eq!(shape(None, "/", browser), AnswerShape::Page);
    }

    #[test]
    fn a_reached_limit_is_told_in_the_protocol_of_the_client() {
        let limited = Rejection::RateLimited { limit: LimitName::Requests, retry_after_seconds: 1 };
        let shape = |path: &'static str, sends_json, accept: &str| {
            let route = RpcRoute::of(crate::odoo::OdooVersion::V19, path.as_bytes());
            let accept = Some(accept.as_bytes());
            AnswerShape::of(limited, &Asker { class: None, route, path: path.as_bytes(), accept, sends_json })
        };
        assert_eq!(shape("/web/dataset/call_kw", true, "*/*"), AnswerShape::JsonRpc);
        assert_eq!(shape("/jsonrpc", true, "*/*"), AnswerShape::JsonRpc);
        assert_eq!(shape("/web/session/authenticate", true, "*/*"), AnswerShape::JsonRpc);
        assert_eq!(shape("/xmlrpc/2/object", false, "*/*"), AnswerShape::XmlRpc(FaultCodes::Number));
        assert_eq!(shape("/xmlrpc/object", false, "*/*"), AnswerShape::XmlRpc(FaultCodes::Text));
        assert_eq!(shape("/json/2/res.partner/read", true, "*/*"), AnswerShape::Problem);
        assert_eq!(shape("/odoo", false, "text/html"), AnswerShape::Page);
        assert_eq!(shape("/websocket", false, "*/*"), AnswerShape::Text);
    }
}
