//! Reads an NGINX configuration into a tree of directives, with included files in their place.

use super::syntax::NginxFile;
use crate::commands::import::directive::{Directive, ImportError, SourceLocation};
use crate::commands::import::sources::SourceFiles;
use std::path::Path;

type Parsed<T> = Result<T, ImportError>;

/// Reads `file` and what it includes.
pub(super) fn read(file: &Path, prefix: &Path) -> Parsed<Vec<Directive>> {
    let mut reader = TreeReader(SourceFiles::of(prefix));
    reader.file(file, &SourceLocation::start_of(file))
}

struct TreeReader(SourceFiles);

impl TreeReader {
    /// Reads a file that is named at `named`.
    fn file(&mut self, path: &Path, named: &SourceLocation) -> Parsed<Vec<Directive>> {
        let text = self.0.open(path, named)?;
        let (block, end) = self.block(&mut NginxFile::new(path, &text))?;
        self.0.close();
        match end {
            None => Ok(block),
            Some(place) => {
                let message = "there is no block that this } closes: remove it";
                Err(place.error(message))
            }
        }
    }

    /// Reads up to a `}`, whose place is returned as well, or to the end of the file.
    fn block(
        &mut self,
        file: &mut NginxFile<'_>,
    ) -> Parsed<(Vec<Directive>, Option<SourceLocation>)> {
        let mut block = Vec::new();
        let mut current: Option<Directive> = None;
        while let Some((token, place)) = file.next()? {
            match (token, current.take()) {
                (Ok(name), None) => {
                    current = Some(self.0.directive(name, Vec::new(), place)?);
                }
                (Ok(argument), Some(mut directive)) => {
                    directive.arguments.push(argument);
                    current = Some(directive);
                }
                (Err(';'), Some(directive)) => block.extend(self.include(directive)?),
                (Err('{'), Some(directive)) => block.push(self.nested(directive, file)?),
                (Err('}'), unfinished) => {
                    block.extend(unfinished);
                    return Ok((block, Some(place)));
                }
                (Err(_), _) => {
                    let message = "there is no directive before this: remove it";
                    return Err(place.error(message));
                }
            }
        }
        Ok((block, None))
    }

    /// Reads the block of a directive, whose `{` has been read.
    fn nested(&mut self, mut open: Directive, file: &mut NginxFile<'_>) -> Parsed<Directive> {
        if open.name.ends_with("_by_lua_block") {
            file.skip_lua()?;
            return Ok(open);
        }
        self.0.enter(&open.place)?;
        let (block, end) = self.block(file)?;
        self.0.leave();
        if end.is_none() {
            let message = "this block has no end: write the missing }";
            return Err(open.place.error(message));
        }
        open.block = Some(block);
        Ok(open)
    }

    /// Replaces an `include` by the directives of its files. Where a file is missing, it stays.
    fn include(&mut self, directive: Directive) -> Parsed<Vec<Directive>> {
        if directive.name != "include" || directive.arguments.len() != 1 {
            return Ok(vec![directive]);
        }
        let place = &directive.place;
        let Some(paths) = self.0.included(Path::new(directive.value()), place)? else {
            return Ok(vec![directive]);
        };
        let mut included = Vec::new();
        for path in paths {
            included.extend(self.file(&path, place)?);
        }
        Ok(included)
    }
}
