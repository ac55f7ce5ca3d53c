//! Pods that share a budget in PostgreSQL, through the whole sidecar.

use std::time::{Duration, Instant};

use privet_dp::ledger::BookStore;
use privet_dp::receipt::Receipt;

use crate::running::{LISTED, Running, privet};
use crate::servers::{Kind, Server};

/// The members of `exports:` that put the ledger into this server.
fn exports(server: &Server, port: u16, pod: &str) -> String {
    let section = server.section_through(port);
    let members = section
        .lines()
        .filter(|line| ["url:", "user:", "password_file:", "tls:"].iter().any(|key| line.trim().starts_with(key)));
    let members: Vec<&str> = members.map(str::trim).collect();
    format!(
        "exports: {{directory: exports, ledger: {{store: postgresql, pod: {pod}, lease_secs: 30, {}}}}}\n",
        members.join(", ")
    )
}

async fn until_exports_are(privet: &Running, off: bool) {
    let begun = Instant::now();
    while privet.readyz().await.contains("the exports are off") != off {
        assert!(begun.elapsed() < Duration::from_secs(40), "{}", privet.readyz().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pods_charge_one_budget_and_name_their_releases_apart() {
    let server = Server::start_with_tls(Kind::PostgreSql);
    let cable = server.cable();
    let one = Running::configured(LISTED, &exports(&server, cable.port, "pod-1")).await;
    let two = Running::configured(LISTED, &exports(&server, cable.port, "pod-2")).await;
    for privet in [&one, &two] {
        until_exports_are(privet, false).await;
        assert_eq!(privet.search("user-1", true).await, 200);
    }
    let (one, two) = (one.stop_files("searches-by-section").await, two.stop_files("searches-by-section").await);
    let told = privet(&["export", "ledger", "--config", "privet.yaml", "--json"], two.directory.path());
    let [one, two] = [one, two].map(|stopped| Receipt::from_bytes(&stopped.files[0]).unwrap());
    assert_eq!((one.ledger.store, one.ledger.id), (BookStore::Postgresql, two.ledger.id));
    assert_ne!(one.ledger.chain, two.ledger.chain);
    assert_ne!(one.release_id, two.release_id);
    let spent = |receipt: &Receipt| receipt.privacy.horizon.spent.loss().unwrap().nano();
    assert_eq!(
        (spent(&one), spent(&two)),
        (60_000_000_000, 120_000_000_000),
        "the second pod sees what the first spent"
    );
    // The ledger tells of both, whoever asks.
    let charges: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let text = |charge: &serde_json::Value, name: &str| charge[name].as_str().unwrap().to_owned();
    let charges = charges["charges"].as_array().unwrap().iter();
    let charges: Vec<_> =
        charges.map(|charge| (text(charge, "pod"), text(charge, "release_id"), text(charge, "state"))).collect();
    for (pod, receipt) in [("pod-1", &one), ("pod-2", &two)] {
        let charge = (pod.to_owned(), receipt.release_id.to_string(), "acknowledged".to_owned());
        assert!(charges.contains(&charge), "{charges:?}");
    }
    assert_eq!(charges.len(), 2, "what was paid ahead and not begun came back: {charges:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_starts_while_the_ledger_is_away_forwards_and_exports_when_it_is_back() {
    let server = Server::start(Kind::PostgreSql);
    let cable = server.cable();
    cable.cut(true);
    let patient =
        exports(&server, cable.port, "pod-1").replace("lease_secs: 30", "lease_secs: 30, connect_timeout_ms: 60000");
    let begun = Instant::now();
    let privet = Running::configured(LISTED, &patient).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "the doors wait for no budget: {:?}", begun.elapsed());
    until_exports_are(&privet, true).await;
    assert_eq!(privet.search("user-1", true).await, 200, "events do not wait for a budget");
    cable.cut(false);
    until_exports_are(&privet, false).await;
    // What was paid for when the window was opened can be drawn; it leaves when the lease holds.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(privet.search("user-2", true).await, 200);
    assert_eq!(privet.stop("drained").await.0.len(), 1);
}
