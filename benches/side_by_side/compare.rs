//! The comparison itself: every line on every server in turn, several times over.

use crate::Failure;
use crate::gateway::{Gateway, Lab};
use crate::load::Driver;
use crate::peers::{Features, Peer};
use crate::sample::{Sample, median};
use crate::scenario::{Effort, Line, Mode};
use std::collections::HashMap;
use std::thread::sleep;

/// What is compared, and how thoroughly.
pub(crate) struct Comparison<'a> {
    lab: &'a Lab,
    rounds: usize,
    effort: Effort,
    running: HashMap<(usize, Features), Gateway>,
    pub(crate) samples: Vec<Sample>,
    /// Gateways that were left out of a line, with the reason.
    pub(crate) failures: Vec<String>,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(lab: &'a Lab, rounds: usize, effort: Effort) -> Self {
        Self {
            lab,
            rounds,
            effort,
            running: HashMap::new(),
            samples: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Measures a line on these servers: as fast as they can, and then, for the latencies, all at
    /// the same rate.
    pub(crate) fn measure(&mut self, line: &Line, mut peers: Vec<(usize, &dyn Peer)>) {
        let before = self.samples.len();
        self.rounds(line, &mut peers, None);
        if line.can_be_paced()
            && let Some(rate) = equal_rate(&self.samples[before..])
        {
            self.rounds(line, &mut peers, Some(rate));
        }
    }

    /// A gateway that fails is left out of the rest of the line.
    fn rounds(&mut self, line: &Line, peers: &mut Vec<(usize, &dyn Peer)>, rate: Option<f64>) {
        for round in 0..self.rounds {
            let mut turns = peers.clone();
            if !turns.is_empty() {
                // The order changes, so that no gateway is always the first.
                turns.rotate_left(round % peers.len());
            }
            for (index, peer) in turns {
                let sample = match line.mode {
                    Mode::Idle => self.idle(line, peer, round),
                    _ => self.busy(line, (index, peer), round, rate),
                };
                match sample {
                    Ok(sample) => {
                        progress(&sample);
                        self.samples.push(sample);
                    }
                    Err(failure) => {
                        eprintln!("{line}: without {}: {failure}", peer.name());
                        self.failures
                            .push(format!("{line}: without {}: {failure}", peer.name()));
                        peers.retain(|(other, _)| *other != index);
                    }
                }
            }
        }
    }

    fn busy(
        &mut self,
        line: &Line,
        (index, peer): (usize, &dyn Peer),
        round: usize,
        rate: Option<f64>,
    ) -> Result<Sample, Failure> {
        let key = (index, line.features());
        if !self.running.contains_key(&key) {
            self.running
                .insert(key, self.lab.start(peer, line.features(), 1)?);
        }
        let gateway = &self.running[&key];
        let driver = Driver::prepare(&line.job(self.lab, gateway, self.effort, rate)?)?;
        sleep(self.effort.settle);
        let before = gateway.cpu();
        let outcome = driver.run()?;
        sleep(self.effort.settle);
        let cpu = gateway.cpu().since(&before);
        let requests = outcome.answered.max(1) as f64;
        Ok(Sample {
            line: line.to_string(),
            server: peer.name().to_owned(),
            round,
            rate,
            cpu_per_request: cpu.as_secs_f64() * 1e6 / requests,
            requests_per_second: outcome.answered as f64 / outcome.seconds,
            memory: gateway.memory(),
            memory_per_connection: None,
            outcome,
        })
    }

    /// In a fresh server: one that has been busy has memory left over.
    fn idle(&self, line: &Line, peer: &dyn Peer, round: usize) -> Result<Sample, Failure> {
        let gateway = self.lab.start(peer, line.features(), 1)?;
        let one = Line {
            mode: Mode::H1,
            ..line.clone()
        };
        drop(Driver::prepare(&one.job(
            self.lab,
            &gateway,
            self.effort,
            None,
        )?)?);
        sleep(self.effort.rest);
        let before = gateway.memory();
        let driver = Driver::prepare(&line.job(self.lab, &gateway, self.effort, None)?)?;
        sleep(self.effort.rest);
        let memory = gateway.memory();
        // All of them must still be there.
        let outcome = driver.run()?;
        Ok(Sample {
            line: line.to_string(),
            server: peer.name().to_owned(),
            round,
            rate: None,
            cpu_per_request: 0.0,
            requests_per_second: 0.0,
            memory,
            memory_per_connection: Some(
                memory.saturating_sub(before) as f64 / self.effort.crowd as f64,
            ),
            outcome,
        })
    }
}

/// Half of what the slowest can do, of those that keep up with the others to some degree.
fn equal_rate(samples: &[Sample]) -> Option<f64> {
    let of = |server: &str| {
        median(
            samples
                .iter()
                .filter(|sample| sample.server == server)
                .map(|sample| sample.requests_per_second),
        )
    };
    let rates: Vec<f64> = samples.iter().map(|sample| of(&sample.server)).collect();
    let fastest = rates.iter().copied().fold(0.0, f64::max);
    let able = rates.into_iter().filter(|rate| *rate > fastest / 3.0);
    able.min_by(f64::total_cmp).map(|slowest| slowest / 2.0)
}

fn progress(sample: &Sample) {
    let Sample {
        line,
        server,
        round,
        cpu_per_request,
        requests_per_second,
        outcome,
        ..
    } = sample;
    let rate = sample
        .rate
        .map_or(String::new(), |rate| format!(" at {rate:.0}/s"));
    eprintln!(
        "{line}{rate}, round {}, {server}: {cpu_per_request:.1} µs, {requests_per_second:.0}/s, p99 {:.0} µs{}",
        round + 1,
        outcome.p99,
        match &outcome.first_failure {
            Some(failure) => format!(", {} failed: {failure}", outcome.failed),
            None => String::new(),
        }
    );
}
