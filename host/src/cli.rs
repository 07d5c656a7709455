//! The door: what a user types, and what the process says when it ends.

mod check;
mod demo;
mod logs;
mod run;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::config::problem::Problems;

/// Consumes Kafka into a throttled buffer and handles each message in a sandboxed WebAssembly plugin, under that
/// plugin's own concurrency and rate.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// How log lines look on stderr; RUST_LOG chooses which
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host until SIGINT or SIGTERM, then drain
    Run {
        /// The settings
        #[arg(short, long, value_name = "FILE", default_value = "gristmill.toml")]
        config: PathBuf,
    },
    /// Report every problem of the settings and components at once; touches no network
    Check {
        /// The settings
        #[arg(short, long, value_name = "FILE", default_value = "gristmill.toml")]
        config: PathBuf,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show in a minute what a budget does: embedded broker, sample plugin, load; needs no Kafka
    Demo(demo::Args),
    /// Print the JSON Schema of gristmill.toml
    Schema,
    /// Print a shell's completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Settings or a component are wrong, as `sysexits.h` has it.
const EXIT_CONFIG: u8 = 78;

/// Anything else that went wrong.
const EXIT_OTHER: u8 = 1;

/// Parses the command line, does what it says, and tells the exit code. Usage errors end the process with 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, text) = explain(&error);
            logs::say(&text);
            ExitCode::from(code)
        }
    }
}

impl Cli {
    fn execute(self) -> anyhow::Result<()> {
        match self.command {
            Command::Run { config } => {
                logs::start(self.log_format);
                run::run(&config)
            }
            Command::Check { config, json } => check::check(&config, json),
            Command::Demo(args) => {
                logs::start(self.log_format);
                demo::demo(&args)
            }
            Command::Schema => logs::print_json(&crate::config::schema::json_schema()),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "gristmill", &mut std::io::stdout());
                Ok(())
            }
        }
    }
}

/// The exit code of an error, and what the user is told: every problem there is, each with its place.
fn explain(error: &anyhow::Error) -> (u8, String) {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        return (EXIT_CONFIG, problems.to_string());
    }
    (EXIT_OTHER, format!("error: {error:#}"))
}
