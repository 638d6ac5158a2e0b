//! The manual pages and the completion scripts, generated from the command line and the manual, so
//! that they are never out of date.

mod markdown;
mod sections;

use crate::manual;
use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::io;

/// The pages beside that of the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum ManPage {
    /// The configuration, for section 5.
    Config,
}

/// Returns a script with which `shell` completes the command line.
pub(super) fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, &name, &mut script);
    let script = String::from_utf8_lossy(&script);
    // For bash, clap_complete spells a name with hyphens in two ways, so subcommands are not
    // completed (clap issue 6421).
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}

/// Returns the page of the configuration, for section 5.
pub(super) fn configuration() -> Vec<u8> {
    let mut page = Roff::new();
    page.control("TH", ["netdata-webhook-proxy-config", "5"])
        .control("SH", ["NAME"])
        .text([roman(
            "netdata-webhook-proxy-config - configuration file of netdata-webhook-proxy",
        )]);
    let pages = ["configuration", "upstreams", "delivery"].map(manual::page);
    page.extend(pages.into_iter().flatten().map(markdown::to_roff));
    page.control("SH", ["SEE ALSO"])
        .text([bold("netdata-webhook-proxy"), roman("(1)")]);
    page.render().into_bytes()
}

/// Returns the page of the command line: each command is a section, with its options.
pub(super) fn page(mut command: Command) -> io::Result<Vec<u8>> {
    // Fills in derived parts: usage lines, and the options that all commands have.
    command.build();
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    commands(&command, "", &mut page)?;
    page.extend(sections::all(&command).to_roff().into_bytes());
    Ok(page)
}

/// Appends a section for each command below `parent`, whose own words are `path`.
fn commands(parent: &Command, path: &str, page: &mut Vec<u8>) -> io::Result<()> {
    for command in parent
        .get_subcommands()
        .filter(|command| path.is_empty() || command.get_name() != "help")
    {
        let path = format!("{path}{} ", command.get_name());
        page.extend(
            Roff::new()
                .control("SH", [path.trim_end()])
                .to_roff()
                .into_bytes(),
        );
        page.extend(parts(command)?);
        commands(command, &path, page)?;
    }
    Ok(())
}

/// Returns the usage, the description and the options of a command, as parts of its section.
fn parts(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut sections = Vec::new();
    man.render_synopsis_section(&mut sections)?;
    man.render_description_section(&mut sections)?;
    man.render_options_section(&mut sections)?;
    let text = String::from_utf8_lossy(&sections).into_owned();
    // The page defines apostrophes once; a section within a section is a subsection.
    let lines = text
        .lines()
        .filter(|line| !line.contains(".ds Aq "))
        .map(|line| line.replacen(".SH ", ".SS ", 1) + "\n");
    Ok(lines.collect::<String>().into_bytes())
}
