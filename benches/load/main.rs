//! The load run: privet beside a plain pass-through. See [`privet_benches::load`].

use std::process::ExitCode;

fn main() -> ExitCode {
    privet_benches::load::main()
}
