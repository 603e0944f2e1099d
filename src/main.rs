//! The `hookswitch` program: parses arguments and calls [`hookswitch::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    hookswitch::cli::main()
}
