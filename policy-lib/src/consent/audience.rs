//! To whom a choice is about: a person may allow a purpose to one recipient and refuse it to another.

use crate::policy::{Destination, PurposeSet, Recipient};

use super::ConsentStates;

/// A place in [`Audiences`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceNo(pub u8);

impl AudienceNo {
    /// Third parties whom no vendor list knows: whoever reads what is published.
    pub const PUBLIC: Self = Self(0);
}

/// What tells one recipient from another where signals are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audience {
    /// Who it is.
    pub recipient: Recipient,
    /// Its vendor number in the TCF.
    pub tcf_vendor: Option<u16>,
}

/// The recipients of a policy, each kind once; the first is [`AudienceNo::PUBLIC`].
#[derive(Debug)]
pub struct Audiences {
    all: Vec<Audience>,
    /// What the destinations of each may use data for.
    purposes: Vec<PurposeSet>,
}

impl Audiences {
    /// Sorts destinations, each with its vendor number, by whom signals mean by them.
    pub(crate) fn of(destinations: &mut [Destination], vendors: impl Iterator<Item = Option<u16>>) -> Self {
        let public = Audience { recipient: Recipient::ThirdParty, tcf_vendor: None };
        let mut audiences = Self { all: vec![public], purposes: vec![PurposeSet::default()] };
        for (destination, tcf_vendor) in destinations.iter_mut().zip(vendors) {
            let audience = Audience { recipient: destination.recipient, tcf_vendor };
            destination.audience = audiences.number(audience);
            if let Some(purposes) = audiences.purposes.get_mut(usize::from(destination.audience.0)) {
                *purposes = purposes.or(destination.purposes);
            }
        }
        audiences
    }

    /// There are no more than destinations, which a policy numbers by bytes.
    fn number(&mut self, audience: Audience) -> AudienceNo {
        let known = self.all.iter().position(|known| *known == audience).unwrap_or_else(|| {
            self.all.push(audience);
            self.purposes.push(PurposeSet::default());
            self.all.len() - 1
        });
        AudienceNo(u8::try_from(known).unwrap_or(u8::MAX))
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Each with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (AudienceNo, Audience)> {
        (0..).map(AudienceNo).zip(self.all.iter().copied())
    }

    /// The strictest of what was said to each about what it may use data for.
    pub(crate) fn strictest(&self, said: impl Fn(AudienceNo) -> ConsentStates) -> ConsentStates {
        let each = (0..).map(AudienceNo).zip(&self.purposes);
        each.fold(ConsentStates::default(), |all, (number, purposes)| all.and(said(number).about(*purposes)))
    }
}
