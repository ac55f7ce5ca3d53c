//! Compiles the classes of a log again, from the policies kept beside it.
//!
//! A class document says what a policy decided. The same policy must come to the
//! same document from the facts in it; if it does not, the record of what was
//! decided is not what the policy says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use privet_audit_log::policies::{self, Files};
use privet_audit_log::verify::{Report, StatedGap};
use privet_policy::Policy;
use privet_policy::diagnostic::{Diagnostic, Severity, SourceFile};

/// What judges the class documents of one policy.
pub trait ClassJudge {
    /// The document that the policy comes to from the facts in `document`, or why it cannot.
    ///
    /// # Errors
    /// Why not, in a sentence.
    fn recompile(&self, document: &serde_json::Value) -> Result<String, String>;
}

impl ClassJudge for Policy {
    fn recompile(&self, document: &serde_json::Value) -> Result<String, String> {
        self.recompile_class(document).map_err(|error| error.to_string())
    }
}

/// What came of compiling classes again.
#[derive(Debug, Default)]
pub struct Judged {
    /// Classes whose document is the policy's.
    pub agreed: u64,
    /// Which of the log's policies equals the directory that was given.
    pub equal_to_given: Vec<String>,
    /// The policies that ran, compiled from what is kept, by digest.
    pub policies: HashMap<String, Policy>,
}

/// The policies that an auditor brings.
#[derive(Debug)]
pub struct Agreed {
    /// In the order in which they were given, at least one.
    pub policies: Vec<Policy>,
    /// Whether no other may have run.
    pub no_others: bool,
}

/// Compiles every class of the report again; what does not agree becomes a finding. What ran and is none of the
/// policies that were `agreed` to is told.
pub fn judge(log: &Path, agreed: Option<&Agreed>, report: &mut Report) -> Judged {
    let digests: Vec<String> = report.policies.iter().map(|policy| policy.digest.clone()).collect();
    let equal_to_given = agreed.map_or_else(Vec::new, |agreed| tell_unknown(agreed, report));
    let mut policies = HashMap::new();
    for digest in digests {
        if let Some(policy) = compile_kept(log, &digest, report) {
            policies.insert(digest, policy);
        }
    }
    let agreed = compare(&policies, report);
    Judged { agreed, equal_to_given, policies }
}

/// The digests of the policies that ran and were agreed to. Each other one that ran is a gap, for it may have been replaced
/// by one that was given; it is a finding where none of those given ran, or no other may have.
fn tell_unknown(agreed: &Agreed, report: &mut Report) -> Vec<String> {
    let given: BTreeSet<String> = agreed.policies.iter().map(|policy| policy.digest().to_string()).collect();
    let (known, unknown): (Vec<_>, Vec<_>) =
        report.policies.iter().cloned().partition(|policy| given.contains(&policy.digest));
    let is_finding = known.is_empty() || agreed.no_others;
    for policy in unknown {
        let (digest, events) = (policy.digest, policy.events);
        let message = format!(
            "policy {digest} ran and decided {events} events, and is none of the {} that were given",
            given.len()
        );
        if is_finding {
            report.finding("policy_unknown", (None, None), message);
        } else {
            report.stated(StatedGap { code: "policy_unknown", incarnation: None, message });
        }
    }
    known.into_iter().map(|policy| policy.digest).collect()
}

fn compile_kept(log: &Path, digest: &str, report: &mut Report) -> Option<Policy> {
    let read =
        policies::bundle_dir(log, digest).and_then(|dir| policies::read(&dir)).map_err(|error| error.to_string());
    let policy = match read.and_then(|files| compile(&files)) {
        Ok(policy) => policy,
        Err(why) => {
            report.finding("policy_files", (None, None), format!("policy {digest} does not compile again: {why}"));
            return None;
        }
    };
    if policy.digest().to_string() != digest {
        let message = format!("the files kept for policy {digest} compile to {}", policy.digest());
        report.finding("policy_digest", (None, None), message);
        return None;
    }
    Some(policy)
}

/// Compiles a bundle as the sidecar does.
///
/// # Errors
/// Why not, in a sentence.
pub fn compile(files: &Files) -> Result<Policy, String> {
    let yaml = files.iter().filter(|(name, _)| is_policy_file(name));
    let sources: Vec<SourceFile> = yaml
        .map(|(name, bytes)| {
            let text = String::from_utf8(bytes.clone()).map_err(|_| format!("`{name}` is not text"))?;
            Ok(SourceFile { name: name.clone(), text })
        })
        .collect::<Result<_, String>>()?;
    let compiled = privet_policy::compile(&sources);
    compiled.policy.ok_or_else(|| mistakes(&compiled.diagnostics, &sources))
}

/// The first mistake, and how many more there are.
fn mistakes(diagnostics: &[Diagnostic], sources: &[SourceFile]) -> String {
    let mut errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let first = errors.next().map_or_else(String::new, |first| first.render(sources, false));
    match errors.count() {
        0 => first,
        more => format!("{first}\nand {more} more mistakes; `privet check` lists them"),
    }
}

/// As the sidecar reads a policy directory: YAML by extension, nothing hidden.
fn is_policy_file(name: &str) -> bool {
    let hidden = name.split('/').any(|part| part.starts_with('.'));
    let yaml = Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden
}

fn compare<J: ClassJudge>(policies: &HashMap<String, J>, report: &mut Report) -> u64 {
    let mut agreed = 0;
    let mut unread: BTreeMap<String, u64> = BTreeMap::new();
    for class in report.classes.clone() {
        let Some(policy) = policies.get(&class.policy) else {
            *unread.entry(class.policy).or_default() += 1;
            continue;
        };
        let document = serde_json::from_str(&class.document).map_err(|_| "its document is not readable".to_owned());
        match document.and_then(|document| policy.recompile(&document)) {
            Ok(again) if again == class.document => agreed += 1,
            Ok(_) => {
                report.finding("class", (None, None), format!("class {} is not what its policy decides", class.id))
            }
            Err(why) => report.finding("class", (None, None), format!("class {}: {why}", class.id)),
        }
    }
    for (policy, classes) in unread {
        let message = format!("{classes} classes of policy {policy} cannot be compiled again: it is not readable");
        report.finding("class", (None, None), message);
    }
    agreed
}

#[cfg(test)]
mod tests {
    use privet_audit_log::verify::ClassReport;

    use super::*;

    struct Echo;

    impl ClassJudge for Echo {
        fn recompile(&self, document: &serde_json::Value) -> Result<String, String> {
            match document.get("ok") {
                Some(_) => Ok(document.to_string()),
                None => Err("no such contract".to_owned()),
            }
        }
    }

    #[test]
    fn a_class_that_its_policy_does_not_come_to_is_a_finding() {
        let mut report = Report::default();
        for document in [r#"{"ok":1}"#, r#"{ "ok":1}"#, "{}", ""] {
            let class = ClassReport { policy: "p".into(), document: document.into(), ..ClassReport::default() };
            report.classes.push(class);
        }
        for id in ["a", "b"] {
            report.classes.push(ClassReport { id: id.into(), policy: "q".into(), ..ClassReport::default() });
        }
        let policies = HashMap::from([("p".to_owned(), Echo)]);
        assert_eq!(compare(&policies, &mut report), 1);
        assert_eq!(report.findings.len(), 4, "those of a policy that is gone are one finding");
        assert!(report.findings[3].message.starts_with("2 classes of policy q"), "{:?}", report.findings);
    }
}
