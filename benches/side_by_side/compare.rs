//! The comparison itself: every line on every server in turn, several times over.

use crate::Failure;
use crate::alerts;
use crate::disk;
use crate::gateway::{Gateway, Lab};
use crate::load::{Driver, Expected};
use crate::peers::{Features, Peer};
use crate::sample::{Sample, median};
use crate::scenario::{Effort, Line, Mode, USUAL};
use std::collections::HashMap;
use std::thread::sleep;

/// What is compared, and how thoroughly.
pub(crate) struct Comparison<'a> {
    lab: &'a Lab,
    rounds: usize,
    effort: Effort,
    running: HashMap<(String, Features), Gateway>,
    pub(crate) samples: Vec<Sample>,
    /// Gateways that were left out of a line, with the reason.
    pub(crate) failures: Vec<String>,
}

/// Notifications a second at which the latency of a commit is measured: each is one of its own.
const DELIVERIES: f64 = 200.0;
/// What a commit is compared with.
pub(crate) const FLOOR: &str = "write + fdatasync";

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
    pub(crate) fn measure(&mut self, line: &Line, mut peers: Vec<&dyn Peer>) {
        let before = self.samples.len();
        for round in 0..self.rounds {
            self.round(line, &mut peers, round, None);
        }
        let rate = equal_rate(&self.samples[before..]).filter(|_| line.can_be_paced());
        for round in 0..self.rounds {
            if rate.is_some() {
                self.round(line, &mut peers, round, rate);
            }
        }
    }

    /// Measures ways of delivery, and what the disk takes for a commit.
    pub(crate) fn deliver(&mut self, mut ways: Vec<&dyn Peer>) -> Result<(), Failure> {
        let line = Line::delivery();
        for round in 0..self.rounds {
            self.round(&line, &mut ways, round, None);
            let bytes = alerts::alert(USUAL);
            let outcome = disk::sync_again_and_again(
                self.lab.directory(),
                bytes.as_bytes(),
                DELIVERIES,
                self.effort.length,
            )?;
            self.samples.push(Sample::of_outcome(
                &line,
                FLOOR,
                round,
                Some(DELIVERIES),
                outcome,
            ));
            self.round(&line, &mut ways, round, Some(DELIVERIES));
        }
        Ok(())
    }

    /// A gateway that fails is left out of the rest of the line.
    fn round(&mut self, line: &Line, peers: &mut Vec<&dyn Peer>, round: usize, rate: Option<f64>) {
        let mut turns = peers.clone();
        if !turns.is_empty() {
            // The order changes, so that no gateway is always the first.
            turns.rotate_left(round % peers.len());
        }
        for peer in turns {
            let sample = match line.mode {
                Mode::Idle => self.idle(line, peer, round),
                _ => self.busy(line, peer, round, rate),
            };
            match sample {
                Ok(sample) => {
                    progress(&sample);
                    self.samples.push(sample);
                }
                Err(failure) => {
                    let failure = format!("{line}: without {}: {failure}", peer.name());
                    eprintln!("{failure}");
                    self.failures.push(failure);
                    peers.retain(|other| other.name() != peer.name());
                }
            }
        }
    }

    fn busy(
        &mut self,
        line: &Line,
        peer: &dyn Peer,
        round: usize,
        rate: Option<f64>,
    ) -> Result<Sample, Failure> {
        let key = (peer.name().to_owned(), line.features());
        if !self.running.contains_key(&key) {
            self.running
                .insert(key.clone(), self.lab.start(peer, line.features(), 1)?);
        }
        let gateway = &self.running[&key];
        let mut job = line.job(self.lab, gateway, self.effort, rate)?;
        if peer.answers_when_stored() {
            job.expected = Expected::queued();
        }
        let driver = Driver::prepare(&job)?;
        gateway.rest(self.effort.settle);
        let before = gateway.cpu();
        let outcome = driver.run()?;
        gateway.rest(self.effort.settle);
        let cpu = gateway.cpu().since(&before);
        let requests = outcome.answered.max(1) as f64;
        Ok(Sample {
            cpu_per_request: cpu.as_secs_f64() * 1e6 / requests,
            memory: gateway.memory(),
            ..Sample::of_outcome(line, peer.name(), round, rate, outcome)
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
        let grown = memory.saturating_sub(before) as f64;
        // All of them must still be there.
        let outcome = driver.run()?;
        Ok(Sample {
            memory,
            memory_per_connection: Some(grown / self.effort.crowd as f64),
            ..Sample::of_outcome(line, peer.name(), round, None, outcome)
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
