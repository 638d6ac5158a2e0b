//! The life of the Debian package with systemd, from an empty machine on: the commands of the README,
//! and then those of `dpkg`.

use super::debian;
use crate::support::{
    Booted, Pki, block_after, commands_with, eventually, is_recent, skip_unless_required,
};
use std::fs;
use std::process::Command;

/// An application that takes everything.
const APPLICATION: &str = "
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Application(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        print('took', self.headers['X-Netdata-Notification'], flush=True)
        self.send_response(204)
        self.end_headers()
ThreadingHTTPServer(('127.0.0.1', 3000), Application).serve_forever()
";

/// The addresses are free, for nothing else is in this network.
const AUTHORITY: &str = "{\"pebble\": {\"listenAddress\": \"127.0.0.1:14000\", \
    \"managementListenAddress\": \"127.0.0.1:15000\", \"certificate\": \"/mnt/server.pem\", \
    \"privateKey\": \"/mnt/server.key\", \"httpPort\": 80, \"tlsPort\": 443}}";

const OTHERS: &str = "
systemd-run --quiet --unit=application python3 /mnt/application.py
systemd-run --quiet --unit=names /mnt/pebble-challtestsrv DNS 127.0.0.1:8053 \
    -defaultIPv4 127.0.0.1 -defaultIPv6 '' -http01 '' -https01 '' -tlsalpn01 '' \
    -management 127.0.0.1:8055
systemd-run --quiet --unit=authority --setenv=PEBBLE_VA_NOSLEEP=1 \
    /mnt/pebble -config /mnt/authority.json -dnsserver 127.0.0.1:8053";

/// What the README says to write, with the authority of this test and its clients.
const CONFIGURE: &str = "
cd /etc/netdata-webhook-proxy
install -m 0644 /mnt/ca.pem .
sed -i 's|^acme = .*|acme = { domains = [\"hooks.example\"], directory_ca = \"ca.pem\", \
    directory = \"https://127.0.0.1:14000/dir\" }|' config.toml
printf '[tls.client]\\nca = \"ca.pem\"\\n' >>config.toml";

const ALERT: &str = "netdata-webhook-proxy send alert https://hooks.example/webhooks/netdata \
    --connect-to 127.0.0.1:443 --cert /mnt/netdata.pem --key /mnt/netdata.key --ca /run/root.pem";

/// Packages may stop services; manual pages of the whole machine are not indexed again, and nothing
/// waits for a disk that is thrown away.
const READY: &str = "
rm -f /usr/sbin/policy-rc.d /var/lib/man-db/auto-update
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test";

const UNITS: &str = "netdata-webhook-proxy.service netdata-webhook-proxy.socket";

/// A machine with an application, an authority, and packages in `/mnt`.
struct Machine {
    booted: Booted,
    _pki: Pki,
}

impl Machine {
    /// Boots it, or says what is missing here.
    fn boot() -> Option<Self> {
        let debian = debian()?;
        let pki = Pki::new();
        for program in ["pebble", "pebble-challtestsrv", "curl", "python3"] {
            let Some(path) = path_of(program) else {
                skip_unless_required("NWP_REQUIRE_BOOT", &format!("{program} is not installed"));
                return None;
            };
            // It may be one that is not installed.
            if program.starts_with("pebble") {
                fs::copy(path, pki.path().join(program)).unwrap();
            }
        }
        pki.write("application.py", APPLICATION);
        pki.write("authority.json", AUTHORITY);
        pki.write_leaf("netdata", &pki.netdata());
        for (package, name) in [(&debian.first, "1.deb"), (&debian.second, "2.deb")] {
            fs::copy(package, pki.path().join(name)).unwrap();
        }
        match Booted::with(pki.path()) {
            Ok(booted) => {
                booted.run(READY);
                Some(Self { booted, _pki: pki })
            }
            Err(missing) => {
                skip_unless_required("NWP_REQUIRE_BOOT", missing);
                None
            }
        }
    }

    #[track_caller]
    fn run(&self, line: &str) {
        self.booted.run(line);
    }

    fn says(&self, line: &str) -> String {
        self.booted.says(line)
    }

    #[track_caller]
    fn units_are(&self, command: &str, state: &str) {
        let said = self.says(&format!("systemctl {command} {UNITS}"));
        assert!(
            said.lines().count() == 2 && said.lines().all(|line| line == state),
            "{command}: {said}"
        );
    }

    fn main_process(&self) -> String {
        self.says("systemctl show --property=MainPID --value netdata-webhook-proxy.service")
    }

    fn journal(&self) -> String {
        self.says("journalctl --unit=netdata-webhook-proxy.service --output=cat --no-pager")
    }

    /// Runs a command while clients connect again and again, and none of them is refused.
    #[track_caller]
    fn under_load(&self, line: &str) {
        self.run(&format!(
            "rm -f /run/begun /run/done
            (
                until [ -e /run/done ]; do
                    {ALERT} --same --new-connections --timeout 60 --repeat 10 >/run/load 2>&1
                    touch /run/begun
                done
            ) &
            load=$!
            until [ -e /run/begun ]; do kill -0 $load && sleep 0.1; done
            {line}
            touch /run/done
            wait $load || {{ cat /run/load >&2; exit 1; }}"
        ));
    }
}

fn path_of(program: &str) -> Option<String> {
    let found = Command::new("which").arg(program).output().ok()?;
    let path = String::from_utf8(found.stdout).unwrap();
    found.status.success().then(|| path.trim().to_owned())
}

/// Starts the application and the authority.
fn start_others(machine: &Machine) {
    let dns = match is_recent() {
        true => "-doh '' -dnsserver",
        false => "-dns01",
    };
    machine.run(&OTHERS.replace("DNS", dns));
}

/// The commands of the README, up to the one that starts the service.
fn install(machine: &Machine) {
    let commands = commands_with("apt install ");
    let [install, edit, check, start] = commands[..] else {
        panic!("{commands:?}")
    };
    machine.run(&install.replace("./target/package/netdata-webhook-proxy_*.deb", "/mnt/1.deb"));
    // There is no configuration that fits all, and nothing runs without one.
    machine.units_are("is-active", "inactive");
    machine.units_are("is-enabled", "disabled");
    let premature = machine.says(start);
    assert!(premature.contains("failed"), "{premature}");
    assert!(machine.journal().contains("tls.acme.domains: missing"));
    // It is said once.
    let restarts = "systemctl show --property=NRestarts --value netdata-webhook-proxy.service";
    assert_eq!(machine.says(restarts), "0");
    let file = edit.strip_prefix("editor ").unwrap();
    assert_eq!(machine.says(&format!("stat -c %a {file}")), "644");
    machine.run(CONFIGURE);
    machine.run(check);
    machine.run(start);
    machine.units_are("is-active", "active");
}

#[test]
fn the_debian_package_serves_and_upgrades_and_leaves_nothing() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    start_others(&machine);
    install(&machine);
    eventually("the authority", || {
        let root = machine
            .says("curl --silent --insecure https://127.0.0.1:15000/roots/0 | tee /run/root.pem");
        root.starts_with("-----BEGIN").then_some(())
    });
    eventually("an alert", || {
        machine.says(ALERT).contains("accepted     1").then_some(())
    });
    let taken = machine.says("journalctl --unit=application --output=cat --no-pager");
    assert!(taken.contains("took alert"), "{taken}");

    for (unit, state) in [("2", "with the socket unit"), ("1", "without")] {
        let before = machine.main_process();
        machine.under_load(&format!("dpkg --install --force-downgrade /mnt/{unit}.deb"));
        assert_ne!(machine.main_process(), before, "{state}");
        machine.run("systemctl disable --now --quiet netdata-webhook-proxy.socket");
        machine.run("systemctl restart netdata-webhook-proxy.service");
    }

    machine.run("systemctl enable --quiet netdata-webhook-proxy.socket");
    machine.run("dpkg --remove netdata-webhook-proxy");
    machine.units_are("is-active", "inactive");
    machine.run("test -e /etc/netdata-webhook-proxy/challenge.secret");
    machine.run("test -e /var/lib/private/netdata-webhook-proxy/queue.db");
    machine.run("dpkg --install /mnt/2.deb");
    machine.units_are("is-enabled", "enabled");

    machine.run("rm /etc/netdata-webhook-proxy/ca.pem");
    machine.run("dpkg --purge netdata-webhook-proxy");
    let left =
        machine.says("find /etc /usr/bin /usr/lib /usr/share /var -xdev -name '*netdata-webhook*'");
    assert_eq!(left, "");
}

/// With a certificate of one's own there is no account, and with ACME no certificate.
#[test]
fn files_that_are_not_used_need_not_be_there() {
    let Some(machine) = Machine::boot() else {
        return;
    };
    machine.run("dpkg --install /mnt/1.deb");
    machine.run(CONFIGURE);
    machine.run("rm /etc/netdata-webhook-proxy/challenge.secret");
    machine.run("! systemctl start netdata-webhook-proxy.service");
    let journal = machine.journal();
    // The one that is used is missed, and the others are not.
    assert!(journal.contains("challenge.secret is empty"), "{journal}");
    assert!(!journal.contains(".pem"), "{journal}");

    machine.run(
        "live=/etc/letsencrypt/live/hooks.example
        mkdir -p $live
        cp /mnt/server.pem $live/fullchain.pem
        install -m 0600 /mnt/server.key $live/privkey.pem",
    );
    let link = block_after("With certbot, which", "sh")
        .lines()
        .last()
        .unwrap();
    machine.run(link);
    machine.run("head -c 32 /dev/urandom | base64 >/etc/netdata-webhook-proxy/challenge.secret");
    machine.run(
        "sed -i 's/^acme = .*//; s/^#certificate = /certificate = /; s/^#private_key = /private_key = /' \
            /etc/netdata-webhook-proxy/config.toml",
    );
    machine.run("systemctl start netdata-webhook-proxy.service");
    let pid = machine.main_process();
    machine.run(&format!("test -d /proc/{pid}"));
}
