//! A timer that is exact to microseconds; the runtime's own knows milliseconds.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::fs::File;
use std::io;
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;

/// The runtime knows no timers of the kernel, but whatever can be read is as good as a pipe to it.
pub(super) struct Timer(Receiver);

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self(Receiver::from_file_unchecked(File::from(timer))?))
    }

    pub(super) async fn sleep(&self, duration: Duration) -> io::Result<()> {
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        // Zero would disarm it.
        let once = Timespec {
            tv_sec,
            tv_nsec: i64::from(duration.subsec_nanos().max(1)),
        };
        timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec {
                it_interval: never,
                it_value: once,
            },
        )?;
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map(drop),
            }
        }
    }
}
