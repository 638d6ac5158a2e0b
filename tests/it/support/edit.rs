//! Edits of configurations and other texts that must not be without effect.

/// Replaces parts of a text. Unlike `str::replace`, it panics if there is nothing to replace.
pub(crate) trait Edit {
    /// Replaces every `from` by `to`.
    fn edit(&self, from: &str, to: &str) -> String;

    /// Replaces the first `from` by `to`.
    fn edit_first(&self, from: &str, to: &str) -> String;
}

impl Edit for str {
    #[track_caller]
    fn edit(&self, from: &str, to: &str) -> String {
        assert!(self.contains(from), "there is no {from:?} in:\n{self}");
        self.replace(from, to)
    }

    #[track_caller]
    fn edit_first(&self, from: &str, to: &str) -> String {
        assert!(self.contains(from), "there is no {from:?} in:\n{self}");
        self.replacen(from, to, 1)
    }
}
