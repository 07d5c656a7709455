//! Looks into the components that a config names, without running them and without any network.

use std::sync::Arc;

use crate::config;
use crate::config::check::{Checked, Survey};
use crate::config::problem::{Problem, Problems};
use crate::plugin::{self, Engine, Refusal, Summary};

/// What a config and its components are, and everything that is wrong with either.
#[derive(Debug)]
pub struct Examined {
    /// The plugins whose component is a plugin, in the order of their names.
    pub plugins: Vec<(config::Plugin, Summary)>,
    /// What is wrong with the config and with components, and the notes; without problems all is well.
    pub problems: Problems,
}

/// Looks into every component that can be looked at, whatever else is wrong with the config.
///
/// # Errors
///
/// When the machine refuses what it takes; that something is wrong with the config or a component is no error here.
pub fn examine(survey: Survey) -> anyhow::Result<Examined> {
    let plugins =
        survey.checked.as_ref().map(|checked| &checked.config).filter(|config| !config.plugins.is_empty());
    match plugins {
        Some(config) => Ok(examine_with(&Engine::new(&config.host, &config.plugins)?, survey)),
        None => Ok(Examined { plugins: Vec::new(), problems: survey.problems.sorted() }),
    }
}

/// The same with an engine that is there already.
pub(super) fn examine_with(engine: &Arc<Engine>, survey: Survey) -> Examined {
    let Survey { checked, mut problems } = survey;
    let mut plugins = Vec::new();
    if let Some(checked) = checked {
        for plugin in &checked.config.plugins {
            match look_into(engine, plugin) {
                Ok(summary) => plugins.push((plugin.clone(), summary)),
                Err(refusal) => problems.problems.extend(self::problems(&checked, plugin, &refusal)),
            }
        }
    }
    Examined { plugins, problems: problems.sorted() }
}

fn look_into(engine: &Arc<Engine>, plugin: &config::Plugin) -> Result<Summary, Refusal> {
    plugin::check(engine, plugin, &read(plugin)?)
}

/// A refused component as problems of the config that names it.
pub(super) fn problems(checked: &Checked, plugin: &config::Plugin, refusal: &Refusal) -> Vec<Problem> {
    let key = format!("plugins.{}.component", plugin.name);
    let problem = |flaw: &plugin::Flaw| {
        let mut problem = checked.problem(&key, &flaw.what);
        problem.found(format!("`{}`", plugin.component.display())).hint(&flaw.hint);
        problem
    };
    refusal.problems.iter().map(problem).collect()
}

/// Reads the file of a plugin's component.
///
/// # Errors
///
/// When the file cannot be read, with what to do.
pub(super) fn read(plugin: &config::Plugin) -> Result<Vec<u8>, Refusal> {
    std::fs::read(&plugin.component).map_err(|error| {
        Refusal::one(
            format!("failed to read the component: {error}"),
            "build the plugin, or mend the path, which is relative to the config file's folder",
        )
    })
}
