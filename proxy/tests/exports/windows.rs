//! Windows of exports through the whole sidecar: what a stop publishes, what shedding withholds,
//! and that whoever refuses is counted no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use privet::clock::{Clock, SystemClock};
use privet_dp::schedule::Mark;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::running::{LISTED, Running, design};

/// At epsilon 60 the scale is 0.1 and a draw beyond 6 has a probability below 1e-25.
fn near(value: i64, exact: i64) -> bool {
    (value - exact).abs() <= 6
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_stopped_publishes_the_part_that_it_counted() {
    let privet = Running::with(LISTED, "").await;
    for user in 0..20 {
        assert_eq!(privet.search(&format!("user-{user}"), true).await, 200);
    }
    let (receipts, withheld) = privet.stop("drained").await;
    assert_eq!((receipts.len(), withheld), (1, 0));
    let [receipt] = receipts.as_slice() else { panic!("one receipt") };
    assert!(near(receipt.values[0].value, 20), "{:?}", receipt.values);
    // Whether it was opened late depends on when this test runs; that it was closed early does not.
    assert!(receipt.window.marks.contains(Mark::Drained));
    assert!(receipt.window.observed_until < receipt.window.end);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_is_stopped_discards_what_may_not_be_published_so() {
    let privet = Running::with("{length: 1d, publish_marked: [restart]}", "").await;
    assert_eq!(privet.search("user-1", true).await, 200);
    let (receipts, withheld) = privet.stop("drained").await;
    assert_eq!((receipts.len(), withheld), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_refuses_is_taken_out_of_the_open_window() {
    let privet = Running::with(LISTED, "").await;
    for user in 0..40 {
        assert_eq!(privet.search(&format!("user-{user}"), true).await, 200);
    }
    for user in 0..30 {
        assert_eq!(privet.search(&format!("user-{user}"), false).await, 200);
    }
    let (receipts, _) = privet.stop("drained").await;
    assert!(near(receipts[0].values[0].value, 10), "{:?}", receipts[0].values);
}

/// The machine's clock, put forward by hand.
struct PutForward(SystemClock, AtomicI64);

impl Clock for PutForward {
    fn now(&self) -> jiff::Timestamp {
        self.0.now() + jiff::SignedDuration::from_secs(self.1.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }
}

/// A policy that exports no more leaves the window that waits for its slot behind. The purposes it
/// counted for are not known any more, so a refusal of anything reaches it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_refuses_is_taken_out_of_a_window_that_an_earlier_policy_left() {
    let clock = Arc::new(PutForward(SystemClock::default(), AtomicI64::new(0)));
    let forward = |secs: i64| clock.1.fetch_add(secs, Ordering::SeqCst);
    // A minute into an hour.
    forward(3660 - clock.now().as_second().rem_euclid(3600));
    let policy = design("{length: 1h, publish_after: 30m, publish_marked: [restart]}");
    let exports = "exports: {directory: exports, volume: persistent}\n";
    let privet = Running::by(clock.clone(), &policy, exports).await;
    for user in 0..40 {
        assert_eq!(privet.search(&format!("user-{user}"), true).await, 200);
    }
    forward(3600);
    assert_eq!(privet.search("of the next hour", true).await, 200);
    let file = privet.directory.path().join("policies/policy.yaml");
    let written = std::fs::read_to_string(&file).unwrap();
    let others: Vec<&str> = written.split("---\n").filter(|document| !document.contains("kind: Export")).collect();
    assert!(others.len() < written.split("---\n").count());
    let before = privet.readyz().await;
    std::fs::write(&file, others.join("---\n")).unwrap();
    until(async || privet.readyz().await != before).await;
    for user in 0..30 {
        assert_eq!(privet.search(&format!("user-{user}"), false).await, 200);
    }
    forward(1800);
    let published = privet.directory.path().join("exports/searches-by-section");
    until(async || published.exists()).await;
    let (receipts, _) = privet.stop("drained").await;
    assert!(near(receipts[0].values[0].value, 10), "{:?}", receipts[0].values);
}

/// Waits, within bounds, until something is so.
async fn until(is_so: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never was");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_which_a_source_was_refused_for_its_rate_is_withheld() {
    let privet = Running::with(LISTED, "limits: {rate_per_source: {per_second: 1, burst: 2}}\n").await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(privet.search("user-1", true).await);
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let (receipts, withheld) = privet.stop("shed").await;
    assert_eq!((receipts.len(), withheld), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_which_bodies_found_no_room_is_withheld() {
    let limits = "limits: {body_bytes_max: 1024, in_flight_bytes_max: 1024, decoded_bytes_max: 1024}\n";
    let privet = Running::with(LISTED, limits).await;
    let head = "POST /v1/track HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    let (mut others, mut statuses) = (Vec::new(), Vec::new());
    for round in 0..20 {
        // One that comes while a search is being read finds no room itself.
        let mut other = TcpStream::connect(privet.address).await.unwrap();
        other.write_all(format!("{head}{}", " ".repeat(990)).as_bytes()).await.unwrap();
        others.push(other);
        tokio::time::sleep(std::time::Duration::from_millis(50 * round)).await;
        statuses.push(privet.search("user-1", true).await);
        if statuses.iter().any(|status| [429, 503].contains(status)) {
            break;
        }
    }
    assert!(statuses.iter().any(|status| [429, 503].contains(status)), "{statuses:?}");
    drop(others);
    let (receipts, withheld) = privet.stop("shed").await;
    assert_eq!((receipts.len(), withheld), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_which_connections_waited_is_withheld() {
    let privet = Running::with(LISTED, "limits: {connections_max: 2}\n").await;
    let held = [TcpStream::connect(privet.address).await.unwrap(), TcpStream::connect(privet.address).await.unwrap()];
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    drop(held);
    assert_eq!(privet.search("user-1", true).await, 200);
    let (receipts, withheld) = privet.stop("shed").await;
    assert_eq!((receipts.len(), withheld), (0, 1));
}

const SHARDED: &str = "{length: 1d, publish_marked: [restart, drained, ring_changed]}\nfleet: {topology: user_sharded}";

#[tokio::test(flavor = "multi_thread")]
async fn a_sharded_export_without_a_ring_is_off_and_the_sidecar_runs() {
    let privet = Running::with(SHARDED, "").await;
    let ready = privet.readyz().await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(ready.contains("off: searches-by-section: its fleet is user_sharded"), "{ready}");
    assert_eq!(privet.search("user-1", true).await, 200);
    assert_eq!(privet.stop("drained").await, (vec![], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sharded_export_with_a_ring_is_on() {
    let ring = "exports: {directory: exports, volume: persistent, ring: {epoch: 41, shards: [a, b], own: b}}\n";
    let privet = Running::configured(SHARDED, ring).await;
    assert!(!privet.readyz().await.contains("user_sharded"));
    // What a pod had before, it does not know at its first start, so it begins with the next window.
    assert_eq!(privet.stop("drained").await, (vec![], 0));
}
