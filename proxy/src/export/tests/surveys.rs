//! Reports that were randomized on devices: the same windows, marks and slots, and no charge.

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use privet_dp::receipt::LocalReceipt;
use privet_ldp::{NoEntropy, NotAReport};
use privet_policy::export::{Answers, Method, Reports, Survey};

use super::*;

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Span::default())
}

/// Two answers at epsilon 10, where 9,999 of 10,000 devices tell the truth.
fn survey(change: impl FnOnce(&mut WrittenWindow)) -> Survey {
    let mut window = WrittenWindow::of_length(spanned("1h".to_owned()));
    window.publish_marked = vec![spanned("restart".to_owned())];
    change(&mut window);
    Survey {
        name: spanned("seasons".to_owned()),
        purpose: "analytics.reporting".to_owned(),
        contract: "survey.season".to_owned(),
        unit: privet_policy::path::Path::keys(&["userId"]),
        window,
        reports: Reports {
            field: spanned(privet_policy::path::Path::keys(&["properties", "report"])),
            method: spanned(Method::Kary),
            answers: spanned(Answers::Named(vec!["summer".to_owned(), "winter".to_owned()])),
            epsilon: spanned("10".to_owned()),
        },
        nonnegative: false,
    }
}

fn bench(survey: Survey, secs: i64) -> Bench {
    Bench { plans: plan::plan(&[], &[survey]).unwrap(), ..Bench::at(secs) }
}

impl Bench {
    fn published(&self) -> Vec<LocalReceipt> {
        let directory = self.settings().output.join("seasons");
        let files = fs::read_dir(directory).into_iter().flatten();
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| LocalReceipt::from_bytes(&fs::read(path).unwrap()).unwrap()).collect()
    }

    /// A report of an answer, the same at every call.
    fn report(&self, answer: u32) -> String {
        let randomizer = self.plans.surveys[0].survey.question.randomizer();
        let mut entropy = |bytes: &mut [u8]| {
            bytes.fill(7);
            Ok::<(), NoEntropy>(())
        };
        randomizer.randomize(answer, &mut entropy).unwrap().text().as_str().to_owned()
    }

    /// So many units report one answer; these reports are all true.
    fn answer(&self, line: &ExportLine, units: std::ops::Range<u32>, answer: u32, event_secs: Option<i64>) {
        let text = self.report(answer);
        for unit in units {
            let report = Report { unit: &unit.to_le_bytes(), text: &text, event_secs };
            line.observe_report(0, report, &POLICY).unwrap();
        }
    }
}

fn counted(receipt: &LocalReceipt) -> (u32, Vec<i64>) {
    (receipt.reports, receipt.values.iter().map(|row| row.value).collect())
}

#[test]
fn a_window_of_reports_is_decoded_recorded_and_published_without_a_charge() {
    let bench = bench(survey(|_| {}), NOON);
    let line = bench.start();
    bench.answer(&line, 0..30, 0, None);
    bench.answer(&line, 20..40, 1, None);
    bench.answer(&line, 40..41, 1, None);
    let refused = Report { unit: b"x", text: "no report", event_secs: None };
    assert_eq!(line.observe_report(0, refused, &POLICY), Err(NotAReport::Text));
    assert_eq!(line.observe_report(0, refused, &NEXT_POLICY), Ok(()));
    assert_eq!(line.observe_report(1, refused, &POLICY), Ok(()));
    bench.clock.set(NOON + 3600);
    bench.wait_for(1);
    let published = bench.published();
    assert_eq!(counted(&published[0]), (41, vec![30, 11]));
    assert_eq!(published[0].window.status, WindowStatus::Complete);
    assert!(verify(&[published[0].to_bytes()]).is_ok());
    assert!(bench.log.charges.lock().unwrap().is_empty());
    let releases = bench.log.releases.lock().unwrap();
    let local = LocalEvidence { method: "kary".to_owned(), answers: 2, epsilon_nano: 10_000_000_000 };
    assert_eq!((releases[0].export.as_str(), &releases[0].local), ("seasons", &Some(local)));
}

#[test]
fn every_window_is_published_also_one_without_a_report_and_they_are_a_chain() {
    let bench = bench(survey(|_| {}), NOON);
    let line = bench.start();
    bench.answer(&line, 0..9, 1, None);
    for hour in 1..=3 {
        bench.clock.set(NOON + hour * 3600);
        bench.wait_for(hour as usize);
    }
    let chain: Vec<Vec<u8>> = bench.published().iter().map(LocalReceipt::to_bytes).collect();
    assert_eq!(bench.published().iter().map(counted).collect::<Vec<_>>()[1], (0, vec![0, 0]));
    assert!(verify(&chain).unwrap().from_the_start);
}

#[test]
fn whoever_withdraws_is_taken_out_until_the_window_is_decoded() {
    let bench = bench(survey(|window| window.publish_after = Some(spanned("10m".to_owned()))), NOON);
    let line = bench.start();
    bench.answer(&line, 0..10, 0, None);
    line.withdraw(&3_u32.to_le_bytes());
    bench.clock.set(NOON + 3601);
    // A report in the next window; the first one is over, and waits for its slot.
    bench.answer(&line, 100..101, 1, None);
    line.withdraw(&4_u32.to_le_bytes());
    line.withdraw(&100_u32.to_le_bytes());
    bench.clock.set(NOON + 2 * 3600 + 600);
    bench.wait_for(2);
    assert_eq!(bench.published().iter().map(counted).collect::<Vec<_>>(), [(8, vec![8, 0]), (0, vec![0, 0])]);
}

#[test]
fn a_late_report_counts_where_the_schedule_says() {
    for (late, expected) in
        [("drop", [(2, vec![2, 0]), (0, vec![0, 0])]), ("next_window", [(2, vec![2, 0]), (1, vec![1, 0])])]
    {
        let survey = survey(|window| {
            window.time = Some(spanned(privet_policy::path::Path::keys(&["sentAt"])));
            window.allowed_lateness = Some(spanned("10m".to_owned()));
            window.late = Some(spanned(late.to_owned()));
        });
        let bench = bench(survey, NOON);
        let line = bench.start();
        bench.answer(&line, 0..1, 0, Some(NOON + 5));
        bench.clock.set(NOON + 3600 + 60);
        bench.answer(&line, 1..2, 0, Some(NOON + 5));
        bench.clock.set(NOON + 3600 + 900);
        bench.answer(&line, 2..3, 0, Some(NOON + 5));
        bench.clock.set(NOON + 2 * 3600 + 600);
        bench.wait_for(2);
        assert_eq!(bench.published().iter().map(counted).collect::<Vec<_>>(), expected, "{late}");
    }
}

#[test]
fn a_window_that_saw_a_restart_or_shedding_is_withheld_as_others_are() {
    for (from, withheld) in [(NOON + 1, "restart"), (NOON, "shed")] {
        let bench = bench(survey(|window| window.publish_marked.clear()), from);
        let line = bench.start();
        bench.answer(&line, 0..9, 1, None);
        if withheld == "shed" {
            line.shed();
        }
        bench.clock.set(NOON + 3600);
        let told = format!("privet_export_windows_withheld_total{{reason=\"{withheld}\"}} 1");
        let started = Instant::now();
        while !bench.metrics.render().contains(&told) {
            assert!(started.elapsed() < Duration::from_secs(20), "{told}");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(bench.published().is_empty());
    }
}

#[test]
fn what_is_committed_is_published_again_byte_for_byte_after_a_restart() {
    let bench = bench(survey(|_| {}), NOON);
    bench.log.refuses_releases.store(true, Ordering::SeqCst);
    let line = bench.start();
    bench.answer(&line, 0..9, 1, None);
    bench.clock.set(NOON + 3600);
    let started = Instant::now();
    while bench.published().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
    let first = bench.published();
    drop(line);
    assert!(bench.log.releases.lock().unwrap().is_empty());
    bench.log.refuses_releases.store(false, Ordering::SeqCst);
    let _line = bench.start();
    bench.wait_for(1);
    assert_eq!(bench.published(), first);
    let release = bench.log.releases.lock().unwrap()[0].clone();
    assert_eq!(release.receipt_sha256, Digest::of(&first[0].to_bytes()));
}

#[test]
fn a_policy_that_is_replaced_takes_its_reports_with_it() {
    let bench = bench(survey(|_| {}), NOON);
    let line = bench.start();
    bench.answer(&line, 0..9, 1, None);
    line.adopt(&bench.plans, NEXT_POLICY, PolicyChange::Tightens).unwrap();
    bench.answer(&line, 9..12, 1, None);
    bench.clock.set(NOON + 2 * 3600);
    bench.wait_for(1);
    assert_eq!(bench.published().iter().map(counted).collect::<Vec<_>>(), [(0, vec![0, 0])]);
}

#[test]
fn a_table_of_reports_has_one_row_an_answer_in_parquet_too() {
    let mut bench = bench(survey(|_| {}), NOON);
    bench.publish.parquet = true;
    let line = bench.start();
    bench.answer(&line, 0..9, 1, None);
    bench.clock.set(NOON + 3600);
    bench.wait_for(1);
    let directory = bench.settings().output.join("seasons");
    let mut tables = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.find(|path| path.extension().is_some_and(|ending| ending == "parquet")).unwrap();
    let file = fs::File::open(table).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().into_columns()).collect();
    let cell = |row: usize, name: &str| rows[row].iter().find(|(key, _)| key == name).unwrap().1.clone();
    assert_eq!(rows.len(), 2);
    for (at, (answer, value)) in [("summer", 0), ("winter", 9)].into_iter().enumerate() {
        assert_eq!(cell(at, "key.answer"), Field::Str(answer.to_owned()));
        assert_eq!((cell(at, "of"), cell(at, "value")), (Field::Str("answers".to_owned()), Field::Long(value)));
        assert_eq!((cell(at, "canary"), cell(at, "truth")), (Field::Bool(false), Field::Null));
    }
}
