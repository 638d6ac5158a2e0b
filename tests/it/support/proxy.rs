//! The built binary, with a configuration of its own.

use super::{Edit as _, Origin, PATIENCE, Pki, eventually};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The path of the webhook in [`Proxy::config`].
pub(crate) const WEBHOOK: &str = "/webhooks/netdata";

/// A running proxy, which ends with this.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) config: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// The smallest configuration in front of `origin`, with `pki` for the server and as the only
    /// authority. `route` comes behind the route's keys.
    pub(crate) fn config(origin: &Origin, verify: &str, route: &str) -> String {
        Self::config_for(&origin.url, verify, route)
    }

    /// Likewise, in front of the application at `upstream`.
    pub(crate) fn config_for(upstream: &str, verify: &str, route: &str) -> String {
        format!(
            "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\ncertificate = \"server.pem\"\nprivate_key = \"server.key\"\n\
             [tls.client]\nca = \"ca.pem\"\nverify = \"{verify}\"\n[server]\nthreads = 2\n\
             [[routes]]\npath = \"{WEBHOOK}\"\nupstream = \"{upstream}\"\n\
             challenge_secret = {{ file = \"challenge.secret\" }}\n{route}\n"
        )
    }

    /// Likewise, with a group `app` of `origins`, of which `group` are the further keys.
    pub(crate) fn config_of_group(origins: &[&Origin], group: &str) -> String {
        let servers: Vec<_> = origins
            .iter()
            .map(|origin| format!("{:?}", origin.url))
            .collect();
        let config = Self::config(origins[0], "require", "")
            .edit(&format!("{:?}", origins[0].url), "\"app\"");
        format!(
            "{config}[upstreams.app]\nservers = [{}]\n{group}\n",
            servers.join(", ")
        )
    }

    /// In front of `origin`, as [`Proxy::config`] has it.
    pub(crate) fn in_front_of(origin: &Origin, pki: &Pki, verify: &str, route: &str) -> Self {
        Self::spawn(pki, &Self::config(origin, verify, route))
    }

    /// With `config`, in the directory of `pki`. Waits until it is ready.
    pub(crate) fn spawn(pki: &Pki, config: &str) -> Self {
        let proxy = Self::start(pki, config);
        proxy.wait_for_event("ready");
        proxy
    }

    /// Likewise, as [`Proxy::start_with`] has it.
    pub(crate) fn spawn_with(pki: &Pki, config: &str, variables: &[(&str, PathBuf)]) -> Self {
        let proxy = Self::start_with(pki, config, variables);
        proxy.wait_for_event("ready");
        proxy
    }

    /// With `config`, in the directory of `pki`.
    pub(crate) fn start(pki: &Pki, config: &str) -> Self {
        Self::start_with(pki, config, &[])
    }

    /// Likewise, with these variables in its environment.
    pub(crate) fn start_with(pki: &Pki, config: &str, variables: &[(&str, PathBuf)]) -> Self {
        Self::launch(&Self::write(pki, config), |command| {
            command.envs(variables.iter().map(|(name, value)| (name, value)));
        })
    }

    /// Writes `config` into the directory of `pki`, with the secret that it names.
    pub(crate) fn write(pki: &Pki, config: &str) -> PathBuf {
        let secret = pki.path().join("challenge.secret");
        if !secret.exists() {
            pki.write("challenge.secret", "YOUR_CHALLENGE_SECRET\n");
        }
        // Several tests share a directory, so each has a configuration of its own in it.
        let file = tempfile::Builder::new()
            .suffix(".toml")
            .tempfile_in(pki.path())
            .unwrap();
        let (_, path) = file.keep().unwrap();
        std::fs::write(&path, config).unwrap();
        path
    }

    /// With the configuration at `path`, started as `change` changes it.
    pub(crate) fn launch(path: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netdata-webhook-proxy"));
        command.args(["run", "--config"]).arg(path);
        change(&mut command);
        Self::run(command, path)
    }

    /// One that takes the sockets of this one over, once this has received SIGQUIT.
    pub(crate) fn successor(&self) -> Self {
        Self::launch(&self.config, |command| {
            command.arg("--upgrade");
        })
    }

    /// What `command` starts.
    pub(crate) fn run(mut command: Command, config: &Path) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, written) = (
            BufReader::new(child.stderr.take().unwrap()).lines(),
            log.clone(),
        );
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| written.lock().unwrap().push(line))
        });
        Self {
            child,
            config: config.to_owned(),
            log,
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens: the `index`th listener.
    pub(crate) fn address(&self, index: usize) -> SocketAddr {
        eventually("the line \"listening\"", || {
            let log = self.log.lock().unwrap();
            let line = log
                .iter()
                .filter(|line| is_event(line, "listening"))
                .nth(index)?;
            // As text, address=127.0.0.1:1; as JSON, "address":"127.0.0.1:1".
            let address = line
                .split("address")
                .nth(1)?
                .trim_start_matches(['=', '"', ':']);
            address.split([' ', '"']).next()?.parse().ok()
        })
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The first line that contains `text`, which may be yet to come.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.wait_for_logs(text, 1)
    }

    /// The `count`th such line.
    pub(crate) fn wait_for_logs(&self, text: &str, count: usize) -> String {
        self.wait_for_line(text, count, |line| line.contains(text))
    }

    /// Waits for the first line of the event `name` and returns it.
    pub(crate) fn wait_for_event(&self, name: &str) -> String {
        self.wait_for_events(name, 1)
    }

    /// Waits for the `count`th line of the event `name` and returns it.
    pub(crate) fn wait_for_events(&self, name: &str, count: usize) -> String {
        self.wait_for_line(&format!("{count} × {name}"), count, |line| {
            is_event(line, name)
        })
    }

    /// Returns all lines of the event `name` so far.
    pub(crate) fn events(&self, name: &str) -> Vec<String> {
        let mut lines = self.log();
        lines.retain(|line| is_event(line, name));
        lines
    }

    fn wait_for_line(
        &self,
        expected: &str,
        count: usize,
        is_match: impl Fn(&str) -> bool,
    ) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.iter().filter(|line| is_match(line)).nth(count - 1) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no {expected:?} in {log:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal, as `kill` does.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// How it ended, by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the end of the process", || self.child.try_wait().unwrap())
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Replaces the configuration, and has it read.
    #[track_caller]
    pub(crate) fn reload(&self, config: &str) {
        let end = self.read_again(config);
        assert!(is_event(&end, "config_reloaded"), "{end}");
    }

    /// Likewise, with a configuration that is refused. Returns the line that says why.
    #[track_caller]
    pub(crate) fn refuses_to_reload(&self, config: &str) -> String {
        let end = self.read_again(config);
        assert!(is_event(&end, "config_reload_failed"), "{end}");
        end
    }

    /// Replaces the configuration, and has it read. Returns the line that says how that ended.
    fn read_again(&self, config: &str) -> String {
        let ends = |line: &str| {
            is_event(line, "config_reloaded") || is_event(line, "config_reload_failed")
        };
        let reloads = self.log().iter().filter(|line| ends(line)).count();
        std::fs::write(&self.config, config).unwrap();
        self.signal("HUP");
        self.wait_for_line("the end of a reload", reloads + 1, ends)
    }

    /// Returns the processor time that the process has taken, in hundredths of a second.
    pub(crate) fn processor_time(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // Behind the name, which is in parentheses and may be anything.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = fields[11..13].iter().map(|ticks| ticks.parse::<u64>());
        ticks.map(Result::unwrap).sum()
    }
}

/// Returns `true` if `line`, of text or of JSON, is one of the event `name`.
pub(crate) fn is_event(line: &str, name: &str) -> bool {
    line.contains(&format!("event=\"{name}\"")) || line.contains(&format!("\"event\":\"{name}\""))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error says that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log().join("\n"));
        }
    }
}
