//! The `counterfoil` command, built together with the tests that run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    counterfoil_node::cli::main()
}
