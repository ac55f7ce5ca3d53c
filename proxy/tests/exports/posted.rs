//! Exact tables that others in the pod bring.

use privet_dp::receipt::{Receipt, verify};

use crate::measures::policy;
use crate::running::{Running, post};

const WINDOW: &str = "/v1/exports/measured?window=2026-11-20T00:00:00Z";
const EXACT: &str = "9183645";

fn posted(measure: &str) -> String {
    policy(&format!(
        "from: {{table: posted}}\nkeys: {{section: [apps, games]}}\nbounds: {{keys_per_unit: 1, rows_per_key: 1}}\n\
         {measure}\nbudget: {{horizon: 1d, epsilon: \"60\"}}"
    ))
    .replace(", publish_marked: [restart, drained]", "")
}

async fn running() -> Running {
    let policy = posted("count: {noise: discrete_laplace, epsilon: \"60\"}");
    Running::under(&policy, "exports: {directory: exports, volume: persistent}\n").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_answered_with_its_receipt_once_and_again() {
    let privet = running().await;
    let json = "content-type: application/json";
    let table = format!(r#"[{{"section":"games","value":{EXACT}}},{{"section":"apps","value":7}}]"#);
    let (status, receipt) = post(privet.admin, WINDOW, json, &table).await;
    assert_eq!(status, 200, "{receipt}");
    let parsed = Receipt::from_bytes(receipt.as_bytes()).unwrap();
    let near = |value: i64, exact: i64| (value - exact).abs() <= 6;
    assert!(near(parsed.values[0].value, 7) && near(parsed.values[1].value, 9_183_645), "{:?}", parsed.values);
    assert!(verify(&[receipt.as_bytes()]).is_ok());
    // Nothing is drawn twice, whatever is brought.
    let (status, again) = post(privet.admin, WINDOW, "content-type: text/csv", "section,value\napps,1\n").await;
    assert_eq!((status, again), (200, receipt));
    // The budget of a day is spent.
    let next = WINDOW.replace("11-20T", "11-19T");
    let (status, other) = post(privet.admin, &next, json, &table).await;
    assert_eq!(status, 200, "windows of other days have budgets of their own: {other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_table_is_read_and_bad_ones_name_their_row() {
    let privet = running().await;
    for (day, kind, body) in [
        (1, "application/x-ndjson", "{\"section\":\"apps\",\"value\":5}\n{\"section\":\"games\",\"value\":0}\n"),
        (2, "text/csv; charset=utf-8", "section,value\napps,5\n"),
        (3, "application/json", "[]"),
    ] {
        let path = WINDOW.replace("11-20", &format!("10-0{day}"));
        let (status, answer) = post(privet.admin, &path, &format!("content-type: {kind}"), body).await;
        assert_eq!(status, 200, "{answer}");
    }
    let json = "content-type: application/json";
    for (body, why) in [
        ("{}", "from row 1 on"),
        ("[{\"section\":\"apps\",\"value\":1}", "from row 2 on"),
        ("[{\"section\":\"canary-9b\",\"value\":1}]", "row 1 has no key that this export declares"),
        ("[{\"section\":\"apps\",\"value\":1},{\"section\":\"apps\",\"value\":2}]", "row 2 repeats"),
        ("[{\"section\":\"apps\",\"value\":1.5}]", "row 1 has no usable `value`"),
        ("[{\"section\":\"apps\",\"value\":1,\"canary-9b\":2}]", "row 1 has a column"),
        ("[{\"section\":\"apps\",\"value\":[1]}]", "from row 1 on"),
    ] {
        let (status, answer) = post(privet.admin, WINDOW, json, body).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(answer.contains(why) && !answer.contains("canary-9b"), "{body}: {answer}");
    }
    for (kind, body) in [("text/csv", ""), ("text/csv", "x"), ("application/x-ndjson", "\n"), ("text/csv", "section\n")]
    {
        let (status, answer) = post(privet.admin, WINDOW, &format!("content-type: {kind}"), body).await;
        assert_eq!(status, 400, "{body}: {answer}");
    }
    let (_, latest) = post(privet.admin, WINDOW, json, "[]").await;
    assert!(Receipt::from_bytes(latest.as_bytes()).is_ok(), "what was refused left the window free: {latest}");
    let (status, answer) = post(privet.admin, &WINDOW.replace("11-20", "10-20"), json, "[]").await;
    assert_eq!(status, 409, "more than a horizon before: {answer}");
    for (path, status) in [
        ("/v1/exports/measured", 400),
        ("/v1/exports/measured?window=2026-11-20T01:00:00Z", 400),
        ("/v1/exports/measured?window=2199-11-20T00:00:00Z", 400),
        ("/v1/exports/other?window=2026-11-20T00:00:00Z", 404),
    ] {
        assert_eq!(post(privet.admin, path, json, "[]").await.0, status, "{path}");
    }
    assert_eq!(post(privet.admin, WINDOW, "content-type: text/plain", "[]").await.0, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_where_one_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "a-token-of-the-test-0123456789\n").unwrap();
    let policy = posted("count: {noise: discrete_laplace, epsilon: \"60\"}");
    let configured = format!("exports: {{directory: exports, volume: persistent, token_file: {}}}\n", token.display());
    let privet = Running::under(&policy, &configured).await;
    let json = "content-type: application/json";
    assert_eq!(post(privet.admin, WINDOW, json, "[]").await.0, 401);
    let wrong = format!("{json}\r\nauthorization: Bearer a-token-of-the-test-0123456788");
    assert_eq!(post(privet.admin, WINDOW, &wrong, "[]").await.0, 401);
    let right = format!("{json}\r\nauthorization: Bearer a-token-of-the-test-0123456789");
    assert_eq!(post(privet.admin, WINDOW, &right, "[]").await.0, 200);
}
