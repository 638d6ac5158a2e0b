//! What stands in the README.

/// The README.
pub(crate) const README: &str = include_str!("../../../README.md");

/// Its fenced blocks in `language`.
pub(crate) fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    README.split(&fence).skip(1).map(|rest| rest.split_inclusive("\n```").next().unwrap()).map(without_fence).collect()
}

fn without_fence(block: &str) -> &str {
    block.strip_suffix("```").expect("the block ends")
}
