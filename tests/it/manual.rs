//! The manual pages, the completions and `help` describe the whole command line and configuration,
//! in forms that other programs read.

use crate::support::{PAGES, page};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"))
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Every command, as its words, and what its `--help` says.
fn commands() -> Vec<(Vec<String>, String)> {
    let mut commands = vec![(Vec::new(), printed(&["--help"]))];
    let mut next = 0;
    while let Some((words, help)) = commands.get(next).cloned() {
        let listed = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty());
        for name in listed
            .filter_map(|line| line.split_whitespace().next())
            // Only the program's own has more to it than clap's.
            .filter(|name| words.is_empty() || *name != "help")
        {
            let words = [&words[..], &[name.to_owned()]].concat();
            let arguments: Vec<_> = words.iter().map(String::as_str).chain(["--help"]).collect();
            commands.push((words.clone(), printed(&arguments)));
        }
        next += 1;
    }
    commands
}

/// The long options that a `--help` lists.
fn options(help: &str) -> BTreeSet<&str> {
    let lines = help
        .lines()
        .filter_map(|line| line.strip_prefix(' '))
        .map(str::trim_start);
    let long = lines.map(|line| match line.split_once(", ") {
        Some((short, long)) if short.len() == 2 => long,
        _ => line,
    });
    let ends = |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '-';
    long.filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split(ends).next())
        .collect()
}

/// What the command `words` is said to be in the page, without the markup.
fn section(page: &str, words: &[String]) -> String {
    let plain = page
        .replace("\\*(Aq", "'")
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "")
        .replace("\\fI", "");
    let mut sections = plain.split("\n.SH ");
    match words.join(" ").as_str() {
        "" => sections
            .take_while(|section| !section.starts_with("run\n"))
            .collect(),
        path => {
            let titles = [format!("{path}\n"), format!("\"{path}\"\n")];
            let own = sections.find(|section| {
                titles
                    .iter()
                    .any(|title| section.starts_with(title.as_str()))
            });
            own.unwrap_or_else(|| panic!("there is no section {path}"))
                .to_owned()
        }
    }
}

#[test]
fn the_manual_page_of_the_program_has_every_command_and_option() {
    let page = printed(&["man"]);
    let commands = commands();
    let names: Vec<_> = commands.iter().map(|(words, _)| words.join(" ")).collect();
    for expected in [
        "run",
        "check",
        "doctor",
        "send",
        "send alert",
        "send certificate",
        "completions",
        "man",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} in {names:?}"
        );
    }
    let mut found = 0;
    for (words, help) in &commands {
        let section = section(&page, words);
        let about = help.lines().next().unwrap();
        assert!(
            section.contains(&about[..about.len().min(60)]),
            "{about:?} in {section}"
        );
        for option in options(help) {
            assert!(
                section.contains(&format!("\n{option}")) || section.contains(&format!(" {option}")),
                "{option} of {words:?}"
            );
            found += 1;
        }
    }
    assert!(found > 80, "{found}");
    for variable in ["NETDATA_WEBHOOK_PROXY_CONFIG", "EXIT STATUS"] {
        assert!(page.contains(variable), "{variable}");
    }
}

#[test]
fn the_manual_pages_are_well_formed() {
    for arguments in [&["man"][..], &["man", "config"]] {
        let page = printed(arguments);
        assert_eq!(page.matches(".TH ").count(), 1);
        let Some(text) = formatted(&page) else {
            return eprintln!("skipped: there is no groff");
        };
        assert!(text.contains("certificate"), "{text}");
    }
}

/// The page as groff formats it, without warnings. `None` if there is no groff.
fn formatted(page: &str) -> Option<String> {
    let mut groff = Command::new("groff")
        .args(["-man", "-ww", "-Tascii"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    // In a thread, because groff writes before it has read everything.
    let (mut input, page) = (groff.stdin.take().unwrap(), page.to_owned());
    let writer = std::thread::spawn(move || input.write_all(page.as_bytes()));
    let output = groff.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The keys of the example with every key, as the manual writes them.
fn keys() -> Vec<String> {
    let mut prefix = String::new();
    let mut keys = Vec::new();
    for line in include_str!("../../conf/example.toml").lines() {
        if let Some(section) = line.strip_prefix('[') {
            let section = section.trim_start_matches('[').split(']').next().unwrap();
            prefix = match section.strip_prefix("routes") {
                _ if section.starts_with("upstreams.") => String::new(),
                Some(rest) => format!("{rest}.").trim_start_matches('.').to_owned(),
                None => format!("{section}."),
            };
        } else if let Some((key, _)) = line.split_once(" = ")
            && !line.starts_with(['#', ' '])
        {
            keys.push(format!("{prefix}{key}"));
        }
    }
    keys
}

/// The commands of the example in a `--help`.
fn examples(help: &str) -> Vec<&str> {
    let example = help.split("\nExample:\n").nth(1).unwrap_or_default();
    let lines = example.lines().take_while(|line| line.starts_with("  "));
    lines.map(str::trim_start).collect()
}

#[test]
fn each_command_has_an_example_in_its_help_and_on_the_page() {
    let page = printed(&["man"])
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "");
    let on_page = page.split("\n.SH EXAMPLES\n").nth(1).unwrap();
    for (words, help) in commands() {
        let own = format!("netdata-webhook-proxy {}", words.join(" "));
        let examples = examples(&help);
        assert!(
            examples.iter().any(|it| it.starts_with(own.trim_end())),
            "{words:?}: {help}"
        );
        let has_more = help.contains("\nCommands:\n");
        for example in examples.into_iter().filter(|_| !has_more) {
            assert!(
                on_page.lines().any(|line| line == example),
                "{example} in {on_page}"
            );
        }
    }
}

#[test]
fn the_page_says_what_concerns_every_command() {
    let page = printed(&["man"])
        .replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fR", "");
    let section = |title: &str| {
        let rest = page.split(&format!("\n.SH {title}\n")).nth(1);
        let rest = rest.unwrap_or_else(|| panic!("{title} in {page}"));
        rest.split("\n.SH ").next().unwrap().to_owned()
    };
    for (title, words) in [
        (
            "FILES",
            &[
                "/etc/netdata-webhook-proxy/config.toml",
                "/run/credentials/",
            ][..],
        ),
        (
            "SIGNALS",
            &[
                "SIGHUP\nreload the configuration",
                "SIGTERM",
                "SIGQUIT",
                "SIGUSR2",
            ],
        ),
        (
            "ENVIRONMENT",
            &[
                "NETDATA_WEBHOOK_PROXY_CONFIG",
                "CREDENTIALS_DIRECTORY",
                "SSL_CERT_FILE",
            ],
        ),
        (
            "\"EXIT STATUS\"",
            &["0\nsuccess", "2\nthe arguments", "3\nsend"],
        ),
    ] {
        let section = section(title);
        for word in words {
            assert!(section.contains(word), "{word} in {title}: {section}");
        }
    }
}

#[test]
fn the_manual_page_of_the_configuration_has_every_key() {
    let page = printed(&["man", "config"]);
    let keys = keys();
    assert!(keys.len() > 60, "{keys:?}");
    for key in keys {
        let term = format!("\n.TP\n\\fB{key}\\fR");
        let listed = format!(", \\fB{key}\\fR");
        assert!(page.contains(&term) || page.contains(&listed), "{key}");
    }
    for markup in ["](", "][", "**", "`", "|---"] {
        assert!(!page.contains(markup), "{markup} in {page}");
    }
}

#[test]
fn help_prints_commands_and_pages() {
    let all = printed(&["help"]);
    for expected in [
        "\n  import ",
        "\n  configuration ",
        "\n  doctor ",
        "--version",
    ] {
        assert!(all.contains(expected), "{expected:?} in {all}");
    }
    for (path, text) in PAGES.iter().skip(1) {
        let name = path.strip_prefix("src/manual/").unwrap();
        let name = name.strip_suffix(".md").unwrap();
        assert_eq!(printed(&["help", &format!("manual/{name}")]), *text);
    }
    assert_eq!(printed(&["help", "upstreams"]), page("upstreams"));
    for words in [&["run"][..], &["import", "nginx"]] {
        let help = printed(&[words, &["--help"]].concat());
        assert_eq!(printed(&[&["help"], words].concat()), help);
    }
}

#[test]
fn help_prefers_commands_and_names_the_page() {
    for name in ["doctor", "send"] {
        let (command, help) = (printed(&[name, "--help"]), printed(&["help", name]));
        let rest = help.strip_prefix(&command).unwrap();
        assert!(rest.contains(&format!(" help manual/{name}\n")), "{rest}");
        assert_ne!(help, page(name));
    }
}

#[test]
fn help_refuses_what_it_does_not_have() {
    for wrong in [
        &["secret"][..],
        &["manual/run"],
        &["send", "doctor"],
        &["upstreams", "run"],
    ] {
        let output = program(&[&["help"], wrong].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(
            said.contains("`netdata-webhook-proxy help` lists all"),
            "{said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn completions_have_every_command_and_option() {
    for shell in SHELLS {
        let script = printed(&["completions", shell]);
        for (words, help) in commands() {
            let name = words.last().map_or("netdata-webhook-proxy", String::as_str);
            assert!(script.contains(name), "{name} for {shell}");
            for option in options(&help) {
                // fish has them without the dashes.
                assert!(
                    script.contains(option) || script.contains(&format!("-l {}", &option[2..])),
                    "{option} for {shell}"
                );
            }
        }
    }
    for wrong in [&["completions"][..], &["completions", "tcsh"]] {
        assert_eq!(program(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn completions_are_what_shells_read() {
    for shell in ["bash", "zsh", "fish"] {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), printed(&["completions", shell])).unwrap();
        match Command::new(shell).arg("-n").arg(script.path()).output() {
            Ok(output) => assert!(
                output.status.success() && output.stderr.is_empty(),
                "{shell}: {output:?}"
            ),
            Err(_) => eprintln!("skipped: there is no {shell}"),
        }
    }
}

#[test]
fn bash_completes() {
    if Command::new("bash").arg("-c").arg("true").status().is_err() {
        return eprintln!("skipped: there is no bash");
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), printed(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| {
        let line = format!(
            "source \"$0\"; COMP_WORDS=(netdata-webhook-proxy {}); COMP_CWORD={}; \
             complete=$(complete -p netdata-webhook-proxy); complete=${{complete#*-F }}; \
             ${{complete%% *}} netdata-webhook-proxy \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len()
        );
        let output = Command::new("bash")
            .arg("-c")
            .arg(line)
            .arg(script.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed(&["sen"]), "send");
    assert_eq!(completed(&["send", "reach"]), "reachability");
    assert_eq!(completed(&["send", "alert", "--sev"]), "--severity");
    assert_eq!(
        completed(&["send", "alert", "--severity", "cr"]),
        "critical"
    );
}
