//! What the manual says about migrating: one configuration becomes the other, and an application
//! does
//! not notice.

use super::sample::{Imported, import, install, program, serve};
use crate::support::{
    Answer, Edit as _, Language, Peer, Pki, Receiver, Sender, Stage, block_after, blocks,
    client_config, complete, eventually, is_installed,
};
use netdata_webhook_proxy::internals::NETDATA_ROOT_CA;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

const APPLICATION: &str = include_str!("application.py");

const NGINX: &str = "etc/nginx/conf.d/webhook.conf";
const APACHE: &str = "etc/apache2/sites-enabled/webhook.conf";

/// The configuration of another server in the manual, as a file on its machine.
fn stage(kind: &str, entry: &str) -> Stage {
    let sample = tempfile::tempdir().unwrap();
    let file = sample.path().join(entry);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, blocks(kind)[0]).unwrap();
    let stage = Stage::of(sample.path(), Pki::shared(), &[]);
    stage.write("etc/ssl/Netdata_CA.pem", NETDATA_ROOT_CA);
    stage
}

fn import_from(stage: &Stage, kind: &str, entry: &str) -> Imported {
    import(&[kind, stage.root().join(entry).to_str().unwrap()])
}

#[test]
fn what_stands_before_becomes_what_stands_beside_it() {
    for (kind, entry) in [("nginx", NGINX), ("apache", APACHE)] {
        let stage = stage(kind, entry);
        let imported = import_from(&stage, kind, entry);
        let config = stage.unstaged(&imported.config, &[]);
        let (source, config) = config.split_once("\n\n").unwrap();
        assert!(
            source.starts_with(&format!("# Imported from /{entry}.")),
            "{source}"
        );
        assert_eq!(
            config.trim_end(),
            block_after(blocks(kind)[0], "toml"),
            "{kind}"
        );
    }
}

#[test]
fn the_report_is_quoted_as_it_is() {
    let stage = stage("nginx", NGINX);
    let report = stage.unstaged(&import_from(&stage, "nginx", NGINX).report, &[]);
    let quoted = block_after(blocks("nginx")[0], "text");
    assert!(quoted.lines().count() > 6, "{quoted}");
    for line in quoted.lines().map(|line| line.trim_end_matches('…')) {
        assert!(
            report.lines().any(|said| said.starts_with(line)),
            "{line}\n{report}"
        );
    }
}

/// Netdata Cloud's certificate and authority in files, and what `send` sends with them to a server
/// at an address.
struct Cloud(Pki);

impl Cloud {
    fn new() -> Self {
        let pki = Pki::new();
        pki.write_leaf("netdata", &Pki::shared().netdata());
        pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        Self(pki)
    }

    #[track_caller]
    fn send(&self, address: SocketAddr, arguments: &[&str]) {
        let own = |name: &str| self.0.path().join(name).to_str().unwrap().to_owned();
        let ca = Pki::shared().path().join("ca.pem");
        let identity = [
            &own("netdata.pem"),
            "--key",
            &own("netdata.key"),
            "--ca",
            ca.to_str().unwrap(),
        ];
        let place = [
            "https://localhost/webhooks/netdata",
            "--connect-to",
            &address.to_string(),
        ];
        let mut all = vec![
            "send",
            arguments[0],
            place[0],
            place[1],
            place[2],
            "--json",
            "--cert",
        ];
        all.extend(identity);
        all.extend(&arguments[1..]);
        let secret = own("challenge.secret");
        if arguments == ["challenge"] {
            all.extend(["--secret-file", &secret]);
        }
        let output = program(&all);
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {report}");
    }

    /// What an application makes of a challenge and of every notification that there is.
    fn visit(&self, address: SocketAddr, application: &Receiver, expected: usize) -> Vec<String> {
        let before = application.lines().len();
        self.send(address, &["challenge"]);
        self.send(address, &["all", "--seed", "7"]);
        eventually("what is to be printed", || {
            (application.lines().len() >= before + expected).then_some(())
        });
        let mut lines = application.lines().split_off(before);
        lines.sort();
        lines
    }
}

/// An application that has been behind the other server works behind this program as it is.
fn does_not_notice(kind: &str, entry: &str, peer: fn(&Stage, &str) -> Peer) {
    let Some(application) = Receiver::start(&Language::FLASK, APPLICATION) else {
        return;
    };
    let stage = stage(kind, entry);
    let authority = application.url.strip_prefix("http://").unwrap();
    stage.edit(|text| text.replace("127.0.0.1:3000", authority));
    let imported = import_from(&stage, kind, entry);
    install(&stage, &imported, &[]);
    let ours = serve(&stage, &imported);
    // The key of the authority that is built in is not here.
    stage.write(
        "etc/ssl/Netdata_CA.pem",
        &std::fs::read_to_string(Pki::shared().path().join("ca.pem")).unwrap(),
    );
    let theirs = peer(&stage, entry);

    let cloud = Cloud::new();
    let mut before = cloud.visit(theirs.address(443), &application, 5);
    let after = cloud.visit(ours.address(0), &application, 4);
    let tests: Vec<_> = before
        .extract_if(.., |line| line.starts_with("test "))
        .collect();
    assert_eq!(tests.len(), 1, "which is answered here: {tests:?}");
    assert_eq!(before, after, "{kind}");
    assert!(
        after.iter().any(|line| line.starts_with("alert http")),
        "{after:?}"
    );
}

#[test]
fn an_application_does_not_notice_that_nginx_is_replaced() {
    if is_installed("nginx", "nginx", "") {
        does_not_notice("nginx", NGINX, Peer::nginx);
    }
}

#[test]
fn an_application_does_not_notice_that_apache_is_replaced() {
    if is_installed("apache2", "apache2-bin", "") {
        does_not_notice("apache", APACHE, Peer::apache);
    }
}

#[test]
fn nginx_shares_its_port_by_name() {
    const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !is_installed("nginx", "libnginx-mod-stream", STREAM) {
        return;
    }
    let shared = blocks("nginx")[1];
    let sites = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = Stage::of(tempfile::tempdir().unwrap().path(), Pki::shared(), &[]);
    let config = complete(block_after(shared, "toml")).edit("127.0.0.1:8443", "127.0.0.1:0");
    let [certificate, key] =
        ["server.pem", "server.key"].map(|name| Pki::shared().path().join(name));
    let config = config.edit("fullchain.pem", certificate.to_str().unwrap());
    let config = config.edit("privkey.pem", key.to_str().unwrap());
    let imported = Imported {
        config,
        report: String::new(),
    };
    stage.write("config/challenge.secret", "YOUR_CHALLENGE_SECRET\n");
    let ours = serve(&stage, &imported);
    let shared = shared.edit("127.0.0.1:8443", &ours.address(0).to_string());
    let shared = shared.edit("127.0.0.1:8444", &sites.local_addr().unwrap().to_string());
    stage.write(
        "etc/nginx/nginx.conf",
        &format!("load_module {STREAM};\nevents {{}}\n{shared}\n"),
    );
    let nginx = Peer::nginx(&stage, "etc/nginx/nginx.conf");

    let challenge = asks_for(&nginx, "hooks.example");
    assert_eq!(challenge.map(|answer| answer.status), Some(200));
    // All other clients reach the other sites, with their own address.
    let asking = std::thread::spawn(move || asks_for(&nginx, "www.example").is_none());
    let (mut socket, _) = sites.accept().unwrap();
    let mut head = [0; 11];
    socket.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"PROXY TCP4 ");
    drop(socket);
    assert!(asking.join().unwrap());
}

/// A challenge, for a site with this name.
fn asks_for(server: &Peer, name: &str) -> Option<Answer> {
    let address = server.address(443);
    let config = Arc::new(client_config(
        Some(&Pki::shared().netdata()),
        rustls::ALL_VERSIONS,
    ));
    let socket = TcpStream::connect(address).unwrap();
    let mut connection = Sender { address, config }
        .connect_to_name(socket, name)
        .ok()?;
    let request = format!("GET /webhooks/netdata?crc_token=abc HTTP/1.1\r\nHost: {name}\r\n\r\n");
    connection.write(request.as_bytes()).ok()?;
    connection.read().ok()
}
