//! What the author of a policy is told: the place, the problem, the next step.

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
        if let Some(file) = files.get(self.at.file) {
            let label = (!self.label.is_empty()).then_some(self.label.as_str());
            let main = AnnotationKind::Primary.span(caret(&file.text, &self.at)).label(label);
            let mut snippet = Snippet::source(file.text.as_str()).path(file.name.as_str()).annotation(main);
            if let Some((at, label)) = self.other.as_ref().filter(|(at, _)| at.file == self.at.file) {
                snippet = snippet.annotation(AnnotationKind::Context.span(caret(&file.text, at)).label(label.as_str()));
            }
            group = group.element(snippet);
        }
        if let Some((at, label)) = self.other.as_ref().filter(|(at, _)| at.file != self.at.file)
            && let Some(file) = files.get(at.file)
        {
            let second = AnnotationKind::Context.span(caret(&file.text, at)).label(label.as_str());
            group = group.element(Snippet::source(file.text.as_str()).path(file.name.as_str()).annotation(second));
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

/// A caret needs something to stand under.
fn caret(text: &str, at: &Span) -> std::ops::Range<usize> {
    let start = at.bytes.start.min(text.len());
    let end = at.bytes.end.clamp(start, text.len());
    start..end
}
