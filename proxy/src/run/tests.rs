//! The sidecar in one process: started, reloaded, stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Response;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::client::TlsStream;

use super::*;
use crate::accept::{Held, Refusal};
use crate::clock::SystemClock;
use crate::request::{Asked, ListenerFacts, RawRequest};

/// Answers when the test lets it.
struct Gated(Semaphore);

impl Carry for Gated {
    async fn carry(&self, _: RawRequest, _: Held<'_>) -> Response<Bytes> {
        self.0.acquire().await.unwrap().forget();
        Response::new(Bytes::from_static(b"carried"))
    }

    fn refuse(&self, _: &ListenerFacts, _: &Asked<'_>, _: Refusal) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        answer
    }
}

fn config(directory: &Path, listener: &str) -> Config {
    let text = format!(
        "apiVersion: privet.dev/v1alpha1\nkind: Config\npolicies: policies\n\
         admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\ndrain: {{grace_secs: 5}}\n\
         listeners:\n  - {{name: events, address: \"127.0.0.1:0\", formats: [segment]{listener}}}\n"
    );
    Config::parse("privet.yaml", &text, directory).unwrap()
}

async fn opened(config: &Config, permits: usize) -> (Open<Gated>, Arc<Gated>) {
    let foundation = Foundation::lay(config, Arc::new(SystemClock::default())).unwrap();
    let line = Arc::new(Gated(Semaphore::new(permits)));
    (open(config, foundation, Arc::clone(&line), Vec::new()).await.unwrap(), line)
}

async fn get(address: SocketAddr, path: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    get_over(stream, path).await
}

async fn get_over(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8(answer).unwrap()
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The end of the sidecar under test, as its task gives it back.
type Ended = tokio::task::JoinHandle<Result<Finish, &'static str>>;

fn serve(open: Open<Gated>, closed: Arc<AtomicBool>) -> (oneshot::Sender<()>, Ended) {
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let close = async move || {
        closed.store(true, Ordering::SeqCst);
        Ok(())
    };
    (stop, tokio::task::spawn(open.serve(stopped, close)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_refuses_until_a_policy_is_in_force_and_drains_before_the_log_closes() {
    let directory = tempfile::tempdir().unwrap();
    let (open, line) = opened(&config(directory.path(), ""), 0).await;
    let (events, admin) = (open.addresses()[0], open.foundation().admin_address);
    let (health, metrics) = (Arc::clone(&open.foundation().health), Arc::clone(&open.foundation().metrics));
    let closed = Arc::new(AtomicBool::new(false));
    let (stop, ended) = serve(open, Arc::clone(&closed));
    assert!(get(events, "/").await.starts_with("HTTP/1.1 503"));
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(admin, "/livez").await.starts_with("HTTP/1.1 200"));
    health.policy_in_force("sha256:test");
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 200"));

    let under_way = tokio::task::spawn(get(events, "/"));
    until("the request is under way", || async { metrics.render().contains("privet_connections_open 1") }).await;
    stop.send(()).unwrap();
    until("it is not ready", || async { get(admin, "/readyz").await.starts_with("HTTP/1.1 503") }).await;
    until("the listener is closed", || async { TcpStream::connect(events).await.is_err() }).await;
    assert!(!closed.load(Ordering::SeqCst) && !ended.is_finished());
    line.0.add_permits(1);
    assert!(under_way.await.unwrap().ends_with("carried"));
    assert_eq!(ended.await.unwrap(), Ok(Finish::Complete));
    assert!(closed.load(Ordering::SeqCst));
    assert!(TcpStream::connect(admin).await.is_err(), "health ends with the sidecar");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config(directory.path(), "");
    config.listeners[0].address = taken.local_addr().unwrap();
    let Err(error) = Foundation::lay(&config, Arc::new(SystemClock::default())) else { panic!("the address is taken") };
    let told = chain(&error);
    assert!(told.starts_with("the listener `events` cannot listen on 127.0.0.1:"), "{told}");
    assert!(told.to_lowercase().contains("in use"), "{told}");
}

#[tokio::test]
async fn a_missing_certificate_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), ", tls: {certificate: no.crt, key: no.key}");
    let laid = Foundation::lay(&config, Arc::new(SystemClock::default()));
    let Err(error) = laid else { panic!("there is no certificate") };
    assert!(chain(&error).contains("no.crt"), "{}", chain(&error));
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(directory: &Path, authority: &Authority) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    std::fs::write(directory.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(directory.join("tls.key"), key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

async fn shake(address: SocketAddr, authority: &Authority) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_certificates_are_served_and_open_connections_stay() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority();
    let old = issue(directory.path(), &authority);
    let (open, _) = opened(&config(directory.path(), ", tls: {certificate: tls.crt, key: tls.key}"), 10).await;
    let events = open.addresses()[0];
    let metrics = Arc::clone(&open.foundation().metrics);
    open.foundation().health.policy_in_force("sha256:test");
    let (stop, ended) = serve(open, Arc::default());
    let before = shake(events, &authority).await;
    assert_eq!(shown(&before), old);

    // A certificate whose key is not there yet is not taken.
    std::fs::write(directory.path().join("tls.key"), "half of a key").unwrap();
    until("the mistake is told", || async {
        metrics.render().contains(r#"privet_reload_stale{what="certificates"} 1"#)
    })
    .await;
    assert_eq!(shown(&shake(events, &authority).await), old);

    let new = issue(directory.path(), &authority);
    until("the new certificate is served", || async { shown(&shake(events, &authority).await) == new }).await;
    assert!(get_over(before, "/").await.ends_with("carried"));
    stop.send(()).unwrap();
    assert_eq!(ended.await.unwrap(), Ok(Finish::Complete));
}
