//! The plugins that are at work, each a task of its own that brings the plugin up and takes it down: when the host ends,
//! or when the plugin is dismissed before that.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::bring_up::{Common, bring_up};
use crate::pipeline::control::Seat;
use crate::shutdown::{self, Signal, Trigger};

/// Who is at work.
#[derive(Debug)]
pub(super) struct Crew {
    common: Common,
    /// The end of all.
    end: Signal,
    members: BTreeMap<Arc<str>, Member>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    dismiss: Trigger,
    /// Closed when the plugin is down.
    gone: oneshot::Receiver<()>,
}

impl Crew {
    /// Nobody is at work yet.
    pub(super) fn new(common: Common, end: Signal) -> Self {
        Self { common, end, members: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Brings a plugin up, as soon as what it needs is there.
    pub(super) fn take_on(&mut self, seat: Arc<Seat>) {
        while let Some(end) = self.tasks.try_join_next() {
            tell(end);
        }
        let ((dismiss, mut dismissed), (here, gone)) = (shutdown::channel(), oneshot::channel::<()>());
        self.members.insert(seat.plugin.name.clone(), Member { dismiss, gone });
        let (mut end, common) = (self.end.clone(), self.common.clone());
        self.tasks.spawn(async move {
            let _here = here;
            let running = tokio::select! {
                // The process ends: what has begun ends with it.
                () = end.wait() => return,
                running = bring_up(&common, &seat, &mut dismissed) => running,
            };
            let Some(running) = running else { return };
            tokio::select! {
                () = end.wait() => {}
                () = dismissed.wait() => {}
            }
            running.drain().await;
        });
    }

    /// Takes a plugin down. What is returned waits until it is; dropping that changes nothing.
    pub(super) fn dismiss(&mut self, name: &str) -> impl Future<Output = ()> + use<> {
        let member = self.members.remove(name);
        if let Some(member) = &member {
            member.dismiss.pull();
        }
        async move {
            if let Some(member) = member {
                // It is closed, not answered.
                let _ = member.gone.await;
            }
        }
    }

    /// Waits until every plugin is down, which the end of all has asked for.
    pub(super) async fn end(mut self) {
        while let Some(end) = self.tasks.join_next().await {
            tell(end);
        }
    }
}

fn tell(end: Result<(), tokio::task::JoinError>) {
    if let Err(error) = end {
        tracing::error!(%error, "a plugin did not end in good order");
    }
}
