//! The set-up in the documentation works, as far as that goes without systemd, an engine and
//! Let's Encrypt.

use crate::container::{image, in_image, may_enter};
use crate::support::{
    Edit as _, Machine, Origin, Pki, Proxy, Sender, WEBHOOK, commands_with, eventually,
    free_address, is_documented, skip_unless_required, succeed,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const ALERT: &str = "{\"alert\":\"x\"}";

/// The variable that says where the configuration is, for what would find it at its default place.
const CONFIG: &str = "NETDATA_WEBHOOK_PROXY_CONFIG";

/// The installed configuration, with addresses that are free here, and an authority that issues for
/// this test.
fn adapt(config: &Path, pki: &Pki, changes: &[(&str, &str)]) {
    let admin = free_address().to_string();
    let mut text = fs::read_to_string(config).unwrap();
    for (from, to) in [("127.0.0.1:9464", &*admin)].iter().chain(changes) {
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        text = text.edit(from, to);
    }
    // Readable by whomever the program runs as, like the configuration.
    fs::write(
        config.with_file_name("ca.pem"),
        fs::read(pki.path().join("ca.pem")).unwrap(),
    )
    .unwrap();
    fs::write(config, text + "\n[tls.client]\nca = \"ca.pem\"\n").unwrap();
}

/// Netdata Cloud reaches the application, and no other client does.
#[track_caller]
fn serves(proxy: &Proxy, pki: &Pki, origin: &Origin) {
    proxy.wait_for_event("ready");
    let before = origin.received().len();
    assert!(
        Sender::to(proxy, None)
            .send("POST", WEBHOOK, "", ALERT)
            .is_err()
    );
    assert_eq!(
        Sender::to(proxy, Some(&pki.netdata())).post(ALERT).status,
        200
    );
    assert_eq!(origin.received().len(), before + 1);
}

/// What arrives while the application is stopped is stored, and delivered once it runs again.
#[track_caller]
fn stores(proxy: &Proxy, pki: &Pki, origin: &Origin) {
    let before = origin.received().len();
    origin.stop();
    let sender = Sender::to(proxy, Some(&pki.netdata()));
    assert_eq!(sender.post(ALERT).status, 202);
    origin.start();
    origin.wait_for(before + 1);
}

/// What is found in the service that was installed, and done as systemd does it.
struct Service {
    directory: String,
    credentials: String,
    text: String,
}

impl Service {
    const NAME: &str = "netdata-webhook-proxy.service";
    const SOCKET: &str = "netdata-webhook-proxy.socket";

    fn installed(machine: &Machine) -> Self {
        let directory = machine.at("/etc/systemd/system");
        let text = fs::read_to_string(format!("{directory}/{}", Self::NAME)).unwrap();
        Self {
            text,
            directory,
            credentials: machine.at(&format!("/run/credentials/{}", Self::NAME)),
        }
    }

    fn settings<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.text
            .lines()
            .filter_map(move |line| line.strip_prefix(name)?.strip_prefix('='))
    }

    fn load_credentials(&self, machine: &Machine) {
        fs::create_dir_all(&self.credentials).unwrap();
        for (name, path) in self
            .settings("LoadCredential")
            .filter_map(|credential| credential.split_once(':'))
        {
            let credential = format!("{}/{name}", self.credentials);
            fs::copy(machine.at(path), &credential).unwrap();
            fs::set_permissions(credential, fs::Permissions::from_mode(0o400)).unwrap();
        }
    }

    /// As systemctl does it without systemd.
    fn enable(&self, machine: &Machine, units: &str) {
        let mut systemctl = Command::new("systemctl");
        systemctl
            .arg("--root")
            .arg(machine.root())
            .arg("enable")
            .args(units.split(' '));
        if Command::new("systemctl").arg("--version").output().is_err() {
            return skip_unless_required(
                "NWP_REQUIRE_SYSTEMD",
                "systemctl (Debian package systemd) is not installed",
            );
        }
        succeed(&mut systemctl);
        for (target, unit) in [("sockets", Self::SOCKET), ("multi-user", Self::NAME)] {
            let link = format!("{}/{target}.target.wants/{unit}", self.directory);
            assert!(fs::symlink_metadata(&link).is_ok(), "{link}");
        }
    }

    /// systemd has nothing to say against the units.
    fn verify(&self, machine: &Machine) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("systemd-analyze");
        command.arg("verify");
        for unit in [Self::NAME, Self::SOCKET] {
            let text = fs::read_to_string(format!("{}/{unit}", self.directory)).unwrap();
            // systemd looks in its own directories for it.
            let program = machine.at("ExecStart=/usr/local/bin/");
            let text = machine.at(&text).replace("ExecStart=", &program);
            fs::write(directory.path().join(unit), text).unwrap();
            command.arg(directory.path().join(unit));
        }
        match command.output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(
                    output.status.success() && !said.contains("netdata-webhook-proxy"),
                    "{said}"
                );
            }
            Err(_) => skip_unless_required(
                "NWP_REQUIRE_SYSTEMD",
                "systemd-analyze (Debian package systemd) is not installed",
            ),
        }
    }
}

#[test]
fn as_a_service_of_systemd() {
    let (machine, pki, origin) = (Machine::new(), Pki::new(), Origin::spawn_apart());
    machine.certify(&pki, 1);
    let config = machine.path("/etc/netdata-webhook-proxy/config.toml");
    let mut enabled = None;
    for command in commands_with("/etc/systemd/system") {
        match command.split_once(' ').unwrap() {
            ("certbot", arguments) => {
                assert!(arguments.ends_with(" \"systemctl try-restart netdata-webhook-proxy\""))
            }
            ("systemctl", arguments) => enabled = arguments.strip_prefix("enable --now "),
            ("netdata-webhook-proxy", _) => {
                let text = machine.at(&fs::read_to_string(&config).unwrap());
                fs::write(&config, text).unwrap();
                machine.run(command);
            }
            _ => machine.run(command),
        }
    }
    let service = Service::installed(&machine);
    service.enable(&machine, enabled.unwrap());
    service.verify(&machine);
    service.load_credentials(&machine);
    let listen = ("[\"0.0.0.0:443\", \"[::]:443\"]", "\"127.0.0.1:0\"");
    adapt(
        &config,
        &pki,
        &[listen, ("http://127.0.0.1:3000", &origin.url)],
    );

    let [check, reload] = commands_with("CREDENTIALS_DIRECTORY=")[..] else {
        panic!("a check and a reload")
    };
    assert_eq!(reload, "systemctl reload netdata-webhook-proxy");
    succeed(machine.command(check).env(CONFIG, &config));

    let mut start = machine.command(&format!(
        "exec {}",
        service.settings("ExecStart").next().unwrap()
    ));
    start
        .env(CONFIG, &config)
        .env("CREDENTIALS_DIRECTORY", &service.credentials);
    let proxy = Proxy::run(start, &config);
    serves(&proxy, &pki, &origin);
    stores(&proxy, &pki, &origin);
    let mut list = machine.command("netdata-webhook-proxy queue list");
    succeed(list.env(CONFIG, &config));
}

#[test]
fn in_a_container() {
    let (machine, image) = (Machine::new(), image());
    // Engines provide it.
    fs::create_dir(image.path().join("dev")).unwrap();
    fs::write(image.path().join("dev/null"), "").unwrap();
    let (pki, next, origin) = (Pki::new(), Pki::new(), Origin::spawn_apart());
    let commands = commands_with("conf/container/Containerfile");
    // Before anything is written to it, the directory is mounted where the engine would.
    let run = commands
        .iter()
        .find(|command| command.starts_with("podman run "))
        .unwrap();
    let volume = run.split_once(" -v ").unwrap().1.split(' ').next().unwrap();
    let [from, to, "ro,Z"] = volume.split(':').collect::<Vec<_>>()[..] else {
        panic!("{volume}")
    };
    let mounted = image.path().join(to.strip_prefix('/').unwrap());
    fs::create_dir_all(&mounted).unwrap();
    symlink(&mounted, machine.at(from)).unwrap();

    let live = machine.certify(&pki, 1);
    let certbot = commands
        .iter()
        .find(|command| command.starts_with("certbot "))
        .unwrap();
    let hook = certbot
        .split_once(" --deploy-hook '")
        .unwrap()
        .1
        .strip_suffix('\'')
        .unwrap();
    let renewed = || succeed(machine.command(hook).env("RENEWED_LINEAGE", &live));
    renewed();
    commands
        .iter()
        .filter(|command| !command.starts_with("podman ") && *command != certbot)
        .for_each(|it| machine.run(it));
    let config = mounted.join("config.toml");
    assert!(run.contains(" -p 443:8443 ") && run.contains(" --network webhooks "));
    let inside = "/var/lib/netdata-webhook-proxy/queue.db";
    let outside = format!("{}{inside}", image.path().display());
    let queue = match may_enter() {
        true => inside,
        false => &outside,
    };
    adapt(
        &config,
        &pki,
        &[
            ("0.0.0.0:8443", "127.0.0.1:0"),
            ("http://app:3000", &origin.url),
            (inside, queue),
        ],
    );

    succeed(in_image(image.path()).arg("check"));
    let mut start = in_image(image.path());
    start.arg("run");
    let proxy = Proxy::run(start, &config);
    serves(&proxy, &pki, &origin);
    stores(&proxy, &pki, &origin);
    succeed(in_image(image.path()).arg("health"));
    succeed(in_image(image.path()).args(["queue", "list"]));

    machine.certify(&next, 2);
    let sender = Sender::to(&proxy, Some(&pki.netdata()));
    let old = sender.server_certificate();
    renewed();
    eventually("the renewed certificate", || {
        (sender.server_certificate() != old).then_some(())
    });
    serves(&proxy, &pki, &origin);
}

/// The process that a pid file names, which ends with this.
struct Named<'m>(&'m Machine, &'static str);

impl Named<'_> {
    fn id(&self) -> u32 {
        fs::read_to_string(self.0.at(self.1))
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = Command::new("kill")
            .args(["-KILL", &self.id().to_string()])
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn replacing_the_running_program() {
    for text in ["kill -USR2 ", "kill -QUIT "] {
        let (machine, pki, origin) = (Machine::new(), Pki::new(), Origin::spawn());
        machine.run("install -m 0755 target/release/netdata-webhook-proxy /usr/local/bin/");
        pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        let named = Named(&machine, "/run/netdata-webhook-proxy.pid");
        let setting = format!("pid_file = {:?}", named.1);
        assert!(is_documented(&setting), "{setting}");
        let server = format!("[server]\n{}", machine.at(&setting));
        let config = pki.write(
            "config.toml",
            &Proxy::config(&origin, "require", "").edit("[server]", &server),
        );
        let mut old = Proxy::run(
            {
                let mut command =
                    machine.command("exec netdata-webhook-proxy run --config config.toml");
                command.current_dir(pki.path());
                command
            },
            &config,
        );
        serves(&old, &pki, &origin);
        let mut replace = machine.command(&commands_with(text).join("\n"));
        replace
            .current_dir(pki.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        assert!(replace.status().unwrap().success());
        assert_eq!(old.wait().code(), Some(0));
        assert_ne!(named.id(), old.id());
        assert_eq!(
            Sender::to(&old, Some(&pki.netdata())).post(ALERT).status,
            200
        );
    }
}
