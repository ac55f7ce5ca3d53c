//! Any text at all, as every kind of consent signal.
//!
//! A reader answers or says why not; what it reads can be asked and shown, and a
//! TC string never consents where its own purpose and vendor bits do not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privet_policy::signals::google::{Gcd, Gcs};
use privet_policy::signals::gpp::{self, GppString};
use privet_policy::signals::onetrust::Groups;
use privet_policy::signals::tcf::{Shown, TcString};
use privet_policy::signals::us_privacy::UsPrivacy;

fuzz_target!(|text: &str| {
    if let Ok(read) = TcString::read(text) {
        serde_json::to_vec(&Shown(&read)).map_or(0, |json| json.len());
        for (purpose, vendor) in (1..=11).flat_map(|purpose| [1, 32, 812, u16::MAX].map(|vendor| (purpose, vendor))) {
            let both = read.purpose_consent(purpose) && read.vendor_consent(vendor);
            assert!(both || !read.consents(purpose, Some(vendor)), "consent out of nothing");
            assert!(!read.permits_interest(1, Some(vendor)), "purpose 1 has no legitimate interest");
        }
        let _ = read.usable(0);
    }
    for text in [text.to_owned(), format!("DBABMA~{text}"), format!("DBABDA~{text}"), format!("DBABLA~{text}")] {
        if let Ok(read) = GppString::read(&text) {
            serde_json::to_vec(&gpp::Shown(&read)).map_or(0, |json| json.len());
            (0..=28).for_each(|id| drop(read.us(id)));
        }
    }
    let _ = (UsPrivacy::read(text), Gcs::read(text), Gcd::read(text), Groups::of_active(text));
    let _ = Groups::of_cookie(text).map(|groups| groups.category("C0001"));
});
