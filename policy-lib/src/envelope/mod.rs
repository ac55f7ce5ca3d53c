//! The built-in contracts: what each wire format puts around an event.
//!
//! An author's contract inherits its format's envelope and may say more about
//! its fields. Roles mark what leaves with every event; ids, addresses and exact
//! times carry none of those roles.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::diagnostic::SourceFile;
use crate::format::Format;
use crate::path::Path;
use crate::source::{FieldSource, Reader, nowhere};
use crate::yaml;

const REQUEST: &str = include_str!("request.yaml");
const SEGMENT: &str = include_str!("segment.yaml");
const RUDDERSTACK: &str = include_str!("rudderstack.yaml");
const SNOWPLOW: &str = include_str!("snowplow.yaml");
const GA4: &str = include_str!("ga4.yaml");
const OTLP: &str = include_str!("otlp.yaml");
const CLOUDEVENTS: &str = include_str!("cloudevents.yaml");

/// One format's envelope.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The fields every event of the format may have.
    pub fields: Vec<FieldSource>,
    /// What its collector needs: of each entry, one path.
    pub requires: Vec<Vec<Path>>,
}

/// The envelope of a format, the request around it included.
#[must_use]
pub fn of(format: Format) -> Envelope {
    /// Read once: a policy asks for each contract.
    static ENVELOPES: LazyLock<HashMap<Format, Envelope>> =
        LazyLock::new(|| Format::ALL.map(|format| (format, read_whole(format))).into_iter().collect());
    ENVELOPES.get(&format).cloned().unwrap_or_else(|| read_whole(format))
}

fn read_whole(format: Format) -> Envelope {
    let (text, requires): (&str, &[&[&str]]) = match format {
        Format::Segment => (SEGMENT, &[&["userId", "anonymousId"], &["messageId"]]),
        Format::RudderStack => (RUDDERSTACK, &[&["userId", "anonymousId"]]),
        Format::Snowplow => (SNOWPLOW, &[]),
        Format::Ga4 => (GA4, &[&["client_id", "app_instance_id"]]),
        Format::Otlp => (OTLP, &[]),
        Format::CloudEvents => (CLOUDEVENTS, &[&["id"]]),
        Format::Json | Format::Ndjson => ("{}", &[]),
    };
    let mut fields = read(text);
    fields.extend(read(REQUEST));
    Envelope {
        fields,
        requires: requires.iter().map(|names| names.iter().map(|name| Path::keys(&[name])).collect()).collect(),
    }
}

fn read(text: &str) -> Vec<FieldSource> {
    let mut reader = Reader::default();
    let documents = yaml::documents(text, nowhere().file).unwrap_or_default();
    let fields = documents.first().map(|fields| FieldSource::read_all(fields, &mut reader)).unwrap_or_default();
    let wrong = reader.into_diagnostics();
    let file = SourceFile { name: String::new(), text: text.to_owned() };
    debug_assert!(
        wrong.is_empty(),
        "a built-in envelope does not read: {:?}",
        wrong.first().map(|error| error.render(&[file], false))
    );
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Role;

    #[test]
    fn ids_addresses_and_exact_times_never_leave_by_role() {
        let taxonomy = crate::compile::shipped_taxonomy();
        for format in Format::ALL {
            for field in of(format).fields {
                let category = field.category.as_ref().map(|category| category.value.as_str());
                let personal =
                    category.is_some_and(|category| category.starts_with("user.") || category.ends_with("message_id"));
                assert!(!(personal && field.role.is_some_and(Role::leaves)), "{format}: {}", field.path.value);
                assert!(
                    category.is_some_and(|category| taxonomy.categories.contains(category)),
                    "{format}: {} {category:?}",
                    field.path.value
                );
            }
        }
    }

    #[test]
    fn what_a_collector_needs_is_declared() {
        for format in Format::ALL {
            let envelope = of(format);
            for path in envelope.requires.iter().flatten() {
                assert!(envelope.fields.iter().any(|field| field.path.value == *path), "{format}: {path}");
            }
        }
    }
}
