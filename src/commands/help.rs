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
pub(super) fn find(mut program: Command, words: &[String]) -> Option<String> {
    // Completes the usage lines, which contain the names of the commands above.
    program.build();
    let Some(first) = words.first() else {
        return Some(contents(&mut program));
    };
    let name = first.strip_prefix(MANUAL);
    if let Some(command) = descend(&mut program, words) {
        return Some(help_of_command(command, words));
    }
    match words {
        [_] => page(name.unwrap_or(first)).map(str::to_owned),
        _ => None,
    }
}

fn descend<'c>(program: &'c mut Command, words: &[String]) -> Option<&'c mut Command> {
    words
        .iter()
        .try_fold(program, |command, word| command.find_subcommand_mut(word))
}

fn help_of_command(command: &mut Command, words: &[String]) -> String {
    let mut text = command.render_long_help().to_string();
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

/// Returns the help of the program, with a list of the pages.
fn contents(program: &mut Command) -> String {
    let mut text = program.render_long_help().to_string();
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
