//! The languages of the applications in the documentation, and what runs them on this machine,
//! found by trying.

use super::{WEBHOOK, blocks};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A language with three applications in the documentation.
pub(crate) struct Language {
    /// Of its fenced block.
    fence: &'static str,
    file: &'static str,
    /// For how long a key of a route that stores nothing is kept, as it stands there, and a second
    /// instead.
    pub(crate) memory: [&'static str; 2],
    /// What runs a program, or what is missing here.
    prepare: fn(&Path) -> Result<Command, &'static str>,
}

impl Language {
    pub(crate) const FLASK: Self = Self {
        fence: "python",
        file: "receiver.py",
        memory: ["else 60", "else 1"],
        prepare: prepare_python,
    };
    pub(crate) const EXPRESS: Self = Self {
        fence: "js",
        file: "receiver.js",
        memory: [": 60;", ": 1;"],
        prepare: prepare_node,
    };
    pub(crate) const GO: Self = Self {
        fence: "go",
        file: "receiver.go",
        memory: ["time.Minute", "time.Second"],
        prepare: prepare_go,
    };
    pub(crate) const AXUM: Self = Self {
        fence: "rust,ignore",
        file: "receiver.rs",
        memory: ["{ 60 }", "{ 1 }"],
        prepare: prepare_rust,
    };

    /// The short application, as the documentation shows it.
    pub(crate) fn short(&self) -> &'static str {
        self.programs()[0]
    }

    /// The one that acts once on each notification.
    pub(crate) fn careful(&self) -> &'static str {
        self.programs()[1]
    }

    /// The one that verifies signatures.
    pub(crate) fn verifying(&self) -> &'static str {
        self.programs()[2]
    }

    fn programs(&self) -> [&'static str; 3] {
        let mut programs: Vec<_> = blocks(self.fence)
            .into_iter()
            .filter(|block| block.contains(WEBHOOK))
            .collect();
        // The README has one of those of the manual.
        programs.dedup();
        programs
            .try_into()
            .unwrap_or_else(|programs: Vec<_>| panic!("{} in {}", programs.len(), self.fence))
    }

    /// What runs `program`, of which the file is in `directory`, or what is missing here.
    pub(crate) fn run(&self, program: &str, directory: &Path) -> Result<Command, &'static str> {
        let source = directory.join(self.file);
        std::fs::write(&source, program).unwrap();
        (self.prepare)(&source)
    }
}

/// Debian's own, beside the first of the name: it is the one that Debian's packages are for.
fn interpreters(name: &str) -> [Command; 2] {
    [
        Command::new(name),
        Command::new(Path::new("/usr/bin").join(name)),
    ]
}

/// The first of `commands` that runs `probe` well.
fn working(commands: impl IntoIterator<Item = Command>, probe: [&str; 2]) -> Option<Command> {
    commands.into_iter().find(|command| {
        let mut trial = Command::new(command.get_program());
        trial.args(probe).envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        trial.output().is_ok_and(|output| output.status.success())
    })
}

fn prepare_python(source: &Path) -> Result<Command, &'static str> {
    let mut python = working(interpreters("python3"), ["-c", "import flask"])
        .ok_or("no python3 has flask (Debian package python3-flask)")?;
    // Otherwise it keeps what it prints until there is more.
    python.env("PYTHONUNBUFFERED", "1").arg(source);
    Ok(python)
}

fn prepare_node(source: &Path) -> Result<Command, &'static str> {
    // Debian's modules are where only Debian's own node looks by itself.
    let elsewhere = interpreters("node").map(|mut node| {
        node.env("NODE_PATH", "/usr/share/nodejs");
        node
    });
    let mut node = working(
        interpreters("node").into_iter().chain(elsewhere),
        ["-e", "require('express')"],
    )
    .ok_or("no node has express (Debian package node-express)")?;
    node.arg(source);
    Ok(node)
}

fn prepare_go(source: &Path) -> Result<Command, &'static str> {
    let mut go = working(interpreters("go"), ["env", "GOROOT"])
        .ok_or("there is no go (Debian package golang-go)")?;
    let program = source.with_extension("");
    go.args(["build", "-o"])
        .args([&program, source])
        .env("GOPROXY", "off")
        .env("GOTOOLCHAIN", "local");
    // The standard library is compiled once and kept, but not in the user's home.
    go.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    compile(go).unwrap_or_else(|error| panic!("{error}"));
    Ok(Command::new(program))
}

/// Like an example in the documentation: against the dependencies of this test, as they have been
/// compiled for it.
fn prepare_rust(source: &Path) -> Result<Command, &'static str> {
    let program = source.with_extension("");
    let text = std::fs::read_to_string(source).unwrap();
    let compile_with = |libraries: &[(&str, PathBuf)]| {
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition=2024", "-o"])
            .args([&program, source]);
        rustc
            .arg("-L")
            .arg(format!("dependency={}", dependencies().display()));
        for (name, library) in libraries {
            rustc
                .arg("--extern")
                .arg(format!("{name}={}", library.display()));
        }
        compile(rustc)
    };
    let names = ["axum", "tokio", "serde_json", "standardwebhooks"];
    let needed = names.into_iter().filter(|name| text.contains(name));
    // Where there are several builds of one, not all fit together; the latest usually do.
    let choices = needed.fold(vec![Vec::new()], |choices, name| {
        let builds = builds(name);
        let with_each = |choice: Vec<(&'static str, PathBuf)>| {
            let added = builds.iter().map(|build| (name, build.clone()));
            let longer = added.map(|added| [choice.clone(), vec![added]].concat());
            longer.collect::<Vec<_>>()
        };
        choices.into_iter().flat_map(with_each).collect()
    });
    let mut attempts = choices.iter().map(|choice| compile_with(choice));
    let first = attempts.next().expect("the dependencies are compiled");
    first
        .or_else(|error| attempts.find_map(Result::ok).ok_or(error))
        .unwrap_or_else(|error| panic!("{error}"));
    Ok(Command::new(program))
}

/// Where Cargo has put what this test is linked to.
fn dependencies() -> PathBuf {
    std::env::current_exe()
        .unwrap()
        .parent()
        .unwrap()
        .to_owned()
}

/// The compiled forms of a dependency, of which several may have been left behind, the latest
/// first.
fn builds(name: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dependencies())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_build = |path: &PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap_or_default();
        file.strip_prefix("lib")
            .and_then(|file| file.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('-'))
            && file.ends_with(".rlib")
    };
    let mut builds: Vec<_> = files.filter(is_build).collect();
    builds.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().modified().unwrap()));
    builds.truncate(3);
    builds
}

fn compile(mut compiler: Command) -> Result<(), String> {
    let output = compiler.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
