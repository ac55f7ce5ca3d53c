//! Ids of devices for advertisers and vendors (IDFA, IDFV, GAID, OAID): a UUID
//! that a word nearby speaks of as such. Zeros mean that the person opted out.

use super::context::Words;
use super::runs::runs;
use super::sight::Sight;
use super::{Detector, Found, context};

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.dashes >= 4
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for run in runs(text, |byte| byte.is_ascii_hexdigit() || *byte == b'-') {
        let telling = || context::before(text, run.start, 48).take(5).any(|word| DEVICE_WORDS.have(word));
        if is_uuid(run.text) && telling() {
            found.push(Found { detector: Detector::AdvertisingId, start: run.start, end: run.end(), score: 95 });
        }
    }
}

fn is_uuid(written: &str) -> bool {
    written.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && written.bytes().any(|byte| !matches!(byte, b'0' | b'-'))
}

static DEVICE_WORDS: Words = Words::new(&[
    "aaid", "ad", "adid", "ads", "advert*", "asid", "device*", "gaid", "gpsadid", "idfa", "idfv", "ifa", "ifv", "maid",
    "oaid", "rdid", "tifa", "vendor*",
]);
