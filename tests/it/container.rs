//! The container file, as far as it can be tried without an engine.

use crate::support::{skip, succeed};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CONTAINERFILE: &str = include_str!("../../conf/container/Containerfile");

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Its instructions, with continued lines as one.
pub(crate) fn instructions() -> Vec<String> {
    let lines: Vec<_> = CONTAINERFILE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let text = lines.join("\n").replace("\\\n", "");
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The command of the last instruction of this name.
pub(crate) fn array(instructions: &[String], name: &str) -> Vec<String> {
    let line = instructions
        .iter()
        .rfind(|line| line.starts_with(name))
        .unwrap();
    serde_json::from_str(&line[line.find('[').unwrap()..]).unwrap()
}

/// The files and directories that the build gets.
fn copied() -> Vec<String> {
    let instructions = instructions();
    let copies = instructions
        .iter()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|copy| !copy.starts_with("--"));
    let sources = |copy: &str| {
        copy.split(' ')
            .rev()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    copies.flat_map(sources).collect()
}

#[test]
fn the_build_gets_what_cargo_needs() {
    let copied = copied();
    for source in &copied {
        assert!(root().join(source).exists(), "{source}");
    }
    let context = tempfile::tempdir().unwrap();
    for source in &copied {
        let status = Command::new("cp")
            .arg("-r")
            .arg(root().join(source))
            .arg(context.path())
            .status()
            .unwrap();
        assert!(status.success(), "{source}");
    }
    // Of other platforms, not everything that would be needed is there.
    let rustc =
        String::from_utf8(Command::new("rustc").arg("-vV").output().unwrap().stdout).unwrap();
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--format-version=1",
            "--filter-platform",
            host,
        ])
        .current_dir(context.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for included in compiled_in(&root().join("src")) {
        let included = included
            .strip_prefix(root().canonicalize().unwrap())
            .unwrap()
            .to_owned();
        assert!(
            copied.iter().any(|source| included.starts_with(source)),
            "{}",
            included.display()
        );
    }
}

/// What the sources below a directory include.
fn compiled_in(directory: &Path) -> Vec<PathBuf> {
    let mut included = Vec::new();
    for entry in std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if entry.is_dir() {
            included.extend(compiled_in(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&entry).unwrap();
            let names = text
                .split("include_str!(\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next());
            included.extend(names.map(|name| directory.join(name).canonicalize().unwrap()));
        }
    }
    included
}

#[test]
fn nothing_else_is_sent_to_the_engine() {
    let ignore = std::fs::read_to_string(root().join(".dockerignore")).unwrap();
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let mut let_through: Vec<_> = lines
        .map(|line| line.strip_prefix('!').unwrap().to_owned())
        .collect();
    let mut copied = copied();
    let_through.sort();
    copied.sort();
    assert_eq!(let_through, copied);
}

/// What the image holds, with the program as it is built for tests.
pub(crate) fn image() -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    // For the user that the program runs as.
    std::fs::set_permissions(image.path(), Permissions::from_mode(0o755)).unwrap();
    let instructions = instructions();
    let script = instructions
        .iter()
        .filter_map(|line| line.strip_prefix("RUN "))
        .find(|run| run.contains("ldd"))
        .unwrap();
    let script = script
        .replace("target/dist/netdata-webhook-proxy", PROGRAM)
        .replace(
            "/etc/ssl/certs/ca-certificates.crt ",
            "conf/netdata-root-ca.pem ",
        )
        .replace("/image", image.path().to_str().unwrap());
    succeed(Command::new("sh").args(["-c", &script]).current_dir(root()));
    if rustix::process::geteuid().is_root() {
        let (user, directory) = state(&instructions);
        let directory = image.path().join(directory.strip_prefix('/').unwrap());
        succeed(Command::new("chown").arg(user).arg(directory));
    }
    image
}

/// The owner of the directory for what outlives a container, and its path.
pub(crate) fn state(instructions: &[String]) -> (String, String) {
    let copies = instructions
        .iter()
        .filter_map(|line| line.strip_prefix("COPY "));
    let mut owned = copies.filter_map(|copy| copy.split_once("--chown="));
    let (_, owned) = owned.next().unwrap();
    let mut words = owned.split(' ');
    let user = words.next().unwrap();
    (user.to_owned(), words.next_back().unwrap().to_owned())
}

#[test]
fn what_waits_is_in_a_volume_of_the_user() {
    let instructions = instructions();
    let (user, directory) = state(&instructions);
    for line in [
        format!("USER {user}"),
        format!("VOLUME {directory}"),
        format!("ENV STATE_DIRECTORY={directory}"),
    ] {
        assert!(instructions.contains(&line), "{line}");
    }
    let config = include_str!("../../conf/container/config.toml");
    let queue = format!("\n[queue]\npath = \"{directory}/queue.db\"\n");
    assert!(config.contains(&queue), "{queue}");
    assert!(config.contains("\ndelivery = \"fallback\"\n"));
}

/// Returns `true` if this user can enter an image.
pub(crate) fn may_enter() -> bool {
    let entered = Command::new("chroot")
        .args(["/", "true"])
        .stderr(Stdio::null())
        .status();
    entered.is_ok_and(|status| status.success())
}

/// The program in it, as the user whom it names; outside of it and as this user, where that is not
/// allowed.
pub(crate) fn in_image(image: &Path) -> Command {
    if !may_enter() {
        skip("the image, which only root can enter; its program runs outside");
        let mut command = Command::new(PROGRAM);
        command.env(
            "NETDATA_WEBHOOK_PROXY_CONFIG",
            image.join("etc/netdata-webhook-proxy/config.toml"),
        );
        return command;
    }
    let instructions = instructions();
    let user = instructions
        .iter()
        .find_map(|line| line.strip_prefix("USER "))
        .unwrap();
    let mut command = Command::new("chroot");
    command
        .arg(format!("--userspec={user}"))
        .arg(image)
        .args(array(&instructions, "ENTRYPOINT"));
    command.env_remove("NETDATA_WEBHOOK_PROXY_CONFIG");
    command
}

#[test]
fn the_program_runs_with_nothing_but_the_libraries_in_the_image() {
    let image = image();
    let place = image.path().to_str().unwrap();
    let program = image.path().join("usr/bin/netdata-webhook-proxy");
    let libraries = Command::new("find")
        .args([place, "-name", "*.so*", "-type", "f"])
        .output()
        .unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let named = |name: &str| {
        libraries
            .lines()
            .map(Path::new)
            .find(|path| path.to_str().unwrap().contains(name))
            .unwrap()
    };
    // The image's own loader, which looks nowhere else.
    let output = Command::new(named("/ld-"))
        .args(["--inhibit-cache", "--library-path"])
        .arg(named("/libc.so").parent().unwrap())
        .arg("--list")
        .arg(&program)
        .output()
        .unwrap();
    let loaded = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = loaded
        .lines()
        .filter_map(|line| line.split("=> ").nth(1)?.split(' ').next())
        .collect();
    assert!(output.status.success() && !files.is_empty(), "{loaded}");
    assert!(
        files
            .iter()
            .filter(|file| !file.contains("/ld-"))
            .all(|file| file.starts_with(place)),
        "{loaded}"
    );
}

#[test]
fn the_commands_that_it_names_exist() {
    let instructions = instructions();
    let [entry, health, run] =
        ["ENTRYPOINT", "HEALTHCHECK", "CMD"].map(|prefix| array(&instructions, prefix));
    assert_eq!((entry.len(), &entry[0]), (1, &health[0]));
    assert!(entry[0].ends_with("/netdata-webhook-proxy"));
    for arguments in [&health[1..], &run] {
        let status = Command::new(PROGRAM)
            .args(arguments)
            .arg("--help")
            .output()
            .unwrap()
            .status;
        assert!(status.success(), "{arguments:?}");
    }
    let user = instructions
        .iter()
        .find_map(|line| line.strip_prefix("USER "))
        .unwrap();
    assert!(
        user.split(':').all(|id| id.parse::<u32>().unwrap() > 0),
        "a number, for there is no /etc/passwd"
    );
}
