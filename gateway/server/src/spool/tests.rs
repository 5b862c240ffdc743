use super::{AnswerSpool, BODY_BYTES_MIN, BodySpool, BytesHeld, SpoolBounds, SpoolError, SpoolStore};
use bytes::Bytes;
use std::sync::Arc;

const MEMORY: usize = 64;
const BOUNDS: SpoolBounds =
    SpoolBounds { memory_per_body: 64, memory_max: 1 << 20, disk_max: 1 << 20, disk_max_per_tenant: 1 << 20 };

fn store(disk_max: u64, disk_max_per_tenant: u64) -> (tempfile::TempDir, SpoolStore) {
    bounded(SpoolBounds { disk_max, disk_max_per_tenant, ..BOUNDS })
}

fn bounded(bounds: SpoolBounds) -> (tempfile::TempDir, SpoolStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SpoolStore::new(folder.path(), bounds).unwrap();
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
    let tenant = Arc::new(BytesHeld::default());
    for (chunks, on_disk) in [(1, false), (6, false), (7, true), (2_000, true)] {
        let mut body = BodySpool::default();
        for chunk in 0..chunks {
            body.push(piece(chunk * 10, 10), &store, &tenant).await.unwrap();
        }
        let expected = piece(0, chunks * 10);
        assert_eq!(body.len(), u64::try_from(expected.len()).unwrap());
        assert_eq!(whole(&body).await, expected);
        assert_eq!(whole(&body).await, expected);
        assert_eq!(store.on_disk() > 0, on_disk, "{chunks}");
        drop(body);
        assert_eq!((store.on_disk(), tenant.bytes()), (0, 0));
    }
}

#[tokio::test]
async fn a_body_of_pieces_of_all_sizes_reads_the_same_from_every_place() {
    let (_folder, store) = bounded(SpoolBounds { memory_per_body: 100_000, ..BOUNDS });
    let tenant = Arc::new(BytesHeld::default());
    let (mut body, mut bytes) = (BodySpool::default(), 0);
    for size in [0, 1, 10_000, 6_383, 1, 20_000, 3, 0, 16_384, 40_000, 5, 30_000, 1] {
        body.push(piece(bytes, size), &store, &tenant).await.unwrap();
        bytes += size;
    }
    let expected = piece(0, bytes);
    assert!(store.on_disk() > 0 && store.in_memory() > 90_000);
    for at in (0..=bytes).step_by(97).chain([1, 16_383, 16_384, 16_385, 36_385, bytes]) {
        let (mut read, end) = (Vec::new(), bytes.min(at + 70_000));
        while read.len() < end - at {
            let chunk = body.read(u64::try_from(at + read.len()).unwrap()).await.unwrap();
            assert!(!chunk.is_empty(), "nothing at {} of {bytes}", at + read.len());
            read.extend_from_slice(&chunk);
        }
        assert_eq!(read[..end - at], expected[at..end], "from {at}");
    }
    assert!(body.read(u64::try_from(bytes).unwrap()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_tenant_cannot_use_the_disk_of_all() {
    let (_folder, store) = store(1_000, 300);
    let (greedy, modest) = (Arc::new(BytesHeld::default()), Arc::new(BytesHeld::default()));
    let mut body = BodySpool::default();
    body.push(piece(0, 300), &store, &greedy).await.unwrap();
    let refused = body.push(piece(300, 1), &store, &greedy).await;
    assert!(matches!(refused, Err(SpoolError::Full)));
    let mut other = BodySpool::default();
    other.push(piece(0, 300), &store, &modest).await.unwrap();
    drop(body);
    assert_eq!((store.on_disk(), greedy.bytes(), modest.bytes()), (300, 0, 300));
}

#[tokio::test]
async fn an_answer_comes_out_as_it_went_in_however_far_the_client_is_behind() {
    let (_folder, store) = store(1 << 20, 1 << 20);
    let tenant = Arc::new(BytesHeld::default());
    for behind in [0, 1, 5, 50, 500] {
        let (mut spool, mut got) = (AnswerSpool::default(), Vec::new());
        for number in 0..1_000 {
            spool.push(piece(number * 7, 7), &store, &tenant).await;
            assert!(spool.has_room());
            if number >= behind {
                got.extend_from_slice(&spool.pop(&store).await.unwrap().unwrap());
            }
        }
        while let Some(piece) = spool.pop(&store).await.unwrap() {
            got.extend_from_slice(&piece);
        }
        assert!(spool.is_empty());
        assert_eq!(got, piece(0, 7_000), "{behind}");
    }
}

#[tokio::test]
async fn a_full_disk_makes_the_backend_wait_and_loses_nothing() {
    let (_folder, store) = store(100, 100);
    let tenant = Arc::new(BytesHeld::default());
    let (mut spool, mut sent, mut got) = (AnswerSpool::default(), 0, Vec::new());
    while spool.has_room() {
        spool.push(piece(sent, 30), &store, &tenant).await;
        sent += 30;
    }
    assert!(sent >= MEMORY + 100 - 60, "{sent}");
    while let Some(piece) = spool.pop(&store).await.unwrap() {
        got.extend_from_slice(&piece);
    }
    assert!(spool.has_room() && spool.is_empty());
    assert_eq!(got, piece(0, sent));
    assert_eq!(store.on_disk(), 0);
}

#[tokio::test]
async fn bodies_go_to_disk_when_all_together_hold_what_they_may() {
    let (_folder, store) = bounded(SpoolBounds { memory_per_body: 30_000, memory_max: 50_000, ..BOUNDS });
    let tenant = Arc::new(BytesHeld::default());
    let floor = usize::try_from(BODY_BYTES_MIN).unwrap();
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let (mut request, mut answer) = (BodySpool::default(), AnswerSpool::default());
        for at in (0..20_000).step_by(1_000) {
            request.push(piece(at, 1_000), &store, &tenant).await.unwrap();
            answer.push(piece(at, 1_000), &store, &tenant).await;
        }
        requests.push(request);
        answers.push(answer);
    }
    let (memory, disk) = (store.in_memory(), store.on_disk());
    assert_eq!(memory + disk, 160_000);
    assert!((45_000..=50_000 + 8 * BODY_BYTES_MIN).contains(&memory), "{memory}");
    assert!(store.memory_refusals() > 0);
    for request in &requests {
        assert_eq!(whole(request).await, piece(0, 20_000));
    }
    drop(requests);
    for mut answer in answers {
        let mut got = Vec::new();
        while !answer.is_empty() {
            answer.left();
            let batch = got.len();
            while let Some(piece) = answer.pop(&store).await.unwrap() {
                got.extend_from_slice(&piece);
            }
            assert!(got.len() > batch, "each round moves something");
        }
        assert_eq!(got, piece(0, 20_000));
        assert!(store.in_memory() >= 1, "what is not with the client counts");
    }
    assert_eq!((store.in_memory(), store.on_disk(), tenant.bytes()), (0, 0, 0));
    // Small bodies are not slowed by large ones.
    let mut greedy = BodySpool::default();
    greedy.push(piece(0, 30_000), &store, &tenant).await.unwrap();
    let mut other = BodySpool::default();
    other.push(piece(0, 20_000), &store, &tenant).await.unwrap();
    let mut small = BodySpool::default();
    small.push(piece(0, floor), &store, &tenant).await.unwrap();
    assert_eq!((store.in_memory(), store.on_disk()), (50_000 + BODY_BYTES_MIN, 0));
}

#[tokio::test]
async fn a_slow_reader_holds_little_memory_when_it_is_scarce() {
    let (_folder, store) = bounded(SpoolBounds { memory_per_body: 10_000, memory_max: 10_000, ..BOUNDS });
    let tenant = Arc::new(BytesHeld::default());
    let mut greedy = BodySpool::default();
    greedy.push(piece(0, 10_000), &store, &tenant).await.unwrap();
    let mut answer = AnswerSpool::default();
    for at in (0..100_000).step_by(10_000) {
        answer.push(piece(at, 10_000), &store, &tenant).await;
    }
    assert_eq!((store.in_memory(), store.on_disk()), (10_000, 100_000));
    let first = answer.pop(&store).await.unwrap().unwrap();
    assert!(answer.pop(&store).await.unwrap().is_none(), "the first has to leave before the second");
    assert_eq!(store.in_memory(), 10_000 + u64::try_from(first.len()).unwrap());
    drop(greedy);
    answer.left();
    assert_eq!(store.in_memory(), 0);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_at_once() {
    let missing = std::path::Path::new("/nonexistent/fleetgate");
    assert!(SpoolStore::new(missing, BOUNDS).is_err());
}
