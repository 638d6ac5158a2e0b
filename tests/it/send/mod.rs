//! `send` plays Netdata Cloud: what it sends is what it is told, arrives, and what comes of it is
//! said.

mod arguments;
mod bodies;
mod challenge;
mod identity;
mod kinds;
mod load;
mod trouble;

use crate::support::{Origin, Pki, Proxy, Received, WEBHOOK, finish};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "YOUR_CHALLENGE_SECRET";

/// What a run of `send` said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// The report, where JSON was asked for.
    #[track_caller]
    fn report(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// Asserts how it ended.
    #[track_caller]
    fn ends_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    /// Asserts that all requests ended for one reason, with this result and code; `count` of them.
    #[track_caller]
    fn all(self, result: &str, code: impl Into<Value>, count: u64) -> Value {
        let report = self.report();
        let results = report["results"].as_array().unwrap();
        assert_eq!(results.len(), 1, "{report:#}");
        let found = (
            &results[0]["result"],
            &results[0]["code"],
            &results[0]["count"],
            &report["requests"],
        );
        assert_eq!(
            found,
            (&result.into(), &code.into(), &count.into(), &count.into()),
            "{report:#}"
        );
        assert_eq!(report[result], count, "{report:#}");
        assert_eq!(report["ok"], self.code == 0);
        report["results"][0].clone()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
    command.arg("send").args(arguments).stdin(Stdio::null());
    command
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code().unwrap(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn run(arguments: &[&str]) -> Said {
    let mut command = command(arguments);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    said(finish(command.spawn().unwrap()))
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}{WEBHOOK}", address.port())
}

/// An application, a proxy in front of it, and what a sender needs that it trusts.
struct Scene {
    pki: Pki,
    origin: Origin,
    proxy: Proxy,
}

impl Scene {
    fn new(route: &str) -> Self {
        let (pki, origin) = (Pki::new(), Origin::spawn());
        pki.write_leaf("netdata", &pki.netdata());
        let proxy = Proxy::in_front_of(&origin, &pki, "require", route);
        Self { pki, origin, proxy }
    }

    fn file(&self, name: &str) -> String {
        self.pki.path().join(name).to_str().unwrap().to_owned()
    }

    fn url(&self) -> String {
        url(self.proxy.address(0))
    }

    /// `arguments`, and how to connect.
    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let [ca, cert, key] = ["ca.pem", "netdata.pem", "netdata.key"].map(|name| self.file(name));
        let how = [
            &self.url(),
            "--ca",
            &ca,
            "--cert",
            &cert,
            "--key",
            &key,
            "--json",
        ]
        .map(str::to_owned);
        arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .chain(how)
            .collect()
    }

    /// Sends as a client that the proxy trusts.
    fn send(&self, arguments: &[&str]) -> Said {
        run(&self
            .arguments(arguments)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>())
    }

    /// What was sent last.
    fn last(&self) -> Received {
        self.origin.received().pop().unwrap()
    }
}

impl Scene {
    fn kind(received: &Received) -> String {
        let json: Value = serde_json::from_slice(&received.body).unwrap();
        let kind = received.header("X-Netdata-Notification");
        let shape = match kind {
            "alert" => {
                if json["alert"].is_object() {
                    "nested"
                } else {
                    "flat"
                }
            }
            "reachability" => {
                if json["status"].is_object() {
                    "flat"
                } else {
                    "nested"
                }
            }
            _ => "",
        };
        format!(
            "{kind} {shape} {}",
            received.all("X-Netdata-Severity").concat()
        )
    }
}

/// The bodies that would be sent.
fn dry(arguments: &[&str]) -> Vec<String> {
    let said = run(&[arguments, &["https://localhost/", "--dry-run"]].concat()).ends_with(0);
    said.out.lines().map(str::to_owned).collect()
}
