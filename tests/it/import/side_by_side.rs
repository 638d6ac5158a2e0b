//! The same requests to another server and to this program, in front of the same application.

use crate::support::{
    Answer, Leaf, NETDATA, Operator, Origin, Pki, Received, Sender, another_common_name,
    client_config, subject,
};
use rcgen::DnType;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

const ALERT: &str = include_str!("../bodies/nested-critical.json");

/// What is sent, and how the other server is known to treat it.
pub(super) struct Scene {
    pub(super) host: &'static str,
    /// The path of the webhook.
    pub(super) webhook: &'static str,
    /// What a legitimate sender says besides, and what an other says.
    pub(super) credentials: &'static str,
    pub(super) wrong: &'static str,
    /// The other server's status for those.
    pub(super) refused_with: u16,
    /// What a balancer says first.
    pub(super) proxied: &'static str,
    /// Whether the other server demands a certificate.
    pub(super) verifies: bool,
    /// There is no TLS.
    pub(super) is_plain: bool,
    /// The forgeries that get through the other server.
    pub(super) let_in: &'static [&'static str],
    /// What is not carried over, and so is answered by nothing here.
    pub(super) closed: &'static [&'static str],
    /// Headers that are there at both, with different values.
    pub(super) differs: &'static [&'static str],
    /// Credentials were checked, and do not reach the application any more.
    pub(super) strips_authorization: bool,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            host: "hooks.example.com",
            webhook: "/webhooks/netdata",
            credentials: "",
            wrong: "",
            refused_with: 401,
            proxied: "",
            verifies: true,
            is_plain: false,
            let_in: &[],
            closed: &[],
            differs: &[],
            strips_authorization: false,
        }
    }
}

/// Certificates that are not Netdata Cloud's, by a name for each.
fn forgeries(pki: &Pki) -> Vec<(&'static str, Leaf)> {
    let leaf = |attributes: &[(DnType, String)]| {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(kind, text)| (kind.clone(), text.as_str().into()))
            .collect();
        pki.leaf(|params| params.distinguished_name = subject(&attributes))
    };
    let named = |name: &str| leaf(&[(DnType::CommonName, name.into())]);
    let (own, evil) = (
        || NETDATA.to_owned(),
        || (DnType::CommonName, "evil".to_owned()),
    );
    vec![
        ("suffix", named("app.netdata.cloud.evil.example")),
        ("lookalike", named("appXnetdataYcloud")),
        (
            "unit",
            leaf(&[
                (DnType::OrganizationalUnitName, format!("CN={NETDATA}")),
                evil(),
            ]),
        ),
        (
            "organisation",
            leaf(&[
                (DnType::OrganizationName, format!("x,CN={NETDATA}")),
                evil(),
            ]),
        ),
        ("nul", named("app.netdata.cloud\0")),
        ("space", named("app.netdata.cloud ")),
        (
            "two names",
            leaf(&[
                (DnType::CommonName, own()),
                (another_common_name(), "evil".into()),
            ]),
        ),
        (
            "two names, reversed",
            leaf(&[
                (DnType::CommonName, "evil".into()),
                (another_common_name(), own()),
            ]),
        ),
        ("any other", named("evil")),
        ("another authority", Pki::of("Other Root CA").netdata()),
    ]
}

/// One of the two.
struct Party<'s> {
    name: &'static str,
    address: SocketAddr,
    scene: &'s Scene,
}

impl Party<'_> {
    /// `None` where the handshake was refused, or the connection closed without an answer.
    fn ask(
        &self,
        leaf: Option<&Leaf>,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Option<Answer> {
        let host = self.scene.host;
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}");
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        if self.scene.is_plain {
            return Some(
                Operator {
                    address: self.address,
                }
                .raw(&request),
            );
        }
        let config = Arc::new(client_config(leaf, rustls::ALL_VERSIONS));
        let sender = Sender {
            address: self.address,
            config,
        };
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.write_all(self.scene.proxied.as_bytes()).unwrap();
        let mut connection = sender.connect_to_name(socket, host).ok()?;
        connection.write(request.as_bytes()).ok()?;
        connection.read().ok()
    }

    fn post(&self, leaf: Option<&Leaf>, credentials: &str) -> Option<Answer> {
        let headers = format!("Content-Type: application/json\r\nX-Extra: kept\r\n{credentials}");
        self.ask(leaf, "POST", self.scene.webhook, &headers, ALERT)
    }
}

fn status(answer: Option<&Answer>) -> u16 {
    answer.map_or(0, |answer| answer.status)
}

/// What the applications got while `action` ran, which is awaited where `count` requests are
/// expected.
fn receives<T>(origins: &[&Origin], action: impl FnOnce() -> T) -> (T, Vec<Received>) {
    let before: Vec<usize> = origins
        .iter()
        .map(|origin| origin.received().len())
        .collect();
    let result = action();
    let after = origins
        .iter()
        .zip(before)
        .flat_map(|(origin, before)| origin.received().split_off(before));
    (result, after.collect())
}

/// Plays every request at both, and compares. `requires` is whether a handshake with this program
/// requires a certificate.
pub(super) fn play(
    name: &str,
    scene: &Scene,
    origins: &[&Origin],
    theirs: SocketAddr,
    ours: SocketAddr,
    requires: bool,
) {
    let pki = Pki::shared();
    let theirs = Party {
        name: "theirs",
        address: theirs,
        scene,
    };
    let ours = Party {
        name: "ours",
        address: ours,
        scene,
    };
    let netdata = pki.netdata();
    let both = [&theirs, &ours];

    let same = |method: &str, target: &str, headers: &str, body: &str, expected: u16| {
        let [left, right] = both.map(|party| {
            let ask = || party.ask(Some(&netdata), method, target, headers, body);
            let (answer, received) = receives(origins, ask);
            assert_eq!(
                status(answer.as_ref()),
                expected,
                "{name}, {}: {method} {target}: {answer:?}",
                party.name
            );
            assert_eq!(
                received.len(),
                usize::from(expected == 200),
                "{name}, {}: {method} {target}",
                party.name
            );
            received
        });
        left.iter()
            .zip(&right)
            .for_each(|(left, right)| is_the_same_request(name, scene, left, right));
    };
    let json = format!(
        "Content-Type: application/json\r\nX-Extra: kept\r\n{}",
        scene.credentials
    );
    same("POST", scene.webhook, &json, ALERT, 200);
    for target in scene.closed {
        let ask = || ours.ask(Some(&netdata), "GET", target, scene.credentials, "");
        let (answer, received) = receives(origins, ask);
        let is_refused = matches!(status(answer.as_ref()), 400..500) && received.is_empty();
        assert!(is_refused, "{name}: {target}: {answer:?}");
    }

    // The challenge: where the other server left it to the application, it no longer gets there.
    let target = format!("{}?crc_token=abc", scene.webhook);
    let [left, right] = both.map(|party| {
        receives(origins, || {
            party
                .ask(Some(&netdata), "GET", &target, scene.credentials, "")
                .expect("an answer")
        })
    });
    let token = "{\"response_token\":\"sha256=igirIzhbd6iobXEwWgppO5ngqEUUC/mDt+r/dfCbeGk=\"}";
    assert_eq!(
        (right.0.status, right.0.body.as_str(), right.1.len()),
        (200, token, 0),
        "{name}"
    );
    assert_eq!((left.0.status, left.1.len()), (200, 1), "{name}");

    // Requests with missing or wrong credentials.
    if !scene.credentials.is_empty() {
        for party in both {
            for credentials in ["", scene.wrong] {
                let (answer, received) =
                    receives(origins, || party.post(Some(&netdata), credentials));
                let expected = if party.name == "ours" {
                    401
                } else {
                    scene.refused_with
                };
                assert_eq!(
                    (status(answer.as_ref()), received.len()),
                    (expected, 0),
                    "{name}, {}: {credentials:?}",
                    party.name
                );
            }
        }
    }
    if scene.is_plain {
        return;
    }

    // Clients without a certificate, or with a forged one.
    let mut strangers: Vec<(&str, Option<Leaf>)> = forgeries(pki)
        .into_iter()
        .map(|(forgery, leaf)| (forgery, Some(leaf)))
        .collect();
    strangers.push(("no certificate", None));
    let mut let_in = Vec::new();
    for (forgery, leaf) in &strangers {
        let ask =
            |party: &Party<'_>| receives(origins, || party.post(leaf.as_ref(), scene.credentials));
        let (answer, received) = ask(&theirs);
        assert_eq!(
            status(answer.as_ref()) == 200,
            received.len() == 1,
            "{name}: {forgery}: {answer:?}"
        );
        let_in.extend((received.len() == 1).then_some(*forgery));
        let (answer, received) = ask(&ours);
        // Where a certificate is required, those without a trusted one do not get through the
        // handshake.
        let expected = match *forgery {
            "no certificate" | "another authority" if requires => 0,
            _ => 403,
        };
        assert_eq!(
            (status(answer.as_ref()), received.len()),
            (expected, 0),
            "{name}: {forgery}: {answer:?}"
        );
    }
    match scene.verifies {
        true => assert_eq!(
            let_in, scene.let_in,
            "{name}: what else gets through the other server"
        ),
        false => assert_eq!(let_in.len(), strangers.len(), "{name}: {let_in:?}"),
    }
}

/// The report names exactly those forgeries that get through the other server.
pub(super) fn names_what_gets_through(name: &str, scene: &Scene, report: &str) {
    let holes = report
        .split("Holes that are closed now:")
        .nth(1)
        .unwrap_or_default();
    if scene.let_in.contains(&"any other") {
        return assert!(
            holes.contains("any certificate of the authority got in"),
            "{name}: {holes}"
        );
    }
    for (forgeries, words) in [
        (&["suffix"][..], ".evil.example"),
        (&["lookalike"], "XnetdataY"),
        (&["unit"], "OU=CN="),
        (&["organisation"], "O=\"x,CN="),
        (&["nul"], "with a NUL"),
        (&["space"], "with a trailing space"),
        (&["two names", "two names, reversed"], "two CNs"),
    ] {
        let is_named = holes.contains(words);
        let is_let_in = forgeries
            .iter()
            .any(|forgery| scene.let_in.contains(forgery));
        assert_eq!(is_named, is_let_in, "{name}: {forgeries:?}: {holes}");
    }
}

/// Set by this program, or about the connection.
const OURS: [&str; 15] = [
    "connection",
    "keep-alive",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    // Apache names itself.
    "x-forwarded-server",
    "x-netdata-verified",
    "x-netdata-client-cn",
    "x-netdata-notification",
    "x-netdata-severity",
    "idempotency-key",
    "client-cert",
    "content-length",
    "authorization",
];

fn is_the_same_request(name: &str, scene: &Scene, theirs: &Received, ours: &Received) {
    let target = |received: &Received| received.request_line.rsplit_once(' ').unwrap().0.to_owned();
    assert_eq!(target(theirs), target(ours), "{name}");
    assert_eq!(theirs.body, ours.body, "{name}");
    let headers = |received: &Received| {
        let kept = received
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let mut kept: Vec<_> = kept
            .filter(|(name, _)| {
                !OURS.contains(&name.as_str())
                    && !scene.differs.iter().any(|it| it.eq_ignore_ascii_case(name))
            })
            .collect();
        kept.sort();
        kept
    };
    assert_eq!(headers(theirs), headers(ours), "{name}");
    // Credentials that are checked here go no further.
    let checked = scene.strips_authorization && target(ours).ends_with(scene.webhook);
    let authorization = if checked {
        Vec::new()
    } else {
        theirs.all("Authorization")
    };
    assert_eq!(ours.all("Authorization"), authorization, "{name}");
    // What was told about the origin of the request is told now, too.
    for header in ["x-forwarded-for", "x-forwarded-proto"] {
        if let [value] = theirs.all(header)[..] {
            assert_eq!(ours.all(header), [value], "{name}: {header}");
        }
    }
}
