//! A queue of log lines, which one thread writes to standard error: no request, handshake or signal
//! waits for a slow reader.
//!
//! A pipe that is not read holds 64 KiB, and a write to it then blocks. Here that blocks only this
//! thread. Lines that do not fit into the queue meanwhile are dropped and counted, and a line
//! reports them as soon as there is room again.
//!
//! Under load, lines are gathered and written together: waking the thread and writing for each line
//! alone costs several times as much as the line itself.

use super::chunks::{CHUNK, Chunks};
use super::metrics::LOG_LINES_DROPPED;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// The capacity of the queue in bytes: the lines of a busy second.
const CAPACITY: usize = 4 << 20;

/// The time between two attempts to write to a full pipe that its owner made non-blocking.
const PAUSE: Duration = Duration::from_millis(10);

/// The time during which lines are gathered after others were written. A line that comes after a
/// longer pause is written at once.
const GATHERING: Duration = Duration::from_millis(5);

/// The largest write to a pipe, a socket or a terminal: `PIPE_BUF`, up to which lines of several
/// processes, as during an upgrade, do not mix (pipe(7)).
const WHOLE: usize = 4096;

/// The lines that wait to be written.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Notified when there is something to do for the thread that writes.
    wanted: Condvar,
    /// Notified when something was written, if anything waits for it.
    written: Condvar,
    capacity: usize,
    /// The largest number of bytes that are written at once, unless a line is longer.
    whole: usize,
}

#[derive(Default)]
struct State {
    lines: Chunks,
    /// The size of these lines and of those that are being written.
    bytes: usize,
    /// The number of lines dropped since the last report.
    dropped: u64,
    /// What the thread waits for, if it waits.
    awaits: Option<Awaited>,
    /// The number of calls that wait until all lines are written.
    flushes: usize,
}

/// What the thread that writes waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Line,
    /// As many lines as are written at once, or the end of the time for that.
    Chunk,
}

impl Queue {
    /// Starts the thread that writes to standard error.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: writing with that of std holds a lock that a panic needs.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        let whole = match stderr.metadata()?.is_file() {
            true => CHUNK,
            false => WHOLE,
        };
        Self::start(stderr, CAPACITY, whole)
    }

    fn start(to: impl Write + Send + 'static, capacity: usize, whole: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            wanted: Condvar::new(),
            written: Condvar::new(),
            capacity,
            whole,
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
        state.lines.push(line);
        let is_awaited = state.is_awaited();
        drop(state);
        // Otherwise the thread finds the line by itself, and this saves a system call.
        if is_awaited {
            self.0.wanted.notify_one();
        }
    }

    /// Waits until all lines are written, or for `limit`.
    pub(super) fn flush(&self, limit: Duration) {
        let mut state = self.0.state();
        state.flushes += 1;
        self.0.wanted.notify_one();
        let is_waiting = |state: &mut State| state.bytes > 0;
        // Ignore a timeout: lines that nothing reads are lost.
        let waited = self.0.written.wait_timeout_while(state, limit, is_waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.flushes -= 1;
    }
}

impl State {
    /// Returns `true` if the thread waits for what is there now.
    fn is_awaited(&mut self) -> bool {
        let is_there = match self.awaits {
            None => false,
            Some(Awaited::Line) => !self.lines.is_empty(),
            Some(Awaited::Chunk) => self.lines.has_full_chunk(),
        };
        if is_there {
            self.awaits = None;
        }
        is_there
    }

    /// Returns `true` if there is no reason to gather more lines.
    fn is_enough(&self) -> bool {
        self.lines.has_full_chunk() || self.flushes > 0
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, whose size counts until [`Shared::wrote`]. Those that follow others within
    /// [`GATHERING`] are gathered until `written` is so long ago.
    fn next(&self, written: Option<Instant>) -> Vec<u8> {
        let mut state = self.state();
        while state.lines.is_empty() {
            state.awaits = Some(Awaited::Line);
            let waited = self.wanted.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let until = written.map(|written| written + GATHERING);
        while let Some(rest) = until.and_then(|until| until.checked_duration_since(Instant::now()))
            && !state.is_enough()
        {
            state.awaits = Some(Awaited::Chunk);
            let waited = self.wanted.wait_timeout(state, rest);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.awaits = None;
        state.lines.pop()
    }

    /// Writes lines for ever.
    fn write_all_to(&self, mut to: impl Write) -> ! {
        let mut written = None;
        loop {
            let lines = self.next(written);
            let mut rest = &*lines;
            while !rest.is_empty() {
                let (whole, others) = rest.split_at(whole_lines(rest, self.whole));
                // A failed write loses the lines like a full queue, but there is no output to
                // report that to.
                if write(&mut to, whole).is_err() {
                    LOG_LINES_DROPPED.inc_by(memchr::memchr_iter(b'\n', whole).count() as u64);
                }
                self.wrote(whole.len());
                rest = others;
            }
            self.state().lines.reuse(lines);
            written = Some(Instant::now());
        }
    }

    fn wrote(&self, bytes: usize) {
        let mut state = self.state();
        state.bytes -= bytes;
        // The report must not take the place of another line.
        let has_room = state.bytes <= self.capacity / 2;
        let dropped = has_room.then(|| std::mem::take(&mut state.dropped));
        let is_awaited = state.flushes > 0;
        drop(state);
        if is_awaited {
            self.written.notify_all();
        }
        if let Some(dropped @ 1..) = dropped {
            report_dropped(dropped);
        }
    }
}

/// Returns the length of as many lines as have room in `limit` bytes, and of one at least.
fn whole_lines(lines: &[u8], limit: usize) -> usize {
    if lines.len() <= limit {
        return lines.len();
    }
    let last = memchr::memrchr(b'\n', &lines[..limit]);
    let end = last.or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |end| end + 1)
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

    /// Shows what is written, and has written it once it is let.
    struct Reader {
        turns: Receiver<()>,
        read: Sender<Vec<u8>>,
    }

    impl Write for Reader {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            let shown = self.read.send(lines.to_vec());
            shown.map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.turns.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(lines.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_in_order_and_those_without_room_are_left_out() {
        let ((turn, turns), (read, lines)) = (channel(), channel());
        let queue = Queue::start(Reader { turns, read }, 13, 4).unwrap();
        let push = |line: &str| queue.push(line.as_bytes());
        ["one\n", "two\n", "six\n", "ten\n", "elf\n"]
            .into_iter()
            .for_each(push);
        let started = Instant::now();
        queue.flush(Duration::from_millis(20));
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a reader that stands still is not waited for"
        );
        for expected in ["one\n", "two\n", "six\n"] {
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
            turn.send(()).unwrap();
        }
        queue.flush(Duration::from_secs(10));
        push("0123456789ab\n");
        turn.send(()).unwrap();
        assert_eq!(
            lines.recv().unwrap(),
            b"0123456789ab\n",
            "all the room is there again"
        );
        // What cannot be written is gone, and holds nothing up.
        drop(turn);
        push("twelve\n");
        queue.flush(Duration::from_secs(10));
        assert_eq!(queue.0.state().bytes, 0);
    }

    #[test]
    fn lines_that_wait_are_written_together_and_whole() {
        let ((turn, turns), (read, lines)) = (channel(), channel());
        let queue = Queue::start(Reader { turns, read }, 100, 10).unwrap();
        queue.push(b"one\n");
        assert_eq!(lines.recv().unwrap(), b"one\n", "the first does not wait");
        let waiting = [
            "two\n",
            "four\n",
            "six\n",
            "longer than a write\n",
            "a\n",
            "b\n",
        ];
        waiting.iter().for_each(|line| queue.push(line.as_bytes()));
        for expected in ["two\nfour\n", "six\n", "longer than a write\n", "a\nb\n"] {
            turn.send(()).unwrap();
            assert_eq!(lines.recv().unwrap(), expected.as_bytes());
        }
    }

    #[test]
    fn a_line_behind_another_is_written_without_one_that_follows() {
        let ((turn, turns), (read, lines)) = (channel(), channel());
        let queue = Queue::start(Reader { turns, read }, 100, 10).unwrap();
        for line in [b"one\n", b"two\n"] {
            queue.push(line);
            assert_eq!(lines.recv().unwrap(), line);
            turn.send(()).unwrap();
        }
    }
}
