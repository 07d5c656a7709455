//! Waiting in a guest: `wasi:clocks/monotonic-clock` on the host's precise timer.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock as p2;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::p3::bindings::clocks::monotonic_clock as p3;

use super::guest::Guest;
use crate::timer::wait_until;

/// Puts the precise clock in the place of wasmtime-wasi's, for WASI 0.2.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::add_to_linker::<Guest, Clock>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Puts the precise clock in the place of wasmtime-wasi's, for WASI 0.3.
pub(super) fn link_concurrent(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p3::add_to_linker::<Guest, Clock>(linker, |guest| guest)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The clock as the bindings know it: they reach it through the guest.
struct Clock;

impl HasData for Clock {
    type Data<'a> = &'a mut Guest;
}

impl p2::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now_ns())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.subscribe_duration(when.saturating_sub(now_ns()))
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = Instant::now().checked_add(Duration::from_nanos(duration));
        let alarm = self.table().push(Alarm { until, yielded: duration > 0 })?;
        subscribe(self.table(), alarm)
    }
}

impl p3::Host for Guest {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(now_ns())
    }

    fn get_resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }
}

impl p3::HostWithStore<Guest> for Clock {
    async fn wait_until(_guest: &Accessor<Guest, Self>, when: u64) -> wasmtime::Result<()> {
        wait_until(Instant::now().checked_add(Duration::from_nanos(when.saturating_sub(now_ns())))).await;
        Ok(())
    }

    async fn wait_for(_guest: &Accessor<Guest, Self>, duration: u64) -> wasmtime::Result<()> {
        wait_until(Instant::now().checked_add(Duration::from_nanos(duration))).await;
        Ok(())
    }
}

/// Nanoseconds since this host first asked: the same origin for all guests, which may not learn when it started.
fn now_ns() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// A moment that a guest waits for; none is too far away to ever come.
struct Alarm {
    until: Option<Instant>,
    /// Whether a guest that polls without waiting has let others have the thread.
    yielded: bool,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Alarm {
    async fn ready(&mut self) {
        if !self.yielded {
            self.yielded = true;
            tokio::task::yield_now().await;
        }
        wait_until(self.until).await;
    }
}
