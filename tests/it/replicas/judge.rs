//! What must hold of the notifications that an application has received, whatever has happened: all
//! that were acknowledged are among them, and one that was acknowledged before another of its alert
//! was sent came before it.

use crate::support::Received;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// What an application has received, beside what was acknowledged.
pub(super) struct Figures {
    acknowledged: usize,
    requests: usize,
    /// Those that were marked as perhaps being out of order, and are not judged for that.
    unordered: usize,
    lost: Vec<String>,
    /// Those that came before one that was acknowledged before they were sent.
    reordered: Vec<String>,
}

impl Figures {
    /// Judges `received`. `acknowledged` are the notifications of each node, each sent once the one
    /// before it was answered.
    pub(super) fn of(acknowledged: &BTreeMap<String, Vec<String>>, received: &[Received]) -> Self {
        let mut firsts = HashMap::new();
        for (at, request) in received.iter().enumerate() {
            let key = request.header("Idempotency-Key");
            firsts.entry(key).or_insert((at, is_marked(request)));
        }
        let (mut lost, mut reordered) = (Vec::new(), Vec::new());
        for keys in acknowledged.values() {
            let missing = keys.iter().filter(|key| !firsts.contains_key(key.as_str()));
            lost.extend(missing.cloned());
            reordered.extend(overtaking(keys, &firsts));
        }
        Self {
            acknowledged: acknowledged.values().map(Vec::len).sum(),
            requests: received.len(),
            unordered: received.iter().filter(|request| is_marked(request)).count(),
            lost,
            reordered,
        }
    }

    /// Nothing is lost, and nothing is out of order.
    #[track_caller]
    pub(super) fn are_sound(&self) {
        let (lost, reordered) = (&self.lost, &self.reordered);
        let is_sound = lost.is_empty() && reordered.is_empty();
        assert!(is_sound, "lost: {lost:?}, out of order: {reordered:?}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            acknowledged,
            requests,
            unordered,
            lost,
            reordered,
        } = self;
        let (lost, reordered) = (lost.len(), reordered.len());
        write!(
            f,
            "{acknowledged} acknowledged, {lost} lost, {reordered} out of order, {unordered} of {requests} requests marked"
        )
    }
}

fn is_marked(request: &Received) -> bool {
    !request.all("X-Netdata-Unordered").is_empty()
}

/// Returns those of `keys` that came before one which stands before them.
fn overtaking(keys: &[String], firsts: &HashMap<&str, (usize, bool)>) -> Vec<String> {
    let mut latest = 0;
    let mut overtaking = Vec::new();
    for key in keys {
        match firsts.get(key.as_str()) {
            Some((at, false)) if *at < latest => overtaking.push(key.clone()),
            Some((at, false)) => latest = *at,
            _ => {}
        }
    }
    overtaking
}

/// Returns the requests, repeated ones included, that came after a later one of their node. A key is
/// that of a node and a number, with a hyphen between them.
pub(super) fn late(received: &[Received]) -> Vec<String> {
    let mut latest = HashMap::<&str, usize>::new();
    let mut late = Vec::new();
    for request in received {
        let key = request.header("Idempotency-Key");
        let (node, number) = key.rsplit_once('-').unwrap();
        let number: usize = number.parse().unwrap();
        let latest = latest.entry(node).or_default();
        if number < *latest {
            late.push(key.to_owned());
        }
        *latest = number.max(*latest);
    }
    late
}
