//! A terminal, of which a test has the one end and a program the other.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::{Arc, Mutex};
use std::thread;

/// What a program shows on a terminal, so far.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    /// Opens a terminal of so many columns. Returns the end that is the program's, too.
    pub(crate) fn open(columns: u16) -> (Self, File) {
        let (mut ours, theirs) = terminal();
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).unwrap();
        let screen = Self::default();
        let shown = screen.clone();
        thread::spawn(move || {
            let mut read = [0; 4096];
            // The end of the terminal is an error.
            while let Ok(count @ 1..) = ours.read(&mut read) {
                shown.0.lock().unwrap().extend_from_slice(&read[..count]);
            }
        });
        (screen, theirs)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).replace("\r\n", "\n")
    }

    /// The text without its colours.
    pub(crate) fn plain(&self) -> String {
        let colours = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
        colours.replace_all(&self.text(), "").into_owned()
    }
}

/// Both ends of a terminal.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = OsString::from_vec(ptsname(&ours, Vec::new()).unwrap().into_bytes());
    let theirs = OpenOptions::new().read(true).write(true).open(name);
    (ours.into(), theirs.unwrap())
}
