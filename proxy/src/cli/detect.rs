//! `privet detect`: what the detectors find in texts, one JSON object a line.
//!
//! A line in is `{"text": ...}`; a line out, in the same order, is `{"entities":
//! [{"type", "start", "end", "score"}]}`: the detector's name, the place in
//! Unicode code points, and how sure, from 0 to 1. Every detector answers for
//! itself, so two may name one place; the surer has the higher score.
//!
//! A line that cannot be read gives `{"error": ...}`, which names the line's
//! number and nothing that stood in it. Memory is bounded by one line.

use std::io::{self, BufRead, BufReader, Read, Write};

use privet_policy::detect::{Detector, DetectorSet, Found, find_each};
use serde_json::{Value, json};

use crate::cli::{Outcome, cannot, written};

/// The arguments of `privet detect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The detectors to run, by name; all if not given.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub detectors: Vec<String>,
}

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Answers every line of standard input on standard output.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let set = match chosen(&args.detectors) {
        Ok(set) => set,
        Err(why) => return cannot(&why),
    };
    written(answer_lines(io::stdin().lock(), io::stdout().lock(), set), Outcome::Fine)
}

/// The set of the names; all of them if there are none.
fn chosen(names: &[String]) -> Result<DetectorSet, String> {
    if names.is_empty() {
        return Ok(DetectorSet::ALL);
    }
    names.iter().map(|name| detector(name.trim())).collect()
}

fn detector(name: &str) -> Result<Detector, String> {
    name.parse().map_err(|_| {
        let known = Detector::ALL.map(Detector::name).join(", ");
        format!("there is no detector `{name}`; there are {known}")
    })
}

/// Reads lines and writes as many, flushing before it waits for more.
fn answer_lines(lines: impl Read, out: impl Write, set: DetectorSet) -> io::Result<()> {
    let (mut lines, mut out) = (BufReader::new(lines), io::BufWriter::new(out));
    let (mut line, mut found) = (Vec::new(), Vec::new());
    for number in 1_u64.. {
        let answer = match next_line(&mut lines, &mut line)? {
            Line::End => break,
            Line::Blank => continue,
            Line::TooLong => Err(format!("the line is longer than {LINE_BYTES_MAX} bytes")),
            Line::Read => answer(&line, set, &mut found),
        };
        let answer = answer.unwrap_or_else(|why| json!({"error": format!("line {number}: {why}")}));
        serde_json::to_writer(&mut out, &answer)?;
        out.write_all(b"\n")?;
        // An asker who waits for this line before sending the next would wait for ever.
        if !lines.buffer().contains(&b'\n') {
            out.flush()?;
        }
    }
    out.flush()
}

/// What came of reading a line.
enum Line {
    End,
    Blank,
    TooLong,
    Read,
}

/// Reads the next line, of one too long no more than its start.
fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let mut length = 0;
    loop {
        let waiting = lines.fill_buf()?;
        if waiting.is_empty() {
            break;
        }
        let end = waiting.iter().position(|byte| *byte == b'\n');
        let part = waiting.get(..end.unwrap_or(waiting.len())).unwrap_or_default();
        if length + part.len() <= LINE_BYTES_MAX {
            line.extend_from_slice(part);
        }
        length += part.len();
        let taken = part.len() + usize::from(end.is_some());
        lines.consume(taken);
        if end.is_some() {
            return Ok(kind(line, length));
        }
    }
    Ok(if length == 0 { Line::End } else { kind(line, length) })
}

fn kind(line: &[u8], length: usize) -> Line {
    match line {
        _ if length > LINE_BYTES_MAX => Line::TooLong,
        line if line.iter().all(u8::is_ascii_whitespace) => Line::Blank,
        _ => Line::Read,
    }
}

/// The answer to one line, or why there is none.
fn answer(line: &[u8], set: DetectorSet, found: &mut Vec<Found>) -> Result<Value, String> {
    let asked: Value = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
    let text = asked.get("text").and_then(Value::as_str).ok_or("the line is no object with a string `text`")?;
    find_each(text, set, found);
    Ok(json!({"entities": entities(text, found)}))
}

/// Why it is no JSON, without what stood there.
fn not_json(error: &serde_json::Error) -> String {
    let what = if error.is_eof() { "it ends too early" } else { "it is not JSON" };
    format!("the line cannot be read, {what} at column {}", error.column())
}

/// The findings, their places in code points.
fn entities(text: &str, found: &[Found]) -> Vec<Value> {
    let mut places = CodePoints { text, byte: 0, count: 0 };
    let mut ends = CodePoints { text, byte: 0, count: 0 };
    let entity = |one: &Found| {
        let (start, end) = (places.at(one.start), ends.at(one.end));
        json!({"type": one.detector.name(), "start": start, "end": end, "score": f64::from(one.score) / 100.0})
    };
    found.iter().map(entity).collect()
}

/// Counts code points up to places that mostly go forward.
struct CodePoints<'t> {
    text: &'t str,
    byte: usize,
    count: usize,
}

impl CodePoints<'_> {
    /// How many code points there are before the byte.
    fn at(&mut self, byte: usize) -> usize {
        let count = |from, to| self.text.get(from..to).unwrap_or_default().chars().count();
        self.count =
            if byte < self.byte { self.count - count(byte, self.byte) } else { self.count + count(self.byte, byte) };
        self.byte = byte;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(input: &[u8], set: DetectorSet) -> Vec<Value> {
        let mut out = Vec::new();
        answer_lines(input, &mut out, set).unwrap();
        out.split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect()
    }

    #[test]
    fn places_are_counted_in_code_points() {
        let set = DetectorSet::from_iter([Detector::EmailAddress, Detector::UsSsn]);
        let text = "Zoë 😀 zoë@home.example, SSN 537-26-0417";
        let line = json!({"text": text}).to_string();
        let expected = json!({"entities": [
            {"type": "EMAIL_ADDRESS", "start": 6, "end": 22, "score": 1.0},
            {"type": "US_SSN", "start": 28, "end": 39, "score": 0.85},
        ]});
        assert_eq!(answers(line.as_bytes(), set), [expected]);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_alone() {
        let lines = b"{\"text\": \"secret\n\n[\"secret\"]\n{\"text\": 7}\n{\"text\": \"\"}\nsecret";
        let answers = answers(lines, DetectorSet::ALL);
        assert_eq!(answers.len(), 5);
        for (answer, number) in answers.iter().zip([1, 3, 4]) {
            let why = answer["error"].as_str().unwrap();
            assert!(why.starts_with(&format!("line {number}: ")) && !why.contains("secret"), "{why}");
        }
        assert_eq!(answers[3], json!({"entities": []}));
        assert!(answers[4]["error"].as_str().unwrap().starts_with("line 6: "));
    }

    #[test]
    fn a_line_too_long_is_passed_over() {
        let mut lines = vec![b' '; LINE_BYTES_MAX + 1];
        lines.extend_from_slice(b"\n{\"text\": \"\"}\n");
        let answers = answers(&lines, DetectorSet::ALL);
        assert!(answers[0]["error"].as_str().unwrap().contains("longer"));
        assert_eq!(answers[1], json!({"entities": []}));
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(
            chosen(&["JWT".to_owned(), " URL".to_owned()]),
            Ok([Detector::Jwt, Detector::Url].into_iter().collect())
        );
        assert!(
            chosen(&["EMAIL".to_owned()])
                .unwrap_err()
                .starts_with("there is no detector `EMAIL`; there are EMAIL_ADDRESS")
        );
    }
}
