//! A ledger's health and metrics over HTTP. Nothing served here is by origin: those are in the ledger's log.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;
use tokio::net::TcpListener;

use crate::side_door::{self, Bounds, typed};
use crate::tasks::TaskSet;

const BOUNDS: Bounds = Bounds {
    connections_max: 16,
    connections_spare: 0,
    header_timeout: Duration::from_secs(5),
    connection_timeout: Duration::from_secs(30),
};

/// What there is to see of a ledger.
#[derive(Debug, Default)]
pub(super) struct Board {
    confirmed: AtomicBool,
    quorum: AtomicU64,
    cosigned: AtomicU64,
    /// Unix time of the last checkpoint with enough cosignatures; 0 before the first.
    published_secs: AtomicI64,
    logs: AtomicU64,
    rolled: AtomicU64,
    unread: AtomicU64,
    contradictions: AtomicU64,
    beyond: AtomicU64,
    store: Mutex<Option<String>>,
}

impl Board {
    pub(super) fn quorum(&self, quorum: usize) {
        self.quorum.store(quorum as u64, Ordering::Relaxed);
    }

    pub(super) fn confirmed(&self, confirmed: bool) {
        self.confirmed.store(confirmed, Ordering::Relaxed);
    }

    pub(super) fn cosigned(&self, by: usize, enough: bool, now_secs: i64) {
        self.cosigned.store(by as u64, Ordering::Relaxed);
        if enough {
            self.published_secs.store(now_secs, Ordering::Relaxed);
        }
    }

    pub(super) fn beyond(&self) {
        self.beyond.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn looked(&self, logs: usize, unread: usize, contradictions: usize) {
        self.logs.store(logs as u64, Ordering::Relaxed);
        self.unread.store(unread as u64, Ordering::Relaxed);
        self.contradictions.fetch_add(contradictions as u64, Ordering::Relaxed);
    }

    pub(super) fn rolled(&self, logs: usize) {
        self.rolled.fetch_add(logs as u64, Ordering::Relaxed);
    }

    pub(super) fn store(&self, fault: Option<String>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    pub(super) fn readiness(&self) -> (StatusCode, String) {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (confirmed, cosigned) = (self.confirmed.load(Ordering::Relaxed), self.cosigned.load(Ordering::Relaxed));
        let quorum = self.quorum.load(Ordering::Relaxed);
        let ready = confirmed && store.is_none() && cosigned >= quorum;
        let body = json!({
            "ready": ready,
            "disk_confirmed_by_witnesses": confirmed,
            "cosigned": cosigned,
            "quorum": quorum,
            "unwitnessed": quorum == 0,
            "store": store,
        });
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, format!("{body:#}\n"))
    }

    fn metrics(&self) -> String {
        let own = |value: &AtomicU64| value.load(Ordering::Relaxed).to_string();
        let published = self.published_secs.load(Ordering::Relaxed).to_string();
        let lines = [
            ("privet_ledger_logs", "gauge", "logs that were rolled: is every pod there?", own(&self.logs)),
            ("privet_ledger_rolled_total", "counter", "logs rolled forward, over all rounds", own(&self.rolled)),
            (
                "privet_ledger_contradictions_total",
                "counter",
                "shipped logs that contradicted what was rolled: was a log changed?",
                own(&self.contradictions),
            ),
            (
                "privet_ledger_unread",
                "gauge",
                "logs whose objects were not all there in the last round",
                own(&self.unread),
            ),
            (
                "privet_ledger_beyond_total",
                "counter",
                "answers of witnesses that know another history of the ledger: did its disk go back?",
                own(&self.beyond),
            ),
            ("privet_ledger_cosigned", "gauge", "witnesses that cosigned last time", own(&self.cosigned)),
            (
                "privet_ledger_published_timestamp_seconds",
                "gauge",
                "when a checkpoint with enough cosignatures was published last",
                published,
            ),
        ];
        let text = lines
            .map(|(name, kind, help, value)| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        text.concat()
    }
}

/// Serves `/livez`, `/readyz` and `/metrics`; connections belong to `tasks`.
pub(super) async fn serve(socket: TcpListener, board: Arc<Board>, tasks: TaskSet) {
    side_door::serve(socket, BOUNDS, tasks, move |request| std::future::ready(answer(&board, &request))).await;
}

fn answer(board: &Board, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return typed(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET only\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => typed(StatusCode::OK, "text/plain", "alive\n".to_owned()),
        "/readyz" => {
            let (status, body) = board.readiness();
            typed(status, "application/json", body)
        }
        "/metrics" => typed(StatusCode::OK, "text/plain; version=0.0.4", board.metrics()),
        _ => typed(StatusCode::NOT_FOUND, "text/plain", "not here\n".to_owned()),
    }
}
