//! The directives that are in effect at a place: both servers inherit them from block to block.

use super::directive::Directive;
use std::path::Path;

/// Blocks that are not places of their own.
const CONDITIONS: &str = "if elseif else limit_except limit limitexcept require*";

/// The blocks around a place.
#[derive(Clone, Debug)]
pub(super) struct Scope<'t> {
    /// The directory to which the names of files are relative.
    root: &'t Path,
    /// The outermost block first.
    blocks: Vec<&'t [Directive]>,
}

impl<'t> Scope<'t> {
    pub(super) fn new(root: &'t Path, outermost: &'t [Directive]) -> Self {
        let blocks = vec![outermost];
        Self { root, blocks }
    }

    /// Returns the scope one block further in.
    pub(super) fn within(&self, block: &'t [Directive]) -> Self {
        let mut inner = self.clone();
        inner.blocks.push(block);
        inner
    }

    /// Returns the directives with one of these names that are in effect together: a block that has
    /// any of its own inherits none.
    pub(super) fn all(&self, names: &str) -> Vec<&'t Directive> {
        let blocks = self.blocks.iter().rev();
        let mut found = blocks.map(|block| block.iter().filter(|it| it.is(names)).collect());
        found.find(|it: &Vec<_>| !it.is_empty()).unwrap_or_default()
    }

    /// Returns the last of these directives, which overrides the others.
    pub(super) fn one(&self, names: &str) -> Option<&'t Directive> {
        self.all(names).pop()
    }

    /// Returns the first argument of the directive that is in effect, or an empty text.
    pub(super) fn value(&self, names: &str) -> &'t str {
        self.one(names).map_or("", Directive::value)
    }

    /// Returns the innermost block.
    pub(super) fn innermost(&self) -> &'t [Directive] {
        self.blocks.last().copied().unwrap_or_default()
    }

    /// Returns the directives with one of these names in the innermost block.
    pub(super) fn own(&self, names: &'static str) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let innermost = self.innermost().iter();
        innermost.filter(move |it| it.is(names))
    }

    /// Returns the directives with one of these names in every block.
    pub(super) fn every(
        &self,
        names: &'static str,
    ) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let all = self.blocks.clone().into_iter().flatten();
        all.filter(move |it| it.is(names))
    }

    /// Returns every directive around the place, but for blocks that are other places.
    pub(super) fn directives(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let all = self.blocks.clone().into_iter().flatten();
        all.filter(|it| it.block.is_none() || it.is(CONDITIONS))
    }

    /// Returns what runs for each request to NGINX, in order, in the server and in the location.
    pub(super) fn steps(&self) -> impl Iterator<Item = &'t Directive> + use<'t> {
        let inner = self.blocks.clone().into_iter().skip(1).flatten();
        inner.filter(|it| it.is("if set return rewrite"))
    }

    /// Completes the name of a file; `None` if it depends on the request.
    pub(super) fn path(&self, name: &str) -> Option<String> {
        let path = self.root.join(name).display().to_string();
        (!name.contains('$')).then_some(path)
    }
}
