//! Words near a number that say whether somebody is to be called.

use super::super::context::{self, Words};

/// What the words around a number say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// A word of calling, nearer than any word of something else.
    Calling,
    /// Only that it is somebody's number.
    Number,
    /// Nothing, or that it is something else.
    None,
}

/// How far back words are read, in bytes.
const REACH_BEFORE: usize = 56;

/// How far ahead.
const REACH_AFTER: usize = 4;

impl Hint {
    /// Reads the word after a number.
    pub(super) fn after(text: &str, end: usize) -> Self {
        let following = context::first_after(text, end, REACH_AFTER).unwrap_or_default();
        if PLACES.have(following) || CALLING.have(following) { Self::Calling } else { Self::None }
    }

    /// Reads the words before a number.
    pub(super) fn before(text: &str, start: usize) -> Self {
        let mut hint = Self::None;
        for word in context::before(text, start, REACH_BEFORE) {
            if OTHER.have(word) {
                return Self::None;
            }
            if CALLING.have(word) {
                return Self::Calling;
            }
            if NUMBER.have(word) {
                hint = Self::Number;
            }
        }
        hint
    }
}

/// Which of somebody's phones: after a number these are telling, before it not.
static PLACES: Words = Words::new(&["cell", "direct", "home", "mobile", "office", "work"]);

static CALLING: Words = Words::new(&[
    "*phone*",
    "anrufen",
    "appeler",
    "bel",
    "call",
    "call*",
    "called",
    "calling",
    "calls",
    "cel",
    "cell",
    "cellular",
    "celular",
    "contact*",
    "dial*",
    "fax",
    "gsm",
    "handy",
    "helpline",
    "hotline",
    "landline",
    "ligar",
    "ligue",
    "line",
    "llama",
    "llamar*",
    "messaged",
    "messages",
    "messaging",
    "mobil*",
    "mobile",
    "móvil",
    "pager",
    "phones",
    "reach",
    "ring",
    "rufen",
    "signal",
    "sms",
    "tel",
    "telefon*",
    "telegram",
    "telephon*",
    "telephone",
    "telnr",
    "teléfono*",
    "text",
    "texted",
    "texting",
    "texts",
    "tlf",
    "tél",
    "téléphone*",
    "viber",
    "voicemail",
    "wechat",
    "whatsapp*",
    "звон*",
    "тел*",
    "手机*",
    "电话*",
    "電話*",
    "전화*",
]);

static NUMBER: Words = Words::new(&["no", "nr", "number*", "numero", "nummer", "numéro", "número", "номер*"]);

/// What other numbers count.
static OTHER: Words = Words::new(&[
    "*id",
    "account*",
    "acct",
    "amount",
    "bic",
    "booking*",
    "born",
    "build",
    "card*",
    "case",
    "claim*",
    "code*",
    "confirmation",
    "cost*",
    "credit",
    "customer",
    "date*",
    "debit",
    "epoch",
    "eur",
    "flight",
    "gbp",
    "iban",
    "id",
    "ids",
    "imei",
    "invoice*",
    "isbn",
    "issn",
    "licen*",
    "nhs",
    "npi",
    "order*",
    "page*",
    "passport*",
    "payment*",
    "pin",
    "policy",
    "postal",
    "postcode",
    "price*",
    "product*",
    "ref",
    "reference*",
    "routing",
    "serial*",
    "session*",
    "sku",
    "social",
    "ssn",
    "swift",
    "tax",
    "ticket*",
    "time",
    "timestamp*",
    "total",
    "track*",
    "transaction*",
    "usd",
    "user",
    "vat",
    "version*",
    "vin",
    "visa",
    "year",
    "zip",
]);
