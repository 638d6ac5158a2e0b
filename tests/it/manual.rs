//! The manual page and the completions say what the command line takes: all of it, in forms that
//! others read.

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
            .filter(|name| *name != "help")
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
fn the_manual_page_has_every_command_and_option() {
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
fn the_manual_page_is_one() {
    let page = printed(&["man"]);
    assert_eq!(page.matches(".TH ").count(), 1);
    let Ok(mut groff) = Command::new("groff")
        .args(["-man", "-ww", "-Tascii"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return eprintln!("skipped: there is no groff");
    };
    groff
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = groff.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("certificate"));
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
