//! Values of alert notifications.

use super::random::SeededRandom;
use super::template::text;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Severity of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Severity {
    /// Immediate action is needed.
    Critical,
    /// Action is needed.
    Warning,
    /// The alert has recovered.
    Clear,
}

/// The transition of an alert. All values that it does not hold are random.
pub(super) struct Alert<'n> {
    pub(super) severity: Severity,
    /// Name of the node.
    pub(super) node: &'n str,
    pub(super) date: OffsetDateTime,
    /// Number of alerts that are active on the node.
    pub(super) active: u32,
}

/// Time zones and their offsets in seconds, without those that are written as `Z`.
const TIMEZONES: [(&str, i32); 3] = [
    ("America/New_York", -18_000),
    ("Europe/Athens", 7_200),
    ("Asia/Kolkata", 19_800),
];

/// The definition of an alert.
#[derive(Clone, Copy)]
struct Definition {
    name: &'static str,
    chart: &'static str,
    context: &'static str,
    family: &'static str,
    class: &'static str,
    summary: &'static str,
    info: &'static str,
}

const DEFINITIONS: [Definition; 5] = [
    Definition {
        name: "ram_in_use",
        chart: "system.ram",
        context: "system.ram",
        family: "ram",
        class: "Utilization",
        summary: "System memory utilization",
        info: "Percentage of used RAM & pressure on it. High RAM utilization can affect the performance of applications.",
    },
    Definition {
        name: "disk_space_usage",
        chart: "disk_space./",
        context: "disk.space",
        family: "disks",
        class: "Utilization",
        summary: "Disk / space usage",
        info: "Total space utilization of disk /",
    },
    Definition {
        name: "10min_cpu_usage",
        chart: "system.cpu",
        context: "system.cpu",
        family: "cpu",
        class: "Utilization",
        summary: "System CPU utilization",
        info: "Average CPU utilization over the last 10 minutes (excluding iowait, nice and steal)",
    },
    Definition {
        name: "1m_tcp_accept_queue_drops",
        chart: "ip.tcp_accept_queue",
        context: "ip.tcp_accept_queue",
        family: "tcp_listen",
        class: "Workload",
        summary: "System TCP accept queue dropped packets",
        info: "Average number of dropped packets in the TCP accept queue over the last minute",
    },
    Definition {
        name: "web_log_1m_internal_errors",
        chart: "web_log_nginx.type_requests",
        context: "web_log.type_requests",
        family: "web_log",
        class: "Errors",
        summary: "Web log server errors",
        info: "Ratio of server error responses (HTTP status code > 499) over the last minute",
    },
];

impl Severity {
    pub(super) const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Clear];

    /// Returns the status, spelled as in the nested shape.
    pub(super) fn status(self) -> &'static str {
        match self {
            Self::Critical => "Critical",
            Self::Warning => "Warning",
            Self::Clear => "Clear",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Critical => "Raised to Critical",
            Self::Warning => "Raised to Warning",
            Self::Clear => "Recovered",
        }
    }

    /// Returns the severity before the transition.
    fn previous(self) -> Self {
        match self {
            Self::Critical | Self::Clear => Self::Warning,
            Self::Warning => Self::Clear,
        }
    }

    /// Returns a percentage at which an alert has this severity. Some are integers, as on the wire.
    fn value(self, random: &SeededRandom, what: &str) -> String {
        let (from, to) = match self {
            Self::Critical => (900, 1000),
            Self::Warning => (750, 900),
            Self::Clear => (50, 600),
        };
        let tenths = from + random.below(what, to - from);
        match tenths % 10 {
            0..3 => (tenths / 10).to_string(),
            tenth => format!("{}.{tenth}", tenths / 10),
        }
    }
}

impl Alert<'_> {
    /// Returns the values of the templates for alerts.
    pub(super) fn values(&self, random: &SeededRandom) -> Vec<(&'static str, String)> {
        let definition = random.pick("definition", DEFINITIONS);
        let mut values = definition.values();
        values.extend(self.state(definition.summary, random));
        values.extend(self.times(random));
        values.push(("transition", random.uuid("transition").to_string()));
        values.push(("line", (1 + random.below("line", 90)).to_string()));
        values
    }

    fn state(&self, summary: &str, random: &SeededRandom) -> Vec<(&'static str, String)> {
        let severity = self.severity;
        let before = severity.previous();
        let value = severity.value(random, "value");
        let verb = severity.verb();
        let message = format!("{verb}, {summary} = {value}%, on {}", self.node);
        vec![
            ("message", text(&message)),
            ("severity", severity.status().to_ascii_lowercase()),
            ("status", severity.status().to_owned()),
            ("value", value),
            ("previous_status", before.status().to_owned()),
            ("previous_value", before.value(random, "previous value")),
        ]
    }

    fn times(&self, random: &SeededRandom) -> Vec<(&'static str, String)> {
        let (timezone, utc_offset) = random.pick("timezone", TIMEZONES);
        let local_date = written(in_zone(self.date, utc_offset));
        let seconds = 60 + random.below("seconds", 3540);
        let duration = format!("{} minutes and {} seconds", seconds / 60, seconds % 60);
        let mut values = self.others(&local_date);
        values.extend([
            ("date", written(self.date)),
            ("local_date", local_date),
            ("timezone", text(timezone)),
            ("utc_offset", utc_offset.to_string()),
            ("seconds", seconds.to_string()),
            ("duration", duration),
        ]);
        values
    }

    /// Returns the values about all alerts that are active on the node.
    fn others(&self, local_date: &str) -> Vec<(&'static str, String)> {
        let criticals = self.active / 3;
        let warnings = self.active - criticals;
        vec![
            ("entries", entries(criticals, warnings, local_date)),
            ("criticals", criticals.to_string()),
            ("warnings", warnings.to_string()),
        ]
    }
}

impl Definition {
    /// Returns the entry of an active alert in the list of these.
    fn entry(&self, severity: Severity, date: &str) -> String {
        let (name, status) = (self.name, severity.status());
        format!("{{\"name\": \"{name}\", \"status\": \"{status}\", \"triggered_at\": \"{date}\"}}")
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        // The hash of a definition does not depend on the seed.
        let hash = SeededRandom::new(0).uuid(self.name).to_string();
        vec![
            ("alert", text(self.name)),
            ("chart", text(self.chart)),
            ("context", text(self.context)),
            ("family", text(self.family)),
            ("class", text(self.class)),
            ("summary", text(self.summary)),
            ("info", text(self.info)),
            ("hash", hash),
        ]
    }
}

fn in_zone(date: OffsetDateTime, offset: i32) -> OffsetDateTime {
    UtcOffset::from_whole_seconds(offset).map_or(date, |offset| date.to_offset(offset))
}

fn written(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

/// Returns the list of a node's active alerts.
fn entries(criticals: u32, warnings: u32, date: &str) -> String {
    let statuses = std::iter::repeat_n(Severity::Critical, criticals as usize);
    let statuses = statuses.chain(std::iter::repeat_n(Severity::Warning, warnings as usize));
    let alerts = statuses.zip(DEFINITIONS.iter().cycle());
    let entries = alerts.map(|(severity, definition)| definition.entry(severity, date));
    entries.collect::<Vec<_>>().join(",")
}
