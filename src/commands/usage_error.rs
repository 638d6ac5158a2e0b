//! Errors of the command line, in words that help, and that repeat nothing that may be a secret.

use super::CommandLine;
use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Returns the error without an unexpected argument that is not the name of an option: it may be a
/// password after an option that takes a path, or a key instead of that path.
pub(super) fn discreet(error: clap::Error) -> clap::Error {
    if is_url_for_command(&error) {
        return CommandLine::command().error(ErrorKind::InvalidSubcommand, URL_FOR_COMMAND);
    }
    if holds_other_argument(&error) {
        return CommandLine::command().error(ErrorKind::UnknownArgument, HIDDEN);
    }
    error
}

const URL_FOR_COMMAND: &str = "a URL stands after what is to be done, and must begin with https://, as in \"send alert \
                               https://hooks.example/webhooks/netdata\"";

const HIDDEN: &str = "unexpected argument found; it is not shown because it may be a secret";

/// Returns `true` if there is an unexpected argument that is not the name of an option.
fn holds_other_argument(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => {
            error.kind() == ErrorKind::UnknownArgument && !is_option_name(argument)
        }
        _ => false,
    }
}

/// Returns `true` if there is a URL, or a part of one, in place of a command.
fn is_url_for_command(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(argument)) => argument.contains([':', '/', '.']),
        _ => false,
    }
}

fn is_option_name(argument: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    argument.starts_with('-') && !argument.starts_with("---") && argument.bytes().all(is_plain)
}
