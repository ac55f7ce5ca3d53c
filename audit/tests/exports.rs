//! Exports against the schemas that others published.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex, Schemas};
use privet_audit_log::tree::Hash;
use serde_json::Value;
use support::{answer, shop};

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn exported(root: &Path, format: &str) -> Vec<Value> {
    let (text, status) = answer(root, &["export", format, "@log", "--out", "@out", "--key", "@anchor/vkey"]);
    assert_eq!(status, Some(0), "{text}");
    let lines = fs::read_to_string(root.join("out")).unwrap();
    answer(root, &["export", format, "@log", "--out", "@again"]);
    assert_eq!(fs::read_to_string(root.join("again")).unwrap(), lines, "the same log gives the same bytes");
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn compiled(schemas: &mut Schemas, resources: &[(&str, Value)], at: &str) -> SchemaIndex {
    let mut compiler = Compiler::new();
    compiler.enable_format_assertions();
    for (url, schema) in resources {
        compiler.add_resource(url, schema.clone()).unwrap();
    }
    compiler.compile(at, schemas).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn cloudevents_are_valid_and_each_names_its_leaf() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let mut schemas = Schemas::new();
    let url = "https://cloudevents.io/spec.json";
    let schema = compiled(&mut schemas, &[(url, data("cloudevents/spec.json"))], url);
    let events = exported(root.path(), "cloudevents");
    let mut ids = BTreeSet::new();
    for event in &events {
        schemas.validate(event, schema).unwrap_or_else(|error| panic!("{error:#}\n{event}"));
        assert!(
            event
                .as_object()
                .unwrap()
                .keys()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        );
        assert!(ids.insert((event["source"].as_str().unwrap(), event["id"].as_str().unwrap())));
        assert_eq!(event["data"]["seq"].to_string(), event["id"].as_str().unwrap());
        let bytes = privet_audit_log::canonical::to_bytes(&event["data"]).unwrap();
        assert_eq!(event["leafhash"], Hash::leaf(&bytes).to_hex());
    }
    let sequences: Vec<&str> = events.iter().map(|event| event["sequence"].as_str().unwrap()).collect();
    assert!(sequences.is_sorted());
}

#[test]
fn openlineage_says_what_can_leave_once_a_policy_and_contract() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let mut schemas = Schemas::new();
    let (run, facet) = (
        "https://openlineage.io/spec/1-0-2/OpenLineage.json",
        "https://openlineage.io/spec/facets/1-0-1/ColumnLineageDatasetFacet.json",
    );
    let resources =
        [(run, data("openlineage/OpenLineage.json")), (facet, data("openlineage/ColumnLineageDatasetFacet.json"))];
    let run = compiled(&mut schemas, &resources, run);
    let facet = compiled(&mut schemas, &resources, facet);
    let events = exported(root.path(), "openlineage");
    let searches: Vec<&Value> = events.iter().filter(|event| event["inputs"][0]["name"] == "shop.search/3").collect();
    assert_eq!(searches.len(), 2, "one for each policy");
    for event in &events {
        schemas.validate(event, run).unwrap_or_else(|error| panic!("{error:#}\n{event}"));
        for output in event["outputs"].as_array().unwrap() {
            schemas.validate(&output["facets"], facet).unwrap_or_else(|error| panic!("{error:#}\n{output}"));
            for (name, field) in output["facets"]["columnLineage"]["fields"].as_object().unwrap() {
                for transformation in field["inputFields"][0]["transformations"].as_array().unwrap() {
                    let members: BTreeSet<&str> =
                        transformation.as_object().unwrap().keys().map(String::as_str).collect();
                    assert_eq!(members, BTreeSet::from(["type", "subtype", "description", "masking"]), "{name}");
                    assert_eq!(transformation["type"], "DIRECT");
                    assert!(matches!(transformation["subtype"].as_str(), Some("IDENTITY" | "TRANSFORMATION")));
                }
            }
        }
    }
    let fields = |event: &Value| event["outputs"][0]["facets"]["columnLineage"]["fields"].clone();
    let (before, after) = (fields(searches[0]), fields(searches[1]));
    assert_eq!(before["properties.query"], Value::Null);
    let query = &after["properties.query"]["inputFields"][0]["transformations"][0];
    assert_eq!((&query["masking"], &query["subtype"]), (&false.into(), &"TRANSFORMATION".into()));
    assert_eq!(before["properties.email"]["inputFields"][0]["transformations"][0]["masking"], true);
    let counts = events.iter().any(|event| event.to_string().contains("events"));
    assert!(!counts, "lineage goes to catalogs that are no auditor's");
}

/// The attributes that a definition requires.
fn required(definition: &Value) -> Vec<&str> {
    let all = definition["attributes"].as_object().unwrap().iter();
    all.filter(|(_, attribute)| attribute["requirement"] == "required").map(|(name, _)| name.as_str()).collect()
}

#[test]
fn ocsf_events_have_what_their_classes_require_and_the_record_whole() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let (lifecycle, metadata) = (data("ocsf/application_lifecycle.json"), data("ocsf/metadata.json"));
    let events = exported(root.path(), "ocsf");
    assert_eq!(events.iter().filter(|event| event["class_uid"] == 6002).count(), 2, "a start and an end");
    for event in &events {
        for name in ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"] {
            assert!(!event[name].is_null(), "{name}: {event}");
        }
        let (class, activity) = (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
        assert_eq!(event["type_uid"], class * 100 + activity);
        assert_eq!(event["category_uid"], class / 1000);
        for name in required(&metadata) {
            assert!(!event["metadata"][name].is_null(), "{name}: {event}");
        }
        let known = metadata["attributes"].as_object().unwrap();
        assert!(event["metadata"].as_object().unwrap().keys().all(|name| known.contains_key(name)), "{event}");
        if class == 6000 + lifecycle["uid"].as_u64().unwrap() {
            assert!(required(&lifecycle).iter().all(|name| !event[*name].is_null()), "{event}");
            let named = &lifecycle["attributes"]["activity_id"]["enum"][activity.to_string()]["caption"];
            assert_eq!(&event["activity_name"], named);
        }
        let raw = event["raw_data"].as_str().unwrap().as_bytes();
        assert_eq!(event["unmapped"]["leaf_hash"], Hash::leaf(raw).to_hex());
        assert_eq!(event["raw_data_hash"]["value"], Hash::of(raw).to_hex());
    }
}
