//! Documents that records name: policy bundles, and classes that are too long for a record.
//!
//! Promise: a document is shipped because a record that is shipped names it, before that record's checkpoint, and only if it
//! has the digest that the record says. Whatever else lies in the log's folders stays where it is.

use memchr::memmem;
use privet_audit_log::policies::{Files as Bundle, bundle_digest};
use privet_audit_log::record::{Entry, PolicyLoad, Record};
use privet_audit_log::tree::Hash;

use super::files::CLASS;
use super::pass::Content;
use super::{Shipper, Unshipped};

/// A document that a record names.
#[derive(Debug)]
enum Named {
    Policy(PolicyLoad),
    /// The digest of a class document in hexadecimal.
    Class(String),
}

/// What a record names; most name nothing, and are not read for it.
fn named_in(entry: &[u8]) -> Option<Named> {
    let speaks_of = |kind: &str| memmem::find(entry, kind.as_bytes()).is_some();
    if !speaks_of(r#""t":"policy.load""#) && !speaks_of(r#""t":"class""#) {
        return None;
    }
    match Entry::parse(entry).ok()?.record {
        Record::PolicyLoad(load) => Some(Named::Policy(load)),
        Record::Class(class) if class.doc.is_none() => Some(Named::Class(hex_of(&class.id)?.to_owned())),
        _ => None,
    }
}

/// The hexadecimal digits of a digest, where it is one and can name a file.
fn hex_of(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    let plain = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain.then_some(hex)
}

/// A digest of all files that says nothing to whoever knows the bundle's own digest.
fn together(files: &Bundle) -> Hash {
    let mut all = b"privet policy bundle, sealed\n".to_vec();
    for (name, bytes) in files {
        for part in [name.as_bytes(), bytes] {
            all.extend((part.len() as u64).to_be_bytes());
            all.extend(part);
        }
    }
    Hash::of(&all)
}

impl Shipper {
    /// Ships the documents that these entries of an incarnation name.
    pub(super) async fn documents(&mut self, number: u64, entries: &[&[u8]]) -> Result<(), Unshipped> {
        for named in entries.iter().filter_map(|entry| named_in(entry)) {
            match named {
                Named::Policy(load) => self.policy(number, &load).await?,
                Named::Class(hex) => self.class(number, &hex).await?,
            }
        }
        Ok(())
    }

    async fn policy(&mut self, number: u64, load: &PolicyLoad) -> Result<(), Unshipped> {
        let known = format!("{} {}", load.digest, load.bundle);
        if self.documents.contains(&known) {
            return Ok(());
        }
        let (folder, files) = self.bundle(number, load)?;
        let beside = together(&files);
        for (file, bytes) in files {
            self.place(&format!("{folder}/{file}"), bytes, Content::Telling(&beside.0)).await?;
        }
        self.documents.insert(known);
        Ok(())
    }

    /// Where a bundle is kept, and its files, which have the digest that the record names.
    fn bundle(&self, number: u64, load: &PolicyLoad) -> Result<(String, Bundle), Unshipped> {
        let damaged = || Unshipped::Damaged(number);
        let (first, second) = (hex_of(&load.digest).ok_or_else(damaged)?, hex_of(&load.bundle).ok_or_else(damaged)?);
        for folder in [format!("policies/{first}"), format!("policies/{first}-{second}")] {
            let files = self.files.bundle(&folder)?;
            let meant = files.filter(|files| files.len() as u64 == load.files && bundle_digest(files) == load.bundle);
            if let Some(files) = meant {
                return Ok((folder, files));
            }
        }
        Err(damaged())
    }

    async fn class(&mut self, number: u64, hex: &str) -> Result<(), Unshipped> {
        let name = format!("{number}/class/{hex}.json");
        if self.documents.contains(&name) {
            return Ok(());
        }
        let bytes = self.files.read(&name, CLASS)?.filter(|bytes| Hash::of(bytes).to_hex() == hex);
        self.place(&name, bytes.ok_or(Unshipped::Damaged(number))?, Content::Telling(&[])).await?;
        self.documents.insert(name);
        Ok(())
    }
}
