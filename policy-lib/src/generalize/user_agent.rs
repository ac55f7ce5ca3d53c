//! A user agent, to the family it belongs to.
//!
//! Promise: what comes out is one of the names below, whatever came in, so a text
//! that is no user agent at all leaves nothing of itself.

use std::cmp::Ordering;
use std::fmt;

/// What is told of a user agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserAgentPart {
    /// Its family and the system it runs on: `Firefox on Windows`.
    FamilyOs,
    /// Its family: `Firefox`.
    Family,
}

impl UserAgentPart {
    /// Every part, from fine to coarse.
    pub const ALL: [Self; 2] = [Self::FamilyOs, Self::Family];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FamilyOs => "family_os",
            Self::Family => "family",
        }
    }

    /// `Less` is coarser; one chain, so there is always an answer.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        Some(other.cmp(&self))
    }
}

impl fmt::Display for UserAgentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What names no family or system that we know.
const OTHER: &str = "Other";

/// Words and the family they tell. The first that occurs decides: browsers name
/// those they descend from after themselves, so descendants come first.
const FAMILIES: [(&str, &str); 52] = [
    ("bot", "Bot"),
    ("crawler", "Bot"),
    ("spider", "Bot"),
    ("headlesschrome/", "Bot"),
    ("facebookexternalhit", "Bot"),
    ("fban/", "Facebook"),
    ("fbav/", "Facebook"),
    ("instagram ", "Instagram"),
    ("micromessenger/", "WeChat"),
    ("line/", "LINE"),
    ("gsa/", "Google"),
    ("edg/", "Edge"),
    ("edga/", "Edge"),
    ("edgios/", "Edge"),
    ("edge/", "Edge"),
    ("opr/", "Opera"),
    ("opios/", "Opera"),
    ("opera", "Opera"),
    ("samsungbrowser/", "Samsung Internet"),
    ("yabrowser/", "Yandex Browser"),
    ("yowser/", "Yandex Browser"),
    ("vivaldi/", "Vivaldi"),
    ("ucbrowser/", "UC Browser"),
    ("miuibrowser/", "MIUI Browser"),
    ("huaweibrowser/", "Huawei Browser"),
    ("duckduckgo/", "DuckDuckGo"),
    ("silk/", "Silk"),
    ("whale/", "Whale"),
    ("electron/", "Electron"),
    ("fxios/", "Firefox"),
    ("focus/", "Firefox"),
    ("firefox/", "Firefox"),
    ("crios/", "Chrome"),
    ("; wv)", "Android WebView"),
    ("chromium/", "Chromium"),
    ("chrome/", "Chrome"),
    ("msie ", "Internet Explorer"),
    ("trident/", "Internet Explorer"),
    ("version/", "Safari"),
    ("applewebkit/", "WebKit"),
    ("okhttp/", "OkHttp"),
    ("dalvik/", "Dalvik"),
    ("cfnetwork/", "CFNetwork"),
    ("python", "Python"),
    ("node", "Node.js"),
    ("axios/", "axios"),
    ("go-http-client/", "Go"),
    ("java/", "Java"),
    ("apache-httpclient/", "Java"),
    ("ruby", "Ruby"),
    ("curl/", "curl"),
    ("wget/", "Wget"),
];

/// Words and the system they tell, the most telling first.
const SYSTEMS: [(&str, &str); 17] = [
    ("windows phone", "Windows Phone"),
    ("xbox", "Xbox"),
    ("windows", "Windows"),
    ("playstation", "PlayStation"),
    ("nintendo", "Nintendo"),
    ("apple tv", "tvOS"),
    ("appletv", "tvOS"),
    ("tizen", "Tizen"),
    ("web0s", "webOS"),
    ("android", "Android"),
    ("iphone", "iOS"),
    ("ipad", "iOS"),
    ("ipod", "iOS"),
    ("cros", "ChromeOS"),
    ("mac os x", "macOS"),
    ("macintosh", "macOS"),
    ("linux", "Linux"),
];

/// The most bytes of a user agent that are looked at; what tells its family stands early.
const LOOKED_AT_BYTES: usize = 1024;

/// Appends the family of a user agent, and its system where that is asked for.
///
/// Whatever is not known is `Other`; versions, devices and languages are lost. There
/// is always an answer.
///
/// Still to be learnt: the family and the system, which for a rare pair is few people.
#[must_use]
pub fn user_agent(text: &str, part: UserAgentPart, out: &mut String) -> Option<()> {
    let (family, system) = told_before(text).unwrap_or_else(|| {
        let lower: String = text.chars().take(LOOKED_AT_BYTES).map(|char| char.to_ascii_lowercase()).collect();
        (first(&FAMILIES, &lower), first(&SYSTEMS, &lower))
    });
    out.push_str(family);
    if part == UserAgentPart::FamilyOs {
        out.push_str(" on ");
        out.push_str(system);
    }
    Some(())
}

fn first(words: &[(&str, &'static str)], lower: &str) -> &'static str {
    words.iter().find(|(word, _)| lower.contains(word)).map_or(OTHER, |(_, name)| name)
}

/// The names in what this function gave before.
fn told_before(text: &str) -> Option<(&'static str, &'static str)> {
    let (family, system) = text.rsplit_once(" on ").unwrap_or((text, OTHER));
    Some((known(&FAMILIES, family)?, known(&SYSTEMS, system)?))
}

fn known(words: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    let names = words.iter().map(|(_, name)| *name).chain([OTHER]);
    names.into_iter().find(|known| *known == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, part: UserAgentPart) -> String {
        let mut out = String::new();
        user_agent(text, part, &mut out).unwrap();
        out
    }

    #[test]
    fn families_and_systems() {
        for (text, expected) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
                "Chrome on Windows",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
                "Safari on iOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/131.0 Mobile/15E148 Safari/604.1",
                "Chrome on iOS",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/131.0 Mobile Safari/537.36",
                "Android WebView on Android",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
                "Safari on macOS",
            ),
            (
                "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                "Bot on Other",
            ),
            ("okhttp/4.12.0", "OkHttp on Other"),
            ("marla.quillfeather@example.com", "Other on Other"),
            ("", "Other on Other"),
        ] {
            assert_eq!(told(text, UserAgentPart::FamilyOs), expected);
        }
    }

    #[test]
    fn a_family_of_a_family_is_the_same() {
        for (_, family) in FAMILIES {
            assert_eq!(told(family, UserAgentPart::Family), family);
            for (_, system) in SYSTEMS {
                assert_eq!(told(&format!("{family} on {system}"), UserAgentPart::Family), family);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_text_leaves(text in any::<String>(), words in prop::collection::vec("[A-Za-z/0-9 .]{1,8}", 0..6)) {
            for text in [text, words.concat()] {
                let both = told(&text, UserAgentPart::FamilyOs);
                let (family, system) = both.rsplit_once(" on ").unwrap();
                prop_assert_eq!(known(&FAMILIES, family), Some(family));
                prop_assert_eq!(known(&SYSTEMS, system), Some(system));
                prop_assert_eq!(told(&both, UserAgentPart::Family), told(&text, UserAgentPart::Family));
            }
        }
    }
}
