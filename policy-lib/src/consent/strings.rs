//! Consent strings: what one says about every purpose of a policy, worked out once a text.
//!
//! Promise: bounded, and never wrong by being remembered: a text is compared
//! whole, and what depends on the clock is asked each time. The texts stay in
//! memory, as nearly identifying as they are, and nowhere else.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, PoisonError, RwLock};

use super::reading::{Circumstance, Fault, Signal};
use super::{Consent, Signalled};
use crate::path::Path;
use crate::policy::{Basis, OptOut, Policy, Purpose, PurposeNo};
use crate::signals::Unreadable;
use crate::signals::gpp::{self, Choice, GppString, TcfCanada, UsPrivacyChoices};
use crate::signals::tcf::{self, TcString, Unusable};
use crate::signals::us_privacy::UsPrivacy;
use crate::source::{GrantSource, PolicySource};

/// Texts in each of the two generations that are remembered.
const REMEMBERED_MAX: usize = 4_096;
/// A longer text is worked out each time, so that the memory is bounded in bytes, too.
const REMEMBERED_BYTES_MAX: usize = 4 * 1_024;

/// Where consent strings stand, and what those seen before say.
#[derive(Default)]
pub(crate) struct Strings {
    /// Further members of events that hold a TC string.
    pub(super) tcf_at: Vec<Path>,
    /// Further members of events that hold a GPP string.
    pub(super) gpp_at: Vec<Path>,
    /// Whether a purpose is granted by the TCF.
    pub(super) tcf: bool,
    /// Whether a purpose is refused by the GPP, or granted by the TCF, whose string it may carry.
    pub(super) gpp: bool,
    tcf_texts: Texts,
    gpp_texts: Texts,
}

/// What the texts of one kind of signal say, as far as they are remembered.
#[derive(Default)]
struct Texts(RwLock<Generations>);

/// When the young generation is full it becomes the old one.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Says>>,
    old: HashMap<Box<str>, Arc<Says>>,
}

/// What a text says.
struct Says {
    /// While it holds.
    said: Signalled,
    /// Before and after.
    otherwise: Signalled,
    /// When it holds, in milliseconds since 1970.
    holds: RangeInclusive<i64>,
    /// What cannot be relied on at any time.
    faults: Vec<Fault>,
    /// What its section for Canada says. It grants there alone, and can refuse anywhere.
    canada: Option<Box<Says>>,
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strings").field("tcf", &self.tcf).field("gpp", &self.gpp).finish_non_exhaustive()
    }
}

impl Strings {
    pub(crate) fn of(source: &PolicySource) -> Self {
        let purposes = &source.purposes;
        let tcf = |grant: &GrantSource| matches!(grant, GrantSource::Tcf { .. });
        let granted = purposes.iter().any(|purpose| purpose.granted_by.iter().any(tcf));
        Self {
            tcf_at: purposes.iter().flat_map(|purpose| purpose.tcf_at.clone()).collect(),
            gpp_at: purposes.iter().flat_map(|purpose| purpose.gpp_at.clone()).collect(),
            tcf: granted,
            gpp: granted || purposes.iter().any(|purpose| purpose.opted_out_by.iter().any(|signal| listens(*signal))),
            tcf_texts: Texts::default(),
            gpp_texts: Texts::default(),
        }
    }
}

impl Texts {
    /// What a text says, remembered or worked out now.
    fn says(&self, text: &str, work_out: impl FnOnce() -> Says) -> Arc<Says> {
        let known = self.find(text);
        known.unwrap_or_else(|| {
            let says = Arc::new(work_out());
            self.keep(text, &says);
            says
        })
    }

    fn find(&self, text: &str) -> Option<Arc<Says>> {
        let generations = self.0.read().unwrap_or_else(PoisonError::into_inner);
        generations.young.get(text).or_else(|| generations.old.get(text)).cloned()
    }

    fn keep(&self, text: &str, says: &Arc<Says>) {
        if text.len() > REMEMBERED_BYTES_MAX {
            return;
        }
        let mut generations = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= REMEMBERED_MAX {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(text.into(), Arc::clone(says));
    }
}

impl Says {
    /// Nothing, at any time.
    fn nothing() -> Self {
        let (said, otherwise) = Default::default();
        Self { said, otherwise, holds: ALWAYS, faults: Vec::new(), canada: None }
    }

    /// The signal at a time, and whether it holds then.
    fn at(&self, at_ms: i64) -> (&Signalled, Result<(), Unusable>) {
        let holds = tcf::in_time(&self.holds, at_ms);
        (if holds.is_ok() { &self.said } else { &self.otherwise }, holds)
    }
}

const ALWAYS: RangeInclusive<i64> = i64::MIN..=i64::MAX;
/// Canada by ISO 3166-1, as policies and configurations name jurisdictions.
const CANADA: &str = "ca";
const UNKNOWN_SECTION: &str = "unknown_section";

impl Policy {
    /// Adds what a TC string says at this time.
    pub(super) fn hear_tcf(&self, text: &str, at: Circumstance, said: &mut Signalled, faults: &dyn Fn(Fault)) {
        let says = self.strings.tcf_texts.says(text, || self.work_out_tcf(text));
        self.hear(&says, at, said, faults);
    }

    /// The same of a GPP string.
    pub(super) fn hear_gpp(&self, text: &str, at: Circumstance, said: &mut Signalled, faults: &dyn Fn(Fault)) {
        let says = self.strings.gpp_texts.says(text, || self.work_out_gpp(GppString::read(text)));
        self.hear(&says, at, said, faults);
    }

    /// The same of one section that stands by itself.
    pub(super) fn hear_gpp_section(
        &self,
        id: u16,
        text: &str,
        at: Circumstance,
        said: &mut Signalled,
        faults: &dyn Fn(Fault),
    ) {
        self.hear(&self.work_out_gpp(GppString::of_section(id, text)), at, said, faults);
    }

    fn hear(&self, says: &Says, at: Circumstance, said: &mut Signalled, faults: &dyn Fn(Fault)) {
        let (signalled, holds) = says.at(at.at_ms);
        said.add(signalled);
        says.faults.iter().for_each(|fault| faults(*fault));
        if let Err(why) = holds {
            faults(Fault { signal: Signal::Tcf, reason: why.code() });
        }
        if let Some(canada) = &says.canada {
            let mut there = Signalled::default();
            self.hear(canada, at, &mut there, faults);
            let place = self.place_name(at.place);
            match place.split_once('-').map_or(place, |(country, _)| country) {
                CANADA => said.add(&there),
                _ => said.bind(&there),
            }
        }
    }

    /// The same of a US Privacy string, which is short enough to be read each time.
    pub(super) fn hear_us_privacy(&self, text: &str, said: &mut Signalled, faults: &dyn Fn(Fault)) {
        match UsPrivacy::read(text) {
            Ok(read) if read.opted_out_of_sale() => self.opt_outs(said, Consent::Refused, |_| true),
            Ok(_) => {}
            Err(why) => {
                faults(Fault { signal: Signal::UsPrivacy, reason: why.code() });
                self.opt_outs(said, Consent::Unavailable, |_| true);
            }
        }
    }

    fn work_out_tcf(&self, text: &str) -> Says {
        let read = TcString::read(text).map_err(Unreadable::code);
        let mut says = Says::nothing();
        self.add_tcf(read.as_ref().map_err(|code| *code), &mut says);
        says
    }

    fn work_out_gpp(&self, read: Result<GppString, Unreadable>) -> Says {
        let mut said = Signalled::default();
        let mut faults = Vec::new();
        let mut fault = |reason| faults.push(Fault { signal: Signal::Gpp, reason });
        let read = read.inspect_err(|why| fault(why.code())).ok();
        let sections = read.as_ref().map(GppString::sections).unwrap_or_default();
        let unknown = read.as_ref().is_some_and(GppString::has_unknown_sections);
        let mut unsure = read.is_none();
        if unknown {
            unsure = true;
            fault(UNKNOWN_SECTION);
        }
        for section in sections {
            match section.us() {
                Some(Ok(choices)) => self.add_choices(section.id(), &choices, &mut said),
                Some(Err(why)) => {
                    unsure = true;
                    fault(why.code());
                }
                None => {}
            }
        }
        if unsure {
            self.opt_outs(&mut said, Consent::Unavailable, |_| true);
        }
        let mut says = Says { otherwise: said.clone(), said, faults, ..Says::nothing() };
        if let Some(tcf) = read.as_ref().and_then(GppString::tcf) {
            self.add_tcf(Ok(tcf), &mut says);
        }
        says.canada = read.as_ref().and_then(GppString::canada).map(|canada| Box::new(self.work_out_canada(canada)));
        if read.is_none() {
            self.tcf_unavailable(&mut says.said);
        }
        says
    }

    /// What one section for the United States says.
    fn add_choices(&self, section: u16, choices: &UsPrivacyChoices, said: &mut Signalled) {
        let out = |choice: Choice| choice == Choice::OptedOut;
        let control = choices.gpc == Some(true);
        // The older string knows one word for all of it.
        let sale = out(choices.sale);
        let older = sale && section == gpp::US_PRIVACY;
        self.opt_outs(said, Consent::Refused, |signal| match signal {
            OptOut::Gpc => control,
            OptOut::GppSale => sale || control,
            OptOut::GppSharing => out(choices.sharing) || control || older,
            OptOut::GppTargeted => out(choices.targeted) || control || older,
            OptOut::GppSensitive => choices.sensitive.into_iter().any(out),
            OptOut::Dnt | OptOut::Att | OptOut::SpAnonymous => false,
        });
        said.child |= choices.of_a_child();
    }

    /// Says a state of every purpose that listens to the GPP and has one of these opt-outs.
    fn opt_outs(&self, said: &mut Signalled, state: Consent, which: impl Fn(OptOut) -> bool) {
        for (number, purpose) in self.numbered_purposes() {
            for signal in purpose.opted_out_by.iter().filter(|signal| listens(**signal) && which(**signal)) {
                self.opt_out(number, *signal, state, said);
            }
        }
    }

    /// What a TC string says, or that it is none.
    fn add_tcf(&self, read: Result<&TcString, &'static str>, says: &mut Says) {
        self.tcf_unavailable(&mut says.otherwise);
        // Whether it holds now is asked each time.
        let sound = read.and_then(|read| read.sound().map(|()| read).map_err(Unusable::code));
        let read = match sound {
            Ok(read) => read,
            Err(reason) => {
                says.faults.push(Fault { signal: Signal::Tcf, reason });
                return self.tcf_unavailable(&mut says.said);
            }
        };
        self.add_grants(read.last_updated_ms(), &mut says.said, |basis, purposes, features, vendor| {
            let each = |asked: &u8| match basis {
                Basis::LegitimateInterests => read.permits_interest(*asked, vendor),
                _ => read.consents(*asked, vendor),
            };
            purposes.iter().all(each) && features.iter().all(|feature| read.special_feature(*feature))
        });
        says.holds = read.holds_ms();
    }

    /// Canada's framework has the same purposes. What it implies is no agreement here.
    fn work_out_canada(&self, read: &TcfCanada) -> Says {
        let mut says = Says::nothing();
        self.tcf_unavailable(&mut says.otherwise);
        if let Err(why) = read.sound() {
            says.faults.push(Fault { signal: Signal::Gpp, reason: why.code() });
            self.tcf_unavailable(&mut says.said);
            return says;
        }
        self.add_grants(read.last_updated_ms(), &mut says.said, |_, purposes, features, vendor| {
            features.is_empty() && purposes.iter().all(|purpose| read.express_consent(*purpose, vendor))
        });
        says.holds = read.holds_ms();
        says
    }

    /// Says of every purpose that a framework grants whether it does, to everyone and to each vendor.
    fn add_grants(&self, at_ms: i64, said: &mut Signalled, allows: impl Fn(Basis, &[u8], &[u8], Option<u16>) -> bool) {
        for (number, purpose) in self.granted_by_tcf() {
            for grant in &purpose.granted_by {
                let GrantSource::Tcf { purposes, special_features } = grant else { continue };
                let allowed = |vendor| granted(allows(purpose.basis, purposes, special_features, vendor));
                said.say_dated(number, allowed(None), at_ms);
                for (audience, who) in self.audiences.iter().filter(|(_, who)| who.tcf_vendor.is_some()) {
                    said.deny(audience, self.audiences.len(), number, allowed(who.tcf_vendor));
                }
            }
        }
    }

    fn tcf_unavailable(&self, said: &mut Signalled) {
        self.granted_by_tcf().for_each(|(number, _)| said.say(number, Consent::Unavailable));
    }

    fn granted_by_tcf(&self) -> impl Iterator<Item = (PurposeNo, &Purpose)> {
        let tcf = |grant: &GrantSource| matches!(grant, GrantSource::Tcf { .. });
        self.numbered_purposes().filter(move |(_, purpose)| purpose.granted_by.iter().any(tcf))
    }
}

/// Whether a GPP string can say this opt-out: it carries Global Privacy Control, too.
const fn listens(signal: OptOut) -> bool {
    signal.is_gpp() || matches!(signal, OptOut::Gpc)
}

/// What a present string says of a purpose: what it does not grant it refuses.
const fn granted(whether: bool) -> Consent {
    if whether { Consent::Given } else { Consent::Refused }
}
