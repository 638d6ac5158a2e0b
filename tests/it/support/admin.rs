//! The operator: a client of the admin listener.

use super::{Answer, PATIENCE, Proxy, eventually};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// Every series and its value, by name and labels as they are exposed.
pub(crate) type Series = BTreeMap<String, f64>;

/// A client of the admin listener.
pub(crate) struct Operator {
    pub(crate) address: SocketAddr,
}

impl Operator {
    /// Of a proxy whose configuration has `[admin] listen = "127.0.0.1:0"`.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let line = proxy.wait_for_event("admin_listening");
        let address = line
            .split("address=")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        Self {
            address: address.parse().unwrap(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &self.address.to_string())
    }

    pub(crate) fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Sends these bytes, and reads until the connection is closed.
    pub(crate) fn raw(&self, request: &str) -> Answer {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let (head, body) = text
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.into(), value.into()));
        Answer {
            status,
            headers: headers.collect(),
            body: body.to_owned(),
        }
    }

    /// Every series.
    pub(crate) fn metrics(&self) -> Series {
        let text = self.get("/metrics").body;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| {
                // Those of the process have names that all programs give them.
                let own = name.strip_prefix("netdata_webhook_proxy_");
                let usual = || Some(name).filter(|name| name.starts_with("process_"));
                let name = own.or_else(usual).unwrap_or_else(|| panic!("{name}"));
                (name.to_owned(), value.parse().unwrap())
            });
        series.collect()
    }

    /// Every counter that moves by `action`, and by how much, as soon as those `expected` have.
    #[track_caller]
    pub(crate) fn moves(&self, what: &str, action: impl FnOnce(), expected: &[&str]) {
        let before = self.metrics();
        action();
        let mut expected: Vec<_> = expected
            .iter()
            .map(|series| ((*series).to_owned(), 1.0))
            .collect();
        expected.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut last = Vec::new();
        let deadline = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < deadline {
            last = moved(&before, &self.metrics());
            if last.len() >= expected.len() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(last, expected, "{what}");
    }

    /// Waits until a series has a value.
    pub(crate) fn wait_for(&self, series: &str, value: f64) {
        eventually(&format!("{series} {value}"), || {
            (self.metrics().get(series) == Some(&value)).then_some(())
        });
    }
}

/// What counts events, and not their size or how many of them there are at the moment.
fn moved(before: &Series, after: &Series) -> Vec<(String, f64)> {
    let counts = |name: &str| {
        let family = name.split('{').next().unwrap();
        if family.starts_with("process_") {
            return false;
        }
        family.ends_with("_total") || family.ends_with("_count")
    };
    let increase = |(name, value): (&String, &f64)| {
        (
            name.clone(),
            value - before.get(name).copied().unwrap_or(0.0),
        )
    };
    let increases = after.iter().filter(|(name, _)| counts(name)).map(increase);
    increases.filter(|(_, increase)| *increase != 0.0).collect()
}
