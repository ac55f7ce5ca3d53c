//! `POST /v1/exports/{name}?window=START`: exact tables that others in the pod bring.
//!
//! Promise: a table is taken on a loopback address or with the token alone, is
//! written nowhere, and is answered with the receipt of its release. An answer
//! quotes nothing of the table.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, StatusCode, Uri, header};
use jiff::Timestamp;
use privet_dp::ledger::CannotSpend;
use serde_json::json;

use super::Withheld;
use super::posted::{self, Written};
use crate::bearer::Token;
use crate::clock::Clock;
use crate::line::Line;
use crate::run::chain;

/// The largest table.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// What paths of tables begin with.
pub const PATH: &str = "/v1/exports/";

/// Where the intake is found once there is one.
#[derive(Default)]
pub struct Place(ArcSwapOption<Intake>);

/// Who takes tables.
pub struct Intake {
    line: Arc<Line>,
    clock: Arc<dyn Clock>,
    /// Nothing where the address is a loopback one, which all in the pod share.
    token: Option<Token>,
}

/// A table that is not taken, in words for whoever brought it.
struct Declined(StatusCode, String);

/// An answer: a status and a JSON document.
pub type Answer = (StatusCode, Vec<u8>);

impl Place {
    /// The intake opens.
    pub fn open(&self, intake: Intake) {
        self.0.store(Some(Arc::new(intake)));
    }

    /// Whether a request may bring a table, before its body is read.
    ///
    /// # Errors
    /// The answer to one that may not.
    pub fn admits(&self, headers: &HeaderMap) -> Result<(), Answer> {
        let Some(intake) = self.0.load_full() else {
            let why = "no table is taken here: the admin address is no loopback one, and the configuration names no `exports.token_file`";
            return Err(told(&Declined(StatusCode::FORBIDDEN, why.to_owned())));
        };
        if intake.token.as_ref().is_none_or(|token| token.lets_in(headers)) {
            return Ok(());
        }
        let why = "`Authorization: Bearer TOKEN` is missing or has another token".to_owned();
        Err(told(&Declined(StatusCode::UNAUTHORIZED, why)))
    }

    /// Takes a table. Waits for its release, so not for an event runtime.
    #[must_use]
    pub fn take(&self, uri: &Uri, headers: &HeaderMap, body: Vec<u8>) -> Answer {
        let Some(intake) = self.0.load_full() else { return told(&Declined(StatusCode::FORBIDDEN, String::new())) };
        match intake.take(uri, headers, body) {
            Ok(receipt) => (StatusCode::OK, receipt),
            Err(declined) => told(&declined),
        }
    }
}

/// The answer to a request that brings no table, or one that is not to be read.
#[must_use]
pub fn declined(status: StatusCode, why: &str) -> Answer {
    told(&Declined(status, why.to_owned()))
}

fn told(Declined(status, why): &Declined) -> Answer {
    (*status, format!("{}\n", json!({"error": why})).into_bytes())
}

impl Intake {
    /// An intake for whoever has the token, or for all where there is none.
    #[must_use]
    pub fn new(line: Arc<Line>, clock: Arc<dyn Clock>, token: Option<Token>) -> Self {
        Self { line, clock, token }
    }

    fn take(&self, uri: &Uri, headers: &HeaderMap, mut body: Vec<u8>) -> Result<Vec<u8>, Declined> {
        let wrong = |why: String| Declined(StatusCode::BAD_REQUEST, why);
        let name = uri.path().strip_prefix(PATH).unwrap_or_default();
        let in_force = self.line.in_force();
        let (in_force, exports) = in_force.zip(self.line.exports()).ok_or_else(|| {
            Declined(StatusCode::SERVICE_UNAVAILABLE, "no export runs: see the notes of /readyz".to_owned())
        })?;
        if in_force.exports.is_survey(name) {
            let why = "this export gathers reports from events: one that takes tables says `from: {table: posted}`";
            return Err(Declined(StatusCode::CONFLICT, why.to_owned()));
        }
        let plan = in_force.exports.export(name);
        let plan = plan.ok_or_else(|| Declined(StatusCode::NOT_FOUND, "there is no export of this name".to_owned()))?;
        if plan.contract.is_some() {
            let why = "this export counts events: one that takes tables says `from: {table: posted}`";
            return Err(Declined(StatusCode::CONFLICT, why.to_owned()));
        }
        let start = window_start(uri)
            .ok_or_else(|| wrong("say whose window it is: `?window=2026-11-21T00:00:00Z`".to_owned()))?;
        let window = plan.query.schedule.tiling().window_at(start.as_second());
        if window.start() != start {
            return Err(wrong(format!("no window begins then: the one that holds it begins at {}", window.start())));
        }
        if !window.is_over(self.clock.now()) {
            return Err(wrong(format!("the window is not over before {}", window.end())));
        }
        let kind = written(headers).ok_or_else(|| {
            let kinds = "application/json, application/x-ndjson or text/csv";
            Declined(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("the content type of a table is {kinds}"))
        })?;
        let cells = posted::read(kind, &mut body, &plan.query).map_err(|error| wrong(error.to_string()))?;
        let digest = in_force.enforcement.policy.digest().0;
        exports.post(Arc::clone(&plan.query), digest, window, cells).map_err(|withheld| why_withheld(&withheld))
    }
}

fn why_withheld(withheld: &Withheld) -> Declined {
    let status = match withheld {
        Withheld::Unpaid(CannotSpend::OverBudget { .. }) => StatusCode::TOO_MANY_REQUESTS,
        _ if withheld.is_askers_mistake() => StatusCode::CONFLICT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Declined(status, chain(withheld))
}

/// `window` in the query.
fn window_start(uri: &Uri) -> Option<Timestamp> {
    let value = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("window="))?;
    let value = percent_encoding::percent_decode_str(value).decode_utf8().ok()?;
    value.parse().ok()
}

fn written(headers: &HeaderMap) -> Option<Written> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Some(Written::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Written::Ndjson),
        "text/csv" => Some(Written::Csv),
        _ => None,
    }
}
