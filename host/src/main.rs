//! The `gristmill` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    gristmill::cli::main()
}
