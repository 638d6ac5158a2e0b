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

use crate::config::{Config, ConfigError, Loaded, read_secret_file};
use crate::server::{Inherited, Launch, Server};
use crate::telemetry;
use crate::webhook::challenge;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use health::HealthQuery;
use output::NotWritten;
use send::{SendError, SendVerdict};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// It worked.
const SUCCESS: u8 = 0;
/// Failed while running.
const FAILED: u8 = 1;
/// The arguments or the configuration are wrong; clap uses it, too.
const USAGE: u8 = 2;
/// `send` could connect to nobody.
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
    /// Serve.
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Take the listening sockets over from the running process, as soon as that has received
        /// SIGQUIT.
        #[arg(long)]
        upgrade: bool,
    },
    /// Read the configuration and everything it names, report all problems, and say what would be
    /// done.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ask the running process, through its admin listener, whether it is alive.
    Health {
        #[command(flatten)]
        config: ConfigFile,
        /// Ask whether traffic should be sent to it.
        #[arg(long)]
        ready: bool,
    },
    /// Examine a URL, or the listeners of a configuration, before Netdata Cloud is pointed at them.
    Doctor(doctor::DoctorArguments),
    /// Play Netdata Cloud: send a challenge or notifications to any URL.
    Send(Box<send::SendArguments>),
    /// Write a configuration out of another server's, and say what became of each of its
    /// directives.
    Import {
        #[command(subcommand)]
        server: import::ImportSource,
    },
    /// Show what the proxy does: throw-away certificates, an application, the proxy, and a stand-in
    /// for Netdata Cloud.
    Demo {
        /// End after the last scene; fail unless every scene ended as it must.
        #[arg(long)]
        once: bool,
    },
    /// Print the answer to a challenge, to compare it by hand.
    Challenge {
        /// The file with the challenge secret.
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// The value of crc_token, decoded.
        token: String,
    },
    /// Print what a shell needs to complete this program's command line.
    Completions {
        /// The shell.
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

/// Names the configuration file.
const CONFIG_VARIABLE: &str = "NETDATA_WEBHOOK_PROXY_CONFIG";

/// Is the configuration file where nothing else is named.
const CONFIG_FILE: &str = "/etc/netdata-webhook-proxy/config.toml";

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long = "config", value_name = "FILE", env = CONFIG_VARIABLE, default_value = CONFIG_FILE)]
    path: PathBuf,
}

/// The configuration file where the command line names none.
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
        Command::Import { server } => match import::run(&server) {
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
        },
        Command::Demo { once } => match demo::run(once) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => fail(FAILED, "a scene did not end as it must"),
            Err(error) => fail(FAILED, error),
        },
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

/// Some supervisors start programs with signals blocked, which then never end by them.
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
    // It fails for a set of signals that there are not.
    let _ = SigSet::from_iter(obeyed).thread_unblock();
}

/// The error, without an argument that was not expected and is not the name of an option: it may be
/// a password behind an option that takes the name of a file, or a key in the place of that name.
fn discreet(error: clap::Error) -> clap::Error {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument))
            if error.kind() == ErrorKind::UnknownArgument
                && (!argument.starts_with('-')
                    || argument.starts_with("---")
                    || !argument.bytes().all(is_plain)) =>
        {
            let message =
                "unexpected argument found; it is not repeated here, for it may be a secret";
            CommandLine::command().error(ErrorKind::UnknownArgument, message)
        }
        _ => error,
    }
}

fn run(path: &Path, upgrade: bool) -> ExitCode {
    let mut loaded = match Config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return refuse_config(&error),
    };
    telemetry::init(&loaded.config.log);
    let inherited = if upgrade {
        // What is wrong was said before the running process is asked for anything. What it
        // withdrew, while this one waited, must not be trusted again: everything is read once more.
        // If it is wrong by now, the other goes on.
        let inherited = match Inherited::from_running(&loaded.config.server) {
            Ok(inherited) => inherited,
            Err(error) => return fail(FAILED, error),
        };
        loaded = match Config::load(path) {
            Ok(loaded) => loaded,
            Err(error) => return refuse_config(&error),
        };
        telemetry::change(&loaded.config.log);
        inherited
    } else {
        Inherited::from_systemd()
    };
    for error in &loaded.errors {
        tracing::error!(event = "config_error", "{error}");
    }
    for warning in &loaded.warnings {
        tracing::warn!(event = "config_warning", "{warning}");
    }
    allocator::tidy();
    match Server::bind(loaded, inherited, successor(path)).and_then(Server::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILED, error),
    }
}

/// How the program that succeeds this one is started: as this one was.
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
    match Config::load(path) {
        Ok(Loaded {
            config,
            errors,
            warnings,
            ..
        }) => {
            for error in &errors {
                telemetry::say(format_args!("error: {error}"));
            }
            let warnings = warnings
                .iter()
                .map(ToString::to_string)
                .chain(check::warnings(&config));
            for warning in warnings {
                telemetry::say(format_args!("warning: {warning}"));
            }
            print(
                check::describe(&config).trim_end(),
                if errors.is_empty() { SUCCESS } else { USAGE },
            )
        }
        Err(error) => refuse_config(&error),
    }
}

fn health(path: &Path, ready: bool) -> ExitCode {
    let remedy = "write [admin] with listen = \"127.0.0.1:9464\", and restart";
    let admin = match Config::load_admin(path) {
        Ok(Some(admin)) if admin.listen.port() != 0 => admin,
        Ok(Some(_)) => {
            return fail(
                USAGE,
                format_args!("nobody knows the port that the admin listener got: {remedy}"),
            );
        }
        Ok(None) => {
            return fail(
                USAGE,
                format_args!("{} has no admin listener to ask: {remedy}", path.display()),
            );
        }
        Err(error) => return refuse_config(&error),
    };
    match health::ask(
        admin,
        if ready {
            HealthQuery::Ready
        } else {
            HealthQuery::Live
        },
    ) {
        Ok(answer) => print(answer, SUCCESS),
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

/// Prints what was asked for, and ends with `code` if that worked.
fn print(text: impl Display, code: u8) -> ExitCode {
    printed(output::line(&mut std::io::stdout(), text), code)
}

fn print_bytes(bytes: &[u8]) -> ExitCode {
    printed(output::bytes(&mut std::io::stdout(), bytes), SUCCESS)
}

fn printed(written: Result<(), NotWritten>, code: u8) -> ExitCode {
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
