//! The ledger's side of the witness protocol (c2sp.org/tlog-witness): every witness is asked at once.
//!
//! Promise: a cosignature counts only if it is right by the witness's configured key; a witness that knows more than we
//! have is told as such and never overruled. Not here: what follows from that; [`super`] decides.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use privet_audit_log::cosignature::{WitnessKey, adopt};
use privet_audit_log::witness::{AddCheckpoint, parse_size};

use super::log::{CannotKeep, LedgerLog};
use crate::config::ledger::Witness;
use crate::web::Web;

/// A witness's answer to one checkpoint is a few signature lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Once with what it is believed to know, once with what it says, once more for a race.
const TRIES: usize = 3;

/// What a witness came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// Its signature lines, checked.
    Cosigned(String),
    /// It knows this many records, and we have fewer, or others.
    Beyond(u64),
    /// Nothing of use.
    Silent,
}

/// A witness and what it cosigned last, as far as is known.
#[derive(Debug)]
struct Asked {
    submit: Uri,
    key: WitnessKey,
    known: u64,
}

/// All witnesses.
#[derive(Debug)]
pub(super) struct Witnesses {
    web: Web,
    asked: Vec<Asked>,
}

/// What all of them came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// The checkpoint with every cosignature.
    pub(super) note: String,
    /// How many cosigned it.
    pub(super) cosigned: usize,
    /// The name of a witness that knows more than we have, and how many records.
    pub(super) beyond: Option<(String, u64)>,
}

impl Witnesses {
    pub(super) fn new(web: Web, witnesses: &[Witness], known: u64) -> Self {
        let asked = witnesses.iter().filter_map(|witness| {
            let base = witness.url.to_string();
            let submit = format!("{}/add-checkpoint", base.trim_end_matches('/')).parse().ok()?;
            Some(Asked { submit, key: witness.key.clone(), known })
        });
        Self { web, asked: asked.collect() }
    }

    /// Asks all of them to cosign the newest checkpoint.
    pub(super) async fn ask(&mut self, log: &LedgerLog) -> Result<Round, CannotKeep> {
        let Some(note) = log.pending() else { return Ok(Round::default()) };
        let web = &self.web;
        let words = join_all(self.asked.iter_mut().map(|asked| asked.ask(web, log, note))).await;
        let mut round = Round { note: note.to_owned(), ..Round::default() };
        for (asked, word) in self.asked.iter().zip(words) {
            match word? {
                Word::Cosigned(lines) => {
                    round.cosigned += 1;
                    round.note = adopt(&round.note, &lines, std::slice::from_ref(&asked.key)).unwrap_or(round.note);
                }
                Word::Beyond(size) => round.beyond = Some((asked.key.name().to_owned(), size)),
                Word::Silent => {}
            }
        }
        Ok(round)
    }
}

impl Asked {
    async fn ask(&mut self, web: &Web, log: &LedgerLog, note: &str) -> Result<Word, CannotKeep> {
        for _ in 0..TRIES {
            let old = self.known.min(log.size());
            let proof = log.proof_from(old)?;
            let body = AddCheckpoint { old, proof, note: note.to_owned() }.to_string();
            let mut request = Request::new(Full::new(Bytes::from(body)));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.submit.clone();
            let Ok(answer) = web.ask(request, ANSWER_BYTES_MAX).await else { return Ok(Word::Silent) };
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            match (answer.status(), parse_size(&text)) {
                (StatusCode::OK, _) => return Ok(self.taken(note, text, log.size())),
                // The same size asked and known: it is the root that differs.
                (StatusCode::CONFLICT, Some(size)) if size > log.size() || (size == old && size == log.size()) => {
                    return Ok(Word::Beyond(size));
                }
                (StatusCode::CONFLICT, Some(size)) => self.known = size,
                // It cosigned what our own tree does not lead from.
                (StatusCode::UNPROCESSABLE_ENTITY, _) if old > 0 => return Ok(Word::Beyond(old)),
                _ => return Ok(Word::Silent),
            }
        }
        Ok(Word::Silent)
    }

    fn taken(&mut self, note: &str, text: String, size: u64) -> Word {
        let right = adopt(note, &text, std::slice::from_ref(&self.key)).is_ok_and(|cosigned| cosigned != note);
        if right {
            self.known = size;
            Word::Cosigned(text)
        } else {
            Word::Silent
        }
    }
}
