//! How a new policy comes into force: signatures, refusals, restarts, and what it does in shadow before.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use privet::clock::SystemClock;
use privet::config::Config;
use privet::run::{Foundation, open};
use privet::sidecar::Sidecar;
use privet_audit_log::note::VerifierKey;
use privet_audit_log::signing::SignerKey;
use privet_audit_log::verify::{Options, Report, verify};
use tokio::sync::oneshot;

const DESIGN: &str = include_str!("../../policy-lib/tests/data/design.yaml");

/// Keeps the bodies that it is sent.
struct Collector {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = bodies.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = kept.clone();
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    let mut writer = stream;
                    while let Some(body) = read_message(&mut reader) {
                        kept.lock().unwrap().push(body);
                        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                    }
                });
            }
        });
        Self { address, bodies }
    }

    fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }

    fn times(&self) -> Vec<String> {
        let bodies = self.bodies.lock().unwrap();
        let read = bodies.iter().map(|body| serde_json::from_slice::<serde_json::Value>(body).unwrap());
        read.map(|event| event["timestamp"].as_str().unwrap().to_owned()).collect()
    }
}

/// The body of the next HTTP message; `None` when the connection ends.
fn read_message(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn talk(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A directory with policies, keys and three people who sign.
struct Office {
    directory: tempfile::TempDir,
    collector: Collector,
}

const SIGNERS: [&str; 3] = ["marla", "odalys", "tavish"];

impl Office {
    /// `rest` stands in the configuration after the policies; `SIGNERS` in it becomes their keys.
    fn new(policies: &str, rest: &str) -> Self {
        let (directory, collector) = (tempfile::tempdir().unwrap(), Collector::start());
        let office = Self { directory, collector };
        for name in SIGNERS {
            let made = privet(&["signer", "init", &office.at(&format!("{name}.pem"))]);
            assert_eq!(made.status.code(), Some(0));
            fs::write(office.path(&format!("{name}.pub")), made.stdout).unwrap();
        }
        fs::create_dir(office.path("keyring")).unwrap();
        fs::write(office.path("keyring/test.key"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n").unwrap();
        let keys = office.keys().iter().map(SignerKey::to_string).collect::<Vec<_>>().join(", ");
        let config = format!(
            "apiVersion: privet.dev/v1alpha1\nkind: Config\n\
             listeners: [{{name: events, address: \"127.0.0.1:0\", formats: [segment]}}]\n\
             admin: {{address: \"127.0.0.1:0\"}}\nmetrics: {{address: \"127.0.0.1:0\"}}\n\
             policies: {policies}\nkeyring: keyring\n\
             log: {{directory: log, anchor_dir: anchor, origin: privet.example.org/rollout, durability: sync}}\n\
             exports: {{directory: exports, volume: persistent}}\ndrain: {{delay_secs: 0, grace_secs: 5}}\n{}",
            rest.replace("SIGNERS", &format!("[{keys}]"))
        );
        fs::write(office.path("privet.yaml"), config).unwrap();
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn keys(&self) -> Vec<SignerKey> {
        SIGNERS.map(|name| fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap().parse().unwrap()).into()
    }

    /// Puts a policy there: the design, its times as coarse as said, and its signatures.
    fn policy(&self, grain: &str, signers: &[&str]) {
        self.put("policies", &self.design().replace("{time: hour}", &format!("{{time: {grain}}}")), signers);
    }

    fn design(&self) -> String {
        DESIGN.replace("http://127.0.0.1:8081", &format!("http://{}", self.collector.address))
    }

    /// Mounts a policy as the kubelet mounts a ConfigMap: flat links through `..data`, which is swapped in one step.
    fn put(&self, directory: &str, text: &str, signers: &[&str]) {
        let root = self.path(directory);
        let is_version = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| name.starts_with("..v"));
        let versions = fs::read_dir(&root).map_or(0, |entries| entries.flatten().filter(is_version).count());
        let version = format!("..v{versions}");
        let files = root.join(&version);
        fs::create_dir_all(&files).unwrap();
        fs::write(files.join("policy.yaml"), text).unwrap();
        self.sign(files.to_str().unwrap(), signers);
        let mut names = vec!["policy.yaml".to_owned()];
        for name in signers.iter().map(|name| format!("{name}.sig")) {
            fs::rename(files.join("signatures").join(&name), files.join(&name)).unwrap();
            names.push(name);
        }
        symlink(&version, root.join("..next")).unwrap();
        fs::rename(root.join("..next"), root.join("..data")).unwrap();
        for name in ["policy.yaml", "marla.sig", "odalys.sig", "tavish.sig"] {
            fs::remove_file(root.join(name)).ok();
        }
        names.iter().for_each(|name| symlink(Path::new("..data").join(name), root.join(name)).unwrap());
    }

    fn sign(&self, directory: &str, signers: &[&str]) {
        for name in signers {
            let key = self.at(&format!("{name}.pem"));
            let signed = privet(&["sign", directory, "--key", &key]);
            assert_eq!(signed.status.code(), Some(0), "{}", String::from_utf8_lossy(&signed.stderr));
        }
    }

    fn report(&self) -> Report {
        let keys = VerifierKey::parse_all(&fs::read_to_string(self.path("anchor/vkey")).unwrap()).unwrap();
        let anchor = fs::read_to_string(self.path("anchor/checkpoint")).unwrap();
        let options = Options { keys: Some(keys), anchor: Some(anchor), signers: Some(self.keys()) };
        let report = verify(&self.path("log"), &options).unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
        report
    }

    fn refusals(&self) -> Vec<(&'static str, u64)> {
        self.report().refused_policies.iter().map(|refused| (refused.reason.name(), refused.times)).collect()
    }
}

fn privet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_privet")).args(arguments).output().unwrap()
}

/// A sidecar in a runtime of its own, so that the test itself may block.
struct Running {
    events: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn start(root: &Path) -> Self {
        let config = Config::load(&root.join("privet.yaml")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let foundation = Foundation::lay(&config, Arc::new(SystemClock::default())).unwrap();
                let (admin, metrics) = (foundation.admin_address, foundation.metrics_address);
                let sidecar = Sidecar::assemble(&config, &foundation).unwrap();
                let sources = sidecar.load(&config);
                let opened = open(&config, foundation, sidecar.line.clone(), sources).await.unwrap();
                tell.send((opened.addresses()[0], admin, metrics)).unwrap();
                opened.serve(async { drop(stopped.await) }, async || sidecar.close().await).await.unwrap();
            });
        });
        let (events, admin, metrics) = told.recv_timeout(Duration::from_secs(30)).unwrap();
        Self { events, admin, metrics, stop: Some(stop), thread: Some(thread) }
    }

    fn post(&self, body: &str) -> (u16, String) {
        let length = body.len();
        let head = "POST /v1/track HTTP/1.1\r\nhost: privet\r\nconnection: close\r\nauthorization: Basic d2s6";
        talk(self.events, &format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}"))
    }

    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        talk(address, &format!("GET {path} HTTP/1.1\r\nhost: privet\r\nconnection: close\r\n\r\n"))
    }

    fn readyz(&self) -> String {
        Self::get(self.admin, "/readyz").1
    }

    fn metric(&self, series: &str) -> u64 {
        let text = Self::get(self.metrics, "/metrics").1;
        let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no {series}")).rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}\n{}", self.readyz());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn search(user: &str, agreed: bool) -> String {
    format!(
        r#"{{"type":"track","event":"Search Performed","userId":"{user}","messageId":"m-{user}","timestamp":"2026-11-22T21:50:42.259Z","properties":{{"query":"write to marla.quillfeather@example.com","results":3,"section":"apps","undeclared":"x"}},"context":{{"ip":"203.0.113.7","consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#
    )
}

const HOUR: &str = "2026-11-22T21:00:00.000Z";
const DAY: &str = "2026-11-22T00:00:00.000Z";
const TWO_TO_LOOSEN: &str = "signatures: {signers: SIGNERS, required: 1, required_to_loosen: 2}\n";

#[test]
fn what_too_few_signed_is_refused_and_the_old_policy_stays() {
    let office = Office::new("policies", TWO_TO_LOOSEN);
    office.policy("day", &["marla", "odalys"]);
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 200);
    // Tightening it further needs one signer; none is too few.
    let stale = r#"privet_reload_stale{what="policies"}"#;
    office.policy("month", &[]);
    privet.until("the unsigned one refused", |privet| privet.metric(stale) == 1);
    assert_eq!(privet.metric(r#"privet_bundles_refused_total{reason="unsigned"}"#), 1);
    assert!(privet.readyz().contains("have no signature and need 1"), "{}", privet.readyz());
    privet.post(&search("user-2", true));
    // One signer may not loosen, two may.
    office.policy("hour", &["tavish"]);
    privet.until("the loosening one refused", |privet| privet.readyz().contains("need 2 signers, because more would"));
    privet.post(&search("user-3", true));
    assert_eq!(office.collector.times(), [DAY, DAY, DAY]);
    office.policy("hour", &["tavish", "odalys"]);
    privet.until("the signed one in force", |privet| privet.metric(stale) == 0);
    privet.post(&search("user-4", true));
    assert_eq!(office.collector.times(), [DAY, DAY, DAY, HOUR]);
    privet.stop();
    assert_eq!(office.refusals(), [("unsigned", 1), ("too_few_to_loosen", 1)]);
    let report = office.report();
    let signers: Vec<Vec<&str>> =
        report.policies.iter().map(|policy| policy.signers.iter().map(String::as_str).collect()).collect();
    assert_eq!(signers, [["marla", "odalys"], ["odalys", "tavish"]]);
    assert!(report.assumptions.is_empty(), "{:?}", report.assumptions);
}

#[test]
fn a_restart_is_no_way_around_those_who_may_loosen() {
    let office = Office::new("policies", TWO_TO_LOOSEN);
    // Nothing is known of an earlier policy, so any may loosen.
    office.policy("day", &["marla"]);
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 429);
    assert!(privet.readyz().contains("the log knows of no policy before them"), "{}", privet.readyz());
    privet.stop();
    office.policy("day", &["marla", "odalys"]);
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 200);
    privet.stop();
    // The same one, and one that tightens, need one signer after a restart as before it.
    for (grain, time) in [("day", DAY), ("month", "2026-11-01T00:00:00.000Z")] {
        office.policy(grain, &["marla"]);
        let privet = Running::start(office.directory.path());
        assert_eq!(privet.post(&search("user-2", true)).0, 200, "{}", privet.readyz());
        privet.stop();
        assert_eq!(office.collector.times().last().unwrap(), time);
    }
    // One that loosens is refused, and stays refused however often it is tried.
    office.policy("hour", &["marla"]);
    for _ in 0..2 {
        let privet = Running::start(office.directory.path());
        assert_eq!(privet.post(&search("user-3", true)).0, 429);
        assert!(privet.readyz().contains("more would leave"), "{}", privet.readyz());
        privet.stop();
    }
    assert_eq!(office.refusals(), [("too_few_to_loosen", 1), ("too_few_to_loosen", 2)]);
}

#[test]
fn a_copy_beside_the_log_that_was_changed_is_no_policy_to_compare_with() {
    let office = Office::new("policies", TWO_TO_LOOSEN);
    office.policy("hour", &["marla", "odalys"]);
    Running::start(office.directory.path()).stop();
    let kept = fs::read_dir(office.path("log/policies")).unwrap().next().unwrap().unwrap().path();
    let file = kept.join("policy.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("action: pseudonymize", "action: keep")).unwrap();
    office.policy("day", &["marla"]);
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 429);
    assert!(privet.readyz().contains("the log knows of no policy before them"), "{}", privet.readyz());
    privet.stop();
}

#[test]
fn a_policy_that_was_changed_after_signing_is_wrongly_signed() {
    let office = Office::new("policies", "signatures: {signers: SIGNERS, required: 1}\n");
    office.policy("day", &["marla", "odalys", "tavish"]);
    let file = office.path("policies/policy.yaml");
    let signed = fs::read_to_string(&file).unwrap();
    fs::write(&file, signed.replace("action: keep", "action: redact")).unwrap();
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 429);
    // A comment changes nothing that was signed; flat or in a folder, a signature is one.
    fs::write(&file, format!("# signed\n{signed}")).unwrap();
    fs::create_dir(office.path("policies/signatures")).unwrap();
    fs::copy(office.path("policies/marla.sig"), office.path("policies/signatures/m.sig")).unwrap();
    fs::remove_file(office.path("policies/marla.sig")).unwrap();
    privet.until("the signed one in force", |privet| privet.post(&search("user-1", true)).0 == 200);
    privet.stop();
    assert_eq!(office.refusals(), [("wrongly_signed", 1)]);
    assert_eq!(office.report().policies[0].signers.len(), 3);
}

#[test]
fn a_key_is_made_once_for_its_owner_and_signs_what_compiles() {
    use std::os::unix::fs::PermissionsExt;

    let office = Office::new("policies", "");
    let key = office.at("marla.pem");
    let again = privet(&["signer", "init", &key]);
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not written over"));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(privet(&["signer", "init", &office.at("Marla Q.pem")]).status.code(), Some(1));
    let secret = fs::read_to_string(&key).unwrap();
    let secret = secret.lines().nth(2).unwrap();
    office.policy("hour", &[]);
    let policies = office.at("policies");
    let signed = privet(&["sign", &policies, "--key", &key]);
    assert_eq!(signed.status.code(), Some(0));
    let line = fs::read_to_string(office.path("policies/signatures/marla.sig")).unwrap();
    assert!(line.starts_with("privet-signature-v1 sha256:") && line.lines().count() == 1, "{line}");
    assert!(!line.contains(secret) && !String::from_utf8(signed.stdout).unwrap().contains(secret));
    let asked = |arguments: &[&str]| {
        let told = privet(&[&["sign", &policies, "--verify", "--signer", &office.at("marla.pub")], arguments].concat());
        (told.status.code().unwrap(), String::from_utf8(told.stdout).unwrap())
    };
    assert_eq!(asked(&[]).0, 0);
    assert!(asked(&[]).1.contains("signed by marla\n1 of 1 signatures"), "{}", asked(&[]).1);
    let odalys = office.at("odalys.pub");
    assert_eq!(asked(&["--signer", &odalys]).0, 1, "all that are given have to sign");
    assert_eq!(asked(&["--signer", &odalys, "--required", "1"]).0, 0);
    assert_eq!(asked(&["--signer", &office.at("marla.pub")]).0, 2, "given twice");
    assert_eq!(asked(&["--signer", &key]).0, 2, "a private key is no public one");
    let told: serde_json::Value = serde_json::from_str(&asked(&["--json"]).1).unwrap();
    assert_eq!(told["signers"], serde_json::json!(["marla"]));
    fs::write(office.path("policies/more.yaml"), "kind: Nonsense\n").unwrap();
    let broken = privet(&["sign", &policies, "--key", &key]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("error["));
    assert_eq!(fs::read_to_string(office.path("policies/signatures/marla.sig")).unwrap(), line, "nothing was signed");
    assert_eq!(privet(&["sign", &policies, "--key", &odalys]).status.code(), Some(2));
    assert_eq!(privet(&["sign", &policies]).status.code(), Some(2));
}

const IN_SHADOW: &str = "{enforce: policies, shadow: next}";

/// Sends the same events to a sidecar; gives what they were answered.
fn send_all(privet: &Running) -> Vec<(u16, String)> {
    let mut answers: Vec<_> = (0..8).map(|user| privet.post(&search(&format!("user-{user}"), user % 4 != 0))).collect();
    answers.push(privet.post("{\"userId\":\"user-77\""));
    answers.push(privet.post(&search("user-9", true).replace("Search Performed", "Order Completed")));
    answers
}

/// The counts that are not zero.
fn counted(privet: &Running) -> serde_json::Value {
    let (status, text) = Running::get(privet.admin, "/v1/shadow");
    assert_eq!(status, 200, "{text}");
    let mut counts: serde_json::Value = serde_json::from_str(&text).unwrap();
    counts["events"].as_object_mut().unwrap().retain(|_, events| *events != 0);
    counts
}

#[test]
fn a_policy_in_shadow_counts_and_changes_nothing() {
    let alone = Office::new("policies", "");
    alone.policy("hour", &[]);
    let privet = Running::start(alone.directory.path());
    let answers = send_all(&privet);
    assert_eq!(Running::get(privet.admin, "/v1/shadow").0, 404);
    privet.stop();
    let (bodies, report) = (alone.collector.bodies(), alone.report());
    assert_eq!(bodies.len(), 6);
    for (shadow, effects) in [
        ("{time: day}", serde_json::json!({"same": 3, "tighter": 6})),
        ("{time: minute}", serde_json::json!({"looser": 6, "same": 3})),
        ("{time: hour}", serde_json::json!({"same": 9})),
    ] {
        let office = Office::new(IN_SHADOW, "");
        office.policy("hour", &[]);
        office.put("next", &office.design().replace("{time: hour}", shadow), &[]);
        let privet = Running::start(office.directory.path());
        assert_eq!(send_all(&privet), answers, "{shadow}");
        let counts = counted(&privet);
        assert_eq!(counts["events"], effects, "{shadow}");
        for (effect, events) in effects.as_object().unwrap() {
            let series = format!("privet_shadow_events_total{{effect=\"{effect}\"}}");
            assert_eq!(privet.metric(&series), events.as_u64().unwrap());
        }
        let text = counts.to_string();
        for personal in ["user-", "quillfeather", "203.0.113", "Order Completed", "undeclared"] {
            assert!(!text.contains(personal), "{personal} in {text}");
        }
        privet.stop();
        assert_eq!(office.collector.bodies(), bodies, "{shadow}");
        let beside = office.report();
        assert_eq!(beside.totals.kept, report.totals.kept);
        // The collector's port is in the policy, so only its digest may differ.
        let classes = |report: &Report| {
            let documents = report.classes.iter().map(|class| class.document.replace(&class.policy, "this policy"));
            documents.collect::<Vec<_>>()
        };
        assert_eq!(classes(&beside), classes(&report), "{shadow}");
        assert_eq!(beside.policies.len(), 1, "the log knows one policy");
    }
}

#[test]
fn a_policy_in_shadow_that_does_not_compile_changes_nothing_and_a_good_one_begins_to_count() {
    let office = Office::new(IN_SHADOW, "signatures: {signers: SIGNERS, required: 1}\n");
    office.policy("hour", &["marla"]);
    office.put("next", "kind: Nonsense\n", &[]);
    let privet = Running::start(office.directory.path());
    assert_eq!(privet.post(&search("user-1", true)).0, 200);
    assert_eq!(Running::get(privet.admin, "/v1/shadow").0, 404);
    let ready = privet.readyz();
    assert!(ready.contains("\"shadow\": ") && ready.contains("\"ready\": true"), "{ready}");
    // Nothing leaves by it, so nobody has to sign it.
    office.put("next", &office.design().replace("{time: hour}", "{time: day}"), &[]);
    privet.until("the shadow in use", |privet| Running::get(privet.admin, "/v1/shadow").0 == 200);
    privet.post(&search("user-2", true));
    assert_eq!(counted(&privet)["events"], serde_json::json!({"tighter": 1}));
    let fields = &counted(&privet)["compared"][0]["fields"];
    assert!(fields.to_string().contains("generalize time hour -> generalize time day"), "{fields}");
    // A broken one leaves the one before it counting.
    office.put("next", "kind: Nonsense\n", &[]);
    privet.until("the broken one told", |privet| privet.metric(r#"privet_reload_stale{what="shadow"}"#) == 1);
    privet.post(&search("user-3", true));
    assert_eq!(counted(&privet)["events"], serde_json::json!({"tighter": 2}));
    // What is tried out is then enforced, and beside itself nothing differs.
    office.policy("day", &["odalys"]);
    privet.until("the new one in force", |privet| counted(privet)["enforced"] == counted(privet)["shadow"]);
    privet.post(&search("user-4", true));
    assert_eq!(counted(&privet)["events"], serde_json::json!({"same": 1}));
    assert_eq!(office.collector.times(), [HOUR, HOUR, HOUR, DAY]);
    privet.stop();
    assert_eq!(office.refusals(), []);
    assert_eq!(office.report().policies.len(), 2);
}
