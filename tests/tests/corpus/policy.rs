//! A policy without a question in it: a contract for every format that asks no condition, and a purpose that needs no
//! consent. Ids leave as pseudonyms, times as their hour, and the rest not at all.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet::keys::Keyring;
use privet::policies;
use privet::transform::Enforcement;
use privet_policy::format::Format;

const HEAD: &str = "\
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: functional.service}
basis: contract
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
purposes: [functional.service]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: ids}
data: [user.unique_id, user.device.device_id, system.operations.message_id]
for: [functional.service]
action: pseudonymize
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: times}
data: [user.behavior.event_time]
for: [functional.service]
action: {generalize: {time: hour}}
";

/// Plain JSON has no envelope, so that its contracts name what web hooks often have.
const OPEN_FIELDS: &str = "\
fields:
  id: {category: user.unique_id, role: subject}
  user_id: {category: user.unique_id, role: subject}
  created_at: {category: user.behavior.event_time}
  timestamp: {category: user.behavior.event_time}
";

/// The name of the contract that every event of a format follows.
pub fn contract(format: Format) -> String {
    format!("any.{format}")
}

fn text() -> String {
    let mut text = HEAD.to_owned();
    for format in Format::ALL {
        let name = contract(format);
        text += &format!(
            "---\napiVersion: privet.dev/v1alpha1\nkind: Contract\nmetadata: {{name: {name}}}\nmatch: {{format: {format}}}\n"
        );
        if matches!(format, Format::Json | Format::Ndjson) {
            text += OPEN_FIELDS;
        }
    }
    text
}

/// The policy, ready to enforce, under a key of the test.
pub fn permissive() -> Enforcement {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.yaml"), text()).unwrap();
    let files = policies::read(directory.path()).unwrap();
    let loaded = policies::compile(&files);
    let said = policies::errors(&files, &loaded.diagnostics);
    let (policy, _) = loaded.policy.unwrap_or_else(|| panic!("{said}"));
    let keyring = Keyring::read(&[("test.key".to_owned(), STANDARD.encode([7; 32]).into_bytes())]).unwrap();
    Enforcement::new(Arc::new(policy), &keyring).unwrap()
}
