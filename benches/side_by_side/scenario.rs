//! The lines of the comparison: what is done, and with what.

use crate::Failure;
use crate::alerts;
use crate::gateway::{Gateway, Lab};
use crate::load::{Expected, Identity, Job, Message, Pattern, TlsVersion};
use crate::origin;
use crate::peers::{Features, SECRET, WEBHOOK};
use clap::ValueEnum;
use netdata_webhook_proxy::internals::Secret;
use netdata_webhook_proxy::internals::challenge;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What the senders do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// A new connection for each POST.
    New,
    /// POSTs on warm HTTP/1.1 connections.
    H1,
    /// POSTs on warm HTTP/2 connections, several streams each.
    H2,
    /// Challenges on warm HTTP/1.1 connections.
    Challenge,
    /// 1,000 senders that connect at once, with three POSTs each.
    Storm,
    /// 1,000 senders that connect within 10 s, every second one with HTTP/2, with three POSTs each.
    Incident,
    /// 1,000 connections that have sent a POST and rest.
    Idle,
}

/// With what they do it, other than [usual](Variant).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Difference {
    /// The client's key is ECDSA, not RSA-2048.
    Ecdsa,
    /// TLS 1.2, not 1.3.
    Tls12,
    /// The client offers X25519 first, not X25519MLKEM768.
    X25519,
    /// The alert has the documented form, not that on the wire.
    Flat,
    /// The alert has 16 KB, not 2.5 KB.
    #[value(name = "16k")]
    Large,
    /// The access log is on.
    Log,
    /// One of 1,000 Bearer tokens is demanded as well.
    Tokens,
    /// Each alert is that of another of 10,000 nodes, so that none waits for the one before it.
    Nodes,
}

/// All differences of a line. Without any, it is what Netdata Cloud most probably does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variant(Vec<Difference>);

/// A line of the comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) mode: Mode,
    pub(crate) variant: Variant,
}

/// How long is measured, and how hard.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Of each turn.
    pub(crate) length: Duration,
    warm_up: Duration,
    /// After which a server has finished what it does behind the last answer.
    pub(crate) settle: Duration,
    /// After which it has also given back what it does not need for connections that rest.
    pub(crate) rest: Duration,
    /// How many senders there are, or warm connections.
    connections: usize,
    /// How many senders come [at once](Mode::Storm), and how many connections
    /// [rest](Mode::Idle).
    pub(crate) crowd: usize,
    /// Within which the senders of an [incident](Mode::Incident) come.
    window: Duration,
}

impl Effort {
    pub(crate) fn full(length: Duration) -> Self {
        Self {
            length,
            warm_up: Duration::from_millis(200),
            settle: Duration::from_millis(50),
            rest: Duration::from_secs(1),
            connections: 32,
            crowd: 1000,
            window: Duration::from_secs(10),
        }
    }

    /// Enough to see that everything works.
    pub(crate) fn least() -> Self {
        let moment = Duration::from_millis(10);
        Self {
            length: moment,
            warm_up: moment,
            settle: moment,
            rest: moment,
            connections: 4,
            crowd: 20,
            window: moment,
        }
    }
}

impl Difference {
    fn title(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA client",
            Self::Tls12 => "TLS 1.2",
            Self::X25519 => "X25519",
            Self::Flat => "flat alert",
            Self::Large => "16 KB",
            Self::Log => "access log",
            Self::Tokens => "1,000 Bearer tokens",
            Self::Nodes => "10,000 nodes",
        }
    }
}

impl Variant {
    fn has(&self, difference: Difference) -> bool {
        self.0.contains(&difference)
    }

    pub(crate) fn is_base(&self) -> bool {
        self.0.is_empty()
    }
}

impl<const N: usize> From<[Difference; N]> for Variant {
    fn from(differences: [Difference; N]) -> Self {
        Self(differences.into())
    }
}

/// `base`, or differences with `+` between them.
impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split('+').filter(|word| *word != "base");
        words
            .map(|word| Difference::from_str(word, false))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.mode {
            Mode::New => "new connection + POST",
            Mode::H1 => "warm POST, HTTP/1.1",
            Mode::H2 => "warm POST, HTTP/2",
            Mode::Challenge => "warm challenge",
            Mode::Storm => "1,000 nodes at once",
            Mode::Incident => "1,000 nodes within 10 s",
            Mode::Idle => "idle connection",
        })?;
        let differences = &self.variant.0;
        differences
            .iter()
            .try_for_each(|difference| write!(f, ", {}", difference.title()))
    }
}

/// How many POSTs each of a crowd of senders has.
const CROWD_POSTS: usize = 3;
/// How many Bearer tokens are accepted where [some](Difference::Tokens) are.
const TOKENS: usize = 1000;
/// Bytes of an alert as on the wire, and of one whose log is long.
pub(crate) const USUAL: usize = 2560;
const LARGE: usize = 16 * 1024;

const STREAMS: usize = 8;
const CRC_TOKEN: &str = "NDhlZjk0";

impl Line {
    pub(crate) fn base(mode: Mode) -> Self {
        Self {
            mode,
            variant: Variant::default(),
        }
    }

    /// That on which ways of delivery are compared.
    pub(crate) fn delivery() -> Self {
        Self {
            mode: Mode::H1,
            variant: [Difference::Nodes].into(),
        }
    }

    /// Whether it can be done at a given rate.
    pub(crate) fn can_be_paced(&self) -> bool {
        !matches!(self.mode, Mode::Storm | Mode::Incident | Mode::Idle)
    }

    pub(crate) fn features(&self) -> Features {
        Features {
            access_log: self.variant.has(Difference::Log),
            tokens: match self.variant.has(Difference::Tokens) {
                true => TOKENS,
                false => 0,
            },
            ..Features::PLAIN
        }
    }

    /// What the load generator has to do to a gateway, at a rate or as fast as it can.
    pub(crate) fn job(
        &self,
        lab: &Lab,
        gateway: &Gateway,
        effort: Effort,
        rate: Option<f64>,
    ) -> Result<Job, Failure> {
        let (message, expected) = match self.mode {
            Mode::Challenge => challenge(),
            _ => notification(WEBHOOK, self.alert()),
        };
        let messages = (0..self.nodes(effort)).map(|node| Message {
            headers: self.features().authorization().into_iter().collect(),
            body: of_node(&message.body, node),
            ..message.clone()
        });
        Ok(Job {
            address: gateway.address,
            sources: 1,
            identity: identity(lab, &self.variant),
            pattern: self.pattern(effort),
            messages: messages.collect(),
            expected,
            rate,
            warm_up: match self.mode {
                Mode::Idle => Duration::ZERO,
                _ => effort.warm_up,
            },
            length: effort.length,
        })
    }

    /// How many nodes the alerts are about.
    fn nodes(&self, effort: Effort) -> usize {
        match self.mode {
            Mode::Storm | Mode::Incident => effort.crowd,
            _ if self.variant.has(Difference::Nodes) => effort.crowd * 10,
            _ => 1,
        }
    }

    fn alert(&self) -> String {
        if self.variant.has(Difference::Flat) {
            return alerts::FLAT.to_owned();
        }
        alerts::alert(match self.variant.has(Difference::Large) {
            true => LARGE,
            false => USUAL,
        })
    }

    fn pattern(&self, effort: Effort) -> Pattern {
        let connections = effort.connections;
        let (senders, posts) = (effort.crowd, CROWD_POSTS);
        match self.mode {
            Mode::New => Pattern::New {
                senders: connections,
            },
            Mode::H1 | Mode::Challenge => Pattern::Http1 {
                connections,
                busy: connections,
            },
            Mode::H2 => Pattern::Http2 {
                connections,
                streams: STREAMS,
            },
            Mode::Storm => Pattern::Crowd {
                senders,
                posts,
                window: Duration::ZERO,
                http2: 0,
            },
            Mode::Incident => Pattern::Crowd {
                senders,
                posts,
                window: effort.window,
                http2: senders / 2,
            },
            Mode::Idle => Pattern::Http1 {
                connections: effort.crowd,
                busy: connections,
            },
        }
    }
}

/// Netdata Cloud's stand-in.
pub(crate) fn identity(lab: &Lab, variant: &Variant) -> Identity {
    let name = match variant.has(Difference::Ecdsa) {
        true => "ecdsa",
        false => "rsa",
    };
    Identity {
        authority: lab.certificates.path("public-ca.pem"),
        certificate: lab.certificates.path(&format!("{name}.pem")),
        key: lab.certificates.path(&format!("{name}.key")),
        version: match variant.has(Difference::Tls12) {
            true => TlsVersion::Tls12,
            false => TlsVersion::Tls13,
        },
        post_quantum: !variant.has(Difference::X25519),
    }
}

/// An alert, and the answer to it.
pub(crate) fn notification(target: &str, body: String) -> (Message, Expected) {
    let expected = Expected::ok(origin::answer(body.len()));
    (
        Message {
            method: "POST".into(),
            target: target.into(),
            headers: Vec::new(),
            body,
        },
        expected,
    )
}

fn challenge() -> (Message, Expected) {
    let target = format!("{WEBHOOK}?crc_token={CRC_TOKEN}");
    let answer = challenge::answer(&Secret::new(SECRET.into()), CRC_TOKEN);
    let expected = Expected::ok(answer);
    (
        Message {
            method: "GET".into(),
            target,
            headers: Vec::new(),
            body: String::new(),
        },
        expected,
    )
}

/// The same alert, of the node with this number.
fn of_node(alert: &str, number: usize) -> String {
    // So the ids of the node and of the transition in the captured alert begin.
    ["5d1a7a7e", "7a2f4a44"]
        .iter()
        .fold(alert.to_owned(), |alert, id| {
            alert.replace(id, &format!("{number:08x}"))
        })
}
