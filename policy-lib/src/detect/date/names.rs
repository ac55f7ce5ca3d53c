//! Names of months and days, in the languages of large markets.

/// Whether a word, in whatever case, is a month's name or its abbreviation.
///
/// `may` and `march` alone are English verbs; the numbers beside them decide.
pub(super) fn is_month(word: &str) -> bool {
    is_in(&MONTHS, word)
}

/// Whether a word is a day of the week in English, written in full.
pub(super) fn is_weekday(word: &str) -> bool {
    word.len() >= 6 && is_in(&WEEKDAYS, word)
}

fn is_in(names: &[&str], word: &str) -> bool {
    let first = word.as_bytes().first().map(u8::to_ascii_lowercase);
    let mut lower = names.iter().filter(|name| name.as_bytes().first().copied() == first);
    lower.any(|name| name.eq_ignore_ascii_case(word))
}

const WEEKDAYS: [&str; 7] = ["friday", "monday", "saturday", "sunday", "thursday", "tuesday", "wednesday"];

const MONTHS: [&str; 72] = [
    // English
    "jan",
    "january",
    "feb",
    "february",
    "mar",
    "march",
    "apr",
    "april",
    "may",
    "jun",
    "june",
    "jul",
    "july",
    "aug",
    "august",
    "sep",
    "sept",
    "september",
    "oct",
    "october",
    "nov",
    "november",
    "dec",
    "december",
    // German
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    // French
    "janvier",
    "février",
    "mars",
    "avril",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
    // Spanish
    "enero",
    "febrero",
    "marzo",
    "abril",
    "mayo",
    "junio",
    "julio",
    "agosto",
    "septiembre",
    "octubre",
    "noviembre",
    "diciembre",
    // Italian
    "gennaio",
    "febbraio",
    "aprile",
    "maggio",
    "giugno",
    "luglio",
    "settembre",
    "ottobre",
    "dicembre",
    // Portuguese
    "janeiro",
    "fevereiro",
    "março",
    "maio",
    "junho",
    "julho",
    "setembro",
    "outubro",
];
