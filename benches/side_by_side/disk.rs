//! What a commit costs at least: bytes written behind others and synchronised, as often a second as
//! the commits it is compared with. A machine that rests between two of them is slower than a busy one.

use crate::Failure;
use crate::load::{Outcome, Tally};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Writes `bytes` to a new file in `directory` and waits for the disk, `rate` times a second, for so
/// long.
pub(crate) fn sync_again_and_again(
    directory: &Path,
    bytes: &[u8],
    rate: f64,
    length: Duration,
) -> Result<Outcome, Failure> {
    let path = directory.join("synchronised");
    let mut file = File::create(&path)?;
    let mut tally = Tally::default();
    let start = Instant::now();
    for number in 0_u32.. {
        let due = Duration::from_secs_f64(f64::from(number) / rate);
        if due >= length {
            break;
        }
        sleep(due.saturating_sub(start.elapsed()));
        let write = Instant::now();
        file.write_all(bytes)?;
        file.sync_data()?;
        tally.answer(write.elapsed());
    }
    tally.end(start.elapsed(), 0);
    std::fs::remove_file(path)?;
    Ok(tally.outcome())
}
