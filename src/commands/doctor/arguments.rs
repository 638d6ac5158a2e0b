//! What `doctor` is told.

use std::path::PathBuf;
use std::time::Duration;

/// Makes the checks that an operator would make by hand before Netdata Cloud is pointed at a URL.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// The URL that stands, or will stand, in Netdata's UI. Without it, the listeners of the
    /// configuration.
    pub url: Option<String>,
    /// The configuration whose listeners are examined, or, with a URL, which says what is to be
    /// expected there. Without a URL the default is that of `run`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The challenge secret, where no configuration names it.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// A client certificate that the server trusts, in PEM, to see what only Netdata Cloud sees.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
    /// Authorities that may have issued the server's certificate, in PEM, instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub server_ca: Option<PathBuf>,
    /// Authorities whose client certificates the server should ask for, in PEM, instead of
    /// Netdata's.
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// The server is not meant to ask for a client certificate; Basic or Bearer credentials are all
    /// it wants.
    #[arg(long)]
    pub no_client_certificate: bool,
    /// Wait and see whether the server keeps an idle connection for longer than Go's clients do, or
    /// for SECONDS.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "95")]
    pub slow: Option<u64>,
    /// Seconds that each step may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

impl DoctorArguments {
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(super) fn idle(&self) -> Option<Duration> {
        // A day is longer than any connection is left idle.
        self.slow
            .map(|seconds| Duration::from_secs(seconds.min(86_400)))
    }
}
