//! What a commit costs at least: bytes written behind others and synchronised, again and again.

use crate::Failure;
use crate::load::{Outcome, Tally};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes `bytes` to a new file in `directory` and waits for the disk, for so long.
pub(crate) fn sync_again_and_again(
    directory: &Path,
    bytes: &[u8],
    length: Duration,
) -> Result<Outcome, Failure> {
    let path = directory.join("synchronised");
    let mut file = File::create(&path)?;
    let mut tally = Tally::default();
    let start = Instant::now();
    while start.elapsed() < length {
        let write = Instant::now();
        file.write_all(bytes)?;
        file.sync_data()?;
        tally.answer(write.elapsed());
    }
    tally.end(start.elapsed(), 0);
    std::fs::remove_file(path)?;
    Ok(tally.outcome())
}
