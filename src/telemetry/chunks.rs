//! Lines of the log in pieces of memory that are used again.

use std::collections::VecDeque;

/// The size of a piece, unless one line is longer.
pub(super) const CHUNK: usize = 64 << 10;

/// Lines in their order, in pieces that hold whole lines.
#[derive(Default)]
pub(super) struct Chunks {
    /// No piece is empty.
    chunks: VecDeque<Vec<u8>>,
    /// An empty piece for the lines that come next.
    spare: Option<Vec<u8>>,
}

impl Chunks {
    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns `true` if the first piece gets no more lines.
    pub(super) fn has_full_chunk(&self) -> bool {
        self.chunks.len() > 1
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        match self.chunks.back_mut().filter(|last| has_room(last, line)) {
            Some(last) => last.extend_from_slice(line),
            None => self.begin(line),
        }
    }

    fn begin(&mut self, line: &[u8]) {
        let spare = self.spare.take().filter(|spare| has_room(spare, line));
        let mut chunk = spare.unwrap_or_else(|| Vec::with_capacity(CHUNK.max(line.len())));
        chunk.extend_from_slice(line);
        self.chunks.push_back(chunk);
    }

    /// Takes the first piece, which is empty if there is none.
    pub(super) fn pop(&mut self) -> Vec<u8> {
        self.chunks.pop_front().unwrap_or_default()
    }

    /// Keeps a piece whose lines were written, unless one is kept already.
    pub(super) fn reuse(&mut self, mut chunk: Vec<u8>) {
        chunk.clear();
        if self.spare.is_none() && chunk.capacity() <= CHUNK {
            self.spare = Some(chunk);
        }
    }
}

/// Returns `true` if `line` fits into `chunk` without more memory.
fn has_room(chunk: &Vec<u8>, line: &[u8]) -> bool {
    chunk.len() + line.len() <= chunk.capacity()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_in_order_in_memory_that_is_bounded() {
        let mut chunks = Chunks::default();
        let line = |index: usize| format!("{index} {}\n", "x".repeat(index * 37 % 3000));
        let all: String = (0..200).map(line).collect();
        (0..200).for_each(|index| chunks.push(line(index).as_bytes()));
        chunks.push(b"");
        let mut taken = Vec::new();
        while !chunks.is_empty() {
            let is_full = chunks.has_full_chunk();
            let chunk = chunks.pop();
            assert!(chunk.ends_with(b"\n") && chunk.capacity() == CHUNK);
            assert!(!is_full || chunk.len() > CHUNK - 3010, "{}", chunk.len());
            taken.extend_from_slice(&chunk);
            chunks.reuse(chunk);
        }
        assert_eq!(taken, all.into_bytes());
        // One longer than a piece has one of its own, which is not kept.
        let long = "x".repeat(CHUNK + 1);
        chunks.push(b"a\n");
        chunks.push(long.as_bytes());
        assert_eq!(chunks.pop(), b"a\n");
        let chunk = chunks.pop();
        assert_eq!(chunk, long.as_bytes());
        assert!(chunks.spare.is_none(), "the short one is in the piece");
        chunks.reuse(chunk);
        assert!(chunks.spare.is_none() && chunks.pop().is_empty());
    }
}
