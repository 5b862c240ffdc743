use super::{AnswerSpool, BodySpool, DiskUse, SpoolError, SpoolStore};
use bytes::Bytes;
use std::sync::Arc;

const MEMORY: usize = 64;

fn store(disk_max: u64, disk_max_per_tenant: u64) -> (tempfile::TempDir, SpoolStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SpoolStore::new(folder.path(), MEMORY, disk_max, disk_max_per_tenant).unwrap();
    (folder, store)
}

fn piece(start: usize, bytes: usize) -> Bytes {
    (start..start + bytes).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

async fn whole(body: &BodySpool) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        let chunk = body.read(u64::try_from(read.len()).unwrap()).await.unwrap();
        if chunk.is_empty() {
            return read;
        }
        read.extend_from_slice(&chunk);
    }
}

#[tokio::test]
async fn a_body_can_be_read_again_wherever_it_is_kept() {
    let (_folder, store) = store(1 << 20, 1 << 20);
    let tenant = Arc::new(DiskUse::default());
    for (chunks, on_disk) in [(1, false), (6, false), (7, true), (2_000, true)] {
        let mut body = BodySpool::default();
        for chunk in 0..chunks {
            body.push(piece(chunk * 10, 10), &store, &tenant).await.unwrap();
        }
        let expected = piece(0, chunks * 10);
        assert_eq!(body.len(), u64::try_from(expected.len()).unwrap());
        assert_eq!(whole(&body).await, expected);
        assert_eq!(whole(&body).await, expected);
        assert_eq!(store.used().bytes() > 0, on_disk, "{chunks}");
        drop(body);
        assert_eq!((store.used().bytes(), tenant.bytes()), (0, 0));
    }
}

#[tokio::test]
async fn a_tenant_cannot_use_the_disk_of_all() {
    let (_folder, store) = store(1_000, 300);
    let (greedy, modest) = (Arc::new(DiskUse::default()), Arc::new(DiskUse::default()));
    let mut body = BodySpool::default();
    body.push(piece(0, 300), &store, &greedy).await.unwrap();
    let refused = body.push(piece(300, 1), &store, &greedy).await;
    assert!(matches!(refused, Err(SpoolError::Full)));
    let mut other = BodySpool::default();
    other.push(piece(0, 300), &store, &modest).await.unwrap();
    drop(body);
    assert_eq!((store.used().bytes(), greedy.bytes(), modest.bytes()), (300, 0, 300));
}

#[tokio::test]
async fn an_answer_comes_out_as_it_went_in_however_far_the_client_is_behind() {
    let (_folder, store) = store(1 << 20, 1 << 20);
    let tenant = Arc::new(DiskUse::default());
    for behind in [0, 1, 5, 50, 500] {
        let (mut spool, mut got) = (AnswerSpool::default(), Vec::new());
        for number in 0..1_000 {
            spool.push(piece(number * 7, 7), &store, &tenant).await;
            assert!(spool.has_room());
            if number >= behind {
                got.extend_from_slice(&spool.pop().await.unwrap().unwrap());
            }
        }
        while let Some(piece) = spool.pop().await.unwrap() {
            got.extend_from_slice(&piece);
        }
        assert!(spool.is_empty());
        assert_eq!(got, piece(0, 7_000), "{behind}");
    }
}

#[tokio::test]
async fn a_full_disk_makes_the_backend_wait_and_loses_nothing() {
    let (_folder, store) = store(100, 100);
    let tenant = Arc::new(DiskUse::default());
    let (mut spool, mut sent, mut got) = (AnswerSpool::default(), 0, Vec::new());
    while spool.has_room() {
        spool.push(piece(sent, 30), &store, &tenant).await;
        sent += 30;
    }
    assert!(sent >= MEMORY + 100 - 60, "{sent}");
    while let Some(piece) = spool.pop().await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert!(spool.has_room() && spool.is_empty());
    assert_eq!(got, piece(0, sent));
    assert_eq!(store.used().bytes(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_once() {
    let missing = std::path::Path::new("/nonexistent/fleetgate");
    assert!(SpoolStore::new(missing, MEMORY, 1, 1).is_err());
}
