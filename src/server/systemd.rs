//! Tells the service manager what goes on (sd_notify(3)). Without one, nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Requests are served.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is being read again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("Reading the configuration again"),
        ]),
        Err(error) => warn!(event = "clock_unavailable", %error, "cannot read the monotonic clock"),
    }
}

/// The process is about to end.
pub(super) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("Finishing what is in flight"),
    ]);
}

/// Another process is to be followed from here on.
pub(super) fn main_process_is(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(event = "service_manager_unavailable", %error, "cannot notify the service manager");
    }
}

/// Gives signs of life, if they are asked for (`WatchdogSec=`), for as long as `is_alive` returns.
pub(super) async fn keep_watchdog_calm<F: Future<Output = ()>>(is_alive: impl Fn() -> F) {
    let Some(limit) =
        sd_notify::watchdog_enabled().filter(|limit| *limit > Duration::from_millis(2))
    else {
        return;
    };
    let mut ticks = interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        is_alive().await;
        notify(&[NotifyState::Watchdog]);
    }
}
