//! Field paths: where in an event, or in the request around it, a value stands.
//!
//! `a.b` members; `[]` any element; `[k=v]` the elements whose member `k` is
//! `v`, an Iglu URI up to its model, which leave with that member and only if more of
//! them leaves; `*` any key; `"x.y"` a key with a dot in it; `$query.x`, `$header.x`,
//! `$cookie.x`, `$path.n` the rest of the request. A path goes on into a value
//! that is encoded JSON as if it were not encoded.

use std::fmt;
use std::str::FromStr;

use privet_json::Node;

use crate::iglu;

/// Which part of the request a path starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The event itself (in a batch: merged with what the batch shares).
    Event,
    /// A query parameter of the request target.
    Query,
    /// A request header, by its lower-case name.
    Header,
    /// A cookie.
    Cookie,
    /// A segment of the request path, counted from 0.
    PathSegment,
}

/// One step from a value into what it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The member of this name.
    Key(String),
    /// Any member.
    AnyKey,
    /// Any element of an array.
    Element,
    /// The elements of an array whose member `key` is the string `equals`, or an
    /// Iglu URI of the same model.
    Where {
        /// The member that is compared.
        key: String,
        /// The text it has to equal; an Iglu URI without revision and addition.
        equals: String,
    },
}

/// A field path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// Where it starts.
    pub origin: Origin,
    /// The steps from there; never empty.
    pub steps: Vec<Step>,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPath {
    /// There is nothing to find.
    #[error("a path needs at least one name")]
    Empty,
    /// Two dots in a row, or one at an end.
    #[error("a name is missing between two dots")]
    MissingName,
    /// `[` without `]`, or something other than `[]` and `[k=v]`.
    #[error("write `[]` for any element or `[key=value]` for chosen ones")]
    Bracket,
    /// `[k=iglu:...]` that names no schema.
    #[error("an Iglu URI is `iglu:vendor/name/format/model`, such as `iglu:com.acme/user/jsonschema/1`")]
    Iglu,
    /// An odd number of quotes.
    #[error("a quoted name does not end")]
    Quote,
    /// More steps than events are deep.
    #[error("a path has at most {} steps", privet_json::STEPS_MAX)]
    TooLong,
    /// A `$` that starts none of the four request parts.
    #[error("after `$` comes `query`, `header`, `cookie` or `path`, a dot and one name")]
    Origin,
}

impl Path {
    /// A path of plain member names.
    #[must_use]
    pub fn keys(names: &[&str]) -> Self {
        Self { origin: Origin::Event, steps: names.iter().map(|name| Step::Key((*name).to_owned())).collect() }
    }

    /// Whether it leads to one value of the event at most.
    #[must_use]
    pub fn is_one_place(&self) -> bool {
        self.origin == Origin::Event && !self.steps.iter().any(|step| matches!(step, Step::AnyKey | Step::Element))
    }

    /// Whether `self` is `other` or leads to it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.origin == other.origin && other.steps.starts_with(&self.steps)
    }
}

impl FromStr for Path {
    type Err = NotAPath;

    fn from_str(written: &str) -> Result<Self, NotAPath> {
        match written.strip_prefix('$') {
            Some(rest) => request_path(rest),
            None => Ok(Self { origin: Origin::Event, steps: steps(written)? }),
        }
    }
}

/// Reads what follows the `$`: one part of the request, one name in it, and for an
/// encoded value what stands in that.
fn request_path(rest: &str) -> Result<Path, NotAPath> {
    let (part, name) = rest.split_once('.').ok_or(NotAPath::Origin)?;
    let origin = match part {
        "query" => Origin::Query,
        "header" => Origin::Header,
        "cookie" => Origin::Cookie,
        "path" => Origin::PathSegment,
        _ => return Err(NotAPath::Origin),
    };
    if name.is_empty() {
        return Err(NotAPath::Origin);
    }
    let mut steps = steps(name)?;
    match (origin, steps.first_mut()) {
        (Origin::Header, Some(Step::Key(name))) => name.make_ascii_lowercase(),
        (Origin::PathSegment, Some(Step::Key(number))) if number.parse::<u16>().is_ok() => {}
        (Origin::PathSegment, _) => return Err(NotAPath::Origin),
        (_, Some(Step::Key(_) | Step::AnyKey)) => {}
        _ => return Err(NotAPath::Origin),
    }
    Ok(Path { origin, steps })
}

/// Splits `a.b[].c` into its steps.
fn steps(written: &str) -> Result<Vec<Step>, NotAPath> {
    let mut steps = Vec::new();
    let mut rest = written;
    if rest.is_empty() {
        return Err(NotAPath::Empty);
    }
    loop {
        rest = if rest.starts_with('[') { rest } else { name(rest, &mut steps)? };
        while let Some(inside) = rest.strip_prefix('[') {
            let (bracket, after) = inside.split_once(']').ok_or(NotAPath::Bracket)?;
            steps.push(selector(bracket)?);
            rest = after;
        }
        if steps.len() > privet_json::STEPS_MAX {
            return Err(NotAPath::TooLong);
        }
        match rest.strip_prefix('.') {
            Some("") => return Err(NotAPath::MissingName),
            Some(after) => rest = after,
            None if rest.is_empty() => return Ok(steps),
            None => return Err(NotAPath::Bracket),
        }
    }
}

/// Takes one name, quoted or plain, off the front.
fn name<'a>(rest: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, NotAPath> {
    if let Some(quoted) = rest.strip_prefix('"') {
        let (name, after) = quoted.split_once('"').ok_or(NotAPath::Quote)?;
        steps.push(Step::Key(name.to_owned()));
        return Ok(after);
    }
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    match name {
        "" => return Err(NotAPath::MissingName),
        "*" => steps.push(Step::AnyKey),
        name => steps.push(Step::Key(name.to_owned())),
    }
    Ok(after)
}

fn selector(bracket: &str) -> Result<Step, NotAPath> {
    if bracket.is_empty() {
        return Ok(Step::Element);
    }
    let (key, equals) = bracket.split_once('=').ok_or(NotAPath::Bracket)?;
    if key.is_empty() {
        return Err(NotAPath::Bracket);
    }
    let equals = equals.trim_matches('"');
    if iglu::is_meant(equals) && iglu::up_to_model(equals).is_none() {
        return Err(NotAPath::Iglu);
    }
    Ok(Step::Where { key: key.to_owned(), equals: iglu::comparable(equals).to_owned() })
}

/// The elements of a list that [`Step::Where`] chooses; none where it is no list.
pub(crate) fn chosen<'a>(list: Node<'a>, key: &str, equals: &str) -> impl Iterator<Item = Node<'a>> {
    let is = |member: Node<'_>| member.text().is_some_and(|text| iglu::comparable(&text) == iglu::comparable(equals));
    list.elements().filter(move |element| element.get(key).is_some_and(is))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            Origin::Event => {}
            Origin::Query => f.write_str("$query.")?,
            Origin::Header => f.write_str("$header.")?,
            Origin::Cookie => f.write_str("$cookie.")?,
            Origin::PathSegment => f.write_str("$path.")?,
        }
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(_) | Step::AnyKey if at > 0 => f.write_str(".")?,
                _ => {}
            }
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) if name.contains(['.', '[', '"']) => write!(f, "\"{name}\""),
            Self::Key(name) => f.write_str(name),
            Self::AnyKey => f.write_str("*"),
            Self::Element => f.write_str("[]"),
            Self::Where { key, equals } => write!(f, "[{key}={equals}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_it_was_written() {
        for written in [
            "a",
            "a.b",
            "products[].name",
            "externalIds[type=email].id",
            "traits.*",
            "a.\"x.y\".b",
            "$query.uid",
            "$header.anonymousid",
            "$cookie.sp",
            "$path.1",
            "[].id",
            "$query.\"utm.source\"",
            "$query.data.user.id",
            "$cookie.*",
        ] {
            assert_eq!(written.parse::<Path>().map(|path| path.to_string()).as_deref(), Ok(written));
        }
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (written, why) in [
            ("", NotAPath::Empty),
            ("a..b", NotAPath::MissingName),
            ("a.", NotAPath::MissingName),
            ("a[0]", NotAPath::Bracket),
            ("a[schema=iglu:com.acme/user/jsonschema].b", NotAPath::Iglu),
            ("\"a", NotAPath::Quote),
            ("$body.x", NotAPath::Origin),
            ("$path.x", NotAPath::Origin),
            ("$query.", NotAPath::Origin),
            ("$query.[]", NotAPath::Origin),
            ("$query.a..b", NotAPath::MissingName),
        ] {
            assert_eq!(written.parse::<Path>(), Err(why), "{written}");
        }
    }
}
