//! Whether the running engine has room for what a new config wants. It was made for the config that the host started
//! with, and some.

use std::sync::Arc;

use crate::config::check::Checked;
use crate::config::problem::Problem;
use crate::config::units::show_size;
use crate::plugin::Room;

/// What one plugin has of the room, and what it will have: messages at the same time, and bytes of an instance.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) plugin: Arc<str>,
    pub(super) has: Option<(usize, usize)>,
    pub(super) will: (usize, usize),
}

/// What is more than there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Excess {
    /// All plugins together would handle so many messages at the same time.
    Workers { plugin: Arc<str>, wants: usize, all: usize, room: usize },
    /// One instance would have so many bytes.
    Memory { plugin: Arc<str>, wants: usize, room: usize },
}

/// Where there is not room enough. A host that has more already than there is room for may keep it.
pub(super) fn excesses(room: Room, wanted: &[Wanted]) -> Vec<Excess> {
    let all: usize = wanted.iter().map(|one| one.will.0).sum();
    let before: usize = wanted.iter().filter_map(|one| one.has).map(|(workers, _)| workers).sum();
    let too_many = all > room.workers.max(before);
    let mut excesses = Vec::new();
    for Wanted { plugin, has, will: (workers, memory) } in wanted {
        let (had_workers, had_memory) = has.unwrap_or_default();
        let plugin = plugin.clone();
        if too_many && *workers > had_workers {
            excesses.push(Excess::Workers {
                plugin: plugin.clone(),
                wants: *workers,
                all,
                room: room.workers,
            });
        }
        if *memory > room.memory.max(had_memory) {
            excesses.push(Excess::Memory { plugin, wants: *memory, room: room.memory });
        }
    }
    excesses
}

impl Excess {
    /// As a problem of the config that wants it.
    pub(super) fn told(&self, checked: &Checked) -> Problem {
        let (key, what, found) = match self {
            Self::Workers { plugin, wants, all, room } => (
                format!("plugins.{plugin}.budget.concurrency"),
                format!(
                    "the running host has room for `{room}` messages at the same time over all plugins, and this makes \
                     `{all}`"
                ),
                wants.to_string(),
            ),
            Self::Memory { plugin, wants, room } => (
                format!("plugins.{plugin}.budget.memory"),
                format!("the running host has room for `{}` an instance", show_size(*room as u64)),
                show_size(*wants as u64),
            ),
        };
        let mut problem = checked.problem(&key, what);
        problem.found(format!("`{found}`")).hint("restart the host to have more");
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(plugin: &str, has: Option<(usize, usize)>, will: (usize, usize)) -> Wanted {
        Wanted { plugin: plugin.into(), has, will }
    }

    const ROOM: Room = Room { workers: 20, memory: 100 };

    #[test]
    fn what_fits_fits_and_what_does_not_is_told_of_those_who_want_more() {
        let same = wanted("same", Some((10, 50)), (10, 50));
        assert_eq!(excesses(ROOM, &[same.clone(), wanted("new", None, (10, 100))]), []);
        let more = wanted("more", Some((5, 50)), (6, 50));
        let new = wanted("new", None, (5, 101));
        let excess =
            |plugin: &str, wants| Excess::Workers { plugin: plugin.into(), wants, all: 21, room: 20 };
        assert_eq!(
            excesses(ROOM, &[same, more, new]),
            [
                excess("more", 6),
                excess("new", 5),
                Excess::Memory { plugin: "new".into(), wants: 101, room: 100 }
            ]
        );
    }

    #[test]
    fn what_is_too_much_already_may_stay_and_become_less() {
        let large = |will| [wanted("large", Some((50, 500)), (will, 500))];
        assert_eq!(excesses(ROOM, &large(50)), []);
        assert_eq!(excesses(ROOM, &large(40)), []);
        assert_eq!(excesses(ROOM, &large(51)).len(), 1);
    }

    #[test]
    fn what_one_gives_another_may_have() {
        assert_eq!(
            excesses(ROOM, &[wanted("a", Some((15, 1)), (5, 1)), wanted("b", Some((5, 1)), (15, 1))]),
            []
        );
    }
}
