//! Reads an NGINX configuration into a tree of directives, with included files in their place.

use super::syntax::{NginxFile, NginxToken};
use crate::commands::import::directive::Directive;
use crate::commands::import::location::{ImportError, SourceLocation};
use crate::commands::import::sources::{MAX_DEPTH, MAX_NESTING, MAX_PARTS, SourceFiles};
use std::path::Path;

type Directives = Result<Vec<Directive>, ImportError>;

/// Reads `file` and what it includes. Names of files are relative to `prefix`, in whichever file
/// they appear.
pub(super) fn read(file: &Path, prefix: &Path) -> Directives {
    let mut reader = TreeReader {
        prefix,
        sources: SourceFiles::default(),
        count: 0,
        depth: 0,
    };
    let start = SourceLocation::start_of(file);
    reader.file(file, &start, 0)
}

struct TreeReader<'p> {
    prefix: &'p Path,
    sources: SourceFiles,
    /// The number of directives that have been read.
    count: usize,
    /// The number of files that are being read.
    depth: usize,
}

/// The directives of a file that have been read so far.
#[derive(Default)]
struct GrowingTree {
    /// The number of blocks around the file.
    nesting: usize,
    /// The directive whose end has not been read.
    current: Option<Directive>,
    /// The blocks that are open, the outermost first.
    open: Vec<Directive>,
    /// The directives outside of all blocks.
    done: Vec<Directive>,
}

impl TreeReader<'_> {
    /// Reads a file that is named at `named`, within `nesting` blocks.
    fn file(&mut self, path: &Path, named: &SourceLocation, nesting: usize) -> Directives {
        let fail = |message: String| ImportError::new(named, message);
        if self.depth > MAX_DEPTH {
            let deeper = format!("files include each other deeper than {MAX_DEPTH}");
            return Err(fail(format!("{deeper}: does one include itself?")));
        }
        self.depth += 1;
        let text = self.sources.read(path).map_err(fail)?;
        let mut file = NginxFile::new(path, &text);
        let mut tree = GrowingTree {
            nesting,
            ..GrowingTree::default()
        };
        while let Some((token, place)) = file.next()? {
            self.add(token, place, &mut file, &mut tree)?;
        }
        self.depth -= 1;
        match tree.open.last() {
            None => Ok(tree.done),
            Some(open) => {
                let message = "this block has no end: write the missing }";
                Err(ImportError::new(&open.place, message))
            }
        }
    }

    fn add(
        &mut self,
        token: NginxToken,
        place: SourceLocation,
        file: &mut NginxFile<'_>,
        tree: &mut GrowingTree,
    ) -> Result<(), ImportError> {
        match (token, tree.current.take()) {
            (NginxToken::Word(name), None) => tree.current = Some(self.directive(name, place)?),
            (NginxToken::Word(argument), Some(mut directive)) => {
                directive.arguments.push(argument);
                tree.current = Some(directive);
            }
            (NginxToken::End, Some(directive)) => {
                let nesting = tree.nesting + tree.open.len();
                tree.siblings().extend(self.include(directive, nesting)?);
            }
            (NginxToken::Open, Some(directive)) if directive.name.ends_with("_by_lua_block") => {
                file.skip_lua()?;
                tree.siblings().push(directive);
            }
            (NginxToken::Open, Some(directive)) => tree.open(directive)?,
            (NginxToken::End | NginxToken::Open, None) => {
                let message = "there is no directive before this: remove it";
                return Err(ImportError::new(&place, message));
            }
            (NginxToken::Close, directive) => {
                tree.siblings().extend(directive);
                tree.close(&place)?;
            }
        }
        Ok(())
    }

    fn directive(&mut self, name: String, place: SourceLocation) -> Result<Directive, ImportError> {
        self.count += 1;
        if self.count > MAX_PARTS {
            let message = format!("the configuration has more than {MAX_PARTS} directives");
            return Err(ImportError::new(&place, message));
        }
        Ok(Directive {
            name,
            arguments: Vec::new(),
            block: None,
            place,
            id: self.count,
        })
    }

    /// Replaces an `include` by the directives of its files. Where a file is missing, it stays.
    fn include(&mut self, directive: Directive, nesting: usize) -> Directives {
        if directive.name != "include" || directive.arguments.len() != 1 {
            return Ok(vec![directive]);
        }
        let path = self.prefix.join(directive.value());
        let paths = self.sources.matching(&path);
        let paths = match paths.map_err(|message| ImportError::new(&directive.place, message))? {
            Some(paths) => paths,
            None if path.exists() => vec![path],
            None => return Ok(vec![directive]),
        };
        let mut included = Vec::new();
        for path in paths {
            included.extend(self.file(&path, &directive.place, nesting)?);
        }
        Ok(included)
    }
}

impl GrowingTree {
    /// Returns the innermost list of directives.
    fn siblings(&mut self) -> &mut Vec<Directive> {
        match self.open.last_mut() {
            Some(block) => block.block.get_or_insert_default(),
            None => &mut self.done,
        }
    }

    fn open(&mut self, mut block: Directive) -> Result<(), ImportError> {
        if self.nesting + self.open.len() >= MAX_NESTING {
            let message = format!("blocks are nested deeper than {MAX_NESTING}");
            return Err(ImportError::new(&block.place, message));
        }
        block.block = Some(Vec::new());
        self.open.push(block);
        Ok(())
    }

    fn close(&mut self, place: &SourceLocation) -> Result<(), ImportError> {
        let message = "there is no block that this } closes: remove it";
        let block = self.open.pop();
        let block = block.ok_or_else(|| ImportError::new(place, message))?;
        self.siblings().push(block);
        Ok(())
    }
}
