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

fn row_named(error: NotATable) -> Option<usize> {
    match error {
        NotATable::Form { row }
        | NotATable::Column { row, .. }
        | NotATable::Unknown { row }
        | NotATable::Key { row }
        | NotATable::Twice { row } => Some(row),
        NotATable::TooMany => None,
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
        values in prop::collection::vec(any::<i32>(), 3),
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
        prop_assert_eq!(row_named(error), Some(wrong + 1));
        prop_assert!(!error.to_string().contains(CANARY) && body.is_empty());
    }

    /// A key that is brought twice is refused at its second row.
    #[test]
    fn a_key_that_comes_twice_is_named_where_it_comes_again(written in kind(), value in any::<i32>()) {
        let rows = [row("apps", i64::from(value), None), row("games", 1, None), row("apps", 2, None)];
        let error = read(written, &mut table(written, &rows), &query()).err();
        prop_assert_eq!(error, Some(NotATable::Twice { row: 3 }));
    }
}
