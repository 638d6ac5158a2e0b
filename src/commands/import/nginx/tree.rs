//! Reads an NGINX configuration into a tree of directives, with included files in their place.

use super::syntax::NginxFile;
use crate::commands::import::directive::{Directive, SourceLocation};
use crate::commands::import::sources::{Parsed, SourceFiles, TreeReader};
use std::path::Path;

/// The reader of NGINX's syntax.
pub(super) struct NginxReader(pub(super) SourceFiles);

/// Directives, and the place of the `}` behind them.
type NginxBlock = (Vec<Directive>, Option<SourceLocation>);

impl TreeReader for NginxReader {
    fn sources(&mut self) -> &mut SourceFiles {
        &mut self.0
    }

    fn text(&mut self, path: &Path, text: &str) -> Parsed<Vec<Directive>> {
        match self.block(&mut NginxFile::new(path, text))? {
            (block, None) => Ok(block),
            (_, Some(place)) => Err(place.error("there is no block that this } closes: remove it")),
        }
    }
}

impl NginxReader {
    /// Reads up to a `}`, or to the end of the file.
    fn block(&mut self, file: &mut NginxFile<'_>) -> Parsed<NginxBlock> {
        let mut block = Vec::new();
        let mut current = None;
        while let Some((token, place)) = file.next()? {
            match (token, current.take()) {
                (Ok(name), None) => current = Some(self.0.directive(name, Vec::new(), place)?),
                (Ok(argument), Some(directive)) => current = Some(with(directive, argument)),
                (Err(';'), Some(directive)) => block.extend(self.include(directive)?),
                (Err('{'), Some(directive)) => block.push(self.section(directive, file)?),
                (Err('}'), unfinished) => {
                    block.extend(unfinished);
                    return Ok((block, Some(place)));
                }
                _ => return Err(place.error("there is no directive before this: remove it")),
            }
        }
        Ok((block, None))
    }

    /// Reads the block of a directive, whose `{` has been read.
    fn section(&mut self, mut open: Directive, file: &mut NginxFile<'_>) -> Parsed<Directive> {
        if open.name.ends_with("_by_lua_block") {
            file.skip_lua()?;
            return Ok(open);
        }
        let (block, end) = self.nested(&open.place, |reader| reader.block(file))?;
        if end.is_none() {
            let message = "this block has no end: write the missing }";
            return Err(open.place.error(message));
        }
        open.block = Some(block);
        Ok(open)
    }

    /// Replaces an `include` by the directives of its files. Where a file is missing, it stays.
    fn include(&mut self, directive: Directive) -> Parsed<Vec<Directive>> {
        let files = match (directive.name.as_str(), &directive.arguments[..]) {
            ("include", [name]) => self.included(Path::new(name), &directive.place)?,
            _ => None,
        };
        Ok(files.unwrap_or_else(|| vec![directive]))
    }
}

fn with(mut directive: Directive, argument: String) -> Directive {
    directive.arguments.push(argument);
    directive
}
