//! The command line: arguments in, exit code out.

mod allocator;
pub mod check;
pub(crate) mod client;
mod demo;
mod doctor;
mod examples;
mod forged_subjects;
mod health;
mod help;
pub mod import;
mod init;
mod man;
mod new_files;
mod output;
mod queue;
mod run;
mod send;
mod terminal;
mod usage_error;

use crate::config::{AdminSettings, Config, ConfigError, read_secret_file};
use crate::telemetry;
use crate::webhook::challenge;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use health::HealthQuery;
use nix::sys::signal::{SigSet, Signal};
use nu_ansi_term::Color;
use output::OutputError;
use queue::QueueError;
use send::{SendError, SendVerdict};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use terminal::Terminal;

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
    disable_help_subcommand = true,
    after_help = examples::PROGRAM
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    #[command(after_help = examples::RUN)]
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// Take over the listening sockets of the running process as soon as that has received
        /// SIGQUIT.
        #[arg(long)]
        upgrade: bool,
        /// Log every field of every line, on a terminal as well.
        #[arg(short, long)]
        verbose: bool,
    },
    /// Read the configuration and all files it names, report all problems, and summarise what the
    /// proxy would do.
    #[command(after_help = examples::CHECK)]
    Check(check::CheckArguments),
    /// Create a directory with a configuration, in which everything is explained, and a challenge
    /// secret.
    #[command(after_help = examples::INIT)]
    Init {
        /// Directory for config.toml and challenge.secret. It is created if it does not exist.
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print a configuration with every key and its default.
    #[command(after_help = examples::EXAMPLE)]
    Example,
    /// Query the running process, through its admin listener, for its liveness.
    #[command(after_help = examples::HEALTH)]
    Health {
        #[command(flatten)]
        config: ConfigFile,
        /// Query whether it is ready for traffic.
        #[arg(long)]
        ready: bool,
    },
    /// Examine a URL, or the listeners of a configuration, before Netdata Cloud uses them.
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::DoctorArguments),
    /// Look at the notifications in the queue, and send, park or drop them.
    #[command(after_help = examples::QUEUE)]
    Queue(Box<queue::QueueArguments>),
    /// Act as Netdata Cloud: send a challenge or notifications to any URL.
    Send(Box<send::SendArguments>),
    /// Convert the configuration of another server, and report the result for each of its
    /// directives.
    #[command(after_help = examples::IMPORT)]
    Import {
        #[command(subcommand)]
        server: import::ImportSource,
    },
    /// Demonstrate the proxy with temporary certificates, an application, and a stand-in for Netdata
    /// Cloud.
    ///
    /// It plays a challenge, alerts and reachability notifications in both shapes, a Test
    /// notification, alerts that the application misses, and forgeries, and shows for each what the client and the application received.
    /// Then the proxy and its status page continue to serve, until Ctrl-C, with commands to try.
    /// Everything stays on this machine.
    #[command(after_help = examples::DEMO)]
    Demo {
        /// Exit after the last scene, with an error if a scene failed.
        #[arg(long)]
        once: bool,
    },
    /// Print the response to a challenge, for comparison by hand.
    #[command(after_help = examples::CHALLENGE)]
    Challenge {
        /// File with the challenge secret.
        #[arg(long, value_name = "FILE")]
        secret_file: PathBuf,
        /// Decoded value of crc_token.
        token: String,
    },
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Shell that the script is for.
        shell: Shell,
    },
    /// Print a manual page: of the command line, or of the configuration.
    #[command(after_help = examples::MAN)]
    Man {
        /// The page; by default that of the command line.
        page: Option<man::ManPage>,
    },
    /// Print the help of a command or a page of the manual, or list all of them.
    #[command(after_help = examples::HELP)]
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
    #[arg(short = 'c', long = "config", value_name = "FILE", env = CONFIG_VARIABLE, default_value = CONFIG_FILE, global = true)]
    path: PathBuf,
}

/// A configuration with every key.
const EXAMPLE: &str = include_str!("../../conf/example.toml");

/// Returns the path of the configuration file for commands without `--config`.
fn default_config() -> PathBuf {
    std::env::var_os(CONFIG_VARIABLE).map_or(CONFIG_FILE.into(), PathBuf::from)
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    unblock_signals();
    let arguments =
        CommandLine::try_parse().unwrap_or_else(|error| usage_error::discreet(error).exit());
    let code = execute(arguments.command);
    telemetry::flush();
    code
}

fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run {
            config,
            upgrade,
            verbose,
        } => run(&config.path, upgrade, verbose),
        Command::Check(arguments) => check(&arguments),
        Command::Init { directory } => initialise(&directory),
        Command::Example => print_bytes(EXAMPLE.as_bytes()),
        Command::Health { config, ready } => health(&config.path, ready),
        Command::Doctor(arguments) => examine(&arguments),
        Command::Queue(arguments) => manage_queue(&arguments),
        Command::Send(arguments) => send(&arguments),
        Command::Import { server } => import(&server),
        Command::Demo { once } => demonstrate(once),
        Command::Challenge { secret_file, token } => answer_challenge(&secret_file, &token),
        Command::Completions { shell } => complete(shell),
        Command::Man { page } => print_page(page),
        Command::Help { words } => help(&words),
    }
}

fn print_page(page: Option<man::ManPage>) -> ExitCode {
    let page = match page {
        Some(man::ManPage::Config) => Ok(man::configuration()),
        None => man::page(CommandLine::command()),
    };
    match page {
        Ok(page) => print_bytes(&page),
        Err(error) => fail(FAILED, error),
    }
}

fn help(words: &[String]) -> ExitCode {
    match help::find(CommandLine::command(), words) {
        Some(text) => print(text.trim_end(), SUCCESS),
        None => fail(
            USAGE,
            "no command or page has this name: `netdata-webhook-proxy help` lists all of them",
        ),
    }
}

fn complete(shell: Shell) -> ExitCode {
    print_bytes(man::completions(CommandLine::command(), shell).as_bytes())
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
    // Ignore the error: it concerns sets of unknown signals only.
    let _ = SigSet::from_iter(OBEYED).thread_unblock();
}

/// Signals that have an effect on this program.
const OBEYED: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

fn run(path: &Path, upgrade: bool, verbose: bool) -> ExitCode {
    match run::serve(path, upgrade, verbose) {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::RunError::Config(error)) => explain_config(&error),
        Err(run::RunError::Other(error)) => fail(FAILED, error),
    }
}

fn initialise(directory: &Path) -> ExitCode {
    match init::make(directory) {
        Ok(next_steps) => print(next_steps, SUCCESS),
        Err(error) => fail(USAGE, error),
    }
}

fn check(arguments: &check::CheckArguments) -> ExitCode {
    let loaded = match arguments.load() {
        Ok(loaded) => loaded,
        Err(error) => return explain_config(&error),
    };
    let found = check::look_around(&loaded);
    let errors: Vec<_> = loaded.errors.iter().chain(&found.errors).collect();
    errors.iter().for_each(|error| complain("error", error));
    for warning in loaded.warnings.iter().chain(&found.warnings) {
        complain("warning", warning);
    }
    let code = match errors.is_empty() {
        true => SUCCESS,
        false => USAGE,
    };
    let summary = check::describe(&loaded.config) + &found.summary;
    print(check::render(&summary, Terminal::stdout()), code)
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
        false => print(report.render(Terminal::stdout()), code),
    }
}

fn manage_queue(arguments: &queue::QueueArguments) -> ExitCode {
    match queue::run(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(QueueError::Config(error)) => {
            let code = refuse_config(&error);
            telemetry::say("or name the file of the queue with --file");
            code
        }
        Err(error @ QueueError::NoQueue) => fail(USAGE, error),
        Err(error) => fail(FAILED, error),
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

/// Prints what is wrong with a configuration, and the lines that are not TOML.
fn explain_config(error: &ConfigError) -> ExitCode {
    for problem in &error.0 {
        complain("error", problem);
        problem.excerpt().into_iter().for_each(telemetry::say);
    }
    ExitCode::from(USAGE)
}

/// Prints what is wrong with a configuration, a line for each problem.
fn refuse_config(error: &ConfigError) -> ExitCode {
    for problem in &error.0 {
        complain("error", problem);
    }
    ExitCode::from(USAGE)
}

fn fail(code: u8, error: impl Display) -> ExitCode {
    complain("error", error);
    ExitCode::from(code)
}

/// Says what is wrong on standard error. `label` is "error" or "warning".
fn complain(label: &str, problem: impl Display) {
    let terminal = Terminal::stderr();
    let colour = if label == "error" {
        Color::Red
    } else {
        Color::Yellow
    };
    let problem = terminal.wrap(&problem.to_string(), label.len() + 2);
    let label = terminal.paint(colour.bold(), label);
    telemetry::say(format_args!("{label}: {problem}"));
}
