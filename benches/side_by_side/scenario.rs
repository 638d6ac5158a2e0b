//! The lines of the comparison: what is done, and with what.

use crate::Failure;
use crate::alerts::alert;
use crate::gateway::{Gateway, Lab};
use crate::load::{Identity, Job, Message, Pattern, TlsVersion};
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
    /// 1,000 connections that have sent a POST and rest.
    Idle,
}

/// With what they do it. The default is what Netdata Cloud most probably does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) ecdsa: bool,
    pub(crate) tls: TlsVersion,
    /// Bytes of an alert.
    pub(crate) alert: usize,
    pub(crate) access_log: bool,
}

/// A line of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) mode: Mode,
    pub(crate) variant: Variant,
}

/// How long is measured, and how hard.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) length: Duration,
    pub(crate) rate: Option<f64>,
}

impl Variant {
    pub(crate) const BASE: Self = Self {
        ecdsa: false,
        tls: TlsVersion::Tls13,
        alert: 1024,
        access_log: false,
    };
}

/// `base`, or some of `ecdsa`, `tls12`, `16k` and `log` with `+` between them.
impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split('+')
            .try_fold(Self::BASE, |variant, word| match word {
                "base" => Ok(variant),
                "ecdsa" => Ok(Self {
                    ecdsa: true,
                    ..variant
                }),
                "tls12" => Ok(Self {
                    tls: TlsVersion::Tls12,
                    ..variant
                }),
                "16k" => Ok(Self {
                    alert: 16 * 1024,
                    ..variant
                }),
                "log" => Ok(Self {
                    access_log: true,
                    ..variant
                }),
                _ => Err(format!(
                    "{word:?} is none of base, ecdsa, tls12, 16k and log"
                )),
            })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::New => "new connection + POST",
            Mode::H1 => "warm POST, HTTP/1.1",
            Mode::H2 => "warm POST, HTTP/2",
            Mode::Challenge => "warm challenge",
            Mode::Storm => "storm",
            Mode::Idle => "idle connection",
        };
        let differences = [
            (self.variant.ecdsa, "ECDSA client"),
            (self.variant.tls == TlsVersion::Tls12, "TLS 1.2"),
            (self.variant.alert != Variant::BASE.alert, "16 KB"),
            (self.variant.access_log, "access log"),
        ];
        f.write_str(mode)?;
        differences
            .iter()
            .filter(|(differs, _)| *differs)
            .try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

/// How many senders a [storm](Mode::Storm) has, and how many connections [rest](Mode::Idle).
pub(crate) const CROWD: usize = 1000;
/// How many POSTs each sender of a storm has.
pub(crate) const STORM_POSTS: usize = 3;

const CONNECTIONS: usize = 32;
const STREAMS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(200);
const TOKEN: &str = "NDhlZjk0";

impl Line {
    /// Whether it can be done at a given rate.
    pub(crate) fn can_be_paced(self) -> bool {
        !matches!(self.mode, Mode::Storm | Mode::Idle)
    }

    pub(crate) fn features(self) -> Features {
        Features {
            access_log: self.variant.access_log,
            ..Features::PLAIN
        }
    }

    /// What the load generator has to do to a gateway.
    pub(crate) fn job(self, lab: &Lab, gateway: &Gateway, effort: Effort) -> Result<Job, Failure> {
        let (message, expected) = match self.mode {
            Mode::Challenge => challenge(),
            _ => notification(WEBHOOK, self.variant.alert),
        };
        Ok(Job {
            address: gateway.address,
            sources: 1,
            identity: identity(lab, self.variant),
            pattern: self.pattern(),
            messages: vec![message],
            expected,
            rate: effort.rate,
            warm_up: if self.mode == Mode::Idle {
                Duration::ZERO
            } else {
                WARM_UP
            },
            length: effort.length,
        })
    }

    fn pattern(self) -> Pattern {
        match self.mode {
            Mode::New => Pattern::New {
                senders: CONNECTIONS,
            },
            Mode::H1 | Mode::Challenge => Pattern::Http1 {
                connections: CONNECTIONS,
                busy: CONNECTIONS,
            },
            Mode::H2 => Pattern::Http2 {
                connections: CONNECTIONS,
                streams: STREAMS,
            },
            Mode::Storm => Pattern::Storm {
                senders: CROWD,
                posts: STORM_POSTS,
            },
            Mode::Idle => Pattern::Http1 {
                connections: CROWD,
                busy: CONNECTIONS,
            },
        }
    }
}

/// Netdata Cloud's stand-in.
pub(crate) fn identity(lab: &Lab, variant: Variant) -> Identity {
    let name = if variant.ecdsa { "ecdsa" } else { "rsa" };
    Identity {
        authority: lab.certificates.path("public-ca.pem"),
        certificate: lab.certificates.path(&format!("{name}.pem")),
        key: lab.certificates.path(&format!("{name}.key")),
        version: variant.tls,
    }
}

/// An alert, and the answer to it.
pub(crate) fn notification(target: &str, size: usize) -> (Message, String) {
    let body = alert(size);
    let expected = origin::answer(body.len());
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

fn challenge() -> (Message, String) {
    let target = format!("{WEBHOOK}?crc_token={TOKEN}");
    let expected = challenge::answer(&Secret::new(SECRET.into()), TOKEN);
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
