//! What `send` is told.

use crate::commands::client::Severity;
use crate::webhook::notification::Shape;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Plays Netdata Cloud.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct SendArguments {
    #[command(subcommand)]
    pub(super) what: SendCommand,
}

const EXIT_STATUS: &str = "Exit status: 0 if every request was accepted (answered with 2xx; a challenge, rightly), 1 if some \
                           were not, 2 if the arguments are wrong, 3 if nobody could be connected to.";

/// What is sent.
#[derive(Clone, Debug, clap::Subcommand)]
#[command(after_help = EXIT_STATUS)]
pub(super) enum SendCommand {
    /// Ask for the answer to a challenge, and verify it.
    #[command(after_help = EXIT_STATUS)]
    Challenge {
        #[command(flatten)]
        delivery: DeliveryOptions,
        #[command(flatten)]
        secret: ChallengeSecretOptions,
        /// The value of crc_token, decoded. Without it, it follows from the seed.
        #[arg(long)]
        token: Option<String>,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send an alert.
    #[command(after_help = EXIT_STATUS)]
    Alert {
        #[command(flatten)]
        delivery: DeliveryOptions,
        /// How bad it is. Without it, it follows from the seed.
        #[arg(long)]
        severity: Option<Severity>,
        #[command(flatten)]
        shape: ShapeOption,
        #[command(flatten)]
        author: GeneratorOptions,
        /// How many alerts are active on the node. Each makes the body longer.
        #[arg(long, value_name = "COUNT", value_parser = whole::<u32>(0, 100_000))]
        active_alerts: Option<u32>,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send that a node became reachable or unreachable.
    #[command(after_help = EXIT_STATUS)]
    Reachability {
        #[command(flatten)]
        delivery: DeliveryOptions,
        /// Which of both it became. Without it, it follows from the seed.
        #[arg(long, value_parser = PossibleValuesParser::new(["reachable", "unreachable"]).map(|it| it == "reachable"))]
        status: Option<bool>,
        #[command(flatten)]
        shape: ShapeOption,
        #[command(flatten)]
        author: GeneratorOptions,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send a Test notification, and say which token it has.
    #[command(after_help = EXIT_STATUS)]
    Test {
        #[command(flatten)]
        delivery: DeliveryOptions,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send every kind of notification in every shape, once unless --repeat or --duration say
    /// otherwise.
    #[command(after_help = EXIT_STATUS)]
    All {
        #[command(flatten)]
        delivery: DeliveryOptions,
        #[command(flatten)]
        author: GeneratorOptions,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send what is in a file, byte for byte.
    #[command(after_help = EXIT_STATUS)]
    File {
        /// The body; "-" is standard input.
        file: PathBuf,
        #[command(flatten)]
        delivery: DeliveryOptions,
    },
    /// Make a throw-away authority and a client certificate of it, and say how a proxy comes to
    /// trust it.
    Certificate {
        /// Where ca.pem, netdata.pem and netdata.key are written. It is made if it is not there.
        directory: PathBuf,
        /// The name in the certificate.
        #[arg(long, value_name = "NAME", default_value = crate::commands::client::pki::NETDATA)]
        common_name: String,
    },
}

/// Where to, as whom, and how often.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DeliveryOptions {
    /// The URL that stands, or will stand, in Netdata's UI.
    pub(super) url: String,
    /// The client certificate to present, in PEM, with those between it and its authority.
    #[arg(
        long,
        value_name = "FILE",
        alias = "certificate",
        help_heading = "Connection"
    )]
    pub(super) cert: Option<PathBuf>,
    /// Its key. Without this, it is in the same file.
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "Connection"
    )]
    pub(super) key: Option<PathBuf>,
    /// Authorities that may have issued the server's certificate, in PEM, instead of the system's.
    #[arg(long, value_name = "FILE", aliases = ["server-ca", "cacert"], help_heading = "Connection")]
    pub(super) ca: Option<PathBuf>,
    /// Connect to this address and port, wherever the URL leads.
    #[arg(long, value_name = "IP:PORT", value_parser = address, help_heading = "Connection")]
    pub(super) connect_to: Option<SocketAddr>,
    /// Speak this version of HTTP only. Without this, the server chooses.
    #[arg(long, value_name = "VERSION", value_parser = ["1.1", "2"], help_heading = "Connection")]
    pub(super) http: Option<String>,
    #[command(flatten)]
    pub(super) credentials: CredentialOptions,
    /// A further header, as Netdata's UI lets one add them.
    #[arg(
        long = "header",
        short = 'H',
        value_name = "NAME: VALUE",
        help_heading = "Connection"
    )]
    pub(super) headers: Vec<String>,
    /// Seconds that each request may take, connecting included.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole::<u64>(1, 600),
          help_heading = "Connection")]
    pub(super) timeout: u64,
    /// How many requests are sent in all.
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = whole::<u64>(1, u64::MAX),
          help_heading = "Load")]
    pub(super) repeat: Option<u64>,
    /// Go on for so many seconds, or until --repeat is reached.
    #[arg(long, short = 'd', value_name = "SECONDS", value_parser = decimal,
          help_heading = "Load")]
    pub(super) duration: Option<f64>,
    /// How many requests are under way at a time, each on a connection of its own.
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 1, value_parser = whole::<u64>(1, 10_000),
          help_heading = "Load")]
    pub(super) concurrency: u64,
    /// How many requests are sent each second, as far as --concurrency allows.
    #[arg(long, value_name = "REQUESTS", value_parser = decimal, help_heading = "Load")]
    pub(super) rate: Option<f64>,
    /// Send the same body every time, as Netdata Cloud may do.
    #[arg(long, help_heading = "Load")]
    pub(super) same: bool,
    /// Make a connection for each request.
    #[arg(long, help_heading = "Load")]
    pub(super) new_connections: bool,
    /// Connect to nobody, and print the bodies, or the URLs of challenges.
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(super) dry_run: bool,
    /// Print JSON.
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

/// What goes into `Authorization`. No secret is taken from the command line, which others on the
/// machine can see.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CredentialOptions {
    /// Authenticate with this user name (Basic), and a password from a file or the environment.
    #[arg(
        long,
        value_name = "USERNAME",
        requires = "password",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) basic: Option<String>,
    /// The file with the password.
    #[arg(
        long,
        value_name = "FILE",
        requires = "basic",
        group = "password",
        help_heading = "Connection"
    )]
    pub(super) password_file: Option<PathBuf>,
    /// The environment variable with the password.
    #[arg(
        long,
        value_name = "VARIABLE",
        requires = "basic",
        group = "password",
        help_heading = "Connection"
    )]
    pub(super) password_env: Option<String>,
    /// Authenticate with the Bearer token in this file.
    #[arg(
        long,
        value_name = "FILE",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) bearer_file: Option<PathBuf>,
    /// Authenticate with the Bearer token in this environment variable.
    #[arg(
        long,
        value_name = "VARIABLE",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) bearer_env: Option<String>,
}

/// Where the challenge secret is.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ChallengeSecretOptions {
    /// The file with the challenge secret.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// The environment variable with the challenge secret.
    #[arg(long, value_name = "VARIABLE")]
    pub(super) secret_env: Option<String>,
}

/// What everything follows from that is not given.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeedOption {
    /// Everything that is not given follows from this number: the same seed sends the same. Without
    /// it, it is random.
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u64>(0, u64::MAX))]
    pub(super) seed: Option<u64>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShapeOption {
    /// As the service sends it (nested), or as Netdata's documentation has it (flat).
    #[arg(long, default_value = "nested", value_parser = PossibleValuesParser::new(["nested", "flat"]).map(|it| shape(&it)))]
    pub(super) shape: Shape,
}

/// Whose notifications they are. What is not given follows from the seed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct GeneratorOptions {
    /// The name of the space.
    #[arg(long, value_name = "NAME")]
    pub(super) space: Option<String>,
    /// The id of the space.
    #[arg(long, value_name = "ID")]
    pub(super) space_id: Option<String>,
    /// The name of the node.
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
}

fn shape(word: &str) -> Shape {
    if word == "flat" {
        Shape::Flat
    } else {
        Shape::Nested
    }
}

/// Whole numbers in this range.
fn whole<N>(min: u64, max: u64) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: TryFrom<u64>,
{
    move |text| {
        let number = text
            .parse()
            .ok()
            .filter(|number| (min..=max).contains(number));
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| match max {
                u64::MAX => format!("must be a whole number from {min} on"),
                _ => format!("must be a whole number from {min} to {max}"),
            })
    }
}

/// Numbers, also with a fraction.
fn decimal(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.001..=1_000_000.0).contains(&number) => Ok(number),
        _ => Err("must be a number from 0.001 to 1000000".into()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an address and a port, such as 192.0.2.1:443 or [2001:db8::1]:443".into()
    })
}

impl SendCommand {
    /// Where to, and how often.
    pub(super) fn delivery(&self) -> Option<&DeliveryOptions> {
        match self {
            Self::Challenge { delivery, .. }
            | Self::Alert { delivery, .. }
            | Self::Reachability { delivery, .. }
            | Self::Test { delivery, .. }
            | Self::All { delivery, .. }
            | Self::File { delivery, .. } => Some(delivery),
            Self::Certificate { .. } => None,
        }
    }
}
