//! The command line: arguments in, exit code out.

mod allocator;
pub mod check;
pub(crate) mod client;
mod demo;
mod doctor;
mod health;
mod help;
pub mod import;
mod man;
mod output;
mod send;

use crate::config::{AdminSettings, Config, ConfigError, Loaded, read_secret_file};
use crate::server::{Inherited, Launch, Server};
use crate::telemetry;
use crate::webhook::challenge;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use health::HealthQuery;
use output::OutputError;
use send::{SendError, SendVerdict};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Exit code of success.
const SUCCESS: u8 = 0;
/// Exit code of a failure at run time.
const FAILED: u8 = 1;
/// Exit code of wrong arguments or a wrong configuration. clap uses the same.
const USAGE: u8 = 2;
/// Exit code of `send` if no connection could be established.
const UNREACHABLE: u8 = 3;

#[derive(Parser)]
#[command(
    version,
    about,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Take over the listening sockets of the running process as soon as that has received
        /// SIGQUIT.
        #[arg(long)]
        upgrade: bool,
    },
    /// Read the configuration and all files it names, report all problems, and summarise what the
    /// proxy would do.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Query the running process, through its admin listener, for its liveness.
    Health {
        #[command(flatten)]
        config: ConfigFile,
        /// Query whether it is ready for traffic.
        #[arg(long)]
        ready: bool,
    },
    /// Examine a URL, or the listeners of a configuration, before Netdata Cloud uses them.
    Doctor(doctor::DoctorArguments),
    /// Act as Netdata Cloud: send a challenge or notifications to any URL.
    Send(Box<send::SendArguments>),
    /// Convert the configuration of another server, and report the result for each of its
    /// directives.
    Import {
        #[command(subcommand)]
        server: import::ImportSource,
    },
    /// Demonstrate the proxy with temporary certificates, an application, and a stand-in for Netdata
    /// Cloud.
    ///
    /// It plays a challenge, alerts and reachability notifications in both shapes, a Test
    /// notification, and forgeries, and shows for each what the client and the application received.
    /// Then the proxy and its status page continue to serve, until Ctrl-C, with commands to try.
    /// Everything stays on this machine.
    Demo {
        /// Exit after the last scene, with an error if a scene failed.
        #[arg(long)]
        once: bool,
    },
    /// Print the response to a challenge, for comparison by hand.
    Challenge {
        /// File with the challenge secret.
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// Decoded value of crc_token.
        token: String,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print a manual page: of the command line, or of the configuration.
    Man {
        /// The page; by default that of the command line.
        page: Option<man::ManPage>,
    },
    /// Print the help of a command or a page of the manual, or list all of them.
    Help {
        /// A command and its subcommand, or the name of a page. `manual/NAME` is always a page.
        #[arg(value_name = "COMMAND|PAGE")]
        words: Vec<String>,
    },
}

/// Environment variable with the path of the configuration file.
const CONFIG_VARIABLE: &str = "NETDATA_WEBHOOK_PROXY_CONFIG";

/// Default path of the configuration file.
const CONFIG_FILE: &str = "/etc/netdata-webhook-proxy/config.toml";

#[derive(clap::Args)]
struct ConfigFile {
    /// Path of the configuration file.
    #[arg(long = "config", value_name = "FILE", env = CONFIG_VARIABLE, default_value = CONFIG_FILE)]
    path: PathBuf,
}

/// Returns the path of the configuration file for commands without `--config`.
fn default_config() -> PathBuf {
    std::env::var_os(CONFIG_VARIABLE).map_or(CONFIG_FILE.into(), PathBuf::from)
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    unblock_signals();
    let arguments = CommandLine::try_parse().unwrap_or_else(|error| discreet(error).exit());
    let code = execute(arguments.command);
    telemetry::flush();
    code
}

fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run { config, upgrade } => run(&config.path, upgrade),
        Command::Check { config } => check(&config.path),
        Command::Health { config, ready } => health(&config.path, ready),
        Command::Doctor(arguments) => examine(&arguments),
        Command::Send(arguments) => send(&arguments),
        Command::Import { server } => import(&server),
        Command::Demo { once } => demonstrate(once),
        Command::Challenge { secret_file, token } => answer_challenge(&secret_file, &token),
        Command::Completions { shell } => {
            print_bytes(man::completions(CommandLine::command(), shell).as_bytes())
        }
        Command::Man { page: None } => match man::page(CommandLine::command()) {
            Ok(page) => print_bytes(&page),
            Err(error) => fail(FAILED, error),
        },
        Command::Man {
            page: Some(man::ManPage::Config),
        } => print_bytes(&man::configuration()),
        Command::Help { words } => match help::find(CommandLine::command(), &words) {
            Some(text) => print(text.trim_end(), SUCCESS),
            None => fail(
                USAGE,
                "no command or page has this name: `netdata-webhook-proxy help` lists all of them",
            ),
        },
    }
}

fn import(source: &import::ImportSource) -> ExitCode {
    match import::run(source) {
        Ok(imported) => {
            let written = output::line(&mut std::io::stdout(), imported.config.trim_end());
            telemetry::say(imported.report);
            printed(written, SUCCESS)
        }
        Err(failure) => {
            let code = fail(USAGE, &failure.error);
            let report = failure.report.to_string();
            if !report.is_empty() {
                telemetry::say(report.trim_end());
            }
            code
        }
    }
}

fn demonstrate(once: bool) -> ExitCode {
    match demo::run(once) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => fail(FAILED, "at least one scene failed"),
        Err(error) => fail(FAILED, error),
    }
}

/// Unblocks signals: some supervisors start programs with signals blocked, which would then ignore
/// them.
fn unblock_signals() {
    use nix::sys::signal::{SigSet, Signal};
    let obeyed = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGCHLD,
    ];
    // Ignore the error: it concerns sets of unknown signals only.
    let _ = SigSet::from_iter(obeyed).thread_unblock();
}

/// Returns the error without an unexpected argument that is not the name of an option: it may be a
/// password after an option that takes a path, or a key instead of that path.
fn discreet(error: clap::Error) -> clap::Error {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if error.kind() == ErrorKind::UnknownArgument => {
            argument
        }
        _ => return error,
    };
    if is_option_name(argument) {
        return error;
    }
    let message = "unexpected argument found; it is not shown because it may be a secret";
    CommandLine::command().error(ErrorKind::UnknownArgument, message)
}

fn is_option_name(argument: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    argument.starts_with('-') && !argument.starts_with("---") && argument.bytes().all(is_plain)
}

fn run(path: &Path, upgrade: bool) -> ExitCode {
    match serve(path, upgrade) {
        Ok(()) => ExitCode::SUCCESS,
        Err(RunError::Config(error)) => refuse_config(&error),
        Err(RunError::Other(error)) => fail(FAILED, error),
    }
}

enum RunError {
    Config(ConfigError),
    Other(String),
}

impl From<ConfigError> for RunError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

fn serve(path: &Path, upgrade: bool) -> Result<(), RunError> {
    let mut loaded = Config::load(path)?;
    telemetry::init(&loaded.config.log);
    let inherited = if upgrade {
        // The first load reports errors before the running process is contacted.
        let inherited = Inherited::from_running(&loaded.config.server)
            .map_err(|error| RunError::Other(error.to_string()))?;
        // The second one drops trust that the running process withdrew in the meantime. If it
        // fails, the running process goes on.
        loaded = Config::load(path)?;
        telemetry::change(&loaded.config.log);
        inherited
    } else {
        Inherited::from_systemd()
    };
    log_problems(&loaded);
    allocator::tidy();
    Server::bind(loaded, inherited, successor(path))
        .and_then(Server::run)
        .map_err(|error| RunError::Other(error.to_string()))
}

fn log_problems(loaded: &Loaded) {
    for error in &loaded.errors {
        tracing::error!(event = "config_error", "{error}");
    }
    for warning in &loaded.warnings {
        tracing::warn!(event = "config_warning", "{warning}");
    }
}

/// Returns how to start the successor of this process: as this process was started.
fn successor(config: &Path) -> Option<Launch> {
    let program = std::env::current_exe().ok()?;
    let arguments = [
        "run".into(),
        "--upgrade".into(),
        "--config".into(),
        config.into(),
    ];
    Some(Launch {
        program,
        arguments: arguments.into(),
    })
}

fn check(path: &Path) -> ExitCode {
    let loaded = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_config(&error),
    };
    for error in &loaded.errors {
        telemetry::say(format_args!("error: {error}"));
    }
    let config_warnings = loaded.warnings.iter().map(ToString::to_string);
    for warning in config_warnings.chain(check::warnings(&loaded.config)) {
        telemetry::say(format_args!("warning: {warning}"));
    }
    let code = if loaded.errors.is_empty() {
        SUCCESS
    } else {
        USAGE
    };
    print(check::describe(&loaded.config).trim_end(), code)
}

fn health(path: &Path, ready: bool) -> ExitCode {
    let remedy = "add [admin] with listen = \"127.0.0.1:9464\", and restart";
    let problem = match Config::load_admin(path) {
        Ok(Some(admin)) if admin.listen.port() != 0 => return query_health(&admin, ready),
        Ok(Some(_)) => "admin.listen uses port 0, so the port is unknown".to_owned(),
        Ok(None) => format!("{} has no admin listener to query", path.display()),
        Err(error) => return refuse_config(&error),
    };
    fail(USAGE, format_args!("{problem}: {remedy}"))
}

fn query_health(admin: &AdminSettings, ready: bool) -> ExitCode {
    let query = if ready {
        HealthQuery::Ready
    } else {
        HealthQuery::Live
    };
    match health::query(admin, query) {
        Ok(response) => print(response, SUCCESS),
        Err(error) => fail(FAILED, error),
    }
}

fn examine(arguments: &doctor::DoctorArguments) -> ExitCode {
    let report = match doctor::run(arguments, &default_config()) {
        Ok(report) => report,
        Err(error) => return fail(USAGE, error),
    };
    let code = if report.ok { SUCCESS } else { FAILED };
    match arguments.json {
        true => print(report.to_json(), code),
        false => print(&report, code),
    }
}

fn send(arguments: &send::SendArguments) -> ExitCode {
    match send::run(arguments, &mut std::io::stdout()) {
        Ok(SendVerdict::Accepted) => ExitCode::SUCCESS,
        Ok(SendVerdict::Refused) => ExitCode::from(FAILED),
        Ok(SendVerdict::Unreachable) => ExitCode::from(UNREACHABLE),
        Err(SendError::Usage(error)) => fail(USAGE, error),
        Err(SendError::Output(error)) => fail(FAILED, error),
    }
}

fn answer_challenge(secret_file: &Path, token: &str) -> ExitCode {
    match read_secret_file(secret_file) {
        Ok(secret) => print(challenge::answer(&secret, token), SUCCESS),
        Err(error) => fail(USAGE, error),
    }
}

/// Prints the result of a command. Returns `code` if that succeeds.
fn print(text: impl Display, code: u8) -> ExitCode {
    printed(output::line(&mut std::io::stdout(), text), code)
}

fn print_bytes(bytes: &[u8]) -> ExitCode {
    printed(output::bytes(&mut std::io::stdout(), bytes), SUCCESS)
}

fn printed(written: Result<(), OutputError>, code: u8) -> ExitCode {
    match written {
        Ok(()) => ExitCode::from(code),
        Err(error) => fail(FAILED, error),
    }
}

fn refuse_config(error: &ConfigError) -> ExitCode {
    for problem in &error.0 {
        telemetry::say(format_args!("error: {problem}"));
    }
    ExitCode::from(USAGE)
}

fn fail(code: u8, error: impl Display) -> ExitCode {
    telemetry::say(format_args!("error: {error}"));
    ExitCode::from(code)
}
