//! A machine on which the documented commands run, below a directory instead of at its root.

use super::Pki;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

/// Where absolute paths in the documentation lead.
const TOP_LEVEL: [&str; 5] = ["/etc/", "/run/", "/srv/", "/usr/local/", "/var/lib/"];

/// What has been installed.
pub(crate) struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        // For users that commands make files for.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for directory in ["etc", "run", "srv", "usr/local/bin", "var/lib"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Where this path leads.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.at(path).into()
    }

    /// A text whose paths lead here.
    pub(crate) fn at(&self, text: &str) -> String {
        // In two steps, for the root may itself be below one of these.
        let marked = TOP_LEVEL.iter().fold(text.to_owned(), |text, top| {
            text.replace(top, &format!("\0{top}"))
        });
        marked.replace('\0', self.root.path().to_str().unwrap())
    }

    /// A documented command, in a checkout after `cargo build --release`.
    pub(crate) fn command(&self, line: &str) -> Command {
        let line = self
            .at(line)
            .replace("target/release/netdata-webhook-proxy", PROGRAM);
        let line = match rustix::process::geteuid() {
            user if user.is_root() => line,
            // Only root can change the owner of files.
            user => line.replace("-o 65532", &format!("-o {}", user.as_raw())),
        };
        let path = format!(
            "{}:{}",
            self.path("/usr/local/bin").display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut command = Command::new("sh");
        command
            .args(["-euc", &line])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", path);
        command
    }

    #[track_caller]
    pub(crate) fn run(&self, line: &str) {
        succeed(&mut self.command(line));
    }

    /// What Let's Encrypt's certbot leaves behind: the `version`th certificate for hooks.example,
    /// which is `pki`'s own.
    pub(crate) fn certify(&self, pki: &Pki, version: u8) -> PathBuf {
        let [live, archive] = ["live", "archive"]
            .map(|place| self.path(&format!("/etc/letsencrypt/{place}/hooks.example")));
        for (name, file, mode) in [
            ("fullchain", "server.pem", 0o644),
            ("privkey", "server.key", 0o600),
        ] {
            fs::create_dir_all(&live).unwrap();
            fs::create_dir_all(&archive).unwrap();
            let archived = archive.join(format!("{name}{version}.pem"));
            fs::copy(pki.path().join(file), &archived).unwrap();
            fs::set_permissions(&archived, fs::Permissions::from_mode(mode)).unwrap();
            let link = live.join(format!("{name}.pem"));
            // An error says that this is the first.
            let _ = fs::remove_file(&link);
            symlink(
                format!("../../archive/hooks.example/{name}{version}.pem"),
                link,
            )
            .unwrap();
        }
        live
    }
}

/// Runs it, and it succeeds.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
