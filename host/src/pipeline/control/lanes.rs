//! Parked lanes: shown, let go on, or freed of the message that they are parked for.

use super::Seat;
use crate::buffer::ParkedLane;
use crate::message::Position;
use crate::pipeline::give_up::{self, GivenUp};

/// Which parked lanes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those whose first message stands here.
    At(Vec<Position>),
}

impl Seat {
    /// The lanes that are parked, and why.
    pub fn parked(&self) -> Vec<ParkedLane> {
        self.way().map_or_else(Vec::new, |way| way.decisions().buffer.parked().collect())
    }

    /// Lets parked lanes go on: their first message is tried again as if it had just come. Returns how many.
    pub fn release(&self, which: &Which, by: &str) -> usize {
        let Some(way) = self.way() else { return 0 };
        let mut decisions = way.decisions();
        let meant: Vec<ParkedLane> = decisions.buffer.parked().filter(|lane| which.means(lane)).collect();
        let released = meant.iter().filter(|lane| decisions.buffer.release(lane.lane)).count();
        way.changed(&mut decisions);
        drop(decisions);
        way.look_up();
        if released > 0 {
            self.note(format!("released {released} parked lanes"), by);
        }
        released
    }

    /// Gives up the first message of parked lanes; the lanes go on behind it. Returns how many.
    pub fn skip(&self, which: &Which, by: &str) -> usize {
        let (Some(way), Ok(workshop)) = (self.way(), self.workshop()) else { return 0 };
        let mut decisions = way.decisions();
        let meant: Vec<ParkedLane> = decisions.buffer.parked().filter(|lane| which.means(lane)).collect();
        let mut skipped = Vec::new();
        for lane in meant {
            if let Some(delivery) = decisions.buffer.take_parked(lane.lane) {
                skipped.push(GivenUp::skipped(lane.lane, delivery, lane.reason));
            }
        }
        way.changed(&mut decisions);
        drop(decisions);
        let count = skipped.len();
        // Their ends may have to wait for Kafka, which is waited for where plugins work.
        let _entered = workshop.runtime.enter();
        skipped.into_iter().for_each(|message| give_up::conclude(&way, message));
        way.look_up();
        if count > 0 {
            self.note(format!("skipped the first messages of {count} parked lanes"), by);
        }
        count
    }
}

impl Which {
    fn means(&self, lane: &ParkedLane) -> bool {
        match self {
            Self::All => true,
            Self::At(positions) => positions.contains(&lane.position),
        }
    }
}
