//! Exports: names and paths resolved; the numbers are `privet-dp`'s to judge.

use super::Compiler;
use crate::diagnostic::Diagnostic;
use crate::export::{Export, KeyColumn};
use crate::format::Format;
use crate::path::Path;
use crate::policy::{Contract, Purpose, PurposeNo};
use crate::snowplow;
use crate::source::{ExportSource, nowhere};
use crate::span::Spanned;
use crate::taxonomy::nearest;

impl Compiler {
    pub(super) fn export(
        &mut self,
        source: &ExportSource,
        contracts: &[Contract],
        purposes: &[Purpose],
    ) -> Option<Export> {
        self.check_use(&source.purpose);
        let known = |purpose: &Purpose| purpose.name == source.purpose.value;
        if let Some(undeclared) = self.undeclared(&source.purpose, purposes).filter(|_| !purposes.iter().any(known)) {
            self.report(undeclared);
        }
        let Some(contract) = contracts.iter().find(|contract| contract.name == source.contract.value) else {
            let unknown = Diagnostic::error(
                "P021",
                &source.contract.at,
                format!("there is no contract `{}`", source.contract.value),
            )
            .label("unknown contract")
            .suggest(nearest(&source.contract.value, contracts.iter().map(|contract| contract.name.as_str())));
            self.report(unknown);
            return None;
        };
        let number = (0..).map(PurposeNo).zip(purposes).find(|(_, purpose)| known(purpose)).map(|(number, _)| number);
        if number.is_some_and(|number| !contract.purposes.contains(number)) {
            let message = format!("the purpose `{}` is not about `{}`", source.purpose.value, contract.name);
            let never = Diagnostic::error("P034", &source.purpose.at, message).label("lists other contracts");
            self.report(never.help("add the contract to the purpose's `contracts`, or count for another purpose"));
        }
        let unit = as_declared(&source.unit, contract);
        self.check_export_path(&unit, contract);
        let trusted = source.log_readers.as_ref().is_some_and(|readers| readers.value == "trusted");
        if let Some(readers) = source.log_readers.as_ref().filter(|readers| readers.value != "trusted") {
            self.report(Diagnostic::error("P025", &readers.at, "`log_readers` can only be `trusted`"));
        }
        for key in &source.keys {
            let path = as_declared(&key.path, contract);
            self.check_export_path(&path, contract);
            self.check_key_values(key);
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
        if source.keys.is_empty() {
            self.report(
                Diagnostic::error("P022", &source.name.at, "an export needs at least one key column")
                    .help("add `keys: {path: [value, ...]}`"),
            );
        }
        let mut window = source.window.clone();
        window.time = window.time.as_ref().map(|time| as_declared(time, contract));
        if let Some(time) = &window.time {
            self.check_export_path(time, contract);
        }
        let ids_per_person = source.ids_per_person.clone().unwrap_or_else(|| Spanned::new(1, nowhere()));
        Some(Export {
            name: source.name.clone(),
            purpose: source.purpose.value.clone(),
            contract: source.contract.value.clone(),
            unit: unit.value,
            keys: source
                .keys
                .iter()
                .map(|key| KeyColumn { path: as_declared(&key.path, contract).value, values: key.values.clone() })
                .collect(),
            window,
            fleet: source.fleet.clone(),
            keys_per_unit: source.keys_per_unit.clone(),
            rows_per_key: source.rows_per_key.clone(),
            noise: source.noise.clone(),
            epsilon: source.epsilon.clone(),
            rho: source.rho.clone(),
            horizon: source.horizon.clone(),
            budget_epsilon: source.budget_epsilon.clone(),
            budget_rho: source.budget_rho.clone(),
            ids_per_person,
            log_readers_trusted: trusted,
        })
    }

    fn check_export_path(&mut self, path: &Spanned<Path>, contract: &Contract) {
        let plain =
            path.value.steps.iter().all(|step| !matches!(step, crate::path::Step::AnyKey | crate::path::Step::Element));
        let declared = contract.fields.iter().any(|field| field.path == path.value);
        let encoded = crate::plan::encoded_parent(&contract.fields, &path.value).is_some();
        if !plain || !declared || encoded || path.value.origin != crate::path::Origin::Event {
            let others = contract.fields.iter().filter(|field| field.path != path.value);
            let fields: Vec<String> = others.map(|field| field.path.to_string()).collect();
            let message = format!("`{}` is no field of `{}` that can be counted", path.value, contract.name);
            let unknown = Diagnostic::error("P022", &path.at, message)
                .label("want a declared field, without `[]` and `*`, that is not within an encoded one")
                .suggest(nearest(&path.value.to_string(), fields.iter().map(String::as_str)));
            self.report(unknown);
        }
    }

    fn check_key_values(&mut self, key: &crate::source::KeySource) {
        let mut values = key.values.clone();
        values.sort();
        values.dedup();
        if values.is_empty() || values.len() != key.values.len() {
            let message = format!("the values of `{}` must be listed, each once", key.path.value);
            self.report(
                Diagnostic::error("P022", &key.path.at, message)
                    .note("every declared value is published, also when nobody has it"),
            );
        }
    }
}

/// A path as the contract's fields are spelled.
fn as_declared(path: &Spanned<Path>, contract: &Contract) -> Spanned<Path> {
    let mut path = path.clone();
    if contract.format == Format::Snowplow {
        path.value = snowplow::opened(path.value);
    }
    path
}
