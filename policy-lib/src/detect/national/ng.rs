//! Nigeria.

use super::checks::{all_same, verhoeff};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::NgNin,
        form: Form::Shapes(&[Shape::new("99999999999")]),
        joints: "",
        judge: |code| Sure::maybe(verhoeff(code.chars()) && !all_same(code.chars())),
        topics: Topics::IDENTITY.or(Topics::SOCIAL),
    },
    Identifier {
        detector: Detector::NgVehicleRegistration,
        form: Form::Shapes(&[Shape::new("AAA-999AA")]),
        joints: "- ",
        judge: plate,
        topics: Topics::VEHICLE,
    },
];

/// Federal Road Safety Corps: local government, number, year and batch.
fn plate(code: &Code) -> Sure {
    if code.capitals && code.joint != Some(' ') { Sure::Likely } else { Sure::Maybe }
}
