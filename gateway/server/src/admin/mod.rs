//! The admin API on a unix socket, and the listener for probes and metrics.
//!
//! Whoever may connect to the socket may use all of it: the file's mode decides. The CLI has no other way in.

mod explain;
mod limits;
mod observe;
mod quota;
mod regions;
mod routes;
mod status;
mod tenants;

pub use explain::{ExplainQuery, Explanation};
pub use observe::observe_router;
pub use quota::{GrantOrder, QuotaDone, QuotaList, QuotaQuery, QuotaRow, ResetOrder};
pub use regions::RegionList;
pub use routes::{AdminState, admin_router, bind_socket};
pub use status::{
    AdmissionStatus, BackendStatus, ConfigStatus, ListenerStatus, Phase, PhaseCell, PoolStatus, Status,
};
pub use tenants::{TenantList, TenantQuery, TenantRow};
