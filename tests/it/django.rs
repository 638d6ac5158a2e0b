//! A group in front of a real Django, whose `ALLOWED_HOSTS` refuses whatever names another host,
//! health checks included.
//!
//! It takes Django from the package index, and so is run by hand: `cargo test --test it django --
//! --ignored`.

use crate::support::{Operator, PATIENCE, Pki, Proxy, Sender, WEBHOOK, eventually, is_event, skip};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const ALERT: &str = r#"{"alert":{"transition_id":"t-1"}}"#;

/// Serves one host, and says on which port.
const APPLICATION: &str = r#"
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from wsgiref.simple_server import make_server

settings.configure(ALLOWED_HOSTS=["hooks.example"], ROOT_URLCONF=__name__, SECRET_KEY="x",
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
urlpatterns = [path("healthz", lambda request: HttpResponse("healthy")),
               path("webhooks/netdata", lambda request: HttpResponse(f"took {len(request.body)}"))]
server = make_server("127.0.0.1", 0, get_wsgi_application())
print(server.server_port, flush=True)
server.serve_forever()
"#;

struct Django {
    process: Child,
    url: String,
}

impl Django {
    fn start(python: &Path) -> Self {
        let mut command = Command::new(python);
        command
            .args(["-c", APPLICATION])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut port)
            .unwrap();
        Self {
            process,
            url: format!("http://127.0.0.1:{}", port.trim()),
        }
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Python that has Django, in an environment of its own.
fn python() -> Option<PathBuf> {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("django");
    let python = environment.join("bin/python");
    let works =
        |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let has_django = || works(Command::new(&python).args(["-c", "import django"]));
    let install = || {
        works(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        ) && works(Command::new(&python).args(["-m", "pip", "install", "--quiet", "django"]))
    };
    (has_django() || install()).then_some(python)
}

#[test]
#[ignore = "it takes Django from the package index"]
fn a_django_behind_a_checked_group_gets_its_alerts() {
    let Some(python) = python() else {
        return skip("there is no python3 with venv, or Django cannot be installed");
    };
    let django = Django::start(&python);
    for (names, keys, is_healthy) in [
        (&["hooks.example"][..], "", true),
        (
            &["hooks.example", "www.hooks.example"],
            ", host = \"hooks.example\"",
            true,
        ),
        (&["hooks.example", "www.hooks.example"], "", false),
    ] {
        let pki = Pki::new();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        pki.server("server", |params| {
            params.subject_alt_names = rcgen::CertificateParams::new(names)
                .unwrap()
                .subject_alt_names;
        });
        let group = format!(
            "[upstreams.app]\nservers = [\"{}\"]\nhealth_check = {{ path = \"/healthz\", interval = \"1s\"{keys} }}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n",
            django.url
        );
        let proxy = Proxy::spawn(&pki, &(Proxy::config_for("app", "require", "") + &group));
        let (operator, sender) = (
            Operator::of(&proxy),
            Sender::to(&proxy, Some(&pki.netdata())),
        );
        if !is_healthy {
            let line = proxy.wait_for_event("upstream_check_failed");
            assert!(line.contains("status 400: the server is up"), "{line}");
        }
        let head = format!(
            "POST {WEBHOOK} HTTP/1.1\r\nHost: hooks.example\r\nContent-Type: application/json\r\n"
        );
        let request = format!("{head}Content-Length: {}\r\n\r\n{ALERT}", ALERT.len());
        let started = Instant::now();
        // For longer than a few checks take.
        while started.elapsed() < PATIENCE / 5 {
            let answer = sender.raw(request.as_bytes()).unwrap();
            assert_eq!(
                (answer.status, answer.body),
                (200, format!("took {}", ALERT.len())),
                "{keys}"
            );
            let series = format!(
                "upstream_healthy{{server=\"{}\",upstream=\"app\"}}",
                django.url
            );
            if is_healthy {
                assert_eq!(operator.metrics()[&series], 1.0, "{keys}");
            }
        }
        let failed = proxy
            .log()
            .iter()
            .any(|line| is_event(line, "upstream_check_failed"));
        assert_eq!(failed, !is_healthy, "{keys}");
        if is_healthy {
            eventually("the group to be ready", || {
                (operator.get("/readyz").status == 200).then_some(())
            });
        }
    }
}
