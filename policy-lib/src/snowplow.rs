//! Snowplow's self-describing JSON, as policies name it.
//!
//! Promise: an author writes a field once, however trackers encode it. The protocol
//! has two names each for an event's self-describing data (`ue_pr` as text, `ue_px`
//! as base64) and for its entities (`co`, `cx`). Policies see both opened under the
//! first name, and may write either: see docs/decisions/0017-snowplow-paths.md.
//!
//! Not here: opening and closing them, which is the wire format's.

use crate::action::{Action, PseudonymShape};
use crate::format::Format;
use crate::iglu;
use crate::path::{Origin, Path, Step};
use crate::policy::{Field, FieldTypes, Role};
use crate::source::ConditionSource;
use crate::span::Spanned;
use crate::verdict::Ruling;

/// The name of self-describing data in an opened event.
pub const EVENT: &str = "ue_pr";
/// The name of the entities in an opened event.
pub const ENTITIES: &str = "co";
/// The schema around self-describing data.
pub const EVENT_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0";
/// The schema around entities.
pub const ENTITIES_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1";
/// The schema around a payload's events.
pub const PAYLOAD_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
/// The path that takes payloads.
pub const PAYLOAD_PATH: &str = "/com.snowplowanalytics.snowplow/tp2";

/// A path in an opened event, whichever encoding its author had in mind.
#[must_use]
pub fn opened(mut path: Path) -> Path {
    if let (Origin::Event, Some(Step::Key(name))) = (path.origin, path.steps.first_mut()) {
        match name.as_str() {
            "ue_px" => EVENT.clone_into(name),
            "cx" => ENTITIES.clone_into(name),
            _ => {}
        }
    }
    path
}

/// Whether a path leads to the opened JSON itself.
#[must_use]
pub fn is_opened(path: &Path) -> bool {
    [EVENT, ENTITIES].into_iter().any(|name| *path == Path::keys(&[name]))
}

/// A path in `match`, where `schema` is the schema of an event's self-describing data.
#[must_use]
pub fn condition(path: Path) -> Path {
    if path == Path::keys(&["schema"]) { Path::keys(&[EVENT, "data", "schema"]) } else { opened(path) }
}

/// What a condition on the schema of self-describing data implies: that the event is a
/// self-describing one.
#[must_use]
pub fn implied(conditions: &[ConditionSource]) -> Option<ConditionSource> {
    let asked = |path: &Path| conditions.iter().find(|(known, _)| known.value == *path);
    let (schema, _) = asked(&Path::keys(&[EVENT, "data", "schema"]))?;
    let kind = Path::keys(&["e"]);
    asked(&kind).is_none().then(|| (Spanned::new(kind, schema.at.clone()), vec!["ue".to_owned()]))
}

/// Entities chosen by their schema leave with it: without one they are none.
pub(crate) fn declare_schemas(format: Format, fields: &mut Vec<Field>) {
    if format != Format::Snowplow {
        return;
    }
    let chosen = fields.iter().filter_map(|field| schema_of_chosen(&field.path)).collect::<Vec<_>>();
    for path in chosen {
        if !fields.iter().any(|known| known.path == path) {
            fields.push(schema_field(path));
        }
    }
}

/// Whether a field is the schema by which an entity was chosen, which no author declares.
#[must_use]
pub fn chooses(path: &Path) -> bool {
    schema_of_chosen(path).is_some_and(|schema| schema == *path)
}

/// A schema by which entities at such a path are chosen, revision and addition included.
pub(crate) fn chosen_schema(path: &Path) -> Option<String> {
    let chosen = path.steps.iter().rev().nth(1).filter(|_| chooses(path))?;
    match chosen {
        Step::Where { equals, .. } => Some(iglu::whole(equals)),
        _ => Some("iglu:com.acme/sample/jsonschema/1-0-0".to_owned()),
    }
}

/// `co.data[schema=X].schema` for a path into those entities, `co.data[].schema` for one into all others.
fn schema_of_chosen(path: &Path) -> Option<Path> {
    let list = Path::keys(&[ENTITIES, "data"]);
    let at = list.steps.len();
    let chosen = match path.steps.get(at)? {
        Step::Where { key, .. } => key == "schema",
        step => *step == Step::Element,
    };
    if !chosen || !list.covers(path) {
        return None;
    }
    let mut steps = path.steps.get(..=at)?.to_vec();
    steps.push(Step::Key("schema".to_owned()));
    Some(Path { origin: path.origin, steps })
}

fn schema_field(path: Path) -> Field {
    Field {
        path,
        types: FieldTypes::NONE,
        category: Some("system.operations.schema".to_owned()),
        required: false,
        values: None,
        max_length: None,
        free_text: false,
        url: false,
        role: Some(Role::Schema),
        key_category: None,
        encoding: None,
        may_contain: vec!["user".to_owned()],
    }
}

/// A ruling that enrichment can live with: it reads some ids as UUIDs, and refuses an
/// event in which one is none. A pseudonym of these is a UUID where its rule names no
/// shape. `tid` is a number of 32 bits, which no pseudonym is: it does not leave as one.
pub(crate) fn shaped(format: Format, path: &Path, mut ruling: Ruling) -> Ruling {
    let Action::Pseudonymize { shape, .. } = &mut ruling.action else { return ruling };
    if format != Format::Snowplow {
        return ruling;
    }
    if *path == Path::keys(&["tid"]) {
        ruling.action = Action::Drop;
    } else if *shape == PseudonymShape::Text && is_uuid(path) {
        *shape = PseudonymShape::Uuid;
    }
    ruling
}

/// What enrichment (Transform.scala), or the entity's schema, reads as a UUID.
fn is_uuid(path: &Path) -> bool {
    const ENTITY_IDS: [(&str, &[&str]); 4] = [
        ("client_session", &["userId", "sessionId", "previousSessionId", "firstEventId"]),
        ("web_page", &["id"]),
        ("browser_context", &["tabId"]),
        ("screen", &["id"]),
    ];
    match (path.origin, path.steps.as_slice()) {
        (Origin::Event, [Step::Key(name)]) => matches!(name.as_str(), "eid" | "sid"),
        (Origin::Event, [.., Step::Where { equals, .. }, Step::Key(data), Step::Key(name)]) if data == "data" => {
            let entity = equals.split('/').nth(1).filter(|_| equals.starts_with("iglu:com.snowplowanalytics."));
            ENTITY_IDS.iter().any(|(known, ids)| entity == Some(known) && ids.contains(&name.as_str()))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_spelling_is_the_same_path() {
        for (written, meant) in [
            ("ue_px.data.data.email", "ue_pr.data.data.email"),
            ("ue_pr.data.data.email", "ue_pr.data.data.email"),
            ("cx.data[schema=iglu:a/b/jsonschema/1-0-2].data.id", "co.data[schema=iglu:a/b/jsonschema/1].data.id"),
            ("se_la", "se_la"),
            ("$query.cx", "$query.cx"),
        ] {
            assert_eq!(opened(path(written)), path(meant), "{written}");
        }
        assert_eq!(condition(path("schema")), path("ue_pr.data.schema"));
        assert!(is_opened(&opened(path("cx"))) && !is_opened(&path("co.data")));
    }

    #[test]
    fn what_enrichment_reads_as_a_uuid_stays_one() {
        for written in [
            "eid",
            "sid",
            "cx.data[schema=iglu:com.snowplowanalytics.snowplow/web_page/jsonschema/1-0-0].data.id",
            "co.data[schema=iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1].data.userId",
        ] {
            assert!(is_uuid(&opened(path(written))), "{written}");
        }
        for written in
            ["duid", "uid", "ue_pr.data.data.id", "$query.eid", "co.data[schema=iglu:a/web_page/jsonschema/1].data.id"]
        {
            assert!(!is_uuid(&opened(path(written))), "{written}");
        }
    }

    const POLICY: &str = "apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: checkout}
match: {format: snowplow, schema: iglu:com.acme/checkout/jsonschema/1-0-0}
fields:
  ue_px: {encoding: base64url+json}
  ue_px.data.data.step: {category: system.operations}
  \"cx.data[].data.sku\": {category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting}
basis: legal_obligation
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:1
primary: true
recipient: processor
purposes: [analytics.reporting]
---
apiVersion: privet.dev/v1alpha1
kind: Export
metadata: {name: steps}
purpose: analytics.reporting
from: {contract: checkout}
unit: duid
window: {length: 1h}
keys: {ue_px.data.data.step: [basket, done]}
bounds: {keys_per_unit: 2, rows_per_key: 3}
count: {noise: discrete_laplace, epsilon: \"0.1\"}
budget: {horizon: 30d, epsilon: \"72\"}
";

    #[test]
    fn contracts_and_exports_speak_of_opened_events() {
        let files = [crate::diagnostic::SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() }];
        let compiled = crate::compile(&files);
        let errors: Vec<_> = compiled.diagnostics.iter().filter(|told| !told.code.starts_with('W')).collect();
        assert!(errors.is_empty(), "{}", errors.iter().map(|told| told.render(&files, false)).collect::<String>());
        let policy = compiled.policy.unwrap();
        let contract = policy.contracts().first().unwrap();
        let conditions: Vec<_> =
            contract.conditions.iter().map(|(path, values)| (path.to_string(), values.join(","))).collect();
        let wanted = [("ue_pr.data.schema", "iglu:com.acme/checkout/jsonschema/1-0-0"), ("e", "ue")];
        assert_eq!(conditions, wanted.map(|(path, value)| (path.to_owned(), value.to_owned())));
        let declared = |written: &str| contract.fields.iter().find(|field| field.path == path(written));
        assert!(declared("ue_pr.data.data.step").is_some() && declared("ue_px.data.data.step").is_none());
        assert_eq!(declared("co.data[].schema").and_then(|field| field.role), Some(Role::Schema));
        assert!(contract.fields.iter().all(|field| field.encoding.is_none()));
        assert_eq!(policy.exports().first().unwrap().keys.first().unwrap().path, path("ue_pr.data.data.step"));
    }

    fn path(written: &str) -> Path {
        written.parse().unwrap()
    }
}
