//! A sample, imported.

use super::side_by_side::{Scene, names_what_gets_through, play};
use crate::support::{Origin, Peer, Pki, Proxy, Stage};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A configuration, and what is known about it.
pub(super) struct Sample {
    pub(super) name: &'static str,
    /// The file that is imported.
    pub(super) entry: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) origins: usize,
    /// What is asked for beside the challenge secret.
    pub(super) secrets: &'static [&'static str],
    /// An application on a unix socket, instead.
    pub(super) socket: &'static str,
    /// The port of the server in question.
    pub(super) port: u16,
    pub(super) scene: Scene,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            name: "",
            entry: "etc/nginx/nginx.conf",
            arguments: &[],
            origins: 1,
            secrets: &[],
            socket: "",
            port: 443,
            scene: Scene::default(),
        }
    }
}

/// What was printed.
pub(super) struct Imported {
    pub(super) config: String,
    pub(super) report: String,
}

pub(super) fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap()
}

pub(super) fn import(arguments: &[&str]) -> Imported {
    let output = program(&[&["import"], arguments].concat());
    let [config, report] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {report}");
    Imported { config, report }
}

/// Compares with what is expected of a sample, or writes that.
#[track_caller]
fn is_expected(sample: &Path, name: &str, text: &str) {
    let path = sample.join(name);
    if std::env::var_os("NWP_WRITE_EXPECTED").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{}", path.display());
}

/// Writes the challenge secret and the others that the report asks for, in its order, and no more,
/// next to the configuration.
pub(super) fn install(stage: &Stage, imported: &Imported, secrets: &[&str]) -> PathBuf {
    let mut secrets = secrets.iter().copied();
    for line in imported
        .report
        .lines()
        .filter_map(|line| line.strip_prefix("  write "))
    {
        let name = line.split(',').next().unwrap();
        let secret = match name {
            "challenge.secret" => "YOUR_CHALLENGE_SECRET",
            _ => secrets.next().unwrap_or_else(|| panic!("{line}")),
        };
        stage.write(&format!("config/{name}"), &format!("{secret}\n"));
    }
    assert_eq!(secrets.next(), None, "{}", imported.report);
    stage.write("config/config.toml", &imported.config)
}

/// `check` accepts it as it is.
#[track_caller]
fn check(config: &Path) {
    let output = program(&["check", "--config", config.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{stderr}\n{}",
        fs::read_to_string(config).unwrap()
    );
}

/// The program with the configuration, on a port that is free. Where it trusts Netdata's own
/// authority, whose key is not here, it trusts the stage's instead.
pub(super) fn serve(stage: &Stage, imported: &Imported) -> Proxy {
    let mut config: String = imported
        .config
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some((key @ ("http" | "https"), _)) => format!("{key} = \"127.0.0.1:0\"\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    if config.contains("[tls]") && !config.contains("\nca = ") {
        let ca = format!(
            "[tls.client]\nca = {:?}\n",
            Pki::shared().path().join("ca.pem")
        );
        match config.contains("[tls.client]\n") {
            true => config = config.replace("[tls.client]\n", &ca),
            false => config.push_str(&ca),
        }
    }
    let path = stage.write("config/running.toml", &config);
    let proxy = Proxy::launch(&path, |_| {});
    proxy.wait_for_event("ready");
    proxy
}

/// A sample of `kind`, staged in front of its applications.
struct Scenery {
    source: PathBuf,
    stage: Stage,
    origins: Vec<Origin>,
}

impl Scenery {
    fn of(kind: &str, sample: &Sample) -> Self {
        let source = samples(kind).join(sample.name);
        // The applications that it has at 127.0.0.1:3000 and on.
        let mut origins: Vec<Origin> = (0..sample.origins)
            .map(|_| Origin::spawn().lenient())
            .collect();
        let stage = Stage::of(&source, Pki::shared(), &origins.iter().collect::<Vec<_>>());
        // Some name the port apart from the address.
        if let Some(port) = origins
            .first()
            .and_then(|origin| origin.url.rsplit(':').next())
        {
            stage.edit(|text| {
                text.replace("set $port           3000;", &format!("set $port {port};"))
            });
        }
        if !sample.socket.is_empty() {
            let path = stage.write(sample.socket, "");
            fs::remove_file(&path).unwrap();
            origins.push(Origin::spawn_on_socket(&path).lenient());
            // Servers have workers that run as another user.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        }
        Self {
            source,
            stage,
            origins,
        }
    }

    fn origins(&self) -> Vec<&Origin> {
        self.origins.iter().collect()
    }

    fn import(&self, kind: &str, sample: &Sample) -> Imported {
        let file = self.stage.root().join(sample.entry);
        import(&[&[kind, file.to_str().unwrap()], sample.arguments].concat())
    }
}

fn samples(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/import")
        .join(kind)
}

/// What is written is what is expected, and passes `check` once the secrets are there.
#[track_caller]
pub(super) fn carry_over(kind: &str, sample: &Sample) {
    let scenery = Scenery::of(kind, sample);
    let imported = scenery.import(kind, sample);
    let unstaged = |text: &str| scenery.stage.unstaged(text, &scenery.origins());
    is_expected(
        &scenery.source,
        "expected.toml",
        &unstaged(&imported.config),
    );
    is_expected(
        &scenery.source,
        "expected.report",
        &unstaged(&imported.report),
    );
    names_what_gets_through(sample.name, &sample.scene, &imported.report);
    let lines = imported.report.lines().count();
    assert!(
        lines <= 25,
        "{}: {lines} lines\n{}",
        sample.name,
        imported.report
    );
    check(&install(&scenery.stage, &imported, sample.secrets));
}

/// The other server, which `peer` starts, and this program are sent the same.
#[track_caller]
pub(super) fn compare(kind: &str, sample: &Sample, peer: impl Fn(&Stage, &str) -> Peer) {
    let scenery = Scenery::of(kind, sample);
    let imported = scenery.import(kind, sample);
    install(&scenery.stage, &imported, sample.secrets);
    let ours = serve(&scenery.stage, &imported);
    let theirs = peer(&scenery.stage, sample.entry);
    play(
        sample.name,
        &sample.scene,
        &scenery.origins(),
        theirs.address(sample.port),
        ours.address(0),
        !imported.config.contains("verify = \"request\""),
    );
}

/// Every directory of a sample is among `known`.
#[track_caller]
pub(super) fn are_all(kind: &str, known: &[Sample]) {
    let entries = fs::read_dir(samples(kind)).unwrap();
    let mut there: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let mut named: Vec<_> = known.iter().map(|sample| sample.name.to_owned()).collect();
    there.sort();
    named.sort();
    assert_eq!(there, named);
}
