//! Publishing: files and a receiver that fails in every way it may.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use ::ring::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use privet_dp::ledger::{Ledger, ReleaseState};

use super::*;
use crate::config::Receiver;
use crate::signing::SigningKey;

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Deed {
    Answer(u16),
    HangUp,
    Stall(Duration),
}

/// One request as it arrived.
#[derive(Clone, Debug)]
struct Posted {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Posted {
    fn header(&self, name: &str) -> &str {
        let found: Vec<_> = self.headers.iter().filter(|(key, _)| key == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        &found[0].1
    }

    fn receipt(&self) -> Receipt {
        Receipt::from_bytes(&self.body).unwrap()
    }
}

/// A receiver on loopback, stopped when it is dropped.
struct Desk {
    address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    /// `deed` is asked with the request and how many came before it.
    fn open(at: SocketAddr, deed: impl Fn(&Posted, usize) -> Deed + Send + 'static) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (posted, stop) = (Arc::<Mutex<Vec<Posted>>>::default(), Arc::new(AtomicBool::new(false)));
        let (kept, stopped) = (Arc::clone(&posted), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((stream, _)) => serve(stream, &kept, &deed),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { address, posted, stop, thread: Some(thread) }
    }

    fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }

    fn wait_for(&self, requests: usize) -> Vec<Posted> {
        let started = Instant::now();
        while self.posted().len() < requests {
            assert!(started.elapsed() < Duration::from_secs(20), "{} of {requests} requests", self.posted().len());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.posted()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(stream: TcpStream, kept: &Mutex<Vec<Posted>>, deed: &impl Fn(&Posted, usize) -> Deed) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let Some(posted) = read(&stream) else { return };
    let before = kept.lock().unwrap().len();
    let deed = deed(&posted, before);
    kept.lock().unwrap().push(posted);
    match deed {
        Deed::Answer(status) => {
            write!(&stream, "HTTP/1.1 {status} said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
        }
        Deed::HangUp => {}
        Deed::Stall(so_long) => std::thread::sleep(so_long),
    }
}

fn read(stream: &TcpStream) -> Option<Posted> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        lines.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some(Posted { line: line.trim_end().to_owned(), headers, body })
}

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const TOKEN: &str = "token-of-the-receiver-0123456789";

impl Bench {
    /// Posts to this address; gives the public key that requests are signed with.
    fn post_to(&mut self, address: SocketAddr, timeout: Duration) -> Vec<u8> {
        let (key_file, token_file) = (self.directory.path().join("signing.key"), self.directory.path().join("token"));
        if !key_file.exists() {
            fs::write(&key_file, &*SigningKey::fresh_file("shop-pod").unwrap()).unwrap();
            fs::write(&token_file, format!("{TOKEN}\n")).unwrap();
        }
        let public = fs::read_to_string(&key_file).unwrap();
        let public = STANDARD.decode(public.lines().next().unwrap().splitn(3, '+').nth(2).unwrap());
        self.publish.http = Some(Receiver {
            url: format!("http://{address}/v1/receipts?tenant=7").parse().unwrap(),
            token_file: Some(token_file),
            signing_key_file: key_file,
            timeout,
            tls: crate::config::Upstream::default(),
        });
        public.unwrap_or_else(|_| panic!("the key's first line is its public half"))
    }

    fn state_of(&self, receipt: &Receipt) -> Option<ReleaseState> {
        Ledger::open(&self.settings().ledger).unwrap().state(receipt.release_id).unwrap()
    }
}

/// RFC 9421, read anew: the base is put together from the request alone.
fn verify_signature(posted: &Posted, address: SocketAddr, public: &[u8]) {
    let input = posted.header("signature-input").strip_prefix("sig1=").unwrap();
    let (list, parameters) = input.strip_prefix('(').unwrap().split_once(')').unwrap();
    let mut base = String::new();
    for component in list.split(' ') {
        let value = match component.trim_matches('"') {
            "@method" => posted.line.split(' ').next().unwrap().to_owned(),
            "@target-uri" => format!("http://{address}{}", posted.line.split(' ').nth(1).unwrap()),
            header => posted.header(header).to_owned(),
        };
        base.push_str(&format!("{component}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": ({list}){parameters}"));
    let signature = posted.header("signature").strip_prefix("sig1=:").unwrap().strip_suffix(':').unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    UnparsedPublicKey::new(&ED25519, public).verify(base.as_bytes(), &signature).unwrap();
    let digest = STANDARD.encode(::ring::digest::digest(&::ring::digest::SHA256, &posted.body));
    assert_eq!(posted.header("content-digest"), format!("sha-256=:{digest}:"));
    assert!(parameters.contains("keyid=\"shop-pod\"") && parameters.contains("alg=\"ed25519\""), "{parameters}");
    assert!(list.contains("content-digest") && list.contains("idempotency-key"), "{list}");
}

#[test]
fn a_receiver_is_sent_the_same_signed_bytes_until_it_takes_them() {
    let desk = Desk::open(ANYWHERE, |_, before| match before {
        0 => Deed::Answer(500),
        1 => Deed::HangUp,
        _ => Deed::Answer(204),
    });
    let mut bench = Bench::at(NOON);
    let public = bench.post_to(desk.address, Duration::from_secs(5));
    bench.publish.parquet = true;
    let line = bench.start();
    line.observe(0, row(b"u-1", 0), &POLICY);
    bench.clock.set(NOON + 3600);
    let file = bench.wait_for(1).remove(0);
    let posted = desk.wait_for(3);
    drop(line);
    assert_eq!(desk.posted().len(), 3);
    for posted in &posted {
        assert_eq!(posted.body, fs::read(&file).unwrap());
        assert_eq!(posted.line, "POST /v1/receipts?tenant=7 HTTP/1.1");
        assert_eq!(posted.header("authorization"), format!("Bearer {TOKEN}"));
        assert_eq!(posted.header("idempotency-key"), format!("\"{}\"", posted.receipt().release_id));
        verify_signature(posted, desk.address, &public);
    }
    let receipt = receipt(&file);
    assert_eq!(bench.state_of(&receipt), Some(ReleaseState::Acknowledged(Digest::of(&fs::read(&file).unwrap()))));
    assert_eq!(bench.log.releases.lock().unwrap().len(), 1, "sending again is no second release");
    record(&file, &posted[0], desk.address, &public);
}

/// Leaves what was published and posted for other readers to judge: see `tools/published`.
fn record(file: &Path, posted: &Posted, address: SocketAddr, public: &[u8]) {
    let Some(into) = std::env::var_os("PRIVET_RECORD_PUBLISHED").map(PathBuf::from) else { return };
    fs::copy(file, into.join("receipt.json")).unwrap();
    fs::copy(file.with_extension("parquet"), into.join("receipt.parquet")).unwrap();
    fs::write(into.join("body"), &posted.body).unwrap();
    let url = format!("http://{address}{}", posted.line.split(' ').nth(1).unwrap());
    let request = serde_json::json!({"url": url, "headers": posted.headers, "public": STANDARD.encode(public)});
    fs::write(into.join("request.json"), request.to_string()).unwrap();
}

#[test]
fn what_a_receiver_missed_is_sent_after_a_restart_in_the_order_of_the_chain() {
    let gone = TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let mut bench = Bench::at(NOON);
    bench.post_to(gone, Duration::from_secs(5));
    let line = bench.start();
    for hour in 1..=4 {
        bench.clock.set(NOON + 3600 * hour);
        bench.wait_for(hour as usize);
    }
    drop(line);
    let published: Vec<_> = bench.files().iter().map(|file| fs::read(file).unwrap()).collect();
    let first = Receipt::from_bytes(&published[0]).unwrap();
    assert!(matches!(bench.state_of(&first), Some(ReleaseState::Committed(_))));

    let desk = Desk::open(gone, |_, _| Deed::Answer(200));
    let line = bench.start();
    let posted = desk.wait_for(4);
    drop(line);
    let arrived: Vec<_> = posted.iter().map(|posted| posted.body.clone()).collect();
    assert_eq!(arrived, published, "the same bytes, in order");
    assert!(matches!(bench.state_of(&first), Some(ReleaseState::Acknowledged(_))));
}

#[test]
fn one_export_that_is_refused_holds_up_no_other_and_is_kept() {
    let desk = Desk::open(ANYWHERE, |posted, _| match posted.receipt().query.as_str() {
        "searches-by-section" => Deed::Answer(422),
        _ => Deed::Answer(200),
    });
    let (first, mut second) = (export("1h"), export("1h"));
    second.name.value = "another".to_owned();
    let mut bench = Bench::at(NOON);
    bench.plans = plan::plan(&[first, second], &[]).unwrap();
    bench.post_to(desk.address, Duration::from_secs(5));
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    bench.wait_for(2);
    let posted = desk.wait_for(2);
    drop(line);
    let of = |name: &str| posted.iter().map(Posted::receipt).find(|receipt| receipt.query == name).unwrap();
    assert!(matches!(bench.state_of(&of("searches-by-section")), Some(ReleaseState::Committed(_))));
    assert!(matches!(bench.state_of(&of("another")), Some(ReleaseState::Acknowledged(_))));
    let told = bench.metrics.render();
    assert!(told.contains("privet_export_posts_total{outcome=\"refused\"} 1"), "{told}");
}

#[test]
fn a_receiver_that_never_answers_shifts_no_release() {
    let desk = Desk::open(ANYWHERE, |_, _| Deed::Stall(Duration::from_secs(3)));
    let mut bench = Bench::at(NOON);
    bench.post_to(desk.address, Duration::from_secs(2));
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    bench.wait_for(1);
    desk.wait_for(1);
    let due = Instant::now();
    bench.clock.set(NOON + 7200);
    bench.wait_for(2);
    assert!(due.elapsed() < Duration::from_millis(1500), "the second release took {:?}", due.elapsed());
    drop(line);
}

#[test]
fn a_receiver_that_never_answers_does_not_hold_up_a_stop() {
    let desk = Desk::open(ANYWHERE, |_, _| Deed::Stall(Duration::from_secs(6)));
    let mut bench = Bench::at(NOON);
    bench.post_to(desk.address, Duration::from_secs(300));
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    let file = bench.wait_for(1).remove(0);
    desk.wait_for(1);
    let stopped = Instant::now();
    drop(line);
    assert!(stopped.elapsed() < Duration::from_secs(4), "stopping took {:?}", stopped.elapsed());
    assert!(
        matches!(bench.state_of(&receipt(&file)), Some(ReleaseState::Committed(_))),
        "it is sent after the next start"
    );
}

#[test]
fn parquet_holds_the_receipt_s_table_and_only_its_owner_reads_it() {
    let mut bench = Bench::at(NOON);
    bench.publish.parquet = true;
    let line = bench.start();
    bench.clock.set(NOON + 3600);
    let files = bench.wait_for(1);
    drop(line);
    let [json, parquet] = files.as_slice() else { panic!("{files:?}") };
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    for directory in [json.parent().unwrap(), json.parent().unwrap().parent().unwrap()] {
        assert_eq!(fs::metadata(directory).unwrap().permissions().mode() & 0o777, 0o700);
    }
    assert_eq!(parquet.file_stem(), json.file_stem());
    let receipt = receipt(json);
    let reader = SerializedFileReader::new(fs::File::open(parquet).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect();
    let cell = |row: usize, name: &str| rows[row].iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(rows.len(), receipt.values.len() + receipt.canaries.len());
    for (at, value) in receipt.values.iter().enumerate() {
        assert_eq!(cell(at, "key.properties.section"), Field::Str(value.key[0].clone()));
        assert_eq!((cell(at, "of"), cell(at, "value")), (Field::Str(value.of.clone()), Field::Long(value.value)));
        assert_eq!(cell(at, "ci95_low"), Field::Long(value.ci95.unwrap()[0]));
        assert_eq!((cell(at, "value_nonneg"), cell(at, "truth")), (Field::Null, Field::Null));
        assert_eq!(cell(at, "window_start"), Field::TimestampMicros(NOON * 1_000_000));
        assert_eq!(cell(at, "canary"), Field::Bool(false));
    }
    for (at, canary) in receipt.canaries.iter().enumerate() {
        let at = receipt.values.len() + at;
        assert_eq!((cell(at, "canary"), cell(at, "truth")), (Field::Bool(true), Field::Long(canary.truth)));
        assert_eq!((cell(at, "key.properties.section"), cell(at, "value")), (Field::Null, Field::Long(canary.value)));
    }
}

#[test]
fn a_receiver_whose_key_or_token_is_none_keeps_the_exports_off_and_says_which_file() {
    for (file, content) in [("signing.key", "swordfish"), ("token", "sword\nfish"), ("token", " ")] {
        let mut bench = Bench::at(NOON);
        bench.post_to(ANYWHERE, Duration::from_secs(5));
        fs::write(bench.directory.path().join(file), content).unwrap();
        let log: Arc<dyn DpEvidence> = Arc::clone(&bench.log) as _;
        let started = ExportLine::start(&bench.plans, POLICY, &bench.settings(), Arc::clone(&bench.clock) as _, log);
        let Err(error) = started else { panic!("{file} is usable") };
        let told = crate::run::chain(&error);
        assert!(told.contains(file) && !told.contains("sword"), "{told}");
    }
}
