//! What exports measure, through the whole sidecar.

use privet_dp::receipt::Receipt;
use serde_json::json;

use crate::running::{Running, post};

/// A contract with a text, a section and a number, before its export.
pub const POLICY: &str = r#"apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
granted_by: [{segment: {category: Analytics}}]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
requires: []
purposes: [analytics.reporting.content_performance]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.search}
match: {format: segment, type: track, event: Search Performed}
fields:
  properties.query: {type: string, category: user.behavior.search_history}
  properties.section: {type: string, enum: [apps, games, books], category: system.operations}
  properties.seconds: {type: number, category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: searches}
data: [user.behavior.search_history]
for: [analytics.reporting]
action: drop
---
"#;

/// An export of a day that is published although the test ends it, with so
/// little noise that what was bounded shows.
pub fn policy(export: &str) -> String {
    let window = "window: {length: 1d, publish_marked: [restart, drained]}";
    let document = "apiVersion: privet.dev/v1alpha1\nkind: Export\nmetadata: {name: measured}\nunit: userId\n";
    let budget = "purpose: analytics.reporting.content_performance\ncanaries: 2";
    format!("{POLICY}{document}{window}\n{budget}\n{export}")
}

/// Sends one search of a user for a query in a section that took so long.
async fn search(privet: &Running, user: &str, query: &str, section: &str, seconds: &str) {
    let consent = json!({"categoryPreferences": {"Analytics": true}});
    let body = json!({
        "type": "track", "event": "Search Performed", "userId": user, "messageId": "m",
        "timestamp": "2026-11-22T21:50:42.259Z", "context": {"consent": consent},
        "properties": {"query": query, "section": section, "seconds": "SECONDS"},
    });
    let body = body.to_string().replace("\"SECONDS\"", seconds);
    let (status, answer) = post(privet.address, "/v1/track", "content-type: application/json", &body).await;
    assert_eq!(status, 200, "{answer}");
}

/// The rows that were published.
fn rows(receipts: &[Receipt]) -> Vec<String> {
    let [receipt] = receipts else { panic!("{} receipts", receipts.len()) };
    receipt.values.iter().map(|row| format!("{} {} {}", row.key.join("|"), row.of, row.value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn private_keys_of_enough_people_are_published_and_nothing_tells_of_the_others() {
    let policy = policy(
        "from: {contract: shop.search}\nkeys: {properties.query: {min_units: 5}}\n\
         bounds: {keys_per_unit: 2, rows_per_key: 1}\n\
         count: {noise: discrete_laplace, epsilon: \"200\", delta: \"1e-9\"}\n\
         budget: {horizon: 1d, epsilon: \"1000\", delta: \"1e-8\"}",
    );
    let privet = Running::under(&policy, "exports: {directory: exports, volume: persistent}\n").await;
    for user in 0..12 {
        search(&privet, &format!("user-{user}"), "chess", "games", "1").await;
    }
    for user in 0..3 {
        search(&privet, &format!("user-{user}"), "canary-7f3a", "games", "1").await;
    }
    // The same person again, and a third key, beyond the bounds.
    search(&privet, "user-0", "chess", "games", "1").await;
    search(&privet, "user-0", "third", "games", "1").await;
    let directory = privet.directory.path().to_owned();
    let (receipts, _) = privet.stop_with("measured", "drained").await;
    assert_eq!(rows(&receipts), ["chess count 12"]);
    assert_eq!(receipts[0].aggregate.name, "count");
    let text = String::from_utf8(receipts[0].to_bytes()).unwrap();
    assert!(!text.contains("canary-7f3a"));
    // The directory went with the sidecar, or holds nothing of what is not published.
    assert!(!directory.exists() || !holds(&directory, "canary-7f3a"));
}

/// Whether any file below a directory holds a text.
fn holds(directory: &std::path::Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let held = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if path.is_dir() { holds(&path, text) } else { std::fs::read(&path).is_ok_and(held) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_clamped_and_events_without_one_do_not_count() {
    let policy = policy(
        "from: {contract: shop.search}\nkeys: {properties.section: [apps, games, books]}\n\
         bounds: {keys_per_unit: 2, rows_per_key: 2}\n\
         mean: {of: properties.seconds, clamp: [0, 60], decimals: 1, noise: discrete_laplace, epsilon: \"900000\"}\n\
         budget: {horizon: 1d, epsilon: \"900000\"}",
    );
    let privet = Running::under(&policy, "exports: {directory: exports, volume: persistent}\n").await;
    for (user, section, seconds) in [
        ("user-1", "apps", "12.55"),
        ("user-1", "apps", "1e9"),
        ("user-1", "apps", "3"),
        ("user-2", "apps", "-4"),
        ("user-2", "games", "2.5e1"),
        ("user-3", "books", "null"),
        ("user-3", "books", "\"7\""),
    ] {
        search(&privet, user, "x", section, seconds).await;
    }
    let (receipts, _) = privet.stop_with("measured", "drained").await;
    // In tenths: 12.6 and 60.0 of user-1, whose third row is beyond its bounds, and 0 of user-2.
    assert_eq!(
        rows(&receipts),
        [
            "apps above_low 726",
            "apps below_high 1074",
            "apps mean 242000",
            "games above_low 250",
            "games below_high 350",
            "games mean 250000",
            "books above_low 0",
            "books below_high 0",
        ]
    );
}
