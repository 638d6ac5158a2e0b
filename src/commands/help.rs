//! The help of a command, or a page of the manual.
//!
//! A command takes precedence over a page of the same name, because `help NAME` describes a command
//! in most programs. `help manual/NAME` always means the page.

use crate::manual::{PAGES, page};
use clap::Command;
use std::fmt::Write as _;

/// Marks a name as that of a page.
const MANUAL: &str = "manual/";

/// Returns the help of the command, or the text of the page, that `words` name: of `program` itself
/// and a list of all pages, if there are none.
pub(super) fn find(program: Command, words: &[String]) -> Option<String> {
    let Some(first) = words.first() else {
        return Some(contents(program));
    };
    if is_command(&program, words) {
        return Some(help_of_command(program, words));
    }
    let name = first.strip_prefix(MANUAL).unwrap_or(first);
    match words {
        [_] => page(name).map(str::to_owned),
        _ => None,
    }
}

fn is_command(program: &Command, words: &[String]) -> bool {
    let found = words
        .iter()
        .try_fold(program, |command, word| command.find_subcommand(word));
    found.is_some()
}

fn help_of_command(program: Command, words: &[String]) -> String {
    let mut text = help_option(program, words);
    if let [name] = words
        && page(name).is_some()
    {
        let _ = write!(
            text,
            "\nThe manual has a page with this name: netdata-webhook-proxy help {MANUAL}{name}\n"
        );
    }
    text
}

/// Returns the output of `--help` after the command `words`.
fn help_option(mut program: Command, words: &[String]) -> String {
    let name = program.get_name().to_owned();
    let arguments = std::iter::once(&name).chain(words).map(String::as_str);
    match program.try_get_matches_from_mut(arguments.chain(["--help"])) {
        Err(help) => help.to_string(),
        Ok(_) => String::new(),
    }
}

/// Returns the help of the program, with a list of the pages.
fn contents(program: Command) -> String {
    let mut text = help_option(program, &[]);
    text += "\nPages of the manual:\n";
    for (name, page) in PAGES {
        let title = page.lines().next().unwrap_or_default();
        let title = title.trim_start_matches("# ");
        let _ = writeln!(text, "  {name:<15} {title}");
    }
    let _ = writeln!(
        text,
        "\nRead one with `netdata-webhook-proxy help PAGE`; {MANUAL}PAGE is a page even if a command \
         has its name."
    );
    text
}
