//! The tables, for people.

use crate::compare::FLOOR;
use crate::page::{self, Page};
use crate::peers::{PLUGIN, Version};
use crate::sample::{Sample, median};
use crate::scenario::{Line, Mode};
use crate::{Failure, Named};
use std::fmt;

/// The tables of a run.
pub(crate) struct Report {
    servers: String,
    lines: String,
    deliveries: String,
    library: String,
    /// The main lines with the servers beside each other.
    summary: String,
}

impl Report {
    pub(crate) fn new(versions: &[Named], samples: &[Sample]) -> Self {
        let of = |choose: &dyn Fn(&Sample) -> bool| {
            samples.iter().filter(|it| choose(it)).collect::<Vec<_>>()
        };
        let delivery = Line::delivery().to_string();
        let with_plugin: Vec<&str> = samples
            .iter()
            .filter(|sample| sample.server == PLUGIN)
            .map(|sample| sample.line.as_str())
            .collect();
        let is_library = |sample: &Sample| {
            with_plugin.contains(&sample.line.as_str())
                && [PLUGIN, "this"].contains(&sample.server.as_str())
        };
        Self {
            servers: servers(versions, samples),
            lines: lines(
                &of(&|sample| sample.server != PLUGIN && sample.line != delivery),
                Ratio::OfThis,
            ),
            deliveries: lines(&of(&|sample| sample.line == delivery), Ratio::ToDirect),
            library: lines(&of(&is_library), Ratio::OfThis),
            summary: summary(samples),
        }
    }

    /// The pages of the documentation with these tables, each in its section.
    pub(crate) fn pages(&self, measured: &str) -> Result<[Page; 2], Failure> {
        let Self {
            servers,
            lines,
            deliveries,
            library,
            summary,
        } = self;
        let main = format!("{measured}\n\n{servers}\n{lines}");
        let manual = Page::manual()?
            .replace("## Beside other servers", page::MEASURED, &main)?
            .replace("## Delivery", "| work", deliveries)?
            .replace("## Beside the library", "| work", library)?;
        let readme = Page::readme()?.replace("## Numbers", "| work", summary)?;
        Ok([manual, readme])
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            servers,
            lines,
            deliveries,
            library,
            summary: _,
        } = self;
        write!(f, "{servers}\n{lines}\n{deliveries}\n{library}")
    }
}

/// What the cost of a server is compared with, in a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ratio {
    /// The cost of this program, divided by that of the server.
    OfThis,
    /// The cost of the server, divided by that of direct delivery.
    ToDirect,
}

/// The medians of what one server did on one line.
struct Row {
    server: String,
    cpu: f64,
    rate: f64,
    seconds: f64,
    memory: f64,
    per_connection: Option<f64>,
    lost: u64,
    latency: Option<Latency>,
}

struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    /// Requests a second, the same for all; absent, if all came as they could.
    load: Option<f64>,
    is_overload: bool,
}

/// The servers: versions, and the key exchange with a client that prefers X25519MLKEM768.
fn servers(servers: &[Named], samples: &[Sample]) -> String {
    let line = Line::base(Mode::New).to_string();
    let mut text = String::from(
        "| server | version | TLS library | key exchange with the client |\n|---|---|---|---|\n",
    );
    for (name, version) in servers {
        let sample = samples
            .iter()
            .find(|sample| sample.server == *name && sample.line == line);
        let group = sample.and_then(|sample| sample.outcome.key_exchange.as_deref());
        let Version { gateway, tls } = version;
        text += &format!(
            "| {name} | {gateway} | {tls} | {} |\n",
            group.unwrap_or("–")
        );
    }
    text
}

/// Every line with its servers, in Markdown.
fn lines(samples: &[&Sample], ratio: Ratio) -> String {
    let title = match ratio {
        Ratio::OfThis => "this ÷ it",
        Ratio::ToDirect => "÷ direct",
    };
    let mut text = format!(
        "| work | server | CPU µs/request | {title} | requests/s | p50 / p99 / p99.9 µs | \
         at requests/s | memory MB | lost |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for line in distinct(samples.iter().map(|sample| sample.line.as_str())) {
        let of_line = samples.iter().copied().filter(|it| it.line == line);
        let of_line: Vec<&Sample> = of_line.collect();
        let servers = distinct(of_line.iter().map(|sample| sample.server.as_str()));
        let rows: Vec<Row> = servers.map(|server| Row::of(server, &of_line)).collect();
        for (index, row) in rows.iter().enumerate() {
            let work = if index == 0 { line } else { "" };
            text += &format!("| {work} {}", row.cells(&rows, ratio));
        }
    }
    text
}

/// The main lines with the servers beside each other, as the README has them.
fn summary(samples: &[Sample]) -> String {
    let servers = ["NGINX", "HAProxy", "Apache", "Caddy", "this"];
    let names = servers.join(" | ").replace("this", "this program");
    let mut text = format!("| work | {names} |\n|---|");
    text += &format!("{}\n", "---:|".repeat(servers.len()));
    for mode in [
        Mode::New,
        Mode::Storm,
        Mode::H1,
        Mode::H2,
        Mode::Challenge,
        Mode::Idle,
    ] {
        let line = Line::base(mode).to_string();
        let of_line: Vec<&Sample> = samples.iter().filter(|it| it.line == line).collect();
        let cells = servers.map(
            |server| match of_line.iter().any(|it| it.server == server) {
                true => Row::of(server, &of_line).cost_cell(),
                false => "–".to_owned(),
            },
        );
        text += &format!("| {line} | {} |\n", cells.join(" | "));
    }
    text
}

/// In the order in which they come first.
fn distinct<'t>(texts: impl Iterator<Item = &'t str>) -> impl Iterator<Item = &'t str> {
    let mut found: Vec<&str> = Vec::new();
    for text in texts {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found.into_iter()
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
        let per_connection = || full().filter_map(|sample| sample.memory_per_connection);
        let is_idle = per_connection().next().is_some();
        let paced = Latency::of(own().filter(|sample| sample.rate.is_some()));
        let is_crowd = samples.iter().all(|sample| sample.rate.is_none()) && !is_idle;
        Self {
            server: server.to_owned(),
            cpu: median(full().map(|sample| sample.cpu_per_request)),
            rate: median(full().map(|sample| sample.requests_per_second)),
            seconds: median(full().map(|sample| sample.outcome.seconds)),
            memory: median(full().map(|sample| sample.memory as f64)),
            per_connection: is_idle.then(|| median(per_connection())),
            lost: own().map(|sample| sample.outcome.failed).sum(),
            latency: paced.or_else(|| Latency::of(full().filter(|_| is_crowd))),
        }
    }

    /// What is compared, if this is a server.
    fn cost(&self) -> Option<f64> {
        (self.server != FLOOR).then_some(self.per_connection.unwrap_or(self.cpu))
    }

    fn ratio(&self, rows: &[Self], ratio: Ratio) -> Option<f64> {
        let of = |server: &str| rows.iter().find(|row| row.server == server)?.cost();
        match ratio {
            Ratio::OfThis if self.server == "this" => None,
            Ratio::OfThis => Some(of("this")? / self.cost()?),
            Ratio::ToDirect => Some(self.cost()? / of("direct")?),
        }
    }

    fn cells(&self, rows: &[Self], ratio: Ratio) -> String {
        let ratio = self.ratio(rows, ratio);
        let load = self.latency.as_ref().and_then(|latency| latency.load);
        let load = load.filter(|_| self.server != FLOOR);
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.server,
            self.cost_cell(),
            ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
            self.rate_cell(),
            self.latency
                .as_ref()
                .map_or("–".to_owned(), Latency::to_string),
            load.map_or("–".to_owned(), |load| format!("{load:.0}")),
            cell_unless_zero(self.memory / 1e6, 0),
            self.lost
        )
    }

    fn cost_cell(&self) -> String {
        match self.per_connection {
            Some(bytes) => format!("{:.1} KiB", bytes / 1024.0),
            None => cell_unless_zero(self.cpu, 1),
        }
    }

    /// A crowd, which has no rate, is over after so long.
    fn rate_cell(&self) -> String {
        match &self.latency {
            None => "–".to_owned(),
            Some(Latency { load: None, .. }) => format!("last answer after {:.2} s", self.seconds),
            Some(_) => cell_unless_zero(self.rate, 0),
        }
    }
}

/// What was not measured is zero.
fn cell_unless_zero(value: f64, decimals: usize) -> String {
    match value > 0.0 {
        true => format!("{value:.decimals$}"),
        false => "–".to_owned(),
    }
}

impl Latency {
    /// That of these samples, if there are some.
    fn of<'s>(samples: impl Iterator<Item = &'s Sample>) -> Option<Self> {
        let samples: Vec<_> = samples.collect();
        let load = samples.first()?.rate;
        let outcomes = || samples.iter().map(|sample| &sample.outcome);
        Some(Self {
            p50: median(outcomes().map(|outcome| outcome.p50)),
            p99: median(outcomes().map(|outcome| outcome.p99)),
            p999: median(outcomes().map(|outcome| outcome.p999)),
            load,
            // A few always come at the very end.
            is_overload: outcomes().any(|outcome| outcome.unsent > 5 + outcome.answered / 100),
        })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_overload {
            false => write!(f, "{:.0} / {:.0} / {:.0}", self.p50, self.p99, self.p999),
            true => f.write_str("cannot keep up"),
        }
    }
}
