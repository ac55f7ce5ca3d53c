//! Policy text on its way from a directory to the compiler.

use std::io;
use std::path::{Path, PathBuf};

use privet_audit_log::signing::SIGNATURE_ENDING;
use privet_policy::diagnostic::{Diagnostic, Severity, SourceFile};
use privet_policy::policy::Policy;

use crate::export::plan::{Plans, plan};
use crate::reload::{Files, Place};

/// Why a policy directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system said no, or there is too much.
    #[error("cannot read the policies in `{path}`")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file is no text.
    #[error("`{0}` is not UTF-8 text")]
    NotText(String),
    /// There is nothing to compile.
    #[error("there is no .yaml file in `{0}`")]
    Nothing(PathBuf),
}

/// Reads every `.yaml` and `.yml` file below a directory, or one file, in the order of their names.
///
/// # Errors
/// [`Unreadable`].
pub fn read(path: &Path) -> Result<Vec<SourceFile>, Unreadable> {
    let place = if path.is_file() { Place::Files(vec![path.to_owned()]) } else { Place::policies(path) };
    let files = place.read().map_err(|source| Unreadable::Io { path: path.to_owned(), source })?;
    match sources(&files)? {
        sources if sources.is_empty() => Err(Unreadable::Nothing(path.to_owned())),
        sources => Ok(sources),
    }
}

/// Files as the compiler takes them; signatures are not for it.
///
/// # Errors
/// [`Unreadable::NotText`].
pub fn sources(files: &Files) -> Result<Vec<SourceFile>, Unreadable> {
    let text = |(name, bytes): &(String, Vec<u8>)| match String::from_utf8(bytes.clone()) {
        Ok(text) => Ok(SourceFile { name: name.clone(), text }),
        Err(_) => Err(Unreadable::NotText(name.clone())),
    };
    files.iter().filter(|(name, _)| !name.ends_with(SIGNATURE_ENDING)).map(text).collect()
}

/// What came of compiling a directory: policy and exports together.
pub struct Loaded {
    /// The policy with its exports planned, unless an error stands in the way.
    pub policy: Option<(Policy, Plans)>,
    /// Every error and warning.
    pub diagnostics: Vec<Diagnostic>,
}

/// Compiles policy and exports; the one door for `check`, `apply`, `demo` and `run`.
#[must_use]
pub fn compile(files: &[SourceFile]) -> Loaded {
    let privet_policy::Compiled { policy, mut diagnostics } = privet_policy::compile(files);
    let Some(policy) = policy else { return Loaded { policy: None, diagnostics } };
    match plan(policy.exports(), policy.surveys()) {
        Ok(plans) => Loaded { policy: Some((policy, plans)), diagnostics },
        Err(problems) => {
            diagnostics.extend(problems);
            let broken = diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error);
            Loaded { policy: (!broken).then(|| (policy, Plans::default())), diagnostics }
        }
    }
}

/// A directory's policy for those who ask about it.
///
/// # Errors
/// What to tell whoever asked, where there is no policy.
pub fn open(path: &Path) -> Result<Policy, String> {
    Ok(open_with_exports(path)?.0)
}

/// A directory's policy and its planned exports, for those who ask about them.
///
/// # Errors
/// What to tell whoever asked, where there is no policy.
pub fn open_with_exports(path: &Path) -> Result<(Policy, Plans), String> {
    let files = read(path).map_err(|error| crate::run::chain(&error))?;
    let loaded = compile(&files);
    let why = || format!("{}\n\nthe policy does not compile", errors(&files, &loaded.diagnostics));
    loaded.policy.ok_or_else(why)
}

/// Every error, as its author is shown it.
#[must_use]
pub fn errors(files: &[SourceFile], diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(|error| error.render(files, false)).collect::<Vec<_>>().join("\n\n")
}
