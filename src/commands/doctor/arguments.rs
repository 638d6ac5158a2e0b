//! The arguments of `doctor`.

use super::dns;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Makes the checks that an operator would make by hand before Netdata Cloud uses a URL.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// URL as entered in Netdata's UI. Default: the listeners of the configuration.
    pub url: Option<String>,
    /// Configuration whose listeners are examined, or, with a URL, which states the expected
    /// behaviour. Without a URL the default is that of `run`.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// File with the challenge secret, if no configuration names it.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Client certificate that the server trusts, in PEM, for checks that need one.
    #[arg(long, value_name = "FILE", alias = "certificate")]
    pub cert: Option<PathBuf>,
    /// Key of the client certificate, in PEM. Default: the file of the certificate.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Authorities trusted for the server's certificate, in PEM, instead of the system's.
    #[arg(long, value_name = "FILE", aliases = ["server-ca", "cacert"])]
    pub ca: Option<PathBuf>,
    /// Authorities whose client certificates the server should request, in PEM, instead of
    /// Netdata's.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Directory of send certificate --forgeries: try each forged subject in it. The server must trust
    /// its ca.pem meanwhile.
    #[arg(long, value_name = "DIR")]
    pub forgeries: Option<PathBuf>,
    /// The server does not request a client certificate on purpose; Basic or Bearer credentials are
    /// sufficient.
    #[arg(long)]
    pub no_client_certificate: bool,
    /// Watch whether the server keeps an idle connection for longer than Go's clients do, or for
    /// SECONDS.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "95")]
    pub slow: Option<u64>,
    /// Name server that is asked for CAA records, with or without a port, instead of the system's.
    #[arg(long, value_name = "ADDRESS", value_parser = name_server)]
    pub name_server: Option<SocketAddr>,
    /// Timeout of each step in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

impl DoctorArguments {
    pub(super) fn step_timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(super) fn idle(&self) -> Option<Duration> {
        // A day is longer than any connection is left idle.
        self.slow
            .map(|seconds| Duration::from_secs(seconds.min(86_400)))
    }
}

fn name_server(text: &str) -> Result<SocketAddr, &'static str> {
    let with_port = text.parse();
    with_port
        .or_else(|_| {
            text.parse()
                .map(|address: IpAddr| (address, dns::PORT).into())
        })
        .map_err(|_| "must be an address such as 192.0.2.1 or 192.0.2.1:53")
}
