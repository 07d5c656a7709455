//! The door: what a user types, and what the process says when it ends.

mod budget;
mod check;
mod dead_letters;
mod demo;
mod figures;
mod logs;
mod parked;
mod pause;
mod place;
mod reach;
mod run;
mod status;
mod swap;
mod table;
#[cfg(test)]
mod tests;
mod top;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::app::dead_letters::Usage;
use crate::client;
use crate::config::check::FILE_DEFAULT;
use crate::config::problem::Problems;
use crate::kafka::Silence;
use reach::Refusal;

/// Consumes Kafka into a throttled buffer and handles each message in a sandboxed WebAssembly plugin, under that
/// plugin's own concurrency and rate.
#[derive(Debug, Parser)]
#[command(name = "gristmill", version, max_term_width = 100, disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// How log lines look on stderr; the environment variable RUST_LOG chooses which there are
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t, display_order = 100)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

// These say what they are by their names; with a line of help for each, every command's help would be twice as long.
#[expect(missing_docs, reason = "a comment here is a line of help")]
/// How log lines look: for people, or one JSON object a line.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the host until SIGINT or SIGTERM, then drain; SIGHUP reads the config again
    Run {
        /// The config file
        #[arg(short, long, value_name = "FILE", default_value = FILE_DEFAULT)]
        config: PathBuf,
        /// Read the config again when it or a component's file changes
        #[arg(long)]
        watch: bool,
    },
    /// Report every problem of the config and its components at once; touches no network
    Check {
        /// The config file
        #[arg(short, long, value_name = "FILE", default_value = FILE_DEFAULT)]
        config: PathBuf,
        /// Print plugins, problems and notes as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show in a minute what a budget does: embedded broker, sample plugin, load; needs no Kafka
    Demo(demo::Args),
    /// Show what all plugins of a running host do, one plugin in full, or why a message is waiting
    Status(Box<status::Args>),
    /// Watch all plugins live, and change rates and concurrency while watching
    #[command(after_help = top::HELP)]
    Top(top::Args),
    /// Show or change what a plugin may use, while it runs
    #[command(after_help = budget::HELP)]
    Budget(Box<budget::Args>),
    /// Put a new version of a component in, under load
    #[command(after_help = swap::HELP)]
    Swap(Box<swap::Args>),
    /// Let the version that is a canary or a shadow take over
    Promote(swap::End),
    /// End a canary or a shadow, or return to the version before
    Rollback(swap::End),
    /// Let a plugin finish what is in flight and start nothing more
    Pause(pause::Args),
    /// Let a paused plugin go on
    Resume(pause::Args),
    /// List parked lanes, release them or skip what holds them
    #[command(after_help = parked::HELP)]
    Parked(Box<parked::Args>),
    /// Look through the messages that were given up, and send them back
    DeadLetters(Box<dead_letters::Args>),
    /// Print the JSON Schema of gristmill.toml
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

/// What the help says of exit codes.
const EXIT_CODES: &str = "\
Exit codes:
  0   done or drained
  2   wrong usage
  69  Kafka or the admin address not reachable
  78  config or component wrong
  1   anything else";

/// The command line is wrong, as clap has it.
const EXIT_USAGE: u8 = 2;

/// Kafka or a host cannot be reached, as `sysexits.h` has it.
const EXIT_UNREACHABLE: u8 = 69;

/// Config or a component is wrong, as `sysexits.h` has it.
const EXIT_CONFIG: u8 = 78;

/// Anything else that went wrong.
const EXIT_OTHER: u8 = 1;

/// Parses the command line, does what it says, and tells the exit code. Usage errors end the process with 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.execute() {
        Ok(code) => code,
        Err(error) => {
            let (code, text) = explain(&error);
            logs::say(&text);
            ExitCode::from(code)
        }
    }
}

impl Cli {
    fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run { config, watch } => {
                logs::start(self.log_format, logs::OF_RUN);
                run::run(&config, watch)?;
            }
            Command::Check { config, json } => return check::check(&config, json),
            Command::Demo(args) => {
                logs::start(self.log_format, logs::OF_DEMO);
                demo::demo(&args)?;
            }
            Command::Status(args) => return status::status(&args),
            Command::Top(args) => return top::top(&args),
            Command::Budget(args) => return budget::budget(&args),
            Command::Swap(args) => return swap::swap(&args),
            Command::Promote(args) => return swap::promote(&args),
            Command::Rollback(args) => return swap::rollback(&args),
            Command::Pause(args) => return pause::pause(&args, true),
            Command::Resume(args) => return pause::pause(&args, false),
            Command::Parked(args) => return parked::parked(&args),
            Command::DeadLetters(args) => {
                logs::start(self.log_format, logs::OF_DEAD_LETTERS);
                return dead_letters::dead_letters(*args);
            }
            Command::Schema => logs::print_json(&crate::config::schema::json_schema())?,
            Command::Completions { shell } => logs::print(&completions(shell))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gristmill", &mut script);
    String::from_utf8_lossy(&script).trim_end().to_owned()
}

/// The exit code of an error, and what the user is told: every problem there is, each with its place.
fn explain(error: &anyhow::Error) -> (u8, String) {
    if let Some(problems) = error.downcast_ref::<Problems>() {
        return (EXIT_CONFIG, format!("{problems}\nerror: {}", count(problems)));
    }
    let is_unreachable = error.downcast_ref().is_some_and(client::Error::is_unreachable);
    let code = match () {
        () if error.is::<Usage>() => EXIT_USAGE,
        () if error.is::<Silence>() || is_unreachable => EXIT_UNREACHABLE,
        () => error.downcast_ref().map_or(EXIT_OTHER, |refusal: &Refusal| refusal.code),
    };
    (code, format!("error: {error:#}"))
}

/// How many problems there are, and in which file.
fn count(problems: &Problems) -> String {
    let file =
        problems.problems.first().map(|problem| problem.file.display().to_string()).unwrap_or_default();
    match problems.problems.len() {
        1 => format!("1 problem with `{file}`"),
        several => format!("{several} problems with `{file}`"),
    }
}
