//! A process that writes a log is killed at any moment, and what was not durable is torn: the log comes back
//! with all that was, adds up, and says what the crash left uncertain.
//!
//! The writer is this binary again. It tells, through a pipe, how far the log is durable after each commit; the
//! parent kills it at a drawn moment, verifies what a start makes of it, and does the same for copies whose bytes
//! past the durable ones are cut, zeroed or scrambled, as a power cut leaves them. How many is `PRIVET_CRASHES`;
//! one in ten is a kill. `tools/log-crashes 10000` is the full campaign.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "a killed process has the machine's clock")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use privet_audit_log::counts::Delta;
use privet_audit_log::note::Checkpoint;
use privet_audit_log::{DiskOp, Gate, Log, Moment};
use support::image::Dice;
use support::{acknowledged, challenge, check, copy_tree, declarations, lease, looked, settings, traffic, work};

const WRITER: &str = "PRIVET_CRASH_WRITER";
/// Tears of each killed log.
const TEARS: u32 = 9;
/// A log that was killed so often makes room for a new one.
const LIVES: u32 = 12;

/// What the writer says after each commit; whole lines alone count.
#[derive(Clone, Copy, Debug, Default)]
struct Durable {
    incarnation: u64,
    /// Events that are durable in this incarnation.
    events: u64,
    /// The newest segment, and its durable bytes.
    segment: u32,
    bytes: u64,
    /// Whether tiles were begun since, so that whatever stands in segments is durable.
    all: bool,
}

impl Durable {
    fn parse(line: &str) -> Self {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [incarnation, events, segment, bytes] = numbers[..] else { panic!("the writer said `{line}`") };
        Self { incarnation, events, segment: u32::try_from(segment).unwrap(), bytes, all: false }
    }

    /// The newest segment on disk, and how many of its bytes have to stay.
    fn newest_in(&self, root: &Path) -> (PathBuf, usize) {
        let newest = newest_segment(&root.join(format!("log/{}/wal", self.incarnation)));
        let said = newest.with_file_name(format!("{:08}.wal", self.segment));
        let length = usize::try_from(fs::metadata(&newest).unwrap().len()).unwrap();
        let promised = match newest == said {
            _ if self.all || !said.exists() => length,
            true => usize::try_from(self.bytes).unwrap(),
            false => 0,
        };
        (newest, promised)
    }
}

/// Writes until it is killed: `cargo test` runs it as a test that does nothing, the parent with [`WRITER`] set.
#[test]
fn writer() {
    let Ok(root) = std::env::var(WRITER) else { return };
    let root = PathBuf::from(root);
    let begun = Instant::now();
    let now = || Moment {
        wall_ms: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64,
        mono_ms: begun.elapsed().as_millis() as u64,
    };
    let mut dice = Dice(0xD1B5_4A32_D192_ED03 ^ u64::from(std::process::id()));
    let mut settings = settings(&root);
    settings.segment_bytes = 6_000;
    if dice.roll(2) == 0 {
        settings = lease(settings, 1000);
    }
    settings.gate = Gate::new(|op| if op == DiskOp::Publish { std::io::stdout().write_all(b"+\n") } else { Ok(()) });
    let (mut log, _) = Log::open(settings, now()).unwrap();
    let declared = Delta { declared: declarations(&root.join("log")), ..Delta::default() };
    log.commit(&work(declared, false), now()).unwrap();
    let (mut events, mut batch) = (0, 1);
    loop {
        let delta = traffic(1 + dice.roll(20) as u64, 5);
        events += delta.arrivals.events;
        let cut = dice.roll(3) == 0;
        let mut next = work(delta, cut);
        next.checkpoint = dice.roll(6) == 0;
        if batch > 1 && cut {
            next.delta.merge(&acknowledged(batch - 1, 0, 1));
        }
        match dice.roll(8) {
            0 => next.records.push(looked(0)),
            1 => next.records.push(privet_audit_log::record::Record::Challenge(challenge(batch, 1))),
            _ => {}
        }
        log.commit(&next, now()).unwrap();
        batch += u64::from(cut);
        say(&root, &log, events);
    }
}

fn say(root: &Path, log: &Log, events: u64) {
    let newest = newest_segment(&root.join(format!("log/{}/wal", log.incarnation())));
    let number: u32 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let bytes = fs::metadata(&newest).unwrap().len();
    // The harness captures `println!`, so this goes around it; a reader that is gone ends the writer.
    let line = format!("{} {events} {number} {bytes}\n", log.incarnation());
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn newest_segment(wal: &Path) -> PathBuf {
    fs::read_dir(wal).unwrap().map(|item| item.unwrap().path()).max().unwrap()
}

/// Runs the writer and kills it after a while; gives what it said last.
fn kill(root: &Path, after: Duration) -> Durable {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writer", "--nocapture"])
        .env(WRITER, root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let heard = thread::spawn(move || {
        let mut said = String::new();
        pipe.read_to_string(&mut said).unwrap();
        said
    });
    thread::sleep(after);
    assert!(child.try_wait().unwrap().is_none(), "the writer ended by itself: {}", complaint(child));
    child.kill().unwrap();
    child.wait().unwrap();
    let said = heard.join().unwrap();
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let mut lines = whole.lines();
    let said = lines.rfind(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let all = whole.lines().next_back() == Some("+");
    said.map(|line| Durable { all, ..Durable::parse(line) }).unwrap_or_default()
}

fn complaint(child: Child) -> String {
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned()
}

/// Starts on what is left, ends well, and verifies all of it with key and anchor. `events` were durable.
fn recovers(root: &Path, events: u64, what: &str) {
    let later = Moment { wall_ms: support::START_MS + 3_600_000_000, mono_ms: 0 };
    let signed = newest_signed(root);
    let (log, _) = Log::open(settings(root), later).unwrap_or_else(|error| panic!("{what}: {error}"));
    log.close(&Delta::default(), later).unwrap();
    let report = check(root);
    assert!(report.is_clean(), "{what}: {:#?}", report.findings);
    let (last, killed) = report.incarnations.split_last().unwrap();
    assert_eq!(last.end, "closed");
    assert!(killed.iter().all(|one| one.end == "recovered"), "{what}: an end is not stated");
    assert_eq!(report.gaps.iter().filter(|gap| gap.code == "crash").count(), killed.len(), "{what}");
    if let Some(signed) = signed {
        let one = report.incarnations.iter().find(|one| one.origin == signed.origin).unwrap();
        assert!(one.records >= signed.size, "{what}: {} records of {} signed", one.records, signed.size);
    }
    assert!(report.totals.events >= events, "{what}: {} of {events} events", report.totals.events);
    assert_eq!(report.totals.kept + report.totals.dropped, report.totals.events, "{what}");
}

fn newest_signed(root: &Path) -> Option<Checkpoint> {
    let note = fs::read_to_string(root.join("anchor/checkpoint")).ok()?;
    Some(Checkpoint::claimed(&note).unwrap())
}

/// Tears what the disk did not promise; says how.
fn tear(root: &Path, durable: Durable, dice: &mut Dice) -> String {
    let (path, promised) = durable.newest_in(root);
    let mut bytes = fs::read(&path).unwrap();
    let from = promised + dice.roll(bytes.len() - promised + 1);
    let how = match dice.roll(4) {
        0 if from < bytes.len() => {
            bytes[from] ^= 1 << dice.roll(8);
            "changed"
        }
        1 => {
            bytes.truncate(from);
            bytes.extend(std::iter::repeat_n(0, 1 + dice.roll(4096)));
            "zeroed"
        }
        2 => {
            bytes.truncate(from);
            (0..=dice.roll(600)).for_each(|_| bytes.push(dice.roll(256) as u8));
            "scrambled"
        }
        _ => {
            bytes.truncate(from);
            "cut"
        }
    };
    fs::write(&path, &bytes).unwrap();
    format!("{} {how} from byte {from}, {promised} promised", path.strip_prefix(root).unwrap().display())
}

/// What a campaign came to.
#[derive(Debug, Default)]
struct Tally {
    points: u32,
    kills: u32,
    before_the_first_commit: u32,
    events_durable: u64,
}

/// One log, killed again and again, each time recovered as it is and from tears of it.
fn lives(points: u32, dice: &mut Dice, tally: &mut Tally) {
    let root = support::scratch();
    let mut promised = 0;
    for _ in 0..LIVES {
        let durable = kill(root.path(), Duration::from_micros(1500 + dice.roll(40_000) as u64));
        promised += durable.events;
        tally.kills += 1;
        tally.before_the_first_commit += u32::from(durable.incarnation == 0);
        tally.events_durable += durable.events;
        // Nothing to tear where nothing was said.
        let tears = if durable.incarnation == 0 { 0 } else { TEARS };
        for torn in 0..=tears {
            if tally.points == points {
                return;
            }
            let copy = support::scratch();
            copy_tree(root.path(), copy.path());
            let what = if torn == 0 { "killed".to_owned() } else { tear(copy.path(), durable, dice) };
            recovers(copy.path(), promised, &what);
            tally.points += 1;
        }
    }
}

#[test]
fn killed_at_any_moment_and_torn_at_any_byte_a_log_recovers() {
    let points = std::env::var("PRIVET_CRASHES").ok().and_then(|points| points.parse().ok()).unwrap_or(150);
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let (begun, mut tally) = (Instant::now(), Tally::default());
    while tally.points < points {
        lives(points, &mut dice, &mut tally);
    }
    println!("{tally:?} in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(tally.events_durable > 0 && tally.kills < tally.points, "the writer never came to write");
}
