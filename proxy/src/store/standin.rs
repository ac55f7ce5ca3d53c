//! A small S3-compatible store for tests, on loopback. It checks every signature with an implementation of its own
//! (`hmac` and `sha2`, where ours is ring's), and can be told to fail.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use crate::config::{Bucket, StoreAt, Upstream};
use crate::tasks::TaskSet;

const ACCESS: &str = "AKIATEST";
const SECRET: &str = "a-secret/with+signs";

/// What happens to a request instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Done, and answered with this status all the same.
    Answers(u16),
    /// Done, and the connection is cut before the answer.
    CutAfter,
    /// Not done, and the answer does not come.
    Hangs,
}

#[derive(Default)]
pub(crate) struct Inside {
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) trouble: VecDeque<Trouble>,
    /// The number of a request, counted from 0, and what happens to it.
    pub(crate) fails_at: Option<(usize, Trouble)>,
    pub(crate) requests: usize,
    /// Of every object that was written, in order.
    pub(crate) written: Vec<String>,
    pub(crate) wrongly_signed: usize,
    /// Every page of a listing has another after it.
    pub(crate) endless: bool,
}

/// The store; it ends with its tasks.
pub(crate) struct Standin {
    pub(crate) address: SocketAddr,
    pub(crate) inside: Arc<Mutex<Inside>>,
    _tasks: TaskSet,
}

impl Standin {
    pub(crate) async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let tasks = TaskSet::new();
        tasks.spawn(serve(socket, Arc::clone(&inside), tasks.clone()));
        Self { address, inside, _tasks: tasks }
    }

    /// How it is configured; the key files are written into `dir`.
    pub(crate) fn at(&self, dir: &Path) -> StoreAt {
        std::fs::write(dir.join("access"), format!("{ACCESS}\n")).unwrap();
        std::fs::write(dir.join("secret"), format!("{}\n", SECRET)).unwrap();
        StoreAt::S3(Box::new(Bucket {
            endpoint: format!("http://{}", self.address).parse().unwrap(),
            region: "eu-test-1".to_owned(),
            bucket: "logs".to_owned(),
            prefix: "fleet/a+b".to_owned(),
            access_key_file: dir.join("access"),
            secret_key_file: dir.join("secret"),
            timeout: Duration::from_millis(700),
            tls: Upstream::default(),
        }))
    }

    pub(crate) fn troubled_by(&self, trouble: &[Trouble]) {
        self.inside.lock().unwrap().trouble.extend(trouble);
    }

    /// Writes all objects below `prefix` as files.
    pub(crate) fn unpack(&self, prefix: &str, into: &Path) {
        for (key, bytes) in &self.inside.lock().unwrap().objects {
            if let Some(name) = key.strip_prefix(prefix) {
                let path = into.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        }
    }
}

async fn serve(socket: TcpListener, inside: Arc<Mutex<Inside>>, tasks: TaskSet) {
    while let Ok((stream, _)) = socket.accept().await {
        let inside = Arc::clone(&inside);
        tasks.spawn(async move {
            let service = service_fn(async |request| answer(&inside, request).await);
            // A cut connection is one of the things it is told to do.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn answer(inside: &Mutex<Inside>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let trouble = {
        let mut inside = inside.lock().unwrap();
        let number = inside.requests;
        inside.requests += 1;
        let meant = inside.fails_at.filter(|(nth, _)| *nth == number).map(|(_, trouble)| trouble);
        meant.or_else(|| inside.trouble.pop_front())
    };
    if trouble == Some(Trouble::Hangs) {
        tokio::time::sleep(Duration::from_secs(20)).await;
        return Err(Cut);
    }
    let done = if is_signed(&head, &body) {
        inside.lock().unwrap().act(&head, &body)
    } else {
        inside.lock().unwrap().wrongly_signed += 1;
        plain(403, Vec::new())
    };
    match trouble {
        Some(Trouble::CutAfter) => Err(Cut),
        Some(Trouble::Answers(status)) => Ok(plain(status, b"<Error/>".to_vec())),
        _ => Ok(done),
    }
}

fn plain(status: u16, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Sha256::digest(bytes))[..32].to_owned())
}

impl Inside {
    fn act(&mut self, head: &http::request::Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let path = head.uri.path().strip_prefix("/logs").unwrap_or_default().trim_start_matches('/');
        let key = percent_encoding::percent_decode_str(path).decode_utf8().unwrap().into_owned();
        let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let there = self.objects.get(&key).map(|bytes| tag(bytes));
        match head.method {
            Method::GET if key.is_empty() => self.list(head.uri.query().unwrap_or_default()),
            Method::GET => match self.objects.get(&key) {
                None => plain(404, Vec::new()),
                Some(bytes) => {
                    let mut response = plain(200, bytes.clone());
                    response.headers_mut().insert("etag", tag(bytes).parse().unwrap());
                    response
                }
            },
            Method::PUT if header("if-none-match").is_some() && there.is_some() => plain(412, Vec::new()),
            Method::PUT if header("if-match").is_some() && there.is_none() => plain(404, Vec::new()),
            Method::PUT if header("if-match").is_some_and(|wanted| Some(wanted) != there) => plain(412, Vec::new()),
            Method::PUT => {
                self.written.push(key.clone());
                self.objects.insert(key, body.to_vec());
                plain(200, Vec::new())
            }
            Method::DELETE => {
                self.objects.remove(&key);
                plain(204, Vec::new())
            }
            _ => plain(405, Vec::new()),
        }
    }

    /// Two keys a page, so that everybody has to turn pages.
    fn list(&self, query: &str) -> Response<Full<Bytes>> {
        let value = |name: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.map(|value| percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned())
        };
        assert_eq!(value("list-type").as_deref(), Some("2"));
        let (prefix, after) = (value("prefix").unwrap(), value("continuation-token").unwrap_or_default());
        let mut keys = self.objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
        let page: Vec<_> = keys.by_ref().take(2).collect();
        let more = self.endless || keys.next().is_some();
        let contents: String = page
            .iter()
            .map(|(key, bytes)| {
                let tag = tag(bytes).replace('"', "&quot;");
                format!("<Contents><Key>{key}</Key><ETag>{tag}</ETag><Size>{}</Size></Contents>", bytes.len())
            })
            .collect();
        let next = page.last().map_or(after, |(key, _)| key.to_string());
        let next = if more { format!("<NextContinuationToken>{next}</NextContinuationToken>") } else { String::new() };
        let xml = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{contents}{next}</ListBucketResult>"
        );
        plain(200, xml.into_bytes())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Works the signature out again from what arrived.
fn is_signed(head: &http::request::Parts, body: &[u8]) -> bool {
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    let part = |name: &str| {
        let found = authorization.split([' ', ',']).find_map(|part| part.strip_prefix(&format!("{name}=")));
        found.unwrap_or_default().to_owned()
    };
    let (scope, names, claimed) = (part("Credential"), part("SignedHeaders"), part("Signature"));
    let Some(scope) = scope.strip_prefix(&format!("{ACCESS}/")) else { return false };
    let has = |name: &str| names.split(';').any(|signed| signed == name);
    let all_signed = ["host", "x-amz-content-sha256", "x-amz-date"].into_iter().all(has)
        && ["if-match", "if-none-match"].into_iter().all(|name| header(name).is_empty() || has(name));
    let date = header("x-amz-date");
    let digest = hex(&Sha256::digest(body));
    let mut query: Vec<&str> = head.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut canonical = format!("{}\n{}\n{}\n", head.method, head.uri.path(), query.join("&"));
    names.split(';').for_each(|name| canonical.push_str(&format!("{name}:{}\n", header(name))));
    canonical.push_str(&format!("\n{names}\n{}", header("x-amz-content-sha256")));
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let secret = format!("AWS4{}", SECRET);
    let key = scope.split('/').fold(secret.into_bytes(), |key, part| mac(&key, part));
    all_signed
        && header("x-amz-content-sha256") == digest
        && scope == format!("{}/eu-test-1/s3/aws4_request", &date[..8])
        && hex(&mac(&key, &to_sign)) == claimed
}
