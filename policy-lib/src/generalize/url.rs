//! A URL, to a part of it.

use std::cmp::Ordering;
use std::fmt;

/// Which part of a URL stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UrlPart {
    /// Everything but user name, password, path parameters, query and fragment.
    WithoutQuery,
    /// Scheme and host, without the port.
    Host,
}

impl UrlPart {
    /// Every part, from fine to coarse.
    pub const ALL: [Self; 2] = [Self::WithoutQuery, Self::Host];

    /// The word policies use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WithoutQuery => "without_query",
            Self::Host => "host",
        }
    }

    /// `Less` is coarser; one chain, so there is always an answer.
    #[must_use]
    pub fn compare(self, other: Self) -> Option<Ordering> {
        Some(other.cmp(&self))
    }
}

impl fmt::Display for UrlPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stays of a URL: a part of it, and of its query the parameters that are listed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlForm {
    part: UrlPart,
    /// Sorted, each once; only with [`UrlPart::WithoutQuery`].
    query: Vec<String>,
}

impl UrlForm {
    /// A part and no query.
    #[must_use]
    pub const fn of(part: UrlPart) -> Self {
        Self { part, query: Vec::new() }
    }

    /// Everything up to the query, and the parameters of these names.
    #[must_use]
    pub fn with_query(mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        Self { part: UrlPart::WithoutQuery, query: names }
    }

    /// Whether values of parameters stay, which may say anything.
    #[must_use]
    pub fn keeps_values(&self) -> bool {
        !self.query.is_empty()
    }

    /// `Less` is coarser; of two lists of parameters, the one within the other.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let within = |a: &Self, b: &Self| a.query.iter().all(|name| b.query.contains(name));
        match (self.part.compare(other.part)?, within(self, other), within(other, self)) {
            (Ordering::Equal, true, true) => Some(Ordering::Equal),
            (Ordering::Equal | Ordering::Less, true, _) => Some(Ordering::Less),
            (Ordering::Equal | Ordering::Greater, _, true) => Some(Ordering::Greater),
            _ => None,
        }
    }
}

impl fmt::Display for UrlForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.query.as_slice() {
            [] => self.part.fmt(f),
            names => write!(f, "query {}", names.join(",")),
        }
    }
}

/// Appends what stays of the URL.
///
/// Takes absolute URLs of any scheme with a host (`https://`, `app://landing`),
/// scheme-relative ones (`//host/path`) and, for [`UrlPart::WithoutQuery`],
/// absolute paths (`/search?q=...`). What stays is copied as it is written:
/// percent-encoding is neither added nor undone, dot segments stay. The path ends
/// at the first `;`, where servers put session ids. Whatever readers understand in
/// different ways is `None`: `mailto:`, `tel:`, `data:` and other URLs without a
/// host, relative paths, backslashes, spaces, control and formatting characters,
/// a second `@`, hosts with percent signs or full-width letters.
///
/// Of the query, parameters stay whose name is written exactly as it is listed,
/// without percent-encoding, in the order and notation of the URL; a value ends at
/// `&` or `;`. Values that readers could understand differently are dropped.
///
/// Still to be learnt: which site, and with the path which page; a path can name
/// a person (`/users/marla`), an order or an illness, and a host can, too
/// (`marla.blog.example`). Where paths do, take the host or drop the field.
#[must_use]
pub fn url(text: &str, form: &UrlForm, out: &mut String) -> Option<()> {
    let end = text.find(['?', '#']).unwrap_or(text.len());
    let (kept, rest) = text.split_at_checked(end).filter(|(kept, _)| !kept.contains(is_ambiguous))?;
    match (Hosted::read(kept), form.part) {
        (Some(hosted), UrlPart::Host) => hosted.write_host(out),
        (Some(hosted), UrlPart::WithoutQuery) => hosted.write(out),
        (None, UrlPart::WithoutQuery) if kept.starts_with('/') && !kept.starts_with("//") => {
            out.push_str(without_parameters(kept));
        }
        (None, _) => return None,
    }
    let query = rest.strip_prefix('?').map_or("", |query| query.split('#').next().unwrap_or_default());
    write_query(query, &form.query, out);
    Some(())
}

/// The listed parameters of a query.
fn write_query(query: &str, names: &[String], out: &mut String) {
    if names.is_empty() {
        return;
    }
    let listed = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        names.iter().any(|known| known == name) && !pair.contains(is_ambiguous)
    };
    for (number, pair) in query.split(['&', ';']).filter(listed).enumerate() {
        out.push(if number == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
}

/// What browsers strip, servers fold or readers cannot see.
fn is_ambiguous(char: char) -> bool {
    char.is_control()
        || char.is_whitespace()
        || matches!(char, '\\' | '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(char, '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FF00}'..='\u{FFFF}')
        || char >= '\u{E0000}'
}

fn without_parameters(path: &str) -> &str {
    path.split_once(';').map_or(path, |(path, _)| path)
}

/// A URL with a host, without query and fragment.
struct Hosted<'t> {
    /// With its colon, or empty.
    scheme: &'t str,
    host: &'t str,
    /// With its colon, or empty.
    port: &'t str,
    path: &'t str,
}

impl<'t> Hosted<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (scheme, rest) = text.split_at_checked(text.find("//")?)?;
        let rest = rest.strip_prefix("//")?;
        if !scheme.is_empty() && !scheme.strip_suffix(':').is_some_and(is_scheme) {
            return None;
        }
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let server = match authority.split_once('@') {
            Some((_, server)) if !server.contains('@') => server,
            Some(_) => return None,
            None => authority,
        };
        let (host, port) = split_port(server)?;
        is_host(host).then_some(Self { scheme, host, port, path })
    }

    fn write_host(&self, out: &mut String) {
        out.extend([self.scheme, "//", self.host]);
    }

    fn write(&self, out: &mut String) {
        self.write_host(out);
        out.extend([self.port, without_parameters(self.path)]);
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn split_port(server: &str) -> Option<(&str, &str)> {
    let after_bracket = server.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = server.get(after_bracket..)?.find(':') else { return Some((server, "")) };
    let (host, port) = server.split_at_checked(after_bracket + colon)?;
    let is_port = port.len() > 1 && port.strip_prefix(':')?.parse::<u16>().is_ok() && !port.contains('+');
    is_port.then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(literal) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return literal.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_letter = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_' | '.');
    host.chars().all(is_letter) && host.contains(char::is_alphanumeric) && !host.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, part: UrlPart) -> Option<String> {
        told_as(text, &UrlForm::of(part))
    }

    fn told_as(text: &str, form: &UrlForm) -> Option<String> {
        let mut out = String::new();
        let result = url(text, form, &mut out);
        assert!(result.is_some() || out.is_empty());
        result.map(|()| out)
    }

    fn listing(names: &[&str]) -> UrlForm {
        UrlForm::with_query(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn listed_parameters_stay() {
        let form = listing(&["utm_source", "utm_medium"]);
        for (text, expected) in [
            ("https://shop.example/a?utm_source=news&email=m@x.example#t", "https://shop.example/a?utm_source=news"),
            (
                "https://shop.example/a?x=1&utm_medium=a%20b&utm_source",
                "https://shop.example/a?utm_medium=a%20b&utm_source",
            ),
            ("/a?utm_source=1;sid=2&sid=3", "/a?utm_source=1"),
            ("/a?utm%5Fsource=1&UTM_SOURCE=2", "/a"),
            ("/a?utm_source=a b&utm_medium=c", "/a?utm_medium=c"),
            ("/a#?utm_source=1", "/a"),
            ("/a?b#utm_source=1", "/a"),
        ] {
            assert_eq!(told_as(text, &form).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(told_as("mailto:a?utm_source=b", &form), None);
    }

    #[test]
    fn fewer_parameters_are_coarser() {
        let (none, one, two) = (UrlForm::of(UrlPart::WithoutQuery), listing(&["a"]), listing(&["b", "a", "a"]));
        let host = UrlForm::of(UrlPart::Host);
        assert_eq!(one.compare(&two), Some(Ordering::Less));
        assert_eq!(two.compare(&one), Some(Ordering::Greater));
        assert_eq!(two.compare(&listing(&["a", "b"])), Some(Ordering::Equal));
        assert_eq!(one.compare(&listing(&["b"])), None);
        assert_eq!(none.compare(&one), Some(Ordering::Less));
        assert_eq!(host.compare(&two), Some(Ordering::Less));
        assert_eq!(two.compare(&host), Some(Ordering::Greater));
    }

    #[test]
    fn parts() {
        for (text, without_query, host) in [
            ("https://shop.example/a/b?q=1#top", "https://shop.example/a/b", "https://shop.example"),
            ("https://marla:secret@shop.example:8443/a", "https://shop.example:8443/a", "https://shop.example"),
            ("HTTPS://Shop.Example", "HTTPS://Shop.Example", "HTTPS://Shop.Example"),
            ("https://shop.example?q=1", "https://shop.example", "https://shop.example"),
            ("https://shop.example#a//b@c", "https://shop.example", "https://shop.example"),
            ("https://shop.example/a;jsessionid=9;v=1/b", "https://shop.example/a", "https://shop.example"),
            ("https://shop.example/%7Emarla%3Fq", "https://shop.example/%7Emarla%3Fq", "https://shop.example"),
            ("https://shop.example/a//b", "https://shop.example/a//b", "https://shop.example"),
            ("https://bücher.example/süß", "https://bücher.example/süß", "https://bücher.example"),
            ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/x", "http://[2001:db8::1]"),
            ("app://landing?campaign=x", "app://landing", "app://landing"),
            (
                "android-app://com.example.shop/https/x",
                "android-app://com.example.shop/https/x",
                "android-app://com.example.shop",
            ),
            ("//cdn.example/x?y", "//cdn.example/x", "//cdn.example"),
        ] {
            assert_eq!(told(text, UrlPart::WithoutQuery).as_deref(), Some(without_query), "{text}");
            assert_eq!(told(text, UrlPart::Host).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn a_path_has_no_host() {
        for (text, without_query) in
            [("/search?q=marla", "/search"), ("/", "/"), ("/a;s=1?b", "/a"), ("/x?u=http://y/", "/x")]
        {
            assert_eq!(told(text, UrlPart::WithoutQuery).as_deref(), Some(without_query));
            assert_eq!(told(text, UrlPart::Host), None);
        }
    }

    #[test]
    fn what_readers_understand_differently_is_refused() {
        for text in [
            "",
            "?q=1",
            "#top",
            "page",
            "page?q",
            "./a",
            "../a",
            "mailto:marla@home.example",
            "tel:+12025550143",
            "data:text/plain,marla",
            "javascript:alert(1)",
            "about:blank",
            "urn:isbn:1",
            "blob:https://shop.example/1",
            "file:///home/marla/x",
            "https:///x",
            "https://",
            "//",
            "///x",
            "https:/shop.example",
            "https:shop.example",
            "https://shop.example\\@evil.example/",
            "/\\evil.example",
            "ht tp://shop.example",
            " https://shop.example",
            "https://shop.example/a b",
            "https://shop.example/\u{0}",
            "https://sh\top.example",
            "https://a@b@shop.example/",
            "https://shop%2Eexample/",
            "https://shop.example:port/",
            "https://shop.example:/",
            "https://shop.example:99999/",
            "https://shop.example:+8/",
            "https://shop．example/",
            "https://ｓhop.example/",
            "https://shop.example/\u{202E}gnp",
            "https://sh\u{AD}op.example/",
            "https://a..example/",
            "1http://shop.example",
            "-://shop.example",
            "://shop.example",
            "https://[::1/",
            "https://[shop.example]/",
            "https://marla@/",
            "marla@home.example//x",
            "https://.../",
            "shop.example/path",
            "https:\n//shop.example",
        ] {
            assert_eq!(told(text, UrlPart::WithoutQuery), None, "{text:?}");
            assert_eq!(told(text, UrlPart::Host), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(text in "([a-z]{0,5}:)?/{0,3}([a-z]{0,3}:?[a-z]{0,2}@)?[a-z.]{0,8}(:[0-9]{0,6})?(/[a-z;%20]{0,6}){0,3}([?#].{0,8})?") {
            if let Some(fine) = told(&text, UrlPart::WithoutQuery) {
                prop_assert_eq!(told(&fine, UrlPart::WithoutQuery), Some(fine.clone()));
                prop_assert_eq!(told(&fine, UrlPart::Host), told(&text, UrlPart::Host));
                prop_assert!(!fine.contains(['?', '#', ';', '\\']));
            } else {
                prop_assert_eq!(told(&text, UrlPart::Host), None);
            }
        }

        #[test]
        fn anything_may_come(text in any::<String>()) {
            for part in UrlPart::ALL {
                if let Some(told) = told(&text, part) {
                    prop_assert!(!told.contains(['?', '#']));
                }
            }
        }
    }
}
