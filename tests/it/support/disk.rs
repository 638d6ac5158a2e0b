//! A file system of its own, in a mount namespace that only its processes see: one that can be full,
//! and one that can lose its power.

use super::{eventually, succeed};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::{NamedTempFile, TempDir};

/// Shuts an ext4 file system down without flushing its log (EXT4_IOC_SHUTDOWN with
/// EXT4_GOING_FLAGS_NOLOGFLUSH), once it is told to.
const CUT: &str = "import fcntl, os, struct, sys
print(flush=True)
sys.stdin.readline()
directory = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(directory, 0x8004587d, struct.pack('I', 2))";

/// A mounted file system.
pub(crate) struct Disk {
    mount: Vec<String>,
    directory: TempDir,
    /// Keeps the namespace, until its standard input is closed: also when the test is killed.
    keeper: Child,
    /// The loop device is detached when nothing has it open any longer.
    _device: Option<File>,
}

impl Disk {
    /// An ext4 file system on a loop device. An error says what is missing for one.
    pub(crate) fn ext4(mebibytes: u64) -> Result<Self, String> {
        let image = NamedTempFile::new().unwrap();
        image.as_file().set_len(mebibytes << 20).unwrap();
        let mut attach = Command::new("losetup");
        let device = output_of(attach.args(["--find", "--show"]).arg(image.path()))?;
        let held = File::open(&device).map_err(|error| format!("{device}: {error}"))?;
        output_of(Command::new("losetup").args(["--detach", &device]))?;
        // Nothing is reserved for root, so that full is full.
        output_of(Command::new("mkfs.ext4").args(["-q", "-m", "0", &device]))?;
        Self::mounted(&["-t", "ext4", &device], Some(held))
    }

    /// A file system in memory. An error says what is missing for one.
    pub(crate) fn tmpfs(mebibytes: u64) -> Result<Self, String> {
        let size = format!("size={mebibytes}m");
        Self::mounted(&["-t", "tmpfs", "-o", &size, "none"], None)
    }

    fn mounted(mount: &[&str], device: Option<File>) -> Result<Self, String> {
        let mut keeper = Command::new("unshare");
        keeper.args(["-m", "--propagation", "private"]);
        keeper.args(["sh", "-c", "echo; exec cat"]);
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().map_err(|error| error.to_string())?;
        let mut line = [0];
        let is_there = keeper.stdout.as_mut().unwrap().read_exact(&mut line);
        let disk = Self {
            mount: mount.iter().map(|word| (*word).to_owned()).collect(),
            directory: tempfile::tempdir().unwrap(),
            keeper,
            _device: device,
        };
        is_there.map_err(|_| "there can be no mount namespace".to_owned())?;
        output_of(&mut disk.mount_command())?;
        Ok(disk)
    }

    fn mount_command(&self) -> Command {
        let mut command = self.command("mount");
        command.args(&self.mount).arg(self.directory.path());
        command
    }

    /// Returns a command that runs where the file system is mounted.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-m", "-t", &self.keeper.id().to_string(), "--", program]);
        command
    }

    /// The path of a file, for processes that run where the file system is mounted.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The path of the same file for this process.
    pub(crate) fn path_from_here(&self, name: &str) -> PathBuf {
        let inside = self.path(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.id()));
        root.join(inside.strip_prefix("/").unwrap())
    }

    /// A process that cuts the power, ready to do so at once.
    pub(crate) fn switch(&self) -> Switch {
        let mut cutter = Command::new("python3");
        cutter.args(["-c", CUT]).arg(self.path_from_here(""));
        cutter.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut cutter = cutter.spawn().unwrap();
        let mut line = [0];
        cutter
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut line)
            .unwrap();
        Switch(cutter)
    }

    /// Mounts it again, as after a restart of the machine. No process may use it.
    pub(crate) fn remount(&self) {
        eventually("a file system that is not in use", || {
            let unmounted = self.command("umount").arg(self.directory.path()).output();
            unmounted.unwrap().status.success().then_some(())
        });
        succeed(&mut self.mount_command());
    }

    /// Fills it until so many bytes are left, or none.
    pub(crate) fn fill(&self, left: u64) {
        let space = rustix::fs::statvfs(self.path_from_here("").as_path()).unwrap();
        let free = space.f_bavail * space.f_frsize;
        let mut filler = File::create(self.filler()).unwrap();
        let block = vec![1; 1 << 16];
        let mut remaining = free.saturating_sub(left);
        while remaining > 0 || left == 0 {
            // An error says that it is full, metadata included.
            if filler.write_all(&block).is_err() {
                break;
            }
            remaining = remaining.saturating_sub(block.len() as u64);
        }
        if left == 0 {
            while filler.write_all(&block[..1]).is_ok() {}
        }
    }

    /// Gives the space back that [`fill`](Self::fill) took.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path_from_here("filler")
    }
}

/// A process that cuts the power of a disk.
pub(crate) struct Switch(Child);

impl Switch {
    /// Cuts the power: what has not reached the disk never will.
    pub(crate) fn cut(mut self) {
        self.0.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Errors say that it has ended by itself.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn output_of(command: &mut Command) -> Result<String, String> {
    let name = Path::new(command.get_program()).display().to_string();
    let output = command
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(format!("{name}: {}", said(&output.stderr))),
    }
}
