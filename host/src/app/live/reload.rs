//! Another config takes the place of the one that holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::prepare::{Fault, Plan, Step};
use super::report::{Reloaded, Result};
use super::{Live, named};
use crate::app::examine;
use crate::config::check::{Checked, Survey};
use crate::config::diff::{Change, Difference, diff};
use crate::config::patch;
use crate::config::problem::{Problem, Problems};
use crate::plugin::Room;

type Changes = BTreeMap<Arc<str>, Change>;

impl Live {
    /// Reads the config again and changes over to it, all of it or nothing.
    pub(super) async fn reload(&mut self, by: &str) -> Reloaded {
        let read = self.manner.read.clone();
        let survey = tokio::task::spawn_blocking(move || read()).await;
        let survey = match survey {
            Ok(survey) => survey,
            Err(error) => {
                let problem =
                    Problem::of_file(&self.now.file, format!("reading it ended unexpectedly: {error}"));
                return Reloaded::refused(by, vec![problem]);
            }
        };
        if let Some(checked) = &survey.checked {
            self.named = named(&checked.config);
        }
        let reloaded = match survey.checked {
            Some(checked) if survey.problems.problems.is_empty() => {
                self.change_to(checked, by, self.roster.room()).await
            }
            checked => {
                let survey = Survey { checked, problems: survey.problems };
                Reloaded::refused(by, self.all_problems(survey).await)
            }
        };
        if reloaded.is_news() {
            self.roster.has_reloaded(reloaded.shown());
        }
        reloaded
    }

    /// What is wrong with a config that cannot be used, and with its components: everything can be mended at once.
    async fn all_problems(&self, survey: Survey) -> Vec<Problem> {
        let (engine, found) = (self.workshop.engine.clone(), survey.problems.problems.clone());
        let look = tokio::task::spawn_blocking(move || examine::examine_with(&engine, survey));
        look.await.map_or(found, |examined| examined.problems.problems)
    }

    /// Changes over to `checked`, which may take up `room`.
    pub(super) async fn change_to(&mut self, checked: Checked, by: &str, room: Room) -> Reloaded {
        let checked = Arc::new(checked);
        let Difference { plugins, ignored } = diff(&self.now, &checked.config);
        let Plan { steps, faults, excesses } = self.prepare(&checked, plugins.clone(), room).await;
        let problems = faults.iter().flat_map(|(_, problems)| problems).chain(&excesses).cloned().collect();
        let problems = Problems { problems, notes: Vec::new() }.sorted().problems;
        let is_refused = !excesses.is_empty() || !(faults.is_empty() || self.manner.each_alone);
        if is_refused {
            for step in steps {
                step.abandon().await;
            }
            return Reloaded { ignored, ..Reloaded::refused(by, problems) };
        }
        let changes = self.apply(steps).await;
        self.settle(&checked, &plugins, faults);
        let result = if changes.is_empty() { Result::Unchanged } else { Result::Done };
        let notes = checked.notes.clone();
        Reloaded { by: by.to_owned(), result, changes, problems, ignored, notes }
    }

    /// Takes all steps. Returns what has changed, in words.
    async fn apply(&mut self, steps: Vec<Step>) -> Vec<String> {
        let by = self.file_name();
        let (mut changes, mut leaving) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Change { seat, budget, component } => {
                    let name = seat.plugin.name.clone();
                    if let Some(budget) = budget {
                        let what = match patch::words(&seat.budget(), &budget) {
                            what if what.is_empty() => "nothing that is not in effect".to_owned(),
                            what => what,
                        };
                        changes.push(format!("plugin `{name}`: budget: {what}"));
                        self.roster.configure_budget(&seat, budget, &by);
                    }
                    if let Some(component) = component {
                        changes.push(format!("plugin `{name}`: component {}", component.digest()));
                        seat.follow_file(component);
                    }
                }
                Step::Begin { seat, before: None } => {
                    changes.push(format!("plugin `{}`: begins", seat.plugin.name));
                    self.roster.put(seat.clone());
                    self.roster.recall_budget(&seat);
                    self.crew.take_on(seat);
                }
                Step::Begin { seat, before: Some((before, keys)) } => {
                    let name = &seat.plugin.name;
                    changes.push(format!("plugin `{name}`: begins anew, with other {keys}"));
                    leaving.push((self.crew.dismiss(name), before, Some((seat, keys))));
                }
                Step::End(name) => {
                    changes.push(format!("plugin `{name}`: ends"));
                    if let Some(before) = self.roster.find(&name) {
                        leaving.push((self.crew.dismiss(&name), before, None));
                    }
                }
            }
        }
        // All are on their way out by now, so that this takes as long as the longest takes.
        for (gone, before, next) in leaving {
            gone.await;
            let Some((seat, keys)) = next else {
                self.roster.remove(&before.plugin.name);
                continue;
            };
            seat.succeed(&before, format!("began anew, with other {keys}"), &by);
            self.roster.put(seat.clone());
            self.crew.take_on(seat);
        }
        changes
    }

    /// `checked` holds from now on, but for plugins that go on as they were, or wait, because their component cannot run.
    fn settle(&mut self, checked: &Checked, changes: &Changes, faults: Vec<Fault>) {
        let mut now = checked.config.clone();
        // What only a restart heeds is told each time until then.
        now.host.clone_from(&self.now.host);
        now.admin.clone_from(&self.now.admin);
        now.telemetry.clone_from(&self.now.telemetry);
        for (name, problems) in faults {
            let before = self.now.plugins.iter().find(|plugin| plugin.name == name);
            let at = now.plugins.iter().position(|plugin| plugin.name == name);
            match (at, before) {
                (Some(at), Some(before)) => now.plugins[at].clone_from(before),
                (Some(at), None) => {
                    let plugin = now.plugins.remove(at);
                    let reason = problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>();
                    self.wait_for_component(&plugin, reason.join("; "));
                }
                (None, _) => {}
            }
        }
        let is_there = |name: &str| changes.get(name).is_some_and(|change| *change != Change::Removed);
        let seats = self.roster.seats();
        // Those that only waited for their component and are not there any more.
        let gone = seats.iter().filter(|seat| !is_there(&seat.plugin.name));
        gone.for_each(|seat| self.roster.remove(&seat.plugin.name));
        self.now = now;
    }
}
