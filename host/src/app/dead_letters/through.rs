//! Tries letters on a component without sending anything: would it handle them now?

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::letter::Letter;
use super::{Choice, Desk, Place, Seen, Spot};
use crate::ack::{Delivered, Partition};
use crate::app::runtime;
use crate::capability::Grants;
use crate::config::problem::{Problem, Problems};
use crate::config::{self, check};
use crate::outcome::Handling;
use crate::plugin::{Engine, Generation, Kind, Refusal, Worker};
use crate::run::{Run, RunMessage};

/// Settings of a plugin that nothing is known of, so that all its limits are the defaults. Compiled code is kept where it is
/// without a config.
const DEFAULTS: &str = "[plugins.through]\ncomponent = \"through.wasm\"\ntopics = [\"through\"]\n";

/// How many letters were tried, and how many of them failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// All.
    pub letters: u64,
    /// Those that the component did not handle.
    pub failed: u64,
    /// Places where there is no letter.
    pub missing: Vec<Spot>,
}

/// Gives each letter of `choice` to the component in `file`, once, as the message that it was, under the budget of the
/// plugin that was named or else the default one; and tells `told` what came of it. Nothing is produced or marked.
///
/// # Errors
///
/// `Problems` when the component is refused; else those of Kafka and of the machine.
pub fn try_through(
    desk: &Desk,
    (place, file): (&Place, &Path),
    choice: &Choice,
    told: &mut dyn FnMut(&Letter, &Handling) -> anyhow::Result<()>,
) -> anyhow::Result<Tried> {
    let defaults = check::parse(DEFAULTS, Path::new(check::FILE_DEFAULT), &|_| None)?.config;
    let plugin = place.plugin.as_ref().or(defaults.plugins.first());
    let mut plugin = plugin.cloned().ok_or_else(|| anyhow::anyhow!("the default settings hold no plugin"))?;
    plugin.component = file.to_owned();
    plugin.budget.concurrency = 1;
    let host = place.host.as_ref().unwrap_or(&defaults.host);
    let runtime = runtime(host.threads)?;
    let engine = Engine::new(host, std::slice::from_ref(&plugin))?;
    let generation = load(&engine, &plugin).map_err(|refusal| problems(file, &refusal))?;
    runtime.block_on(generation.probe()).map_err(|refusal| problems(file, &refusal))?;
    let mut worker = runtime.block_on(async { generation.worker() });
    let mut tried = Tried::default();
    let looked = desk.look(choice, &mut |seen| {
        let Seen::Letter(letter, _) = seen else { return Ok(true) };
        let handling = runtime.block_on(handle(&mut worker, &letter))?;
        tried.letters += 1;
        tried.failed += u64::from(!matches!(handling, Handling::Done(_)));
        told(&letter, &handling)?;
        Ok(true)
    });
    runtime.block_on(worker.stop());
    tried.missing = looked?;
    Ok(tried)
}

fn load(engine: &Arc<Engine>, plugin: &config::Plugin) -> Result<Arc<Generation>, Refusal> {
    let wasm = std::fs::read(&plugin.component).map_err(|error| {
        Refusal::one(format!("failed to read the component: {error}"), "build the plugin, or mend the path")
    })?;
    let generation = Generation::load(engine, plugin, &wasm, Arc::default(), &Grants::default())?;
    if generation.kind() == Kind::Batcher {
        let hint = "replay its letters with `--to` a topic that a trial plugin reads";
        return Err(Refusal::one("it handles batches, and letters are tried one by one", hint));
    }
    Ok(generation)
}

fn problems(file: &Path, refusal: &Refusal) -> Problems {
    let problem = |flaw: &crate::plugin::Flaw| {
        let mut problem = Problem::of_file(file, &flaw.what);
        problem.hint(&flaw.hint);
        problem
    };
    Problems { problems: refusal.problems.iter().map(problem).collect(), notes: Vec::new() }
}

async fn handle(worker: &mut Worker, letter: &Letter) -> anyhow::Result<Handling> {
    let batch = letter.restored();
    let partition = Partition::new(batch.topic().clone(), batch.get(0).partition());
    let messages = Delivered::deliver(batch, partition).map(|delivery| RunMessage::new(0, delivery));
    let run = Run::new(messages.collect(), Arc::new(AtomicBool::new(false)));
    let mut run = worker.handle(run).await;
    let message = run.messages.pop().ok_or_else(|| anyhow::anyhow!("the message was lost in the sandbox"))?;
    let handling = message.handling;
    message.delivery.finish();
    match handling {
        Handling::NotStarted => anyhow::bail!(
            "the component has stopped starting at letter {}: RUST_LOG=info shows what it says",
            letter.message().position()
        ),
        handling => Ok(handling),
    }
}
