//! What the process was told to be, as the log's `config` record says it.

use privet_audit_log::record::{
    BypassWatch, Config as Told, ConsentKept, DurabilityName, ExportsCharged, Shipped, SignaturesNeeded,
};

use crate::config::{Config, Durability, Signatures, Store, StoreAt};

/// The record that follows `open`.
#[must_use]
pub fn told(config: &Config) -> Told {
    Told {
        digest: config.digest.to_address(),
        durability: match config.log.durability {
            Durability::Sync => DurabilityName::Sync,
            Durability::Lease(_) => DurabilityName::Lease,
        },
        signatures: config.signatures.as_ref().map(needed),
        consent: match config.consent.store {
            Store::Embedded(_) => ConsentKept::Embedded,
            Store::Redis(_) => ConsentKept::Redis,
            Store::PostgreSql(_) => ConsentKept::PostgreSql,
        },
        exports: match config.exports.shared {
            None => ExportsCharged::File,
            Some(_) => ExportsCharged::PostgreSql,
        },
        ship: config.log.ship.as_ref().map_or(Shipped::None, |ship| shipped(&ship.to)),
        sealed: config.log.ship.as_ref().is_some_and(|ship| !ship.seal_to.is_empty()),
        bypass: if config.bypass.is_some() { BypassWatch::Record } else { BypassWatch::Off },
    }
}

fn shipped(to: &StoreAt) -> Shipped {
    match to {
        StoreAt::Directory(_) => Shipped::Directory,
        StoreAt::S3(_) => Shipped::S3,
    }
}

fn needed(signatures: &Signatures) -> SignaturesNeeded {
    SignaturesNeeded {
        required: signatures.required as u64,
        required_to_loosen: signatures.required_to_loosen as u64,
        signers: signatures.signers.iter().map(|signer| signer.name().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use privet_audit_log::tree::Hash;

    use super::*;

    #[test]
    fn the_record_is_that_of_the_files_bytes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/full.yaml");
        let told = told(&Config::load(&file).unwrap());
        assert_eq!(told.digest, Hash::of(&std::fs::read(&file).unwrap()).to_address());
        assert_eq!(told.durability, DurabilityName::Lease);
        assert_eq!((told.ship, told.sealed, told.bypass), (Shipped::S3, true, BypassWatch::Record));
    }
}
