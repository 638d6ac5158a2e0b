//! Paths of a configuration by their segments, so that finding one takes as long as its path,
//! however many there are.

use std::collections::HashMap;

/// A tree with a node for each prefix.
#[derive(Debug)]
pub(super) struct PathTree {
    nodes: Vec<PathNode>,
}

#[derive(Debug, Default)]
struct PathNode {
    children: HashMap<Box<str>, usize>,
    /// The items of this path and no other.
    exact: Vec<usize>,
    /// The items of this path and everything below it.
    below: Vec<usize>,
}

impl PathTree {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![PathNode::default()],
        }
    }

    /// Adds an item for the path of these segments and, if `has_below`, for everything below it.
    pub(super) fn insert<'s>(
        &mut self,
        segments: impl Iterator<Item = &'s str>,
        has_below: bool,
        index: usize,
    ) {
        let mut at = 0;
        for segment in segments {
            at = self.child(at, segment);
        }
        let node = &mut self.nodes[at];
        match has_below {
            true => node.below.push(index),
            false => node.exact.push(index),
        }
    }

    /// Returns the node of a segment below another node, which is added if it is new.
    fn child(&mut self, above: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        let children = &mut self.nodes[above].children;
        let child = *children.entry(segment.into()).or_insert(next);
        if child == next {
            self.nodes.push(PathNode::default());
        }
        child
    }

    /// Calls `each` with the items that match the path of these segments, the least specific first,
    /// and with the number of segments that they match.
    pub(super) fn walk<'s>(
        &self,
        segments: impl Iterator<Item = &'s str>,
        mut each: impl FnMut(&[usize], usize),
    ) {
        let (mut node, mut depth) = (&self.nodes[0], 0);
        each(&node.below, depth);
        for segment in segments {
            let Some(child) = node.children.get(segment) else {
                return;
            };
            node = &self.nodes[*child];
            depth += 1;
            each(&node.below, depth);
        }
        each(&node.exact, depth);
    }
}
