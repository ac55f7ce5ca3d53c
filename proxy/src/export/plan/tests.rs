use super::*;
use privet_dp::query::RowKey;
use privet_policy::diagnostic::SourceFile;
use privet_policy::export::{Bounds, KeyColumn, KeyValues, Measure as Written, Window};

fn at(start: usize) -> Span {
    Span { file: 0, bytes: start..start + 1 }
}

pub(in crate::export) fn text(value: &str, start: usize) -> Spanned<String> {
    Spanned::new(value.to_owned(), at(start))
}

/// The example of the design.
pub(in crate::export) fn searches() -> Export {
    Export {
        name: text("searches-by-section", 1),
        purpose: "analytics.reporting.content_performance".to_owned(),
        contract: Some("storefront.search".to_owned()),
        unit: Path::keys(&["userId"]),
        keys: vec![KeyColumn {
            path: Path::keys(&["properties", "section"]),
            values: KeyValues::Declared(["apps", "games", "books"].map(str::to_owned).to_vec()),
        }],
        window: Window::of_length(text("1h", 2)),
        fleet: None,
        bounds: Bounds {
            keys_per_unit: Spanned::new(2, at(3)),
            rows_per_key: Some(Spanned::new(3, at(4))),
            rows_per_unit: None,
            admission: None,
        },
        measure: measure("count"),
        horizon: text("30d", 7),
        budget_epsilon: Some(text("72", 8)),
        budget_rho: None,
        budget_delta: None,
        ids_per_person: Spanned::new(1, at(9)),
        log_readers_trusted: true,
        canaries: Spanned::new(32, at(10)),
        nonnegative: false,
    }
}

/// Laplace noise at epsilon 0.1.
fn measure(name: &str) -> Written {
    Written { noise: Some(text("discrete_laplace", 5)), epsilon: Some(text("0.1", 6)), ..Written::named(text(name, 5)) }
}

fn problems(change: impl FnOnce(&mut Export)) -> Vec<(&'static str, usize)> {
    let mut export = searches();
    change(&mut export);
    plan(&[export], &[])
        .err()
        .unwrap_or_default()
        .iter()
        .map(|problem| (problem.code, problem.at.bytes.start))
        .collect()
}

#[test]
fn the_example_of_the_design_can_run() {
    let plans = plan(&[searches()], &[]).unwrap().exports;
    let query = &plans[0].query;
    assert_eq!((query.keys.most(), query.mechanism.stages()[0].sensitivity().get()), (3, 6));
    assert_eq!(plans[0].cost_of_horizon(), Some(query.budget.limit));
    assert_eq!(query.keys.key_of(&["books"]), Some(RowKey::At(2)));
    assert_eq!(query.keys.key_of(&["music"]), None);
}

#[test]
fn a_concentrated_export_can_run() {
    let mut export = searches();
    export.measure.noise = Some(text("discrete_gaussian", 5));
    (export.measure.epsilon, export.measure.rho) = (None, Some(text("0.0005", 6)));
    (export.budget_epsilon, export.budget_rho) = (None, Some(text("3.24", 8)));
    export.ids_per_person.value = 3;
    // 720 windows, nine times 0.0005 each.
    let plans = plan(&[export.clone()], &[]).unwrap().exports;
    assert_eq!(plans[0].cost_of_horizon(), Some(plans[0].query.budget.limit));
    export.budget_rho = Some(text("3.239999999", 8));
    let problems = plan(&[export], &[]).unwrap_err();
    assert_eq!(problems[0].code, "P115");
    assert_eq!(problems[0].message, "720 windows at rho 0.0045 each do not fit a budget of rho 3.239999999");
    assert_eq!(problems[0].label, "room for 719 windows in 30d");
}

#[test]
fn every_mistake_is_found_at_its_place() {
    assert_eq!(problems(|export| export.name.value = "../ledger".to_owned()), [("P102", 1)]);
    assert_eq!(problems(|export| export.keys[0].values = KeyValues::Declared(Vec::new())), [("P103", 1)]);
    assert_eq!(problems(|export| export.bounds.keys_per_unit.value = 0), [("P104", 3)]);
    assert_eq!(problems(|export| export.bounds.rows_per_key = Some(Spanned::new(70_000, at(4)))), [("P104", 4)]);
    assert_eq!(problems(|export| export.bounds.keys_per_unit.value = 4), [("P105", 3)]);
    assert_eq!(problems(|export| export.window = Window::of_length(text("hourly", 2))), [("P106", 2)]);
    assert_eq!(problems(|export| export.measure.noise = Some(text("laplace", 5))), [("P107", 5)]);
    assert_eq!(problems(|export| export.measure.epsilon = None), [("P108", 5)]);
    assert_eq!(
        problems(|export| (export.measure.rho, export.measure.epsilon) = (Some(text("1", 6)), None)),
        [("P108", 6)]
    );
    assert_eq!(problems(|export| export.measure.epsilon = Some(text("0.000000001", 6))), [("P109", 6)]);
    assert_eq!(problems(|export| export.measure.epsilon = Some(text("1e-1", 6))), [("P110", 6)]);
    assert_eq!(problems(|export| export.ids_per_person.value = 0), [("P111", 9)]);
    assert_eq!(problems(|export| export.window = Window::of_length(text("7h", 2))), [("P112", 7)]);
    assert_eq!(problems(|export| export.budget_epsilon = None), [("P113", 7)]);
    assert_eq!(
        problems(|export| (export.budget_epsilon, export.budget_rho) = (None, Some(text("1", 8)))),
        [("P115", 8)]
    );
    assert_eq!(problems(|export| export.budget_epsilon = Some(text("71.9", 8))), [("P115", 8)]);
    assert_eq!(problems(|export| export.ids_per_person.value = 2), [("P115", 8)]);
}

#[test]
fn all_mistakes_are_found_at_once() {
    let mut export = searches();
    export.name.value = String::new();
    export.bounds.rows_per_key.as_mut().unwrap().value = 0;
    export.measure.epsilon = Some(text("lots", 6));
    export.horizon.value = "forever".to_owned();
    let codes: Vec<_> =
        plan(&[export, searches(), searches()], &[]).unwrap_err().iter().map(|problem| problem.code).collect();
    assert_eq!(codes, ["P101", "P102", "P104", "P110", "P106"]);
}

const DESIGN: &str = include_str!("../../../../policy-lib/tests/data/design.yaml");

/// The plan of the design's policies with one text replaced.
pub(in crate::export) fn planned(written: &str, instead: &str) -> Plan {
    from_policies(written, instead).unwrap_or_else(|shown| panic!("{instead}\n{shown}")).remove(0)
}

/// Compiles the design's policies with one text replaced, and plans their exports.
pub(super) fn from_policies(written: &str, instead: &str) -> Result<Vec<Plan>, String> {
    assert!(DESIGN.contains(written), "{written}");
    let files = [SourceFile { name: "design.yaml".to_owned(), text: DESIGN.replace(written, instead) }];
    let policy = privet_policy::compile(&files).policy.unwrap();
    plan(policy.exports(), policy.surveys())
        .map(|plans| plans.exports)
        .map_err(|problems| problems.iter().map(|problem| problem.render(&files, false)).collect())
}

#[test]
fn the_policies_of_the_design_plan_their_export() {
    let plans = from_policies("kind", "kind").unwrap();
    let query = &plans[0].query;
    assert_eq!((plans[0].contract.as_deref(), query.unit.as_str()), (Some("storefront.search"), "userId"));
    assert_eq!(query.keys.columns().collect::<Vec<_>>(), ["properties.section"]);
    assert_eq!(query.mechanism.stages()[0].scale().to_string(), "60.00000095367431640625");
}

#[test]
fn a_budget_that_is_too_small_is_shown_at_its_line() {
    let shown = from_policies("epsilon: \"72\"", "epsilon: \"71\"").unwrap_err();
    for part in [
        "error[P115]: 720 windows at epsilon 0.1 each do not fit a budget of epsilon 71",
        "design.yaml:",
        "room for 710 windows in 30d",
        "the windows of one horizon cost epsilon 72 together: raise the limit to that, lengthen the window, or lower the loss of each",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    println!("{shown}");
}

#[test]
fn a_delta_that_is_too_small_is_shown_at_its_place() {
    let design = DESIGN
        .replace("{properties.section: [apps, games, books]}", "{properties.query: {min_units: 20, keys_max: 500}}")
        .replace("epsilon: \"0.1\"}", "epsilon: \"0.1\", delta: \"1e-9\"}")
        .replace("epsilon: \"72\"}", "epsilon: \"72\", delta: \"700e-9\"}");
    let files = [SourceFile { name: "design.yaml".to_owned(), text: design }];
    let policy = privet_policy::compile(&files).policy.unwrap();
    let shown = plan(policy.exports(), policy.surveys()).unwrap_err()[0].render(&files, false);
    let caret = shown.lines().find(|line| line.contains("^^^")).unwrap();
    let line = shown.lines().find(|line| line.contains("700e-9")).unwrap();
    assert_eq!(caret.find('^'), line.find("\"700e-9"), "{shown}");
    for part in ["room for 700 windows in 30d", "write `delta: \"0.00000072\"` in `budget`: the loss itself fits"] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}
