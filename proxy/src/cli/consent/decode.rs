//! `privet consent decode`: consent signals as JSON.
//!
//! Promise: what is printed is what the text says, bit for bit, under the names of
//! the reference decoders; a signal that decodes and must not count as consent says
//! so apart, in `unusable`. A signal that cannot be read is never echoed.

use std::io::{self, BufRead as _, BufWriter, Write};

use privet_policy::signals::google::{Gcd, Gcs};
use privet_policy::signals::gpp::{self, GppString, Section, ShownSection, TcfCanada};
use privet_policy::signals::onetrust::Groups;
use privet_policy::signals::tcf::{self, TcString, Unusable};
use privet_policy::signals::us_privacy::UsPrivacy;
use privet_policy::signals::{Said, Unreadable, att::AttStatus, gpc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{Outcome, complain, written};
use crate::clock::{Clock as _, SystemClock};

/// The arguments of `privet consent decode`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("signal").required(true).args(
    ["tcf", "gpp", "us_privacy", "gcs", "gcd", "att", "onetrust", "gpc", "lines"],
))]
pub struct Args {
    /// A TC string of IAB Europe.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub tcf: Option<String>,
    /// A string of the Global Privacy Platform.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub gpp: Option<String>,
    /// A US Privacy string.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub us_privacy: Option<String>,
    /// `gcs` of Google's tags.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub gcs: Option<String>,
    /// `gcd` of Google's tags.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub gcd: Option<String>,
    /// A status of App Tracking Transparency: a number or a word.
    #[arg(long, value_name = "STATUS", allow_hyphen_values = true)]
    pub att: Option<String>,
    /// The cookie `OptanonConsent`, or `OnetrustActiveGroups`.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub onetrust: Option<String>,
    /// The value of the header `Sec-GPC`; `1` if not given.
    #[arg(long, value_name = "VALUE", num_args = 0..=1, default_missing_value = "1", allow_hyphen_values = true)]
    pub gpc: Option<String>,
    /// One JSON object a line in, as `{"tcf": TEXT}`, one a line out, as `{"decoded": ...}` or `{"error": ...}`.
    #[arg(long)]
    pub lines: bool,
}

impl Args {
    /// The one signal that is given.
    fn signal(&self) -> Option<(&'static str, &String)> {
        let given = [
            ("tcf", &self.tcf),
            ("gpp", &self.gpp),
            ("us_privacy", &self.us_privacy),
            ("gcs", &self.gcs),
            ("gcd", &self.gcd),
            ("att", &self.att),
            ("onetrust", &self.onetrust),
            ("gpc", &self.gpc),
        ];
        given.into_iter().find_map(|(kind, text)| text.as_ref().map(|text| (kind, text)))
    }
}

/// Shows one signal, or many.
#[must_use]
pub fn run(args: &Args) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    let ended = match args.signal() {
        Some((kind, text)) => single(kind, text, &mut out),
        None => lines(&mut out),
    };
    match ended {
        Ok(outcome) => written(out.flush(), outcome),
        Err(error) => written(Err(error), Outcome::Fine),
    }
}

fn single(kind: &str, text: &str, out: &mut impl Write) -> io::Result<Outcome> {
    match Signal::read(kind, &Value::from(text)) {
        Ok(signal) => {
            serde_json::to_writer_pretty(&mut *out, &signal.decoded())?;
            writeln!(out)?;
            if let Some(why) = signal.unusable() {
                complain(&format!("it must not count as consent: {why}"));
            }
            Ok(Outcome::Fine)
        }
        Err(why) => {
            complain(&why.to_string());
            Ok(Outcome::Findings)
        }
    }
}

/// Longer lines are answered with an error and never held.
const LINE_BYTES_MAX: u64 = 256 * 1024;

fn lines(out: &mut impl Write) -> io::Result<Outcome> {
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        io::Read::take(&mut input, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(Outcome::Fine);
        }
        let whole = line.ends_with(b"\n") || (line.len() as u64) < LINE_BYTES_MAX;
        if !whole {
            input.skip_until(b'\n')?;
        }
        if !line.trim_ascii().is_empty() {
            answer(if whole { &line } else { b"" }, out)?;
            writeln!(out)?;
            out.flush()?;
        }
    }
}

/// Answers one line.
fn answer(line: &[u8], out: &mut impl Write) -> io::Result<()> {
    let asked = serde_json::from_slice::<Map<String, Value>>(line).map_err(|_| NotRead::NoObject);
    let id = asked.as_ref().ok().and_then(|asked| asked.get("id").cloned());
    let read = asked.and_then(|asked| {
        let mut signals = asked.iter().filter(|(name, _)| *name != "id");
        match (signals.next(), signals.next()) {
            (Some((kind, given)), None) => Signal::read(kind, given),
            _ => Err(NotRead::NotOneSignal),
        }
    });
    let answer = match &read {
        Ok(signal) => Answer { id, decoded: Some(signal.decoded()), unusable: signal.unusable(), ..Answer::default() },
        Err(why) => Answer { id, error: Some(why.to_string()), code: Some(why.code()), ..Answer::default() },
    };
    Ok(serde_json::to_writer(out, &answer)?)
}

#[derive(Default, Serialize)]
struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decoded: Option<Decoded<'a>>,
    /// Why it must not count as consent though it decodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// Why a signal is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum NotRead {
    #[error("a line is a JSON object of at most 262144 bytes")]
    NoObject,
    #[error(
        "want exactly one signal: `tcf`, `gpp`, `gpp_section`, `us_privacy`, `gcs`, `gcd`, `att`, `onetrust` or `gpc`"
    )]
    NotOneSignal,
    #[error("the signal has to be a text")]
    NoText,
    #[error("want `gpp_section` as an object with `sectionId` or `section`, and `encoded`")]
    NoSection,
    #[error("no section has this number or name")]
    UnknownSection,
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl NotRead {
    const fn code(self) -> &'static str {
        match self {
            Self::NoObject => "no_object",
            Self::NotOneSignal => "not_one_signal",
            Self::NoText => "no_text",
            Self::NoSection => "no_section",
            Self::UnknownSection => "unknown_section",
            Self::Unreadable(why) => why.code(),
        }
    }
}

/// A signal that can be shown.
enum Signal {
    Tcf(TcString),
    Gpp(GppString),
    GppSection(Section),
    Simple(Value),
}

/// What a signal says.
#[derive(Serialize)]
#[serde(untagged)]
enum Decoded<'a> {
    Tcf(tcf::Shown<'a>),
    Gpp(gpp::Shown<'a>),
    GppSection(ShownSection<'a>),
    Simple(&'a Value),
}

impl Signal {
    fn read(kind: &str, given: &Value) -> Result<Self, NotRead> {
        if kind == "gpp_section" {
            return section(given).map(Self::GppSection);
        }
        let text = given.as_str().ok_or(NotRead::NoText);
        Ok(match kind {
            "tcf" => Self::Tcf(TcString::read(text?)?),
            "gpp" => Self::Gpp(GppString::read(text?)?),
            "us_privacy" => Self::Simple(us_privacy(text?)?),
            "gcs" => Self::Simple(gcs(text?)?),
            "gcd" => Self::Simple(gcd(text?)?),
            "att" => Self::Simple(json!(AttStatus::read(text?)?.name())),
            "onetrust" => Self::Simple(onetrust(text?)?),
            "gpc" => Self::Simple(json!(gpc::opts_out(text?))),
            _ => return Err(NotRead::NotOneSignal),
        })
    }

    fn decoded(&self) -> Decoded<'_> {
        match self {
            Self::Tcf(read) => Decoded::Tcf(tcf::Shown(read)),
            Self::Gpp(read) => Decoded::Gpp(gpp::Shown(read)),
            Self::GppSection(read) => Decoded::GppSection(ShownSection(read)),
            Self::Simple(value) => Decoded::Simple(value),
        }
    }

    /// Why it must not count as consent now, or not be relied on; each part that is so.
    fn unusable(&self) -> Option<String> {
        let now_ms = SystemClock::default().now().as_millisecond();
        let of_tcf = |read: &TcString| read.usable(now_ms).err().as_ref().map(Unusable::to_string);
        let of_section = |section: &Section| section.us()?.err().map(|why| format!("{}: {why}", section.name()));
        let reasons: Vec<String> = match self {
            Self::Tcf(read) => of_tcf(read).into_iter().collect(),
            Self::Gpp(read) => {
                let of_canada = |read: &TcfCanada| read.usable(now_ms).err().map(|why| format!("tcfcav1: {why}"));
                let of_tcf = read.tcf().and_then(of_tcf).map(|why| format!("tcfeuv2: {why}"));
                let of_frameworks = of_tcf.into_iter().chain(read.canada().and_then(of_canada));
                of_frameworks.chain(read.sections().iter().filter_map(of_section)).collect()
            }
            Self::GppSection(read) => of_section(read).into_iter().collect(),
            Self::Simple(_) => Vec::new(),
        };
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

fn section(given: &Value) -> Result<Section, NotRead> {
    let numbered = given.get("sectionId").and_then(Value::as_u64).and_then(|id| u16::try_from(id).ok());
    let named = given.get("section").and_then(Value::as_str);
    let encoded = given.get("encoded").and_then(Value::as_str).ok_or(NotRead::NoSection)?;
    let id = match (numbered, named) {
        (Some(id), _) => id,
        (None, Some(name)) => Section::numbered(name).ok_or(NotRead::UnknownSection)?,
        (None, None) => return Err(NotRead::NoSection),
    };
    Ok(Section::read(id, encoded).ok_or(NotRead::UnknownSection)??)
}

/// As section 6 of a GPP string shows it.
fn us_privacy(text: &str) -> Result<Value, Unreadable> {
    UsPrivacy::read(text)?;
    let letters: Vec<String> = text.chars().map(String::from).collect();
    let letter = |at: usize| letters.get(at);
    Ok(json!({"Version": 1, "Notice": letter(1), "OptOutSale": letter(2), "LspaCovered": letter(3)}))
}

fn gcs(text: &str) -> Result<Value, Unreadable> {
    let read = Gcs::read(text)?;
    Ok(json!({"ad_storage": read.ad_storage.name(), "analytics_storage": read.analytics_storage.name()}))
}

fn gcd(text: &str) -> Result<Value, Unreadable> {
    let read = Gcd::read(text)?;
    Ok(json!({
        "ad_storage": read.ad_storage.name(),
        "analytics_storage": read.analytics_storage.name(),
        "ad_user_data": read.ad_user_data.name(),
        "ad_personalization": read.ad_personalization.name(),
    }))
}

fn onetrust(text: &str) -> Result<Value, Unreadable> {
    let read = if text.starts_with(',') { Groups::of_active(text)? } else { Groups::of_cookie(text)? };
    let agreed = |name: &str| (name.to_owned(), json!(read.category(name) == Said::Granted));
    let groups: Map<String, Value> = read.named().map(|(name, _)| agreed(name)).collect();
    Ok(json!({"groups": groups, "gpc": read.gpc(), "changed_ms": read.changed_ms()}))
}
