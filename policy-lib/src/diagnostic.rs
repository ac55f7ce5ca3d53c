//! What the author of a policy is told: the place, the problem, the next step.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use crate::span::Span;

/// One file as it was given to `compile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name as the author knows it, relative to the policy directory.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Whether the policy can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// One mistake, or one doubt, about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The stable code, such as `P012`.
    pub code: &'static str,
    /// The problem, in the author's words.
    pub message: String,
    /// Where to look.
    pub at: Span,
    /// What to say under the caret.
    pub label: String,
    /// A second place that matters, with what it has to do with it.
    pub other: Option<(Span, String)>,
    /// What to do next.
    pub help: Vec<String>,
    /// Why it is so.
    pub note: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, at: &Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            at: at.clone(),
            label: String::new(),
            other: None,
            help: Vec::new(),
            note: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, at: &Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, at, message) }
    }

    /// The same with words under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with a next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The same with a suggestion, where there is one.
    #[must_use]
    pub fn suggest(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => self.help(format!("did you mean `{nearest}`?")),
            None => self,
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn other(mut self, at: &Span, label: impl Into<String>) -> Self {
        self.other = Some((at.clone(), label.into()));
        self
    }

    /// The file, line and column (both from 1) of the place.
    #[must_use]
    pub fn place<'a>(&self, files: &'a [SourceFile]) -> (&'a str, usize, usize) {
        let Some(file) = files.get(self.at.file) else { return ("", 0, 0) };
        let before = file.text.get(..self.at.bytes.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (&file.name, before.matches('\n').count() + 1, column)
    }

    /// The message as it is shown, with the line and a caret.
    #[must_use]
    pub fn render(&self, files: &[SourceFile], styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.message.as_str()).id(self.code));
        let main = |excerpt: &Excerpt<'_>| {
            let label = (!self.label.is_empty()).then(|| self.label.clone());
            AnnotationKind::Primary.span(excerpt.within(&self.at)).label(label)
        };
        let second = |excerpt: &Excerpt<'_>, at: &Span, label: &str| {
            AnnotationKind::Context.span(excerpt.within(at)).label(label.to_owned())
        };
        let (same, elsewhere): (Vec<_>, Vec<_>) = self.other.iter().partition(|(at, _)| at.file == self.at.file);
        if let Some(file) = files.get(self.at.file) {
            let places: Vec<&Span> = std::iter::once(&self.at).chain(same.iter().map(|(at, _)| at)).collect();
            let excerpt = Excerpt::of(file, &places);
            let notes = same.iter().map(|(at, label)| second(&excerpt, at, label));
            group = group.element(excerpt.snippet().annotation(main(&excerpt)).annotations(notes));
        }
        for (at, label) in elsewhere {
            if let Some(file) = files.get(at.file) {
                let excerpt = Excerpt::of(file, &[at]);
                group = group.element(excerpt.snippet().annotation(second(&excerpt, at, label)));
            }
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        if let Some(note) = &self.note {
            group = group.element(Level::NOTE.message(note.as_str()));
        }
        renderer.decor_style(DecorStyle::Ascii).render(&[group]).to_string()
    }
}

/// The lines of a file that some places stand in. Showing a place costs no more than these.
struct Excerpt<'f> {
    file: &'f SourceFile,
    bytes: Range<usize>,
}

/// How much of a long line is shown behind what is pointed at, in bytes.
const BEHIND_BYTES_MAX: usize = 200;

impl<'f> Excerpt<'f> {
    fn of(file: &'f SourceFile, places: &[&Span]) -> Self {
        let text = file.text.as_str();
        let carets = || places.iter().map(|at| caret(text, at));
        let first = carets().map(|caret| caret.start).min().unwrap_or(0);
        let last = carets().map(|caret| caret.end).max().unwrap_or(0);
        let start = text.get(..first).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let behind = text.ceil_char_boundary((last + BEHIND_BYTES_MAX).min(text.len()));
        let end = text.get(last..behind).and_then(|after| after.find('\n')).map_or(behind, |newline| last + newline);
        Self { file, bytes: start..end }
    }

    fn snippet<A: Clone>(&self) -> Snippet<'f, A> {
        let text = self.file.text.as_str();
        let line = text.get(..self.bytes.start).unwrap_or_default().matches('\n').count() + 1;
        let excerpt = text.get(self.bytes.clone()).unwrap_or_default();
        Snippet::source(excerpt).path(self.file.name.as_str()).line_start(line)
    }

    /// A place, counted from where the excerpt begins.
    fn within(&self, at: &Span) -> Range<usize> {
        let caret = caret(&self.file.text, at);
        caret.start.saturating_sub(self.bytes.start)..caret.end.saturating_sub(self.bytes.start)
    }
}

/// A caret needs something to stand under.
fn caret(text: &str, at: &Span) -> Range<usize> {
    let start = text.floor_char_boundary(at.bytes.start.min(text.len()));
    let end = text.floor_char_boundary(at.bytes.end.clamp(start, text.len()));
    start..end
}
