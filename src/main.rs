//! The `hookswitch` program: parses arguments and calls [`hookswitch::cli`].

use std::process::ExitCode;

/// A call's record is allocated by one thread and freed by another; the system's allocator makes the two wait for each
/// other there, which costs more than the whole decision.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hookswitch::cli::main()
}
