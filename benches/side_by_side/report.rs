//! The table, for people.

use crate::sample::{Sample, median};

/// The medians of what one server did on one line.
struct Row {
    server: String,
    cpu: f64,
    rate: f64,
    seconds: f64,
    memory: f64,
    per_connection: Option<f64>,
    lost: u64,
    /// At the same rate for all.
    latency: Option<Latency>,
}

struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    is_overload: bool,
}

/// Every line with its servers, in Markdown.
pub(crate) fn markdown(samples: &[Sample]) -> String {
    let mut lines: Vec<&str> = samples.iter().map(|sample| sample.line.as_str()).collect();
    lines.dedup();
    let mut text = String::from(
        "| work | server | CPU µs/request | × nginx | × HAProxy | requests/s | p50 / p99 / p99.9 µs, at equal load | \
         memory MB | lost |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for line in lines {
        let of_line: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.line == line)
            .collect();
        text += &section(line, &of_line);
    }
    text
}

fn section(line: &str, samples: &[&Sample]) -> String {
    let mut servers: Vec<&str> = Vec::new();
    for sample in samples {
        if !servers.contains(&sample.server.as_str()) {
            servers.push(&sample.server);
        }
    }
    let rows: Vec<Row> = servers
        .into_iter()
        .map(|server| Row::of(server, samples))
        .collect();
    let load = samples.iter().find_map(|sample| sample.rate);
    let title = load.map_or(line.to_owned(), |rate| {
        format!("{line} (latency at {rate:.0}/s)")
    });
    let cell = |index| if index == 0 { title.as_str() } else { "" };
    rows.iter()
        .enumerate()
        .map(|(index, row)| format!("| {} {}", cell(index), row.cells(&rows)))
        .collect()
}

impl Row {
    fn of(server: &str, samples: &[&Sample]) -> Self {
        let own = || {
            samples
                .iter()
                .copied()
                .filter(|sample| sample.server == server)
        };
        let full = || own().filter(|sample| sample.rate.is_none());
        Self {
            server: server.to_owned(),
            cpu: median(full().map(|sample| sample.cpu_per_request)),
            rate: median(full().map(|sample| sample.requests_per_second)),
            seconds: median(full().map(|sample| sample.outcome.seconds)),
            memory: median(full().map(|sample| sample.memory as f64)),
            per_connection: full()
                .all(|sample| sample.memory_per_connection.is_some())
                .then(|| median(full().filter_map(|sample| sample.memory_per_connection))),
            lost: own().map(|sample| sample.outcome.failed).sum(),
            latency: Latency::of(own().filter(|sample| sample.rate.is_some())),
        }
    }

    /// What is compared.
    fn cost(&self) -> f64 {
        self.per_connection.unwrap_or(self.cpu)
    }

    fn cells(&self, rows: &[Self]) -> String {
        let ratio = |server: &str| {
            let other = rows.iter().find(|row| row.server == server);
            other.map_or("–".to_owned(), |other| {
                format!("{:.2}", self.cost() / other.cost())
            })
        };
        let latency = self.latency.as_ref();
        format!(
            "| {} | {} | {} | {} | {} | {} | {:.0} | {} |\n",
            self.server,
            self.cost_cell(),
            ratio("nginx"),
            ratio("HAProxy"),
            self.rate_cell(),
            latency.map_or("–".to_owned(), Latency::to_string),
            self.memory / 1e6,
            self.lost
        )
    }

    fn cost_cell(&self) -> String {
        match self.per_connection {
            Some(bytes) => format!("{:.1} KiB/connection", bytes / 1024.0),
            None => format!("{:.1}", self.cpu),
        }
    }

    /// A storm, of which there is neither, is over after so long.
    fn rate_cell(&self) -> String {
        match (self.per_connection, &self.latency) {
            (Some(_), _) => "–".to_owned(),
            (None, None) => format!("last answer after {:.2} s", self.seconds),
            (None, Some(_)) => format!("{:.0}", self.rate),
        }
    }
}

impl Latency {
    /// The latency of samples at a given rate, if there are some.
    fn of<'s>(paced: impl Iterator<Item = &'s Sample>) -> Option<Self> {
        let outcomes: Vec<_> = paced.map(|sample| &sample.outcome).collect();
        if outcomes.is_empty() {
            return None;
        }
        Some(Self {
            p50: median(outcomes.iter().map(|outcome| outcome.p50)),
            p99: median(outcomes.iter().map(|outcome| outcome.p99)),
            p999: median(outcomes.iter().map(|outcome| outcome.p999)),
            // A few always come at the very end.
            is_overload: outcomes
                .iter()
                .any(|outcome| outcome.unsent > outcome.answered / 100),
        })
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_overload {
            false => write!(f, "{:.0} / {:.0} / {:.0}", self.p50, self.p99, self.p999),
            true => f.write_str("cannot keep up"),
        }
    }
}
