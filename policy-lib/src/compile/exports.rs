//! Exports: names and paths resolved; the numbers are `privet-dp`'s to judge.

use std::collections::HashSet;

use super::Compiler;
use super::counted::Counted;
use crate::diagnostic::Diagnostic;
use crate::export::{Export, KeyColumn, KeyValues, Measure};
use crate::format::Format;
use crate::path::Path;
use crate::policy::{Contract, Purpose, PurposeNo};
use crate::snowplow;
use crate::source::{ExportSource, KeySource, KeyValuesSource, nowhere};
use crate::span::Spanned;
use crate::taxonomy::nearest;

impl Compiler {
    pub(super) fn export(
        &mut self,
        source: &ExportSource,
        contracts: &[Contract],
        purposes: &[Purpose],
    ) -> Option<Export> {
        self.check_counted_purpose(&source.purpose, purposes);
        let contract = match &source.contract {
            Some(written) => Some(self.counted_contract(&source.purpose, written, contracts, purposes)?),
            None => None,
        };
        let trusted = self.log_readers_trusted(source);
        let unit = as_declared(&source.unit, contract);
        let of = source.measure.of.as_ref().map(|of| as_declared(of, contract));
        if let Some(contract) = contract {
            self.check_counted(&unit, Counted::Unit, contract);
            of.iter().for_each(|path| self.check_counted(path, Counted::Value, contract));
        }
        for key in &source.keys {
            self.check_key_values(key);
            if let Some(contract) = contract {
                self.check_key_path(key, contract, trusted);
            }
        }
        if source.keys.is_empty() {
            self.report(
                Diagnostic::error("P022", &source.name.at, "an export needs at least one key column")
                    .help("add `keys: {path: [value, ...]}`"),
            );
        }
        self.check_top(source);
        self.check_budget_has_delta(source);
        let keys = source.keys.iter().map(|key| key_column(key, contract)).collect();
        let mut window = source.window.clone();
        window.time = window.time.as_ref().map(|time| as_declared(time, contract));
        if let (Some(time), Some(contract)) = (&window.time, contract) {
            self.check_counted(time, Counted::Time, contract);
        }
        Some(Export {
            name: source.name.clone(),
            purpose: source.purpose.value.clone(),
            contract: contract.map(|contract| contract.name.clone()),
            unit: unit.value,
            keys,
            window,
            fleet: source.fleet.clone(),
            bounds: source.bounds.clone(),
            measure: Measure { of, ..source.measure.clone() },
            horizon: source.horizon.clone(),
            budget_epsilon: source.budget_epsilon.clone(),
            budget_rho: source.budget_rho.clone(),
            budget_delta: source.budget_delta.clone(),
            ids_per_person: source.ids_per_person.clone().unwrap_or_else(|| Spanned::new(1, nowhere())),
            log_readers_trusted: trusted,
            canaries: source.canaries.clone().unwrap_or_else(|| Spanned::new(CANARIES, nowhere())),
            nonnegative: source.nonnegative,
        })
    }

    /// That somebody can permit what is counted for.
    pub(super) fn check_counted_purpose(&mut self, written: &Spanned<String>, purposes: &[Purpose]) {
        self.check_use(written);
        let known = |purpose: &Purpose| purpose.name == written.value;
        if let Some(undeclared) = self.undeclared(written, purposes).filter(|_| !purposes.iter().any(known)) {
            self.report(undeclared);
        }
    }

    /// The contract whose events are counted, for a purpose that is about it.
    pub(super) fn counted_contract<'a>(
        &mut self,
        purpose: &Spanned<String>,
        written: &Spanned<String>,
        contracts: &'a [Contract],
        purposes: &[Purpose],
    ) -> Option<&'a Contract> {
        let Some(contract) = contracts.iter().find(|contract| contract.name == written.value) else {
            let unknown = Diagnostic::error("P021", &written.at, format!("there is no contract `{}`", written.value))
                .label("unknown contract")
                .suggest(nearest(&written.value, contracts.iter().map(|contract| contract.name.as_str())));
            self.report(unknown);
            return None;
        };
        let mut numbered = (0..).map(PurposeNo).zip(purposes);
        let number = numbered.find(|(_, known)| known.name == purpose.value).map(|(number, _)| number);
        if number.is_some_and(|number| !contract.purposes.contains(number)) {
            let message = format!("the purpose `{}` is not about `{}`", purpose.value, contract.name);
            let never = Diagnostic::error("P034", &purpose.at, message).label("lists other contracts");
            self.report(never.help("add the contract to the purpose's `contracts`, or count for another purpose"));
        }
        Some(contract)
    }

    fn log_readers_trusted(&mut self, source: &ExportSource) -> bool {
        let Some(readers) = &source.log_readers else { return false };
        if readers.value != "trusted" {
            self.report(Diagnostic::error("P025", &readers.at, "`log_readers` can only be `trusted`"));
        }
        readers.value == "trusted"
    }

    fn check_key_path(&mut self, key: &KeySource, contract: &Contract, trusted: bool) {
        let path = as_declared(&key.path, Some(contract));
        self.check_counted(&path, Counted::Key, contract);
        self.check_keys_occur(key, &path.value, contract);
        if contract.conditions.iter().any(|(known, _)| *known == path.value) && !trusted {
            let counted = Diagnostic::error(
                "P023",
                &key.path.at,
                format!("the enforcement log counts events by `{}` exactly", key.path.value),
            )
            .label("part of what matches the contract")
            .help("write `log_readers: trusted` if those who read the log may know these counts")
            .note("the guarantee of an export holds against its recipients, not against readers of the log");
            self.report(counted);
        }
    }

    pub(super) fn check_export_path(&mut self, path: &Spanned<Path>, contract: &Contract) {
        let declared = contract.fields.iter().any(|field| field.path == path.value);
        let encoded = crate::plan::encoded_parent(&contract.fields, &path.value).is_some();
        if !path.value.is_one_place() || !declared || encoded {
            let others = contract.fields.iter().filter(|field| field.path != path.value);
            let fields: Vec<String> = others.map(|field| field.path.to_string()).collect();
            let message = format!("`{}` is no field of `{}` that can be counted", path.value, contract.name);
            let unknown = Diagnostic::error("P022", &path.at, message)
                .label("want a declared field, without `[]` and `*`, that is not within an encoded one")
                .suggest(nearest(&path.value.to_string(), fields.iter().map(String::as_str)));
            self.report(unknown);
        }
    }

    /// A choice among fewer keys than are chosen costs noise and chooses nothing.
    fn check_top(&mut self, source: &ExportSource) {
        let Some(k) = &source.measure.k else { return };
        let Some(keys) = declared_keys(&source.keys).filter(|keys| *keys < k.value) else { return };
        let message = format!("the top {} of {keys} keys are wanted", k.value);
        let more = Diagnostic::error("P048", &k.at, message).label("more than there are");
        self.report(more.help(format!(
            "write a number below {keys}, or `count` them all: each place more adds noise to every number"
        )));
    }

    /// What is paid in delta needs some to be paid from.
    fn check_budget_has_delta(&mut self, source: &ExportSource) {
        let (Some(delta), None) = (&source.measure.delta, &source.budget_delta) else { return };
        let missing = Diagnostic::error("P049", &delta.at, "each release costs some delta, and the budget has none")
            .label("what one release costs")
            .other(&source.horizon.at, "the budget of this horizon");
        self.report(missing.help("add a `delta` to `budget`: at least this one times the releases of a horizon"));
    }

    fn check_key_values(&mut self, key: &KeySource) {
        let KeyValuesSource::Declared(values) = &key.values else { return };
        let mut seen = HashSet::new();
        if values.is_empty() || !values.iter().all(|value| seen.insert(&value.value)) {
            let message = format!("the values of `{}` must be listed, each once", key.path.value);
            self.report(
                Diagnostic::error("P022", &key.path.at, message)
                    .note("every declared value is published, also when nobody has it"),
            );
        }
    }
}

/// How many cells of known truth are published where the author does not say.
const CANARIES: u64 = 32;

fn key_column(key: &KeySource, contract: Option<&Contract>) -> KeyColumn {
    let values = match &key.values {
        KeyValuesSource::Declared(values) => {
            KeyValues::Declared(values.iter().map(|value| value.value.clone()).collect())
        }
        // What could not be read leaves no policy.
        KeyValuesSource::Private(private) => {
            private.clone().map_or_else(|| KeyValues::Declared(Vec::new()), KeyValues::Private)
        }
    };
    KeyColumn { path: as_declared(&key.path, contract).value, values }
}

/// How many keys are declared; none where some are private.
fn declared_keys(keys: &[KeySource]) -> Option<u64> {
    keys.iter().try_fold(1_u64, |all, key| match &key.values {
        KeyValuesSource::Declared(values) => Some(all.saturating_mul(values.len() as u64)),
        KeyValuesSource::Private(_) => None,
    })
}

/// A path as the contract's fields are spelled.
pub(super) fn as_declared(path: &Spanned<Path>, contract: Option<&Contract>) -> Spanned<Path> {
    let mut path = path.clone();
    if contract.is_some_and(|contract| contract.format == Format::Snowplow) {
        path.value = snowplow::opened(path.value);
    }
    path
}
