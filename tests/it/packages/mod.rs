//! The packages: what they hold, and how Debian's installs, upgrades and leaves.

mod life_cycle;

use crate::support::{skip_unless_required, succeed};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netdata-webhook-proxy");

/// Where `Cargo.toml` expects what is built.
const BUILT: &str = "target/release/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The description of a kind of package in `Cargo.toml`.
fn metadata(kind: &str) -> Value {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root());
    let read: Value = serde_json::from_str(&printed(&mut command)).unwrap();
    read["packages"][0]["metadata"][kind].clone()
}

/// The sources of the files of a package.
fn sources(kind: &str) -> BTreeSet<String> {
    let metadata = metadata(kind);
    let source = |asset: &Value| {
        let source = asset.get("source").unwrap_or_else(|| &asset[0]);
        source.as_str().unwrap().to_owned()
    };
    metadata["assets"]
        .as_array()
        .unwrap()
        .iter()
        .map(source)
        .collect()
}

#[test]
fn what_the_packages_take_from_the_repository_is_there() {
    for source in ["deb", "generate-rpm"].into_iter().flat_map(sources) {
        let count = count(&root().join(&source));
        assert!(source.starts_with(BUILT) || count > 0, "{source}");
    }
    for script in ["postinst", "postrm"] {
        let script = format!("conf/package/debian/{script}");
        // Otherwise the units are neither disabled nor removed.
        let text = fs::read_to_string(root().join(&script)).unwrap();
        assert!(text.contains("\n#DEBHELPER#\n"), "{script}");
    }
}

/// How many files there are.
fn count(pattern: &Path) -> usize {
    let name = pattern.file_name().unwrap().to_str().unwrap();
    let (before, after) = name.split_once('*').unwrap_or((name, ""));
    let directory = fs::read_dir(pattern.parent().unwrap())
        .into_iter()
        .flatten();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|it| it.starts_with(before) && it.ends_with(after))
        .count()
}

#[test]
fn both_packages_hold_the_same() {
    // Debian has places of its own for these, or adds them by itself.
    let is_same = |source: &String| {
        !source.contains("LICENSE") && !source.starts_with("conf/systemd/netdata-webhook-proxy.")
    };
    let [debian, rpm] = ["deb", "generate-rpm"].map(|kind| {
        let sources = sources(kind).into_iter();
        sources.filter(is_same).collect::<Vec<_>>()
    });
    assert_eq!(debian, rpm);
    assert_eq!(
        metadata("deb")["systemd-units"]["unit-scripts"],
        "conf/systemd"
    );
}

/// The package has files, and no directories, so a script removes those of its own.
#[test]
fn the_rpm_leaves_no_directory() {
    let script = include_str!("../../../conf/package/rpm/postun");
    let names = |line: &str| {
        line.trim_end_matches([' ', '\\', '|', ':'])
            .trim()
            .to_owned()
    };
    let removed: BTreeSet<_> = script.lines().map(names).collect();
    for asset in metadata("generate-rpm")["assets"].as_array().unwrap() {
        let place = asset["dest"].as_str().unwrap();
        let (directory, _) = place.rsplit_once('/').unwrap();
        let is_own = directory.contains("/netdata-webhook-proxy");
        if let Some(directory) = directory.strip_prefix("/usr/").filter(|_| is_own) {
            // With its parents.
            let mut removed = removed.iter().map(Path::new);
            let is_removed = removed.any(|it| it.starts_with(directory));
            assert!(is_removed, "{directory} in {script}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_program() {
    let changelog = include_str!("../../../conf/package/debian/changelog");
    let first = format!("netdata-webhook-proxy ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&first), "{first}");
    let image = format!("newTag: {}\n", env!("CARGO_PKG_VERSION"));
    assert!(include_str!("../../../conf/kubernetes/kustomization.yaml").contains(&image));
}

/// Two revisions of the Debian package, with the program as it is built for tests.
struct Debian {
    first: PathBuf,
    second: PathBuf,
}

/// They are made once, or cannot be made here.
fn debian() -> Option<&'static Debian> {
    static MADE: LazyLock<Option<Debian>> = LazyLock::new(Debian::make);
    if MADE.is_none() {
        skip_unless_required(
            "NWP_REQUIRE_PACKAGES",
            "cargo-deb is neither installed nor in target/tools",
        );
    }
    MADE.as_ref()
}

impl Debian {
    fn make() -> Option<Self> {
        let version = cargo_deb().arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("packages");
        let parts = target.join("release/package");
        // Ignore the error: this is the first time.
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&parts).unwrap();
        let make = "
            strip -o ../netdata-webhook-proxy \"$0\"
            \"$0\" man | gzip -9n >netdata-webhook-proxy.1.gz
            \"$0\" man config | gzip -9n >netdata-webhook-proxy-config.5.gz
            \"$0\" completions bash >netdata-webhook-proxy.bash
            \"$0\" completions fish >netdata-webhook-proxy.fish
            \"$0\" completions zsh >_netdata-webhook-proxy
            echo '{}' >sbom.cdx.json
            echo licences | gzip -9n >third-party-licenses.gz";
        succeed(
            Command::new("sh")
                .args(["-euc", make, PROGRAM])
                .current_dir(parts),
        );
        let [first, second] = ["1", "2"].map(|revision| package(&target, revision));
        Some(Self { first, second })
    }
}

/// Makes a package of what is built in `target`.
fn package(target: &Path, revision: &str) -> PathBuf {
    let path = target.join(format!("{revision}.deb"));
    let mut command = cargo_deb();
    command
        .args(["--no-build", "--offline", "--locked", "--quiet"])
        .args(["--no-strip", "--fast"])
        .args(["--deb-revision", revision, "--output"])
        .arg(&path)
        .env("CARGO_TARGET_DIR", target);
    succeed(&mut command);
    path
}

fn cargo_deb() -> Command {
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.arg("deb").current_dir(root()).env(
        "PATH",
        format!("{}:{path}", root().join("target/tools/bin").display()),
    );
    command
}

fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (said, complained) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{command:?}: {said}{complained}");
    said
}

#[test]
fn the_debian_package_holds_what_a_service_needs() {
    let Some(debian) = debian() else { return };
    let package = &debian.first;
    let listed = printed(Command::new("dpkg-deb").arg("--contents").arg(package));
    let modes: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(mode, rest)| (mode, rest.rsplit(" ./").next().unwrap()))
        .collect();
    for (mode, path) in [
        ("-rwxr-xr-x", "usr/bin/netdata-webhook-proxy"),
        ("-rwxr-xr-x", "usr/lib/netdata-webhook-proxy/configure"),
        ("-rw-r--r--", "etc/netdata-webhook-proxy/config.toml"),
        (
            "-rw-r--r--",
            "usr/lib/systemd/system/netdata-webhook-proxy.service",
        ),
        (
            "-rw-r--r--",
            "usr/lib/systemd/system/netdata-webhook-proxy.socket",
        ),
        (
            "-rw-r--r--",
            "usr/share/man/man1/netdata-webhook-proxy.1.gz",
        ),
        (
            "-rw-r--r--",
            "usr/share/man/man5/netdata-webhook-proxy-config.5.gz",
        ),
        (
            "-rw-r--r--",
            "usr/share/bash-completion/completions/netdata-webhook-proxy",
        ),
        (
            "-rw-r--r--",
            "usr/share/fish/vendor_completions.d/netdata-webhook-proxy.fish",
        ),
        (
            "-rw-r--r--",
            "usr/share/zsh/vendor-completions/_netdata-webhook-proxy",
        ),
        (
            "-rw-r--r--",
            "usr/share/netdata-webhook-proxy/sbom.cdx.json",
        ),
        (
            "-rw-r--r--",
            "usr/share/netdata-webhook-proxy/prometheus/alerts.yml",
        ),
        (
            "-rw-r--r--",
            "usr/share/netdata-webhook-proxy/netdata/health.d/netdata_webhook_proxy.conf",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/netdata-webhook-proxy/copyright",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/netdata-webhook-proxy/changelog.Debian.gz",
        ),
        (
            "-rw-r--r--",
            "usr/share/doc/netdata-webhook-proxy/third-party-licenses.gz",
        ),
    ] {
        assert!(modes.contains(&(mode, path)), "{mode} {path} in {listed}");
    }
    let conffiles = printed(
        Command::new("dpkg-deb")
            .arg("--info")
            .arg(package)
            .arg("conffiles"),
    );
    assert_eq!(conffiles, "/etc/netdata-webhook-proxy/config.toml\n");
    judge(package);
}

/// Debian's own judge finds no error.
fn judge(package: &Path) {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--allow-root", "--fail-on", "error"])
        .arg(package);
    match lintian.output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(_) => skip_unless_required("NWP_REQUIRE_PACKAGES", "lintian is not installed"),
    }
}
