//! What a change of a policy loosens, where no cell of the exposure shows it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use privet_policy::diagnostic::SourceFile;
use privet_policy::diff::{Change, diff};
use privet_policy::policy::Policy;

const DESIGN: &str = include_str!("data/design.yaml");
/// A second contract whose events the first one's would be without it.
const BROADER: &str = "\n---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {name: any.track, version: 1, owner: storefront}\nmatch: {format: segment, type: track}\nfields:\n  properties.any: {type: string, category: system.operations}\n";

fn policy(text: &str) -> Policy {
    let compiled = privet_policy::compile(&[SourceFile { name: "policy.yaml".into(), text: text.into() }]);
    compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics))
}

fn edited(base: &str, from: &str, to: &str) -> String {
    assert!(base.contains(from), "`{from}`");
    base.replace(from, to)
}

/// What a change loosens outside of the cells, as `kind name: what`.
fn loosened(old: &str, new: &str) -> Vec<String> {
    let found = diff(&policy(old), &policy(new));
    let others = found.others.iter().inspect(|other| assert_eq!(other.change, Change::Loosen));
    others.map(|other| format!("{} {}: {}", other.kind, other.name, other.what)).collect()
}

/// The design without its export, which names the sections; with a text of bounded length.
fn base() -> String {
    let (rest, _) = DESIGN.rsplit_once("\n---\n").unwrap();
    edited(rest, "free_text: true", "max_length: 20, free_text: true")
}

#[test]
fn what_no_cell_shows_loosens_one_way_only() {
    let (contract, purpose) = ("contract storefront.search", "purpose analytics.reporting.content_performance");
    let base = base();
    let everywhere = edited(&base, "jurisdictions: {", "everywhere: true\njurisdictions: {");
    for (tight, from, to, said) in [
        (&base, "[apps, games, books]", "[apps, games, books, films]", format!("{contract}: what fields may hold")),
        (&base, ", enum: [apps, games, books]", "", format!("{contract}: what fields may hold")),
        (&base, "{type: integer,", "{type: number,", format!("{contract}: what fields may hold")),
        (&base, "max_length: 20", "max_length: 30", format!("{contract}: what fields may hold")),
        (&base, "max_length: 20, ", "", format!("{contract}: what fields may hold")),
        (&base, "opted_out_by: [gpc, ", "opted_out_by: [", format!("{purpose}: opted_out_by")),
        (&everywhere, "everywhere: true\n", "", format!("{purpose}: everywhere")),
    ] {
        let loose = edited(tight, from, to);
        assert_eq!(loosened(tight, &loose), [said.as_str()], "{from}");
        assert_eq!(loosened(&loose, tight), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn another_signal_of_consent_loosens_whichever_way() {
    let other = edited(DESIGN, "{category: Analytics}", "{category: Functional}");
    let said = ["purpose analytics.reporting.content_performance: granted_by"];
    assert_eq!(loosened(DESIGN, &other), said);
    assert_eq!(loosened(&other, DESIGN), said);
}

#[test]
fn a_contract_that_goes_may_leave_its_events_to_a_broader_one() {
    let both = format!("{DESIGN}{BROADER}");
    assert_eq!(loosened(&both, DESIGN), ["contract any.track: gone"]);
    assert_eq!(loosened(DESIGN, &both), Vec::<String>::new());
}

#[test]
fn who_an_event_is_about_loosens_when_it_changes() {
    let subject = edited(
        DESIGN,
        "  properties.results:",
        "  properties.shopper:  {type: string, category: user.unique_id, role: subject}\n  properties.results:",
    );
    let plain = edited(&subject, ", role: subject", "");
    assert_eq!(loosened(&subject, &plain), ["contract storefront.search: who it is about"]);
}

#[test]
fn what_comes_back_loosens_where_it_is_more() {
    let more = edited(DESIGN, "primary: true", "primary: true\nresponse: {headers: [etag], cookies: [sp]}");
    assert_eq!(loosened(DESIGN, &more), ["destination collector: response"]);
    assert_eq!(loosened(&more, DESIGN), Vec::<String>::new());
}

#[test]
fn where_a_destination_sits_and_how_values_are_encoded_loosen_whichever_way() {
    let elsewhere = edited(DESIGN, "primary: true", "primary: true\nlocated_in: [us]\nheaders: {X-From: privet}");
    let said = ["destination collector: headers", "destination collector: located_in"];
    assert_eq!(loosened(DESIGN, &elsewhere), said);
    assert_eq!(loosened(&elsewhere, DESIGN), said);
    let encoded = edited(DESIGN, "free_text: true", "encoding: base64, free_text: true");
    assert_eq!(loosened(DESIGN, &encoded), ["contract storefront.search: encodings"]);
    assert_eq!(loosened(&encoded, DESIGN), ["contract storefront.search: encodings"]);
}

#[test]
fn what_makes_a_proof_easier_is_told() {
    let contract = "contract storefront.search";
    for (from, to, said) in [
        (", free_text: true", "", "what texts may contain"),
        ("free_text: true", "free_text: true, may_contain: [user.contact.email]", "what texts may contain"),
        (
            "properties.results:  {type: integer, category: system.operations}",
            "properties.results:  {type: integer, category: user.behavior}",
            "categories",
        ),
    ] {
        let told = loosened(DESIGN, &edited(DESIGN, from, to));
        assert!(told.contains(&format!("{contract}: {said}")), "{from}: {told:?}");
    }
    let preferring = |order: &str| edited(DESIGN, "primary: true", &format!("primary: true\nprefer: [{order}]"));
    let (one, other) = (preferring("pseudonymize, generalize"), preferring("generalize, pseudonymize"));
    assert_eq!(loosened(&one, &other), ["destination collector: prefer"]);
}

#[test]
fn an_export_of_reports_loosens_when_it_is_new_or_changes() {
    let reports = "\n---\napiVersion: privet.dev/v1alpha1\nkind: Export\nmetadata: {name: seasons}\npurpose: analytics.reporting.content_performance\nfrom: {contract: storefront.search}\nunit: userId\nwindow: {length: 1h}\nreports: {field: properties.query, method: kary, answers: 4, epsilon: \"1\", presence: public}\n";
    let with = format!("{DESIGN}{reports}");
    assert_eq!(loosened(DESIGN, &with), ["export seasons: new"]);
    assert_eq!(loosened(&with, DESIGN), Vec::<String>::new());
    for (from, to) in [
        ("method: kary", "method: unary"),
        ("answers: 4", "answers: 5"),
        ("answers: 4", "answers: [a, b, c, d]"),
        ("epsilon: \"1\"", "epsilon: \"2\""),
        ("field: properties.query", "field: properties.section"),
    ] {
        assert_eq!(loosened(&with, &edited(&with, from, to)), ["export seasons: changed"], "{to}");
    }
    let spelt = edited(&with, "answers: 4", "answers: [\"0\", \"1\", \"2\", \"3\"]");
    assert_eq!(loosened(&with, &spelt), Vec::<String>::new());
}
