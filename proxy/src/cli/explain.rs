//! `privet explain`: the long story of a code.

use std::io::{self, Write};

use privet_policy::taxonomy::nearest;

use super::{Outcome, cannot, written};

/// Every code and its story, as people read it in the repository.
const STORIES: &str = include_str!("../../../docs/errors.md");

/// The arguments of `privet explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A code, such as `P016`; all of them if not given.
    pub code: Option<String>,
}

/// Prints a story, or the list of all.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let mut out = io::stdout().lock();
    let Some(code) = args.code.as_deref().map(|code| code.trim().to_ascii_uppercase()) else {
        let listed = stories().try_for_each(|(code, title, _)| writeln!(out, "{code}  {title}"));
        return written(listed, Outcome::Fine);
    };
    match stories().find(|(known, _, _)| *known == code) {
        Some((code, title, text)) => written(writeln!(out, "{code}: {title}\n\n{text}"), Outcome::Fine),
        None => {
            let near = nearest(&code, stories().map(|(known, _, _)| known));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            cannot(&format!("there is no code `{code}`{hint} `privet explain` lists all"))
        }
    }
}

/// Code, title and text of each section.
fn stories() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    STORIES.split("\n## ").skip(1).filter_map(|section| {
        let (head, text) = section.split_once('\n')?;
        let (code, title) = head.split_once(' ')?;
        Some((code, title, text.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                sources(&entry, found);
            } else if entry.extension().is_some_and(|end| end == "rs") {
                found.push(entry);
            }
        }
    }

    fn is_code(word: &str) -> bool {
        let digits = word.get(1..).unwrap_or_default();
        word.len() == 4 && word.starts_with(['P', 'W', 'T', 'C']) && digits.bytes().all(|byte| byte.is_ascii_digit())
    }

    #[test]
    fn every_code_has_a_story_and_every_story_a_code() {
        let mut files = Vec::new();
        for directory in ["src", "../policy-lib/src"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut files);
        }
        let texts: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let used: BTreeSet<&str> = texts.iter().flat_map(|text| text.split('"')).filter(|word| is_code(word)).collect();
        let told: BTreeSet<&str> = stories().map(|(code, _, _)| code).collect();
        assert_eq!(used.difference(&told).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert_eq!(told.difference(&used).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert!(stories().all(|(_, title, text)| !title.is_empty() && text.len() > 20));
    }
}
