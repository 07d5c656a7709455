//! The wish to end: one flag that everything long-lived watches.

use tokio::sync::watch;

/// Asks for the end, once.
#[derive(Clone, Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Learns of the end.
#[derive(Clone, Debug)]
pub struct Signal(watch::Receiver<bool>);

/// A trigger and the signal that it gives.
pub fn channel() -> (Trigger, Signal) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Signal(receiver))
}

impl Trigger {
    /// Asks for the end. Asking again changes nothing.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Signal {
    /// Whether the end was asked for.
    pub fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the end is asked for. A trigger that is gone counts as pulled: nobody is left to ask.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|on| *on).await;
    }
}
