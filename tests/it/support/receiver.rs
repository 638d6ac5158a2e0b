//! A running application in one of the languages of the documentation.

use super::{Language, eventually, free_address, skip_unless_required};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Where it is 1, an application that cannot be run is a failure.
const REQUIRED: &str = "NWP_REQUIRE_APPLICATIONS";

/// What an application says on standard error, in its directory.
const STDERR: &str = "stderr";

/// A running application, and what it prints.
pub(crate) struct Receiver {
    child: Child,
    pub(crate) url: String,
    printed: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

impl Receiver {
    /// Runs a program that listens on 127.0.0.1:3000, of which only that is changed. `None`, with a
    /// note, where it cannot be run.
    pub(crate) fn start(language: &Language, program: &str) -> Option<Self> {
        Self::start_with(language, program, &[])
    }

    /// Likewise, with these variables in its environment.
    pub(crate) fn start_with(
        language: &Language,
        program: &str,
        variables: &[(&str, &str)],
    ) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let free = free_address();
        match language.run(&at(free, program), directory.path()) {
            Ok(mut command) => {
                command.envs(variables.iter().copied());
                Some(Self::spawn(command, free, directory))
            }
            Err(missing) => {
                skip_unless_required(REQUIRED, missing);
                None
            }
        }
    }

    fn spawn(mut command: Command, address: SocketAddr, directory: tempfile::TempDir) -> Self {
        let stderr = File::create(directory.path().join(STDERR)).unwrap();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (
            BufReader::new(child.stdout.take().unwrap()).lines(),
            printed.clone(),
        );
        let reader = thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| kept.lock().unwrap().push(line))
        });
        let receiver = Self {
            child,
            url: format!("http://{address}"),
            printed,
            reader: Some(reader),
            directory,
        };
        eventually("an application that listens", || {
            TcpStream::connect(address).ok()
        });
        receiver
    }

    /// What it has printed about notifications; Flask prints about itself, too.
    pub(crate) fn lines(&self) -> Vec<String> {
        let is_about_a_notification = |line: &&String| {
            ["alert ", "reachability ", "test ", "verified "]
                .iter()
                .any(|kind| line.starts_with(kind))
        };
        self.printed
            .lock()
            .unwrap()
            .iter()
            .filter(is_about_a_notification)
            .cloned()
            .collect()
    }

    /// Ends it, after which it prints nothing more.
    pub(crate) fn end(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            let said =
                std::fs::read_to_string(self.directory.path().join(STDERR)).unwrap_or_default();
            eprintln!(
                "the application printed: {:#?}\nand on standard error:\n{said}",
                self.printed.lock().unwrap()
            );
        }
    }
}

/// The program, where it listens elsewhere.
fn at(address: SocketAddr, program: &str) -> String {
    for part in ["127.0.0.1", "3000"] {
        assert_eq!(program.matches(part).count(), 1, "{part} in {program}");
    }
    program
        .replace("127.0.0.1", &address.ip().to_string())
        .replace("3000", &address.port().to_string())
}
