//! The values of an alert.

use super::random::SeededRandom;
use super::template::text;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Severity {
    /// Something has to be done at once.
    Critical,
    /// Something has to be done.
    Warning,
    /// It is over.
    Clear,
}

/// An alert's transition, as far as it is not left to chance.
pub(super) struct Alert<'n> {
    pub(super) severity: Severity,
    /// The name of the node that it is about.
    pub(super) node: &'n str,
    pub(super) date: OffsetDateTime,
    /// How many alerts are active on the node.
    pub(super) active: u32,
}

/// Without those that are written as `Z`.
const TIMEZONES: [(&str, i32); 3] = [
    ("America/New_York", -18_000),
    ("Europe/Athens", 7_200),
    ("Asia/Kolkata", 19_800),
];

/// An alert's definition.
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

    /// As the nested shape has it.
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

    /// What it was before.
    fn previous(self) -> Self {
        match self {
            Self::Critical | Self::Clear => Self::Warning,
            Self::Warning => Self::Clear,
        }
    }

    /// A percentage with which an alert is in this state. On the wire, some are integers.
    fn value(self, chance: &SeededRandom, what: &str) -> String {
        let (from, to) = match self {
            Self::Critical => (900, 1000),
            Self::Warning => (750, 900),
            Self::Clear => (50, 600),
        };
        let tenths = from + chance.below(what, to - from);
        match tenths % 10 {
            0..3 => (tenths / 10).to_string(),
            tenth => format!("{}.{tenth}", tenths / 10),
        }
    }
}

impl Alert<'_> {
    pub(super) fn values(&self, chance: &SeededRandom) -> Vec<(&'static str, String)> {
        let Self {
            severity,
            node,
            date,
            active,
        } = *self;
        let definition = chance.pick("definition", DEFINITIONS);
        let (value, before) = (severity.value(chance, "value"), severity.previous());
        let (timezone, utc_offset) = chance.pick("timezone", TIMEZONES);
        let local_date = written(in_zone(date, utc_offset));
        let seconds = 60 + chance.below("seconds", 3540);
        let (criticals, warnings) = (active / 3, active - active / 3);
        vec![
            (
                "message",
                text(&format!(
                    "{}, {} = {value}%, on {node}",
                    severity.verb(),
                    definition.summary
                )),
            ),
            ("alert", text(definition.name)),
            ("chart", text(definition.chart)),
            ("context", text(definition.context)),
            ("family", text(definition.family)),
            ("class", text(definition.class)),
            ("summary", text(definition.summary)),
            ("info", text(definition.info)),
            ("severity", severity.status().to_ascii_lowercase()),
            ("status", severity.status().to_owned()),
            ("value", value),
            ("previous_status", before.status().to_owned()),
            ("previous_value", before.value(chance, "previous value")),
            ("entries", entries(criticals, warnings, &local_date)),
            ("date", written(date)),
            ("local_date", local_date),
            ("timezone", text(timezone)),
            ("utc_offset", utc_offset.to_string()),
            ("seconds", seconds.to_string()),
            (
                "duration",
                format!("{} minutes and {} seconds", seconds / 60, seconds % 60),
            ),
            ("transition", chance.uuid("transition").to_string()),
            // A definition is the same everywhere.
            (
                "hash",
                SeededRandom::new(0).uuid(definition.name).to_string(),
            ),
            ("line", (1 + chance.below("line", 90)).to_string()),
            ("criticals", criticals.to_string()),
            ("warnings", warnings.to_string()),
        ]
    }
}

fn in_zone(date: OffsetDateTime, offset: i32) -> OffsetDateTime {
    UtcOffset::from_whole_seconds(offset).map_or(date, |offset| date.to_offset(offset))
}

fn written(date: OffsetDateTime) -> String {
    date.format(&Rfc3339).unwrap_or_default()
}

/// The log of a node's active alerts.
fn entries(criticals: u32, warnings: u32, date: &str) -> String {
    let statuses = std::iter::repeat_n(Severity::Critical, criticals as usize);
    let statuses = statuses.chain(std::iter::repeat_n(Severity::Warning, warnings as usize));
    let entries = statuses
        .zip(DEFINITIONS.iter().cycle())
        .map(|(severity, definition)| {
            let (name, status) = (definition.name, severity.status());
            format!(
                "{{\"name\": \"{name}\", \"status\": \"{status}\", \"triggered_at\": \"{date}\"}}"
            )
        });
    entries.collect::<Vec<_>>().join(",")
}
