//! Which witnesses are enough: a trust policy file (c2sp.org/tlog-policy).
//!
//! Promise: a file that breaks a rule of the specification is refused with its line; a witness counts once, however often
//! it is named in groups above it, and by its cosignature alone. Bounds: 1,024 lines that say something. Not here: URLs,
//! which a check of proofs does not need.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::cosignature::WitnessKey;
use crate::note::{Checkpoint, NoteError, VerifierKey};

/// The most lines that say something.
const LINES_MAX: usize = 1024;

/// The name that asks for no cosignature.
const NONE: &str = "none";

/// Why a text is no trust policy. Lines count from 1.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    /// A word that begins no line, or one with too few or too many words.
    #[error(
        "line {0}: want `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K NAME...` or `quorum NAME`"
    )]
    Line(usize),
    /// A key that is none of its kind.
    #[error("line {0}: this is no Ed25519 key of the kind that is wanted here")]
    Key(usize),
    /// A name or a key that stands there already, or a member that another group has.
    #[error("line {0}: `{1}` is there already")]
    Twice(usize, String),
    /// A name that no line before gives.
    #[error("line {0}: no line before this one gives the name `{1}`")]
    Unknown(usize, String),
    /// A threshold below one or above the number of members.
    #[error("line {0}: the threshold has to be from 1 to the number of members")]
    Threshold(usize),
    /// A control character other than tab and new line.
    #[error("line {0}: there is a control character")]
    Control(usize),
    /// No line says how many are enough.
    #[error("there is no `quorum` line, want exactly one")]
    NoQuorum,
    /// Past [`LINES_MAX`].
    #[error("there are more than 1024 lines")]
    TooLong,
}

/// What witnesses a checkpoint: a witness or a group by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Nobody,
    Witness(usize),
    Group(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<Voice>,
}

/// A trust policy, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy {
    logs: Vec<VerifierKey>,
    witnesses: Vec<(String, WitnessKey)>,
    groups: Vec<Group>,
    quorum: Voice,
}

/// Why a checkpoint does not satisfy a policy.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unsatisfied {
    /// Not a checkpoint of one of the logs.
    #[error("it is not signed by a log of the trust policy: {0}")]
    Log(NoteError),
    /// Too few cosigned it.
    #[error("too few witnesses cosigned it: {}", if .0.is_empty() { "none".to_owned() } else { .0.join(", ") })]
    Quorum(Vec<String>),
}

/// A checkpoint that satisfies a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who cosigned it, by the policy's names, and when: seconds of Unix time.
    pub by: Vec<(String, u64)>,
}

impl TrustPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// [`PolicyError`], with the line.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let mut reader = Reader::default();
        for (at, line) in (1..).zip(text.split('\n')) {
            if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
                return Err(PolicyError::Control(at));
            }
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            reader.line(at, &words)?;
        }
        let quorum = reader.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self { logs: reader.logs, witnesses: reader.witnesses, groups: reader.groups, quorum })
    }

    /// A policy of one log and witnesses any `quorum` of which are enough.
    #[must_use]
    pub fn any_of(log: VerifierKey, witnesses: Vec<WitnessKey>, quorum: usize) -> Self {
        let members = (0..witnesses.len()).map(Voice::Witness).collect();
        let witnesses = witnesses.into_iter().map(|key| (key.name().to_owned(), key)).collect();
        let quorum = if quorum == 0 { (Voice::Nobody, 1) } else { (Voice::Group(0), quorum) };
        let groups = vec![Group { threshold: quorum.1, members }];
        Self { logs: vec![log], witnesses, groups, quorum: quorum.0 }
    }

    /// The logs that it names; a policy may name none where they are known otherwise.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Whether it asks for any cosignature.
    #[must_use]
    pub fn asks_for_witnesses(&self) -> bool {
        self.quorum != Voice::Nobody
    }

    /// Checks that a note is a checkpoint of one of the logs, cosigned by enough witnesses.
    ///
    /// # Errors
    /// [`Unsatisfied`].
    pub fn check(&self, note: &str) -> Result<Witnessed, Unsatisfied> {
        let opened = self.logs.iter().map(|log| Checkpoint::open(note, log));
        let checkpoint = opened.reduce(|a, b| if a.is_ok() { a } else { b });
        let unknown = || Unsatisfied::Log(NoteError::Unsigned("any log".to_owned()));
        let checkpoint = checkpoint.ok_or_else(unknown)?.map_err(Unsatisfied::Log)?;
        let times: Vec<Option<u64>> = self.witnesses.iter().map(|(_, key)| key.check(note).ok()).collect();
        let by: Vec<(String, u64)> =
            self.witnesses.iter().zip(&times).filter_map(|((name, _), time)| Some((name.clone(), (*time)?))).collect();
        if self.hears(self.quorum, &times) {
            Ok(Witnessed { checkpoint, by })
        } else {
            Err(Unsatisfied::Quorum(by.into_iter().map(|(name, _)| name).collect()))
        }
    }

    /// Whether a voice witnessed it. A group only has members before it, so this ends.
    fn hears(&self, voice: Voice, times: &[Option<u64>]) -> bool {
        match voice {
            Voice::Nobody => true,
            Voice::Witness(at) => times.get(at).copied().flatten().is_some(),
            Voice::Group(at) => self.groups.get(at).is_some_and(|group| {
                group.members.iter().filter(|member| self.hears(**member, times)).count() >= group.threshold
            }),
        }
    }
}

#[derive(Default)]
struct Reader {
    logs: Vec<VerifierKey>,
    witnesses: Vec<(String, WitnessKey)>,
    groups: Vec<Group>,
    names: BTreeMap<String, Voice>,
    members: Vec<Voice>,
    quorum: Option<Voice>,
    lines: usize,
}

impl Reader {
    fn line(&mut self, at: usize, words: &[&str]) -> Result<(), PolicyError> {
        self.lines += 1;
        if self.lines > LINES_MAX {
            return Err(PolicyError::TooLong);
        }
        match words {
            ["log", key] | ["log", key, _] => self.log(at, key),
            ["witness", name, key] | ["witness", name, key, _] => self.witness(at, name, key),
            ["group", name, threshold, members @ ..] => self.group(at, name, threshold, members),
            ["quorum", name] => self.quorum(at, name),
            _ => Err(PolicyError::Line(at)),
        }
    }

    fn log(&mut self, at: usize, key: &str) -> Result<(), PolicyError> {
        let key = VerifierKey::parse(key).map_err(|_| PolicyError::Key(at))?;
        if self.logs.iter().any(|known| known.is_same_key(&key)) {
            return Err(PolicyError::Twice(at, key.name().to_owned()));
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, at: usize, name: &str, key: &str) -> Result<(), PolicyError> {
        let key = WitnessKey::parse(key).map_err(|_| PolicyError::Key(at))?;
        if self.witnesses.iter().any(|(_, known)| known.is_same_key(&key)) {
            return Err(PolicyError::Twice(at, name.to_owned()));
        }
        self.name(at, name, Voice::Witness(self.witnesses.len()))?;
        self.witnesses.push((name.to_owned(), key));
        Ok(())
    }

    fn group(&mut self, at: usize, name: &str, threshold: &str, members: &[&str]) -> Result<(), PolicyError> {
        let mut voices = Vec::new();
        for member in members {
            let voice = self.named(at, member)?;
            if self.members.contains(&voice) {
                return Err(PolicyError::Twice(at, (*member).to_owned()));
            }
            self.members.push(voice);
            voices.push(voice);
        }
        let threshold = match threshold {
            "all" => voices.len(),
            "any" => 1,
            number => number.parse().map_err(|_| PolicyError::Threshold(at))?,
        };
        if threshold < 1 || threshold > voices.len() {
            return Err(PolicyError::Threshold(at));
        }
        self.name(at, name, Voice::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members: voices });
        Ok(())
    }

    fn quorum(&mut self, at: usize, name: &str) -> Result<(), PolicyError> {
        let voice = if name == NONE { Voice::Nobody } else { self.named(at, name)? };
        match self.quorum.replace(voice) {
            None => Ok(()),
            Some(_) => Err(PolicyError::Twice(at, "quorum".to_owned())),
        }
    }

    fn name(&mut self, at: usize, name: &str, voice: Voice) -> Result<(), PolicyError> {
        if name == NONE || self.names.insert(name.to_owned(), voice).is_some() {
            return Err(PolicyError::Twice(at, name.to_owned()));
        }
        Ok(())
    }

    fn named(&self, at: usize, name: &str) -> Result<Voice, PolicyError> {
        self.names.get(name).copied().ok_or_else(|| PolicyError::Unknown(at, name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosignature::Cosigner;
    use crate::note::Signer;
    use crate::tree::Hash;

    fn witness(n: u8) -> Cosigner {
        Cosigner::from_seed(&format!("w{n}.example"), &[n; 32]).unwrap()
    }

    fn log() -> Signer {
        Signer::from_seed("log.example/1", &[99; 32]).unwrap()
    }

    fn cosigned(by: &[u8]) -> String {
        let text = Checkpoint { origin: "log.example/1".into(), size: 3, root: Hash::of(b"x") }.to_text();
        let lines: String = by.iter().map(|n| witness(*n).cosign(&text, 1000 + u64::from(*n))).collect();
        log().sign(&text) + &lines
    }

    /// The example of the specification, keys filled in.
    fn two_levels() -> TrustPolicy {
        let key = |n| witness(n).public().to_string();
        let text = format!(
            "log {}\n\nwitness X1 {}\nwitness X2 {} https://x2.example/\nwitness X3 {}\n\
             \tgroup X-witnesses 2 X1 X2 X3\n\n  # the others\nwitness Y1 {}\nwitness Y2 {}\nwitness Y3 {}\n\
             group Y-witnesses any Y1 Y2 Y3\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
            log().verifier(),
            key(1),
            key(2),
            key(3),
            key(4),
            key(5),
            key(6)
        );
        TrustPolicy::parse(&text).unwrap()
    }

    #[test]
    fn a_quorum_of_groups_needs_each_of_them() {
        let policy = two_levels();
        let met = policy.check(&cosigned(&[1, 3, 6])).unwrap();
        assert_eq!(met.by, [("X1".into(), 1001), ("X3".into(), 1003), ("Y3".into(), 1006)]);
        for few in [&[1_u8, 2, 3][..], &[1, 4, 5, 6], &[], &[1, 1, 4]] {
            assert!(matches!(policy.check(&cosigned(few)), Err(Unsatisfied::Quorum(_))), "{few:?}");
        }
        let other = Signer::from_seed("log.example/1", &[98; 32]).unwrap();
        let text = Checkpoint { origin: "log.example/1".into(), size: 3, root: Hash::of(b"x") }.to_text();
        assert!(matches!(policy.check(&other.sign(&text)), Err(Unsatisfied::Log(_))));
    }

    #[test]
    fn no_witness_is_asked_for_only_where_the_file_says_so() {
        let policy = TrustPolicy::parse(&format!("log {}\nquorum none\n", log().verifier())).unwrap();
        assert!(!policy.asks_for_witnesses() && policy.check(&cosigned(&[])).is_ok());
        assert_eq!(TrustPolicy::parse("# nothing\n"), Err(PolicyError::NoQuorum));
        let any = TrustPolicy::any_of(
            log().verifier().clone(),
            vec![witness(1).public().clone(), witness(2).public().clone()],
            2,
        );
        assert!(any.check(&cosigned(&[1, 2])).is_ok() && any.check(&cosigned(&[2])).is_err());
    }

    #[test]
    fn every_rule_of_the_file_is_kept_with_its_line() {
        let (one, two) = (witness(1).public().to_string(), witness(2).public().to_string());
        for (text, wrong) in [
            (format!("witness a {one}\nwitness a {two}\nquorum a"), PolicyError::Twice(2, "a".into())),
            (format!("witness a {one}\nwitness b {one}\nquorum a"), PolicyError::Twice(2, "b".into())),
            (format!("witness none {one}\nquorum none"), PolicyError::Twice(1, "none".into())),
            (format!("witness a {}\nquorum a", log().verifier()), PolicyError::Key(1)),
            (format!("log {one}\nquorum none"), PolicyError::Key(1)),
            ("quorum a".into(), PolicyError::Unknown(1, "a".into())),
            (format!("witness a {one}\ngroup g 2 a\nquorum g"), PolicyError::Threshold(2)),
            (format!("witness a {one}\ngroup g 0 a\nquorum g"), PolicyError::Threshold(2)),
            (format!("witness a {one}\ngroup g all\nquorum g"), PolicyError::Threshold(2)),
            (format!("witness a {one}\ngroup g any a a\nquorum g"), PolicyError::Twice(2, "a".into())),
            (format!("witness a {one}\ngroup g any a\ngroup h any a g\nquorum h"), PolicyError::Twice(3, "a".into())),
            (format!("witness a {one}\ngroup g any none\nquorum g"), PolicyError::Unknown(2, "none".into())),
            (format!("witness a {one}\nquorum a\nquorum a"), PolicyError::Twice(3, "quorum".into())),
            ("witness a\r\n".into(), PolicyError::Control(1)),
            ("threshold 1".into(), PolicyError::Line(1)),
        ] {
            assert_eq!(TrustPolicy::parse(&text), Err(wrong), "{text}");
        }
    }
}
