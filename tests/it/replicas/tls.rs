//! TLS between replicas and their database: only a server that proves its name gets the password.

use super::{Replica, Scene, Server};
use crate::queue::alert;
use crate::support::{Origin, Pki, eventually, free_address};
use std::net::SocketAddr;

const PASSWORD: &str = "p4ssw0rd-of-tls";

/// Lets a server present a certificate for `name`, and trust the clients of `pki`.
pub(super) fn present(server: &Server, name: &str, pki: &Pki) {
    let leaf = pki.server(name, |_| {});
    let authority = std::fs::read_to_string(pki.path().join("ca.pem")).unwrap();
    for (setting, file, text) in [
        ("ssl_cert_file", "server.pem", leaf.chain_pem()),
        ("ssl_key_file", "server.key", leaf.key_pem()),
        ("ssl_ca_file", "ca.pem", authority),
    ] {
        let path = server.write(file, &text);
        server.set(setting, &format!("'{}'", path.display()));
    }
    server.set("ssl", "on");
    eventually("TLS", || {
        let is_on = super::postgres::sql(&server.url("postgres"), "show ssl");
        (is_on == "on").then_some(())
    });
}

/// A server that listens on an address, and an application.
struct Stage {
    address: SocketAddr,
    server: Server,
    pki: Pki,
}

impl Stage {
    /// One whose certificate is for `name`.
    fn new(name: impl Fn(SocketAddr) -> String) -> Option<Self> {
        let address = free_address();
        let listen = format!("listen_addresses={}", address.ip());
        let server = Server::start_with(&[&listen])?;
        let address = SocketAddr::new(address.ip(), 5432);
        let pki = Pki::new();
        present(&server, &name(address), &pki);
        Some(Self {
            address,
            server,
            pki,
        })
    }

    /// A database of a role with these attributes, and a scene without replicas beside it.
    fn scene(&self, attributes: &str) -> Scene {
        let url = self.server.create_owned_database(attributes);
        let mut scene = Scene::alone(Origin::spawn_apart(), &url, "queue");
        scene.url = url.replace("user=t0", "user=postgres");
        scene
    }

    /// Returns the URL by TLS for the database, with these parameters.
    fn url(&self, login: &str, parameters: &str) -> String {
        let address = self.address;
        format!("postgres://t0{login}@{address}/t0?sslmode=verify-full&{parameters}")
    }

    /// Returns the parameter for an authority.
    fn root(pki: &Pki) -> String {
        format!("sslrootcert={}", pki.path().join("ca.pem").display())
    }
}

/// The log of a replica that cannot use its database, and says so.
fn refused(scene: &Scene, url: &str) -> String {
    let replica = Replica::start(&scene.config_with(url));
    let body = alert("n", "critical").replacen('{', "{\"note\":\"s3cret\",", 1);
    let answer = replica.sender.post(&body);
    assert_eq!(answer.status, 503, "{answer:?}");
    let line = replica.proxy.wait_for_event("queue_unwritable");
    let log = replica.proxy.log().join("\n");
    for secret in [PASSWORD, "s3cret"] {
        assert!(!log.contains(secret), "{log}");
    }
    line
}

/// A replica uses the database, over TLS.
fn works(scene: &Scene, url: &str) {
    let replica = Replica::start(&scene.config_with(url));
    replica.proxy.wait_for_event("queue_delivering");
    let answer = replica.sender.post(&alert("n", "critical"));
    assert_eq!(answer.status, 202, "{answer:?}");
    scene.drained();
    let plain = "select count(*) filter (where not ssl) || ' of ' || count(*)
        from pg_stat_activity join pg_stat_ssl using (pid)
        where application_name like 'netdata-webhook-proxy%' and datname = current_database()";
    let plain = scene.sql(plain);
    assert!(plain.starts_with("0 of ") && plain != "0 of 0", "{plain}");
    let log = replica.proxy.log().join("\n");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn a_server_that_proves_its_name_gets_the_password() {
    let Some(stage) = Stage::new(|address| address.ip().to_string()) else {
        return;
    };
    let scene = stage.scene(&format!("password '{PASSWORD}'"));
    super::postgres::sql(
        &stage.server.url("postgres"),
        "create role passworded role t0",
    );
    let login = format!(":{PASSWORD}");
    let own = Stage::root(&stage.pki);
    for mode in ["verify-full", "require", "verify-ca"] {
        let parameters = format!("{own}&sslmode={mode}&channel_binding=require");
        works(&scene, &stage.url(&login, &parameters));
    }
    let other = Pki::of("Another Root CA");
    let line = refused(&scene, &stage.url(&login, &Stage::root(&other)));
    assert!(line.contains("certificate"), "{line}");
    let wrong = stage.url(":guessed", &own);
    let line = refused(&scene, &wrong);
    assert!(
        line.contains("28P01") && !line.contains("guessed"),
        "{line}"
    );
    // The control: it is the certificate that is at fault, and not the password.
    works(&scene, &stage.url(&login, &own));
}

#[test]
fn a_server_of_another_name_does_not_get_the_password() {
    let Some(stage) = Stage::new(|_| "db.example".to_owned()) else {
        return;
    };
    let scene = stage.scene(&format!("password '{PASSWORD}'"));
    let login = format!(":{PASSWORD}");
    let own = Stage::root(&stage.pki);
    let line = refused(&scene, &stage.url(&login, &own));
    assert!(line.contains("name"), "{line}");
}

#[test]
fn a_client_certificate_is_a_login() {
    let Some(stage) = Stage::new(|address| address.ip().to_string()) else {
        return;
    };
    let scene = stage.scene("");
    super::postgres::sql(
        &stage.server.url("postgres"),
        "create role certified role t0",
    );
    let own = Stage::root(&stage.pki);
    let with = |name: &str| {
        stage.pki.write_leaf(name, &stage.pki.named(name));
        let file = |end: &str| stage.pki.path().join(format!("{name}.{end}"));
        let (certificate, key) = (file("pem"), file("key"));
        format!(
            "{own}&sslcert={}&sslkey={}",
            certificate.display(),
            key.display()
        )
    };
    works(&scene, &stage.url("", &with("t0")));
    for parameters in [own.clone(), with("t1")] {
        let line = refused(&scene, &stage.url("", &parameters));
        assert!(line.contains("SQLSTATE 28000"), "{line}");
    }
}
