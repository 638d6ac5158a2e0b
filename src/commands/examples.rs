//! An example of each command, for its help and for the manual page.

/// Heads the example of a command.
macro_rules! example {
    ($($line:literal),+) => {
        concat!("Example:", $("\n  netdata-webhook-proxy ", $line),+)
    };
}

/// Follows the example of each command of `send`.
macro_rules! example_of_send {
    ($line:literal) => {
        concat!(
            "Example:\n  netdata-webhook-proxy send ",
            $line,
            "\n\nExit status: 0 if every request was accepted (status 2xx; for a challenge, the right response), 1 if some \
             were not, 2 if the arguments are wrong, 3 if no connection could be established."
        )
    };
}

pub(super) const PROGRAM: &str = example!(
    "init /etc/netdata-webhook-proxy",
    "check /etc/netdata-webhook-proxy/config.toml",
    "run"
);
pub(super) const RUN: &str = example!("run --config config.toml");
pub(super) const CHECK: &str = example!(
    "check config.toml",
    "check --credentials /etc/netdata-webhook-proxy"
);
pub(super) const INIT: &str = example!("init /etc/netdata-webhook-proxy");
pub(super) const EXAMPLE: &str = example!("example > config.toml");
pub(super) const HEALTH: &str = example!("health --ready --config config.toml");
pub(super) const DOCTOR: &str = example!(
    "doctor https://hooks.example/webhooks/netdata --secret-file challenge.secret",
    "doctor --config config.toml"
);
pub(super) const QUEUE: &str = example!("queue list", "queue retry --all");
pub(super) const QUEUE_LIST: &str = example!("queue list --parked --route /webhooks/netdata");
pub(super) const QUEUE_SHOW: &str = example!("queue show 17");
pub(super) const QUEUE_RETRY: &str = example!("queue retry 17 18", "queue retry --all");
pub(super) const QUEUE_PARK: &str = example!("queue park 17");
pub(super) const QUEUE_DROP: &str = example!("queue drop 17");
pub(super) const QUEUE_EXPORT: &str = example!("queue export > notifications.jsonl");
pub(super) const IMPORT: &str = example!("import nginx /etc/nginx/nginx.conf > config.toml");
pub(super) const IMPORT_NGINX: &str = IMPORT;
pub(super) const IMPORT_APACHE: &str =
    example!("import apache /etc/apache2/apache2.conf > config.toml");
pub(super) const DEMO: &str = example!("demo");
pub(super) const CHALLENGE: &str =
    example!("challenge --secret-file challenge.secret 0b1f6e1cdd5a4d37");
pub(super) const COMPLETIONS: &str =
    example!("completions bash > /etc/bash_completion.d/netdata-webhook-proxy");
pub(super) const MAN: &str = example!("man config > netdata-webhook-proxy-config.5");
pub(super) const HELP: &str = example!("help configuration", "help send alert");

pub(super) const SEND: &str = example_of_send!(
    "alert https://hooks.example/webhooks/netdata --cert netdata.pem --key netdata.key"
);
pub(super) const SEND_CHALLENGE: &str = example_of_send!(
    "challenge https://hooks.example/webhooks/netdata --secret-file challenge.secret"
);
pub(super) const SEND_ALERT: &str =
    example_of_send!("alert https://hooks.example/webhooks/netdata --severity critical");
pub(super) const SEND_REACHABILITY: &str =
    example_of_send!("reachability https://hooks.example/webhooks/netdata --status unreachable");
pub(super) const SEND_TEST: &str = example_of_send!("test https://hooks.example/webhooks/netdata");
pub(super) const SEND_ALL: &str =
    example_of_send!("all https://hooks.example/webhooks/netdata --repeat 200 --rate 20");
pub(super) const SEND_FILE: &str =
    example_of_send!("file body.json https://hooks.example/webhooks/netdata");
pub(super) const SEND_CERTIFICATE: &str = example!("send certificate --forgeries sender");

/// Returns the commands of an example, each as it is typed.
pub(super) fn lines(example: &str) -> impl Iterator<Item = &str> {
    example
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("netdata-webhook-proxy "))
}

#[cfg(test)]
mod tests {
    use super::super::CommandLine;
    use super::lines;
    use clap::{CommandFactory as _, Parser as _};

    fn check(command: &clap::Command) {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(lines(&help).count() > 0, "{}", command.get_name());
        for line in lines(&help) {
            let typed = line.split(" > ").next().unwrap_or_default();
            let parsed = CommandLine::try_parse_from(typed.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().unwrap());
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn each_example_can_be_typed() {
        check(&CommandLine::command());
    }
}
