//! A public log's checkpoint, cosigned by public witnesses: other people's signatures, checked by ours.
#![allow(clippy::unwrap_used, clippy::panic)]

use privet_audit_log::cosignature::{CosignatureError, WitnessKey};
use privet_audit_log::note::{Checkpoint, NoteError, VerifierKey};
use privet_audit_log::quorum::{TrustPolicy, Unsatisfied};

const NOTE: &str = include_str!("data/cosigned-checkpoint.txt");
const LOG: &str = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";
const WITNESS: &str = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

#[test]
fn a_public_witnesss_cosignature_is_right_and_tells_its_time() {
    let witness = WitnessKey::parse(WITNESS).unwrap();
    assert_eq!(witness.to_string(), WITNESS);
    assert_eq!(witness.check(NOTE), Ok(0x6a12_2120));
    let other = NOTE.replacen("\n1432088532\n", "\n1432088533\n", 1);
    assert_eq!(witness.check(&other), Err(CosignatureError::Forged("remora.n621.de".into())));
}

#[test]
fn a_public_log_satisfies_a_trust_policy_beside_signatures_of_other_kinds() {
    let log = VerifierKey::parse(LOG).unwrap();
    assert_eq!(Checkpoint::open(NOTE, &log).unwrap().size, 1_432_088_532);
    let policy =
        |quorum: &str| TrustPolicy::parse(&format!("log {LOG}\nwitness remora {WITNESS}\nquorum {quorum}\n")).unwrap();
    assert_eq!(policy("remora").check(NOTE).unwrap().by, [("remora".to_owned(), 0x6a12_2120)]);
    // Without its line nobody of the quorum is left.
    let bare: String = NOTE.split_inclusive('\n').filter(|line| !line.contains("remora")).collect();
    assert_eq!(policy("remora").check(&bare), Err(Unsatisfied::Quorum(Vec::new())));
    assert!(policy("none").check(&bare).is_ok());
    let unsigned: String = NOTE.split_inclusive('\n').filter(|line| !line.contains("ui8GwCF1")).collect();
    assert!(matches!(policy("remora").check(&unsigned), Err(Unsatisfied::Log(NoteError::Unsigned(_)))));
}
