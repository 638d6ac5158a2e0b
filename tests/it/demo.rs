//! The demo shows every scene, and ends when it is told to.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Far longer than it takes, for busy machines.
const DEADLINE: Duration = Duration::from_secs(60);

const SCENES: [(&str, &str, &str); 15] = [
    ("Challenge", "200, the HMAC is right", "nothing"),
    ("Alert, flat", "202 of the application", "alert, critical"),
    ("Alert, nested", "202 of the application", "alert, warning"),
    (
        "Reachability, flat",
        "202 of the application",
        "reachability, critical",
    ),
    (
        "Reachability, nested",
        "202 of the application",
        "reachability, info",
    ),
    ("Test notification", "200 of the proxy", "nothing"),
    ("Critical alert", "202 of the proxy", "nothing"),
    ("Its end", "202 of the proxy", "alert, critical"),
    (
        "No certificate",
        "TLS alert certificate_required",
        "nothing",
    ),
    ("Foreign CA", "TLS alert decrypt_error", "nothing"),
    ("Wrong CN", "403 common_name_mismatch", "nothing"),
    ("CN as prefix", "403 common_name_mismatch", "nothing"),
    ("Wrong token", "401 authorization_invalid", "nothing"),
    ("Body that is not JSON", "400 invalid_json", "nothing"),
    ("Schema mismatch", "422 schema_mismatch", "nothing"),
];

/// A running demo, and what it prints.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
            .arg("demo")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Self {
            child,
            lines,
            printed: Vec::new(),
        }
    }

    /// Reads until a line contains `wanted`, which it returns.
    fn line_with(&mut self, wanted: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(DEADLINE) else {
                panic!("no line with {wanted:?} after\n{}", self.printed.join("\n"));
            };
            self.printed.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// Reads the rest of a shell command of several lines, and returns all of it.
    fn command(&mut self) -> String {
        let start = self.printed.len() - 1;
        while self.printed.last().is_some_and(|line| line.ends_with('\\')) {
            self.line_with("");
        }
        self.printed[start..].join("\n")
    }

    fn exit_code(&mut self) -> Option<i32> {
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.printed.extend(self.lines.iter());
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }

    fn interrupt(&self) {
        let status = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn once_shows_every_scene_and_ends_well() {
    let mut demo = Demo::start(&["--once"]);
    assert_eq!(demo.exit_code(), Some(0), "{}", demo.printed.join("\n"));
    let rows: Vec<&String> = demo
        .printed
        .iter()
        .filter(|line| line.starts_with(['✓', '⊘', '✗']))
        .collect();
    assert_eq!(rows.len(), SCENES.len());
    for (row, (scene, answer, application)) in rows.into_iter().zip(SCENES) {
        let mark = if answer.starts_with('2') {
            '✓'
        } else {
            '⊘'
        };
        assert!(
            row.starts_with(&format!("{mark} {scene} ")) && row.contains(&format!(" {answer} ")),
            "{row}"
        );
        assert!(row.ends_with(&format!("  {application}")), "{row}");
    }
    demo.printed
        .iter()
        .find(|line| line.contains("8 genuine requests were served, 7 forgeries were stopped"))
        .expect("a summary");
    // The alert that was missed arrives before its end.
    let last = demo
        .printed
        .iter()
        .filter(|line| line.ends_with("  then alert, clear"));
    assert_eq!(last.count(), 1, "{}", demo.printed.join("\n"));
    let identical = demo
        .printed
        .iter()
        .filter(|line| line.contains("bytes, identical"))
        .count();
    assert_eq!(identical, 4, "{}", demo.printed.join("\n"));
    for line in &demo.printed {
        assert!(
            !line.contains('\x1b') && line.chars().count() <= 80,
            "{line:?}"
        );
    }
}

fn status_page(url: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn it_keeps_serving_until_it_is_interrupted() {
    let mut demo = Demo::start(&[]);
    let page = demo.line_with("http://127.0.0.1:");
    demo.line_with("An alert of your own");
    demo.line_with(" send alert ");
    let send = demo.command();
    let [ca, certificate, key] = ["--cacert ", "--cert ", "--key "].map(|option| {
        let line = demo.line_with(option);
        PathBuf::from(
            line.split(option)
                .nth(1)
                .unwrap()
                .trim_end_matches([' ', '\\']),
        )
    });
    let authorization = demo.line_with("Authorization: Bearer ");
    let token = authorization.split('\'').nth(1).unwrap().to_owned();
    let line = demo.line_with("https://localhost:");
    let port = line
        .trim()
        .strip_prefix("https://localhost:")
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    demo.line_with("Ctrl-C");

    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(&ca).unwrap())
        .unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let connection =
        ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let body = "{\"alert\":\"mine\",\"severity\":\"warning\"}";
    let length = body.len();
    write!(
        stream,
        "POST /webhooks/netdata HTTP/1.1\r\nHost: localhost\r\n{token}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 202");
    let announcement = demo.line_with("→ the application received");
    assert!(
        announcement.contains(&format!("alert, warning; {length} bytes")),
        "{announcement}"
    );

    let sent = Command::new("sh").args(["-c", &send]).status().unwrap();
    assert!(sent.success(), "{send}");
    demo.line_with("→ the application received: alert");
    let page = status_page(page.split_whitespace().last().unwrap());
    for part in [
        "app.netdata.cloud.test",
        "All is well",
        &format!("https://127.0.0.1:{port}"),
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }

    demo.interrupt();
    assert_eq!(demo.exit_code(), Some(0), "{}", demo.printed.join("\n"));
    assert!(!ca.parent().unwrap().exists(), "its files are gone");
}
