//! Notifies the service manager of state changes (sd_notify(3)), if there is one, and finds the
//! directory that it has for this service.

use sd_notify::NotifyState;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// Returns the directory for what outlives the process (`StateDirectory=`, systemd.exec(5)), if
/// there is one. Containers set the variable as well.
pub(super) fn state_directory() -> Option<PathBuf> {
    let directories = std::env::var_os("STATE_DIRECTORY")?;
    // There may be several, separated by colons.
    let first = std::env::split_paths(&directories).next()?;
    Some(first).filter(|path| path.is_absolute())
}

/// Reports that requests are served.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports what the process does, without a change of its state.
pub(super) fn status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Reports that the configuration is being reloaded; [`ready`] ends that state.
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

/// Reports that the process is about to end.
pub(super) fn stopping() {
    notify(&[
        NotifyState::Stopping,
        NotifyState::Status("Finishing what is in flight"),
    ]);
}

/// Reports that the process `pid` replaces this one as the main process.
pub(super) fn main_process_is(pid: u32) {
    notify(&[NotifyState::MainPid(pid)]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(event = "service_manager_unavailable", %error, "cannot notify the service manager");
    }
}

/// Feeds the watchdog (`WatchdogSec=`), if it is enabled, for as long as `is_alive` returns.
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
