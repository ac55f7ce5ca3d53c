//! What a command says on its standard output and its standard error.
//!
//! Promise: whoever closes the pipe has read enough, and the command ends quietly, with the status of what it
//! found until then. Output that cannot be written for another reason is an error. Nothing here panics.

use std::io::{self, StdoutLock, Write as _};

use anyhow::{Context as _, Result};

/// Whether somebody still listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Everything was written.
    All,
    /// Whoever read has gone.
    Enough,
}

/// The standard output, until something cannot be written.
#[derive(Debug)]
pub struct Voice {
    out: StdoutLock<'static>,
    done: io::Result<()>,
}

impl Voice {
    /// Begins to speak; nobody else does meanwhile.
    #[must_use]
    pub fn raise() -> Self {
        Self { out: io::stdout().lock(), done: Ok(()) }
    }

    /// Says some text as it is.
    pub fn say(&mut self, text: &str) {
        if self.done.is_ok() {
            self.done = self.out.write_all(text.as_bytes());
        }
    }

    /// Ends, once all of it is out.
    ///
    /// # Errors
    /// It could not be written.
    pub fn end(mut self) -> Result<Heard> {
        match self.done.and_then(|()| self.out.flush()) {
            Ok(()) => Ok(Heard::All),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Heard::Enough),
            Err(error) => Err(error).context("cannot write what is to be said"),
        }
    }
}

/// Says a whole text.
///
/// # Errors
/// It could not be written.
pub fn say(text: &str) -> Result<Heard> {
    let mut voice = Voice::raise();
    voice.say(text);
    voice.end()
}

/// Says why there is no answer. Where that cannot be said either, the exit status does.
pub fn complain(why: &anyhow::Error) {
    writeln!(io::stderr().lock(), "privet-audit: {why:#}").ok();
}
