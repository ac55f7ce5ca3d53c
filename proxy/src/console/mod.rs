//! The auditors' page and the data behind it: `/console`, `/v1/console/` and `/v1/log/` on the admin address.
//!
//! Promise: it only reads. The page is static, asks nobody else for anything and
//! is told so by its content security policy; the log's files are served as they
//! lie on disk, so that a browser checks them itself; every number comes from
//! what privet keeps anyway. Exact counts are for auditors: whoever reads has the
//! token, or stands on this machine and was not led here by a name.
//!
//! Not here: connections and their bounds, which are [`crate::admin`]'s, and any
//! judgement of the log, which is the reader's.

mod access;
mod answer;
mod assets;
mod change;
mod exports;
mod shelf;
mod summary;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use privet_policy::exposure::{exposure, report};
use tokio::sync::Semaphore;

use crate::audit::Recorder;
use crate::line::Line;
pub(crate) use access::Access;
pub use access::CannotOpen;
pub use answer::{Answer, Body, whole};
use change::Change;
use exports::Receipts;
use shelf::Shelf;

/// Where the page and its data are found.
const PAGE: &str = "/console";
const DATA: &str = "/v1/console/";
const LOG: &str = "/v1/log/";

/// Where the console is found once there is one.
#[derive(Default)]
pub struct Place(ArcSwapOption<Console>);

impl Place {
    /// The console opens.
    pub fn open(&self, console: Console) {
        self.0.store(Some(Arc::new(console)));
    }

    /// Whether a path is the console's.
    #[must_use]
    pub fn has(path: &str) -> bool {
        let page = path.strip_prefix(PAGE).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        page || path.starts_with(DATA) || path.starts_with(LOG)
    }

    /// Answers a request for one of the console's paths.
    pub async fn answer<B>(&self, request: &Request<B>) -> Answer {
        match self.0.load_full() {
            Some(console) => console.answer(request.method(), request.uri().path(), request.headers()).await,
            None => answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the sidecar is starting"),
        }
    }
}

/// The console of a running sidecar.
pub struct Console {
    access: Access,
    line: Arc<Line>,
    recorder: Recorder,
    /// Number of this process start in the log.
    incarnation: u64,
    log: Shelf,
    receipts: Receipts,
    change: Change,
    /// What leaves under the policy in force, made once for each.
    exposure: Mutex<Option<(String, Bytes)>>,
    /// Long work, one at a time.
    room: Semaphore,
}

/// Which file or table a path asks for.
enum Wanted<'p> {
    Asset(&'p str),
    Log(&'p str),
    Receipt(&'p str),
    Summary,
    Exposure,
    Diff,
    Exports,
    Nothing,
}

impl<'p> Wanted<'p> {
    fn at(path: &'p str) -> Self {
        if let Some(asset) = path.strip_prefix(PAGE) {
            return Self::Asset(asset.trim_start_matches('/'));
        }
        if let Some(file) = path.strip_prefix(LOG) {
            return Self::Log(file);
        }
        match path.strip_prefix(DATA).unwrap_or_default() {
            "summary" => Self::Summary,
            "exposure" => Self::Exposure,
            "diff" => Self::Diff,
            "exports" => Self::Exports,
            other => other.strip_prefix("receipts/").map_or(Self::Nothing, Self::Receipt),
        }
    }
}

impl Console {
    /// A console over what runs here, for whoever may read it.
    pub(crate) fn new(config: &crate::config::Config, access: Access, line: Arc<Line>, recorder: Recorder) -> Self {
        Self {
            access,
            line,
            incarnation: recorder.running().incarnation,
            recorder,
            log: Shelf::new(&config.log.directory),
            receipts: Receipts::new(&config.exports.directory),
            change: Change::new(&config.log.directory),
            exposure: Mutex::default(),
            room: Semaphore::new(1),
        }
    }

    async fn answer(self: Arc<Self>, method: &Method, path: &str, headers: &HeaderMap) -> Answer {
        if method != Method::GET && method != Method::HEAD {
            return answer::problem(StatusCode::METHOD_NOT_ALLOWED, "GET only");
        }
        let wanted = Wanted::at(path);
        let refused = match wanted {
            Wanted::Asset(_) => self.access.shows_the_page(headers).map_err(|refused| refused.page()),
            _ => self.access.admits(headers).map_err(|refused| refused.answer()),
        };
        if let Err(answer) = refused {
            return answer;
        }
        match wanted {
            Wanted::Asset(name) => assets::answer(name),
            Wanted::Log(file) => self.log.answer(file, self.incarnation).await,
            Wanted::Receipt(file) => self.receipts.answer(file).await,
            Wanted::Summary => answer::json(&summary::of(&self.recorder.running(), &self.line)),
            Wanted::Exposure => self.at_leisure(Self::exposure).await,
            Wanted::Diff => self.at_leisure(Self::diff).await,
            Wanted::Exports => self.at_leisure(Self::exports).await,
            Wanted::Nothing => answer::problem(StatusCode::NOT_FOUND, "not here"),
        }
    }

    /// Does long work on a thread where it is in nobody's way.
    async fn at_leisure(self: Arc<Self>, work: fn(&Self) -> Answer) -> Answer {
        let console = Arc::clone(&self);
        let _turn = self.room.acquire().await;
        let done = tokio::task::spawn_blocking(move || work(&console)).await;
        done.unwrap_or_else(|_| answer::problem(StatusCode::INTERNAL_SERVER_ERROR, "a fault inside privet"))
    }

    /// What leaves under the policy in force, as `privet exposure --json` says it.
    fn exposure(&self) -> Answer {
        let Some(in_force) = self.line.in_force() else {
            return answer::problem(StatusCode::SERVICE_UNAVAILABLE, "no policy is in force: see /readyz");
        };
        let policy = &in_force.enforcement.policy;
        let digest = policy.digest().to_string();
        let mut known = self.exposure.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = known.as_ref().filter(|(of, _)| *of == digest) {
            return answer::json_bytes(table.clone());
        }
        let table = Bytes::from(report(policy, &exposure(policy)).to_string());
        *known = Some((digest, table.clone()));
        answer::json_bytes(table)
    }

    fn diff(&self) -> Answer {
        self.change.answer(&self.recorder.running().change)
    }

    fn exports(&self) -> Answer {
        let in_force = self.line.in_force();
        answer::json(&self.receipts.told(in_force.as_ref().map(|in_force| &in_force.exports)))
    }
}
