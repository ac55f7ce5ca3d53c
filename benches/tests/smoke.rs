//! A few tenths of a second of the load run, so that the rig cannot rot.

use std::process::ExitCode;

fn main() -> ExitCode {
    privet_benches::load::smoke()
}
