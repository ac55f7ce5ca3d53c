//! Tables that others bring, malformed in every way: refused by row, quoted nowhere, overwritten.

use proptest::prelude::*;

use super::super::posted::{NotATable, Written, read};
use super::*;

/// What no answer may hold.
const CANARY: &str = "c4n4ry9f31";

fn query() -> Arc<Query> {
    let mut export = Export { contract: None, ..export("1h") };
    export.window.splits_max = None;
    Arc::clone(&plan::plan(&[export], &[]).unwrap().exports[0].query)
}

/// How a row is spoiled.
#[derive(Clone, Copy, Debug)]
enum Spoiled {
    Key,
    Number,
    Column,
    Missing,
}

/// A row as name and value pairs; the values of `value` are written without quotes.
fn row(key: &str, value: i64, spoiled: Option<Spoiled>) -> Vec<(String, String)> {
    let mut row = vec![("properties.section".to_owned(), key.to_owned()), ("value".to_owned(), value.to_string())];
    match spoiled {
        Some(Spoiled::Key) => row[0].1 = CANARY.to_owned(),
        Some(Spoiled::Number) => row[1].1 = format!("{value}.5"),
        Some(Spoiled::Column) => row.push((CANARY.to_owned(), "1".to_owned())),
        Some(Spoiled::Missing) => drop(row.remove(0)),
        None => {}
    }
    row
}

fn object(row: &[(String, String)]) -> String {
    let quoted = |name: &str, value: &str| if name == "value" { value.to_owned() } else { format!("\"{value}\"") };
    let members: Vec<_> = row.iter().map(|(name, value)| format!("\"{name}\":{}", quoted(name, value))).collect();
    format!("{{{}}}", members.join(","))
}

fn table(written: Written, rows: &[Vec<(String, String)>]) -> Vec<u8> {
    let objects: Vec<_> = rows.iter().map(|row| object(row)).collect();
    match written {
        Written::Json => format!("[{}]", objects.join(",")),
        Written::Ndjson => objects.join("\n"),
        Written::Csv => {
            let lines =
                rows.iter().map(|row| row.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(","));
            let names = "properties.section,value".to_owned();
            std::iter::once(names).chain(lines).collect::<Vec<_>>().join("\n")
        }
    }
    .into_bytes()
}

fn kind() -> impl Strategy<Value = Written> {
    prop::sample::select(vec![Written::Json, Written::Ndjson, Written::Csv])
}

fn row_named(error: &NotATable) -> Option<usize> {
    match error {
        NotATable::Form { row }
        | NotATable::Column { row, .. }
        | NotATable::Unknown { row }
        | NotATable::Repeated { row }
        | NotATable::Impossible { row }
        | NotATable::Key { row }
        | NotATable::Twice { row } => Some(*row),
        NotATable::TooMany | NotATable::Empty | NotATable::Names { .. } => None,
    }
}

proptest! {
    /// Whatever bytes come, reading ends, says what is wrong without quoting, and leaves nothing of them.
    #[test]
    fn any_bytes_end_in_a_table_or_in_an_error_that_quotes_nothing(
        written in kind(),
        start in prop::sample::select(vec!["", "[", "[{\"", "properties.section,value\n", "{\"value\":"]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut body = [start.as_bytes(), CANARY.as_bytes(), &bytes].concat();
        if let Err(error) = read(written, &mut body, &query()) {
            let told = format!("{error} {error:?}");
            prop_assert!(!told.contains(CANARY));
        }
        prop_assert!(body.is_empty());
    }

    /// One spoiled row among good ones is the row that the answer names, in each kind of table.
    #[test]
    fn the_row_that_is_wrong_is_named(
        written in kind(),
        values in prop::collection::vec(0..=i32::MAX, 3),
        wrong in 0_usize..3,
        spoiled in prop::sample::select(vec![Spoiled::Key, Spoiled::Number, Spoiled::Column, Spoiled::Missing]),
    ) {
        let keys = ["apps", "games", "books"];
        let rows = |spoil: bool| -> Vec<_> {
            let of = |at: usize| row(keys[at], i64::from(values[at]), (spoil && at == wrong).then_some(spoiled));
            (0..3).map(of).collect()
        };
        prop_assert!(read(written, &mut table(written, &rows(false)), &query()).is_ok());
        let mut body = table(written, &rows(true));
        let Err(error) = read(written, &mut body, &query()) else { return Err(TestCaseError::fail("it was taken")) };
        prop_assert_eq!(row_named(&error), Some(wrong + 1));
        prop_assert!(!error.to_string().contains(CANARY) && body.is_empty());
    }

    /// A key that is brought twice is refused at its second row.
    #[test]
    fn a_key_that_comes_twice_is_named_where_it_comes_again(written in kind(), value in 0..=i32::MAX) {
        let rows = [row("apps", i64::from(value), None), row("games", 1, None), row("apps", 2, None)];
        let error = read(written, &mut table(written, &rows), &query()).err();
        prop_assert_eq!(error, Some(NotATable::Twice { row: 3 }));
    }
}

/// What a failed command leaves is no table: it must not be paid for, and make the window's real table come too late.
#[test]
fn what_is_no_table_is_not_taken_for_one_without_rows() {
    let names = Some(NotATable::Names { names: "properties.section,value".to_owned() });
    for (written, body, wrong) in [
        (Written::Csv, "", Some(NotATable::Empty)),
        (Written::Ndjson, "\n \r\n", Some(NotATable::Empty)),
        (Written::Json, " ", Some(NotATable::Empty)),
        (Written::Csv, "x", names.clone()),
        (Written::Csv, "section,value\n", names.clone()),
        (Written::Csv, "properties.section\napps\n", names.clone()),
        (Written::Csv, "properties.section,value,value\napps,1,2\n", names.clone()),
        (Written::Csv, "properties.section,value,units\napps,1,2\n", names),
        (Written::Csv, "value,properties.section\n", None),
        (Written::Json, "[]", None),
    ] {
        let read = read(written, &mut body.as_bytes().to_vec(), &query());
        assert_eq!(read.err(), wrong, "{body:?}");
    }
}

#[test]
fn a_number_that_cannot_be_and_a_column_that_is_there_twice_name_their_row() {
    for value in ["-5", "9007199254740993", "9223372036854775807"] {
        for written in [Written::Csv, Written::Json, Written::Ndjson] {
            let mut body = table(written, &[row("games", 1, None), row("apps", value.parse().unwrap(), None)]);
            assert_eq!(read(written, &mut body, &query()).err(), Some(NotATable::Impossible { row: 2 }), "{value}");
        }
    }
    let twice = r#"{"properties.section":"apps","value":1,"value":2}"#;
    for (written, body) in [(Written::Ndjson, twice.to_owned()), (Written::Json, format!("[{twice}]"))] {
        let error = read(written, &mut body.into_bytes(), &query()).err();
        assert_eq!(error, Some(NotATable::Repeated { row: 1 }));
    }
}
