//! A queue of log lines, which one thread writes to standard error: no request, handshake or signal
//! waits for a slow reader.
//!
//! A pipe that is not read holds 64 KiB, and a write to it then blocks. Here that blocks only this
//! thread. Lines that do not fit into the queue meanwhile are dropped and counted, and a line
//! reports them as soon as there is room again.

use super::metrics::LOG_LINES_DROPPED;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

/// The capacity of the queue in bytes: the lines of a busy second.
const CAPACITY: usize = 4 << 20;

/// The time between two attempts to write to a full pipe that its owner made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// The lines that wait to be written.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when a line was added or written.
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// The size of these lines and the one that is being written.
    bytes: usize,
    /// The number of lines dropped since the last report.
    dropped: u64,
}

impl Queue {
    /// Starts the thread that writes to standard error.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: writing with that of std holds a lock that a panic needs.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start(stderr, CAPACITY)
    }

    fn start(to: impl Write + Send + 'static, capacity: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            capacity,
        });
        let queue = Self(shared.clone());
        let thread = thread::Builder::new().name("log".into());
        thread.spawn(move || shared.write_all_to(to))?;
        Ok(queue)
    }

    /// Adds a line if there is room, and drops it otherwise.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.state();
        if state.bytes + line.len() > self.0.capacity {
            state.dropped += 1;
            LOG_LINES_DROPPED.inc();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line.to_vec());
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, or for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let is_waiting = |state: &mut State| state.bytes > 0;
        // Ignore a timeout: lines that nothing reads are lost.
        let _ = self
            .0
            .changed
            .wait_timeout_while(self.0.state(), limit, is_waiting);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next line. Its size counts until [`Shared::written`].
    fn next(&self) -> Vec<u8> {
        let mut state = self.state();
        loop {
            match state.lines.pop_front() {
                Some(line) => return line,
                None => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }

    /// Writes lines for ever.
    fn write_all_to(&self, mut to: impl Write) -> ! {
        loop {
            let line = self.next();
            // A failed write loses the line like a full queue, but there is no output to report
            // that to.
            if write(&mut to, &line).is_err() {
                LOG_LINES_DROPPED.inc();
            }
            self.written(line.len());
        }
    }

    fn written(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes -= bytes;
        // The report must not take the place of another line.
        let has_room = state.bytes <= self.capacity / 2;
        let dropped = has_room.then(|| std::mem::take(&mut state.dropped));
        drop(state);
        self.changed.notify_all();
        if let Some(dropped @ 1..) = dropped {
            report_dropped(dropped);
        }
    }
}

fn report_dropped(dropped: u64) {
    tracing::error!(
        event = "log_lines_dropped",
        dropped,
        "log lines were dropped because standard error was not read fast enough"
    );
}

/// Waits until `line` is written, whatever the mode of the descriptor is.
fn write(to: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match to.write(line) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Each line is written in one piece.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = Self;

    fn make_writer(&'q self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    /// Takes a line whenever it is let.
    struct Reader {
        turns: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.turns.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.read
                .send(line.to_vec())
                .map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_in_order_and_those_without_room_are_left_out() {
        let ((turn, turns), (read, lines)) = (channel(), channel());
        let queue = Queue::start(Reader { turns, read }, 10).unwrap();
        ["one", "two", "six", "ten", "elf"]
            .iter()
            .for_each(|line| queue.push(line.as_bytes()));
        let started = Instant::now();
        queue.flush(Duration::from_millis(20));
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a reader that stands still is not waited for"
        );
        for expected in ["one", "two", "six"] {
            turn.send(()).unwrap();
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
        }
        queue.flush(Duration::from_secs(10));
        queue.push(b"0123456789");
        turn.send(()).unwrap();
        assert_eq!(
            lines.recv().unwrap(),
            b"0123456789",
            "all the room is there again"
        );
        // What cannot be written is gone, and holds nothing up.
        drop(turn);
        queue.push(b"twelve");
        queue.flush(Duration::from_secs(10));
        assert_eq!(queue.0.state().bytes, 0);
    }
}
