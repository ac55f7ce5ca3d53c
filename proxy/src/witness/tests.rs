use super::*;
use crate::clock::SystemClock;
use crate::config::Upstream;
use crate::tasks::TaskSet;
use crate::web::Web;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use privet_audit_log::note::Signer;
use privet_audit_log::proof::consistency;
use privet_audit_log::tree::merkle_root;
use privet_audit_log::witness::parse_size;
use std::fs;
use std::time::Duration;

const LOG: &str = "log.example/1";

fn log() -> Signer {
    Signer::from_seed(LOG, &[9; 32]).unwrap()
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|n| Hash::leaf(&n.to_be_bytes())).collect()
}

fn note(size: u64) -> String {
    log().sign(&Checkpoint { origin: LOG.into(), size, root: merkle_root(&leaves(size)) }.to_text())
}

fn request(old: u64, size: u64) -> String {
    let proof = consistency(&leaves(size), old).unwrap_or_default();
    AddCheckpoint { old, proof, note: note(size) }.to_string()
}

fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), "w.example").unwrap();
    dir
}

fn opened(dir: &Path) -> Result<Witness, CannotWitness> {
    Witness::open(dir, vec![log().verifier().clone()], Arc::new(SystemClock::default()))
}

fn cosigned(answer: &Answer) -> bool {
    matches!(answer, Answer::Cosigned(_))
}

fn stale(answer: &Answer) -> Option<u64> {
    match answer {
        Answer::Declined(Declined::Stale(size)) => Some(*size),
        _ => None,
    }
}

#[test]
fn what_was_cosigned_is_known_after_the_answer_was_lost_with_the_process() {
    let dir = made();
    let first = opened(dir.path()).unwrap();
    assert!(cosigned(&first.add_checkpoint(&request(0, 5))));
    // Persisted, and nobody was told.
    drop(first.add_checkpoint(&request(5, 9)));
    drop(first);
    let second = opened(dir.path()).unwrap();
    assert_eq!(stale(&second.add_checkpoint(&request(5, 9))), Some(9));
    assert_eq!(stale(&second.add_checkpoint(&request(0, 20))), Some(9), "a smaller tree never follows a larger one");
    assert!(cosigned(&second.add_checkpoint(&request(9, 9))), "the lost answer is had again");
    assert!(cosigned(&second.add_checkpoint(&request(9, 30))));
}

#[test]
fn a_cosignature_is_right_and_in_time() {
    let dir = made();
    let witness = opened(dir.path()).unwrap();
    let Answer::Cosigned(line) = witness.add_checkpoint(&request(0, 5)) else { panic!("not cosigned") };
    let time = witness.key().check(&format!("{}{line}", note(5))).unwrap();
    assert!(time.abs_diff(u64::try_from(jiff::Timestamp::now().as_second()).unwrap()) < 60);
}

#[test]
fn what_was_kept_and_cannot_be_read_is_no_fresh_start() {
    let dir = made();
    drop(opened(dir.path()).unwrap().add_checkpoint(&request(0, 5)));
    let at = dir.path().join("logs").join(Hash::of(LOG.as_bytes()).to_hex());
    let whole = fs::read(&at).unwrap();
    for damage in [&b""[..], b"\xff\xfe", &whole[..whole.len() - 2]] {
        fs::write(&at, damage).unwrap();
        assert!(matches!(opened(dir.path()), Err(CannotWitness::Kept(_))));
    }
    fs::write(&at, &whole).unwrap();
    let witness = opened(dir.path()).unwrap();
    fs::write(&at, b"").unwrap();
    assert!(matches!(witness.add_checkpoint(&request(5, 6)), Answer::Failed));
    // Another directory in its place: it cannot be written either, and nobody gets a cosignature.
    fs::remove_file(&at).unwrap();
    fs::create_dir(&at).unwrap();
    assert!(matches!(witness.add_checkpoint(&request(0, 6)), Answer::Failed));
}

const OTHER: &str = "other.example/1";

fn other() -> Signer {
    Signer::from_seed(OTHER, &[5; 32]).unwrap()
}

/// The first five leaves of the other log.
fn other_request() -> String {
    let checkpoint = Checkpoint { origin: OTHER.into(), size: 5, root: merkle_root(&leaves(5)) };
    AddCheckpoint { old: 0, proof: Vec::new(), note: other().sign(&checkpoint.to_text()) }.to_string()
}

fn opened_for_both(dir: &Path) -> Result<Witness, CannotWitness> {
    let logs = vec![log().verifier().clone(), other().verifier().clone()];
    Witness::open(dir, logs, Arc::new(SystemClock::default()))
}

#[test]
fn what_was_kept_and_is_lost_is_no_fresh_start_and_the_other_logs_are_served() {
    let dir = made();
    let witness = opened_for_both(dir.path()).unwrap();
    assert!(cosigned(&witness.add_checkpoint(&request(0, 5))));
    // It goes while the witness runs, as in a restore of some of the files.
    fs::remove_dir_all(dir.path().join("logs")).unwrap();
    for (old, size) in [(0, 5), (0, 9), (5, 9)] {
        assert!(matches!(witness.add_checkpoint(&request(old, size)), Answer::Failed), "{old} to {size}");
    }
    assert!(cosigned(&witness.add_checkpoint(&other_request())), "nothing of that log was lost");
    drop(witness);
    let alone = opened(dir.path()).err().unwrap();
    assert!(matches!(alone, CannotWitness::Lost(_)), "{alone}");
    assert!(alone.to_string().contains("another witness"), "{alone}");
    let witness = opened_for_both(dir.path()).unwrap();
    assert!(matches!(witness.add_checkpoint(&request(0, 5)), Answer::Failed));
    assert_eq!(stale(&witness.add_checkpoint(&other_request())), Some(5), "it is served, and is where it was");
    drop(witness);
    // The marks go with the states: what is left is a key that has cosigned.
    for folder in ["logs", KNOWN] {
        fs::remove_dir_all(dir.path().join(folder)).unwrap();
    }
    assert!(matches!(opened_for_both(dir.path()), Err(CannotWitness::Lost(_))));
}

#[test]
fn a_crash_between_state_and_mark_is_healed_by_the_next_cosignature() {
    let dir = made();
    let witness = opened(dir.path()).unwrap();
    // Nobody asks before: a log that was never cosigned for is no loss.
    drop(opened_for_both(made().path()).unwrap());
    assert!(cosigned(&witness.add_checkpoint(&request(0, 5))));
    let mark = dir.path().join(KNOWN).join(Hash::of(LOG.as_bytes()).to_hex());
    assert_eq!(fs::read_to_string(&mark).unwrap(), format!("{LOG}\n"));
    fs::remove_file(&mark).unwrap();
    assert!(cosigned(&witness.add_checkpoint(&request(5, 5))), "the same again");
    assert!(mark.exists());
    // A mark that cannot be written: nobody is told anything.
    fs::remove_file(&mark).unwrap();
    fs::remove_dir(dir.path().join(KNOWN)).unwrap();
    fs::write(dir.path().join(KNOWN), "a file, where a folder should be").unwrap();
    assert!(matches!(witness.add_checkpoint(&request(5, 6)), Answer::Failed));
}

#[test]
fn a_kept_checkpoint_is_read_up_to_a_bound() {
    let dir = made();
    drop(opened(dir.path()).unwrap().add_checkpoint(&request(0, 5)));
    let at = dir.path().join("logs").join(Hash::of(LOG.as_bytes()).to_hex());
    fs::write(&at, vec![b'x'; BODY_BYTES_MAX + 1]).unwrap();
    let why = opened(dir.path()).err().unwrap();
    assert!(
        matches!(&why, CannotWitness::Disk { source, .. } if source.kind() == io::ErrorKind::FileTooLarge),
        "{why}"
    );
}

#[test]
fn a_witness_is_made_once_runs_once_and_knows_its_logs() {
    let dir = made();
    assert!(matches!(init(dir.path(), "w.example"), Err(CannotWitness::IsThere(_))));
    let running = opened(dir.path()).unwrap();
    assert!(matches!(opened(dir.path()), Err(CannotWitness::Disk { .. })));
    drop(running);
    assert!(matches!(
        Witness::open(dir.path(), Vec::new(), Arc::new(SystemClock::default())),
        Err(CannotWitness::NoLogs)
    ));
    assert_eq!(
        fs::read_to_string(dir.path().join("vkey")).unwrap().trim(),
        opened(dir.path()).unwrap().key().to_string()
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join("key")).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
}

struct Served {
    web: Web,
    url: String,
    tasks: TaskSet,
}

impl Served {
    async fn start(dir: &Path) -> Self {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let tasks = TaskSet::new();
        tasks.spawn(serve(socket, Arc::new(opened(dir).unwrap()), tasks.clone()));
        Self { web: Web::open(&Upstream::default(), Duration::from_secs(10)).unwrap(), url, tasks }
    }

    async fn ask(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.url).parse().unwrap();
        self.web.ask(request, 1 << 20).await.unwrap()
    }

    async fn add(&self, body: impl Into<Bytes>) -> (u16, String) {
        let answer = self.ask(Method::POST, "/add-checkpoint", body).await;
        (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
    }
}

#[tokio::test]
async fn each_status_of_the_text_is_told_over_http() {
    let dir = made();
    let served = Served::start(dir.path()).await;
    let stranger = Signer::from_seed(LOG, &[8; 32]).unwrap();
    let elsewhere = Signer::from_seed("elsewhere.example/1", &[8; 32]).unwrap();
    let text =
        |origin: &str, size| Checkpoint { origin: origin.into(), size, root: merkle_root(&leaves(size)) }.to_text();
    let with = |old, note| AddCheckpoint { old, proof: Vec::new(), note }.to_string();
    assert_eq!(served.add(request(0, 5)).await.0, 200);
    assert_eq!(served.add(with(5, stranger.sign(&text(LOG, 9)))).await.0, 403);
    assert_eq!(served.add(with(0, elsewhere.sign(&text("elsewhere.example/1", 9)))).await.0, 404);
    assert_eq!(served.add(request(5, 9).replacen("old 5", "old 05", 1)).await.0, 400);
    assert_eq!(served.add(request(5, 9).replacen("old 5", "old 10", 1)).await.0, 400);
    assert_eq!(served.add(b"\xff\xff".to_vec()).await.0, 400);
    assert_eq!(served.add(with(5, note(9))).await.0, 422);
    let answer = served.ask(Method::POST, "/add-checkpoint", request(3, 9)).await;
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (409, "text/x.tlog.size")
    );
    assert_eq!(answer.body(), "5\n");
    let fork = log().sign(&Checkpoint { origin: LOG.into(), size: 5, root: Hash::of(b"fork") }.to_text());
    assert_eq!(served.add(with(5, fork)).await, (409, "5\n".to_owned()));
    assert_eq!(served.add(vec![b'x'; 65 << 10]).await.0, 413);
    assert_eq!(served.ask(Method::GET, "/add-checkpoint", "").await.status(), 405);
    assert_eq!(served.ask(Method::POST, "/", request(5, 9)).await.status(), 404);
    assert_eq!(served.add(request(5, 9)).await.0, 200);
    served.tasks.finish(Duration::ZERO).await;
}

/// The race of the specification: of many updates from one size, one is let through, and no later one goes back.
#[tokio::test]
async fn updates_at_once_are_let_through_one_after_another() {
    let dir = made();
    let served = Served::start(dir.path()).await;
    assert_eq!(served.add(request(0, 5)).await.0, 200);
    let answers = futures_util::future::join_all((6..30).map(|size| served.add(request(5, size)))).await;
    let through: Vec<u64> =
        (6..30).zip(&answers).filter(|(_, (status, _))| *status == 200).map(|(size, _)| size).collect();
    assert_eq!(through.len(), 1, "{answers:?}");
    for (status, body) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!((*status, parse_size(body)), (409, Some(through[0])));
    }
    served.tasks.finish(Duration::ZERO).await;
}
