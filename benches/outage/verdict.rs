//! What must hold, and whether it does.

use crate::application::Record;
use crate::options::Options;
use crate::probe::Latencies;
use crate::sender::Taken;
use std::time::Duration;

/// The notifications that are to be delivered in a second, from a file and from a database.
const RATE: f64 = 5_000.0;
const SHARED_RATE: f64 = 1_000.0;

/// The memory that an outage may take, in bytes.
const MEMORY: u64 = 64 << 20;

/// Whether everything holds so far.
pub(crate) struct Verdict {
    pub(crate) is_good: bool,
}

impl Verdict {
    pub(crate) fn new() -> Self {
        Self { is_good: true }
    }

    pub(crate) fn holds(&mut self, holds: bool, what: &str) {
        println!("{} {what}", if holds { "ok    " } else { "FAILED" });
        self.is_good &= holds;
    }

    pub(crate) fn takes(&mut self, options: &Options, taken: &Taken) {
        println!("{taken}");
        self.holds(
            taken.acknowledged == options.count(),
            "every notification was acknowledged during the outage",
        );
    }

    pub(crate) fn delivers(&mut self, options: &Options, record: &Record) {
        println!("{record}");
        let is_whole = record.received == options.count() && record.repeated == 0;
        self.holds(is_whole, "each of them was delivered, and once");
        self.holds(record.early == 0, "none overtook another of its alert");
        let rate = match options.postgres {
            true => SHARED_RATE,
            false => RATE,
        };
        let what = format!("more than {rate} were delivered a second");
        self.holds(record.rate() > rate, &what);
    }

    pub(crate) fn takes_memory(&mut self, options: &Options, before: u64, peak: u64) {
        let more = peak.saturating_sub(before);
        let each = more / u64::from(options.count().max(1));
        let (before, most) = (mib(before), mib(more));
        println!("memory: {before} before, at most {most} more, {each} bytes for each");
        self.holds(more < MEMORY, "it took less than 64 MiB more");
    }

    /// Judges the requests of another route during the delivery by those under the same load
    /// without one.
    pub(crate) fn lets_pass(&mut self, before: &Latencies, meanwhile: &Latencies) {
        let limit = 2 * before.p99() + Duration::from_millis(2);
        self.holds(
            meanwhile.p99() <= limit,
            "another route answered as before, 99 times in a hundred",
        );
    }
}

/// So many bytes, for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
