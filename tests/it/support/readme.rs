//! What stands in the README.

/// The README.
pub(crate) const README: &str = include_str!("../../../README.md");

/// Its fenced blocks in `language`.
pub(crate) fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    README
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

/// Every command, in the order in which they stand there.
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    blocks("sh").into_iter().flat_map(commands_of)
}

/// The commands of the block that has this in it.
pub(crate) fn commands_with(text: &str) -> Vec<&'static str> {
    let found: Vec<_> = blocks("sh")
        .into_iter()
        .filter(|block| block.contains(text))
        .collect();
    let [block] = found[..] else {
        panic!("{text} is in {} blocks", found.len())
    };
    commands_of(block).collect()
}

fn commands_of(block: &'static str) -> impl Iterator<Item = &'static str> {
    block
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What is quoted in the first column of the table that has this head.
pub(crate) fn first_column(head: &str) -> Vec<&'static str> {
    let table = README
        .split(head)
        .nth(1)
        .unwrap_or_else(|| panic!("no table {head:?}"))
        .split("\n\n")
        .next()
        .unwrap();
    let cells = table
        .lines()
        .skip(2)
        .map(|row| row.split('|').nth(1).unwrap());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}
