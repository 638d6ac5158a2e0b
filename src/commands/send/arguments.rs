//! The arguments of `send`.

use crate::commands::client::Severity;
use crate::commands::examples;
use crate::webhook::notification::Shape;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Sends requests as Netdata Cloud does.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = examples::SEND)]
pub(crate) struct SendArguments {
    #[command(subcommand)]
    pub(super) command: SendCommand,
}

/// Kind of the requests.
#[derive(Clone, Debug, clap::Subcommand)]
#[command(after_help = examples::SEND)]
pub(super) enum SendCommand {
    /// Send a challenge, and verify the response.
    #[command(after_help = examples::SEND_CHALLENGE)]
    Challenge(ChallengeOptions),
    /// Send an alert.
    #[command(after_help = examples::SEND_ALERT)]
    Alert(AlertOptions),
    /// Send a reachability notification.
    #[command(after_help = examples::SEND_REACHABILITY)]
    Reachability(ReachabilityOptions),
    /// Send a Test notification, and print its token.
    #[command(after_help = examples::SEND_TEST)]
    Test {
        #[command(flatten)]
        delivery: DeliveryOptions,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send every kind of notification in every shape, once unless --repeat or --duration is given.
    #[command(after_help = examples::SEND_ALL)]
    All {
        #[command(flatten)]
        delivery: DeliveryOptions,
        #[command(flatten)]
        generator: GeneratorOptions,
        #[command(flatten)]
        seed: SeedOption,
    },
    /// Send the contents of a file, byte for byte.
    #[command(after_help = examples::SEND_FILE)]
    File {
        /// File with the body; "-" is standard input.
        file: PathBuf,
        /// The file is the output of `queue export`: send each of its notifications, in their order,
        /// with the headers that the application would have got.
        #[arg(long)]
        exported: bool,
        #[command(flatten)]
        delivery: DeliveryOptions,
    },
    /// Create a temporary authority and a client certificate, and print how to make a proxy trust it.
    #[command(after_help = examples::SEND_CERTIFICATE)]
    Certificate(CertificateOptions),
}

/// Send a challenge, and verify the response.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ChallengeOptions {
    #[command(flatten)]
    pub(super) delivery: DeliveryOptions,
    #[command(flatten)]
    pub(super) secret: ChallengeSecretOptions,
    /// Decoded value of crc_token. Default: derived from the seed.
    #[arg(long)]
    pub(super) token: Option<String>,
    #[command(flatten)]
    pub(super) seed: SeedOption,
}

/// Send an alert.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AlertOptions {
    #[command(flatten)]
    pub(super) delivery: DeliveryOptions,
    /// Severity of the alert. Default: derived from the seed.
    #[arg(long)]
    pub(super) severity: Option<Severity>,
    #[command(flatten)]
    pub(super) shape: ShapeOption,
    #[command(flatten)]
    pub(super) generator: GeneratorOptions,
    /// Number of alerts that are active on the node. Each makes the body longer.
    #[arg(long, value_name = "COUNT", value_parser = whole::<u32>(0, 100_000))]
    pub(super) active_alerts: Option<u32>,
    #[command(flatten)]
    pub(super) seed: SeedOption,
}

/// Send a reachability notification.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReachabilityOptions {
    #[command(flatten)]
    pub(super) delivery: DeliveryOptions,
    /// New state of the node. Default: derived from the seed.
    #[arg(long, value_parser = PossibleValuesParser::new(["reachable", "unreachable"]).map(|it| it == "reachable"))]
    pub(super) status: Option<bool>,
    #[command(flatten)]
    pub(super) shape: ShapeOption,
    #[command(flatten)]
    pub(super) generator: GeneratorOptions,
    #[command(flatten)]
    pub(super) seed: SeedOption,
}

/// Create a temporary authority and a client certificate, and print how to make a proxy trust it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CertificateOptions {
    /// Directory for ca.pem, netdata.pem and netdata.key. It is created if it does not exist.
    pub(super) directory: PathBuf,
    /// Common name of the certificate.
    #[arg(long, value_name = "NAME", default_value = crate::commands::client::pki::NETDATA)]
    pub(super) common_name: String,
    /// Issue certificates with forged subjects as well, for doctor --forgeries.
    #[arg(long)]
    pub(super) forgeries: bool,
}

/// Target, identity and number of the requests.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct DeliveryOptions {
    /// URL as entered in Netdata's UI.
    pub(super) url: String,
    /// Client certificate to present, in PEM, with its intermediate certificates.
    #[arg(
        long,
        value_name = "FILE",
        alias = "certificate",
        help_heading = "Connection"
    )]
    pub(super) cert: Option<PathBuf>,
    /// Key of the client certificate, in PEM. Default: the file of the certificate.
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "Connection"
    )]
    pub(super) key: Option<PathBuf>,
    /// Authorities trusted for the server's certificate, in PEM, instead of the system's.
    #[arg(long, value_name = "FILE", aliases = ["server-ca", "cacert"], help_heading = "Connection")]
    pub(super) ca: Option<PathBuf>,
    /// Connect to this address and port instead of those of the URL.
    #[arg(long, value_name = "IP:PORT", value_parser = address, help_heading = "Connection")]
    pub(super) connect_to: Option<SocketAddr>,
    /// Use this version of HTTP only. Default: the server chooses.
    #[arg(long, value_name = "VERSION", value_parser = ["1.1", "2"], help_heading = "Connection")]
    pub(super) http: Option<String>,
    #[command(flatten)]
    pub(super) credentials: CredentialOptions,
    /// Additional header, as Netdata's UI allows.
    #[arg(
        long = "header",
        short = 'H',
        value_name = "NAME: VALUE",
        help_heading = "Connection"
    )]
    pub(super) headers: Vec<String>,
    /// Timeout of each request in seconds, including the connection.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole::<u64>(1, 600),
          help_heading = "Connection")]
    pub(super) timeout: u64,
    /// Total number of requests.
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = whole::<u64>(1, u64::MAX),
          help_heading = "Load")]
    pub(super) repeat: Option<u64>,
    /// Send for this number of seconds, or until --repeat is reached.
    #[arg(long, short = 'd', value_name = "SECONDS", value_parser = decimal,
          help_heading = "Load")]
    pub(super) duration: Option<f64>,
    /// Number of concurrent requests, each on its own connection.
    #[arg(long, short = 'c', value_name = "COUNT", default_value_t = 1, value_parser = whole::<u64>(1, 10_000),
          help_heading = "Load")]
    pub(super) concurrency: u64,
    /// Requests per second, as far as --concurrency allows.
    #[arg(long, value_name = "REQUESTS", value_parser = decimal, help_heading = "Load")]
    pub(super) rate: Option<f64>,
    /// Send the same body in each request, as Netdata Cloud may do.
    #[arg(long, help_heading = "Load")]
    pub(super) same: bool,
    /// Open a new connection for each request.
    #[arg(long, help_heading = "Load")]
    pub(super) new_connections: bool,
    /// Print the bodies, or the URLs of challenges, without sending them.
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    pub(super) dry_run: bool,
    /// Print the report as JSON.
    #[arg(long, help_heading = "Output")]
    pub(super) json: bool,
}

/// Credentials for `Authorization`. Secrets are not accepted on the command line, which other users
/// of the machine can read.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CredentialOptions {
    /// User name for Basic authentication. The password comes from a file or the environment.
    #[arg(
        long,
        value_name = "USERNAME",
        requires = "password",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) basic: Option<String>,
    /// File with the password.
    #[arg(
        long,
        value_name = "FILE",
        requires = "basic",
        group = "password",
        help_heading = "Connection"
    )]
    pub(super) password_file: Option<PathBuf>,
    /// Environment variable with the password.
    #[arg(
        long,
        value_name = "VARIABLE",
        requires = "basic",
        group = "password",
        help_heading = "Connection"
    )]
    pub(super) password_env: Option<String>,
    /// File with the Bearer token.
    #[arg(
        long,
        value_name = "FILE",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) bearer_file: Option<PathBuf>,
    /// Environment variable with the Bearer token.
    #[arg(
        long,
        value_name = "VARIABLE",
        group = "authorization",
        help_heading = "Connection"
    )]
    pub(super) bearer_env: Option<String>,
}

/// Source of the challenge secret.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct ChallengeSecretOptions {
    /// File with the challenge secret.
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// Environment variable with the challenge secret.
    #[arg(long, value_name = "VARIABLE")]
    pub(super) secret_env: Option<String>,
}

/// Seed of all values that are not given.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeedOption {
    /// Number from which all values are derived that are not given: equal seeds send equal requests.
    /// Default: random.
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u64>(0, u64::MAX))]
    pub(super) seed: Option<u64>,
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct ShapeOption {
    /// Shape of the body: as the service sends it (nested), or as documented by Netdata (flat).
    #[arg(long, default_value = "nested", value_parser = PossibleValuesParser::new(["nested", "flat"]).map(|it| shape(&it)))]
    pub(super) shape: Shape,
}

/// Space and node of the notifications. Default: derived from the seed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct GeneratorOptions {
    /// Name of the space.
    #[arg(long, value_name = "NAME")]
    pub(super) space: Option<String>,
    /// Id of the space.
    #[arg(long, value_name = "ID")]
    pub(super) space_id: Option<String>,
    /// Name of the node.
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

/// Returns a parser of integers in a range.
fn whole<N>(min: u64, max: u64) -> impl Fn(&str) -> Result<N, String> + Clone
where
    N: TryFrom<u64>,
{
    move |text| {
        let number: Option<u64> = text.parse().ok();
        number
            .filter(|number| (min..=max).contains(number))
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| not_in_range(min, max))
    }
}

fn not_in_range(min: u64, max: u64) -> String {
    match max {
        u64::MAX => format!("must be an integer of at least {min}"),
        _ => format!("must be an integer from {min} to {max}"),
    }
}

/// Parses a decimal number.
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
    /// Returns the options of commands that send requests.
    pub(super) fn delivery(&self) -> Option<&DeliveryOptions> {
        match self {
            Self::Challenge(ChallengeOptions { delivery, .. })
            | Self::Alert(AlertOptions { delivery, .. })
            | Self::Reachability(ReachabilityOptions { delivery, .. })
            | Self::Test { delivery, .. }
            | Self::All { delivery, .. }
            | Self::File { delivery, .. } => Some(delivery),
            Self::Certificate(_) => None,
        }
    }
}
