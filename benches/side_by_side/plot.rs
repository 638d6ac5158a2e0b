//! The plot: for each thing that grows a column, with the CPU of a request above and the memory
//! below.
//!
//! Memory is on a logarithmic scale, as the counts are: what grows with them is a straight line.
//! All colours are middle tones on no background, so that it can be read on white and on black.

use crate::growth::{Dimension, Point};
use std::fmt::Write as _;

const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 130.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 56.0;
const GAP: f64 = 50.0;
const INK: &str = "#7d8590";
const LINES: [&str; 4] = ["#2f81f7", "#d4761c", "#2da44e", "#a371f7"];

/// The whole of it, as SVG.
pub(crate) fn svg(points: &[Point]) -> String {
    let servers = servers(points);
    let (columns, rows) = (Dimension::ALL.len() as f64, 2.0);
    let width = LEFT + columns * (WIDTH + GAP);
    let height = TOP + rows * (HEIGHT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"{INK}\">\n\
         <title>CPU per request and memory, as connections, routes, tokens and upstreams grow</title>\n"
    );
    for (index, server) in servers.iter().enumerate() {
        svg += &legend(index, server);
    }
    for (row, quantity) in [Quantity::Cpu, Quantity::Memory].into_iter().enumerate() {
        for (column, dimension) in Dimension::ALL.into_iter().enumerate() {
            let own: Vec<&Point> = points
                .iter()
                .filter(|point| point.dimension == dimension)
                .collect();
            let panel = Panel {
                x: LEFT + column as f64 * (WIDTH + GAP),
                y: TOP + row as f64 * (HEIGHT + GAP),
                quantity,
                scale: quantity.scale(points),
                points: own,
            };
            svg += &panel.svg(dimension, &servers);
        }
    }
    svg + "</svg>\n"
}

/// The name of a server, behind a point of its colour.
fn legend(index: usize, server: &str) -> String {
    let (x, colour) = (LEFT + 90.0 * index as f64, colour(index));
    format!(
        "<circle cx=\"{}\" cy=\"16\" r=\"4\" fill=\"{colour}\"/>\
         <text x=\"{}\" y=\"20\" font-size=\"13\">{}</text>\n",
        x + 4.0,
        x + 13.0,
        escape(server)
    )
}

#[derive(Clone, Copy)]
enum Quantity {
    Cpu,
    Memory,
}

impl Quantity {
    fn of(self, point: &Point) -> f64 {
        match self {
            Self::Cpu => point.cpu_per_request,
            Self::Memory => point.memory / 1e6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU µs/request",
            Self::Memory => "memory MB",
        }
    }

    /// Both rows have one scale each, so that columns compare.
    fn scale(self, points: &[Point]) -> Scale {
        let values = || points.iter().map(|point| self.of(point).max(1.0));
        let (least, most) = (
            values().fold(f64::MAX, f64::min),
            values().fold(1.0, f64::max),
        );
        match self {
            Self::Cpu => Scale {
                ticks: linear(most),
                is_logarithmic: false,
            },
            Self::Memory => Scale {
                ticks: decades(least, most),
                is_logarithmic: true,
            },
        }
    }
}

/// Where there are lines across; from the first to the last of them.
#[derive(Clone)]
struct Scale {
    ticks: Vec<f64>,
    is_logarithmic: bool,
}

impl Scale {
    /// Which part of the height a value reaches.
    fn share(&self, value: f64) -> f64 {
        let of = |value: f64| {
            if self.is_logarithmic {
                value.log10()
            } else {
                value
            }
        };
        let least = self.ticks.first().copied().map_or(0.0, of);
        let most = self.ticks.last().copied().map_or(1.0, of);
        (of(value) - least) / (most - least)
    }
}

/// From zero, in steps of a round number.
fn linear(most: f64) -> Vec<f64> {
    let magnitude = 10_f64.powf(most.log10().floor());
    let steps = [0.25, 0.5, 1.0, 2.5].map(|step| step * magnitude);
    let step = steps
        .into_iter()
        .find(|step| step * 4.0 >= most)
        .unwrap_or(magnitude);
    (0..=4)
        .map(f64::from)
        .map(|count| count * step)
        .take_while(|tick| *tick < most + step)
        .collect()
}

/// Powers of ten.
fn decades(least: f64, most: f64) -> Vec<f64> {
    let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    (first..=last.max(first + 1))
        .map(|power| 10_f64.powi(power))
        .collect()
}

struct Panel<'a> {
    x: f64,
    y: f64,
    quantity: Quantity,
    scale: Scale,
    points: Vec<&'a Point>,
}

impl Panel<'_> {
    fn svg(&self, dimension: Dimension, servers: &[&str]) -> String {
        let Self { x, y, .. } = self;
        let mut svg = format!(
            "<text x=\"{x}\" y=\"{}\" font-size=\"12\">{}, by {dimension}</text>\n",
            y - 8.0,
            self.quantity.name()
        );
        for tick in &self.scale.ticks {
            let line = self.up(*tick);
            let _ = writeln!(
                svg,
                "<line x1=\"{x}\" x2=\"{}\" y1=\"{line}\" y2=\"{line}\" stroke=\"{INK}\" stroke-opacity=\"0.35\"/>\
                 <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                x + WIDTH,
                x - 6.0,
                line + 4.0,
                tick
            );
        }
        for count in self.counts() {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{count}</text>",
                self.across(count),
                y + HEIGHT + 16.0
            );
        }
        for (index, server) in servers.iter().enumerate() {
            svg += &self.curve(server, colour(index));
        }
        svg
    }

    fn curve(&self, server: &str, colour: &str) -> String {
        let own = self.points.iter().filter(|point| point.server == server);
        let own: Vec<_> = own
            .map(|point| (self.across(point.count), self.up(self.quantity.of(point))))
            .collect();
        let path: Vec<String> = own.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let mut svg = format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        );
        for (x, y) in own {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
            );
        }
        svg
    }

    fn counts(&self) -> Vec<usize> {
        let mut counts: Vec<usize> = self.points.iter().map(|point| point.count).collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// Logarithmic, with a margin at both ends.
    fn across(&self, count: usize) -> f64 {
        let last = self
            .counts()
            .last()
            .map_or(1.0, |last| (*last as f64).ln().max(1.0));
        self.x + WIDTH * (0.08 + 0.84 * (count as f64).ln() / last)
    }

    fn up(&self, value: f64) -> f64 {
        self.y + HEIGHT * (1.0 - self.scale.share(value))
    }
}

fn servers(points: &[Point]) -> Vec<&str> {
    let mut servers: Vec<&str> = Vec::new();
    for point in points {
        if !servers.contains(&point.server.as_str()) {
            servers.push(&point.server);
        }
    }
    servers
}

fn colour(index: usize) -> &'static str {
    LINES[index % LINES.len()]
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
