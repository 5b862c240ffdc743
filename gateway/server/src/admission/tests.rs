//! Permits come back, however a request ends.

use super::*;
use fleetgate_core::admission::{Arrival, RouteGroup, TenantKey, WorkClass};
use fleetgate_core::path::NormalPath;
use fleetgate_core::traffic::TrafficClass;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

fn page(tenant: &str, wait_max: Duration) -> Arrival {
    Arrival {
        tenant: TenantKey::of(tenant),
        weight: NonZeroU16::MIN,
        reach: 2,
        class: WorkClass::Interactive,
        route: RouteGroup::of(TrafficClass::Page, &NormalPath::new(b"/odoo").unwrap()),
        wait_max,
    }
}

const PATIENT: Duration = Duration::from_secs(60);

fn permit(pool: &Arc<PoolAdmission>, tenant: &str) -> Permit {
    match pool.ask(&page(tenant, PATIENT)) {
        Asked::Permit(permit) => permit,
        Asked::Waiting(_) | Asked::Refused(_) => panic!("there is no worker"),
    }
}

fn waiting(pool: &Arc<PoolAdmission>, tenant: &str, wait_max: Duration) -> Waiting {
    match pool.ask(&page(tenant, wait_max)) {
        Asked::Waiting(waiting) => waiting,
        Asked::Permit(_) | Asked::Refused(_) => panic!("it does not wait"),
    }
}

#[tokio::test]
async fn a_permit_that_is_dropped_goes_to_the_next() {
    let pool = Arc::new(PoolAdmission::new(1));
    let mut first = permit(&pool, "acme");
    first.note_used();
    let second = waiting(&pool, "globex", PATIENT);
    assert_eq!((pool.load().in_service, pool.load().classes.iter().map(|(_, queued)| queued).sum()), (1, 1));
    drop(first);
    let second = second.permit().await.unwrap();
    assert_eq!(pool.load().in_service, 1);
    drop(second);
    assert_eq!(pool.load().in_service, 0);
}

#[tokio::test]
async fn who_leaves_the_queue_is_forgotten_also_at_the_moment_of_being_served() {
    let pool = Arc::new(PoolAdmission::new(1));
    let first = permit(&pool, "acme");
    drop(waiting(&pool, "globex", PATIENT));
    let told_but_gone = waiting(&pool, "globex", PATIENT);
    drop(first);
    assert_eq!(pool.load().in_service, 1, "it was told");
    drop(told_but_gone);
    assert_eq!(pool.load().in_service, 0, "and did not hear it");
    assert!(matches!(pool.ask(&page("acme", PATIENT)), Asked::Permit(_)));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_with_a_time_to_come_again() {
    let pool = Arc::new(PoolAdmission::new(1));
    let first = permit(&pool, "acme");
    let refusal = waiting(&pool, "globex", Duration::from_secs(10)).permit().await.unwrap_err();
    assert!(refusal.retry_after >= Duration::from_secs(1));
    let load = pool.load();
    assert_eq!((load.in_service, load.classes.iter().map(|(_, queued)| queued).sum()), (1, 0));
    drop(first);
}

#[tokio::test]
async fn many_threads_never_hold_more_permits_than_there_are_workers() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let pool = Arc::new(PoolAdmission::new(3));
    let held = Arc::new(AtomicU32::new(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            let (pool, held) = (Arc::clone(&pool), Arc::clone(&held));
            runtime.spawn(async move {
                let asked = pool.ask(&page(&format!("tenant-{}", number % 7), PATIENT));
                let permit = match asked {
                    Asked::Permit(permit) => Ok(permit),
                    // Every ninth leaves at once.
                    Asked::Waiting(_) if number % 9 == 0 => return,
                    Asked::Waiting(waiting) => waiting.permit().await,
                    Asked::Refused(refusal) => Err(refusal),
                };
                let Ok(mut permit) = permit else { return };
                permit.note_used();
                assert!(held.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                held.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(pool.load().in_service, 0);
    runtime.shutdown_background();
}
