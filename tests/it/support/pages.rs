//! The pages of the documentation: the README and the manual.

/// A page: its path in the repository and its text.
macro_rules! page {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../", $path)))
    };
}

/// Every page. The README is the first.
pub(crate) const PAGES: [(&str, &str); 17] = [
    page!("README.md"),
    page!("src/manual/configuration.md"),
    page!("src/manual/install.md"),
    page!("src/manual/acme.md"),
    page!("src/manual/upstreams.md"),
    page!("src/manual/delivery.md"),
    page!("src/manual/replicas.md"),
    page!("src/manual/applications.md"),
    page!("src/manual/migrating.md"),
    page!("src/manual/troubleshooting.md"),
    page!("src/manual/operating.md"),
    page!("src/manual/observability.md"),
    page!("src/manual/doctor.md"),
    page!("src/manual/send.md"),
    page!("src/manual/security.md"),
    page!("src/manual/benchmarks.md"),
    page!("src/manual/library.md"),
];

/// Whether `text` is somewhere on a page.
pub(crate) fn is_documented(text: &str) -> bool {
    PAGES.iter().any(|(_, page)| page.contains(text))
}

/// The page of the manual with this name.
pub(crate) fn page(name: &str) -> &'static str {
    let path = format!("src/manual/{name}.md");
    let (_, text) = PAGES.iter().find(|(page, _)| *page == path).unwrap();
    text
}

/// The fenced blocks in `language`, of all pages.
pub(crate) fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("\n```{language}\n");
    PAGES
        .iter()
        .flat_map(|(_, page)| page.split(&fence).skip(1))
        .map(|rest| rest.split("\n```").next().unwrap())
        .collect()
}

/// The first block in `language` that follows `before`, on the same page.
pub(crate) fn block_after(before: &str, language: &str) -> &'static str {
    let fence = format!("\n```{language}\n");
    let rest = PAGES.iter().find_map(|(_, page)| page.split(before).nth(1));
    let block = rest.unwrap().split(&fence).nth(1).unwrap();
    block.split("\n```").next().unwrap()
}

/// A configuration with the sections that `fragment` does not show: those of the smallest one.
pub(crate) fn complete(fragment: &str) -> String {
    let smallest = blocks("toml")[0].split("\n\n");
    let missing = smallest.filter(|section| !fragment.contains(section.lines().next().unwrap()));
    let sections: Vec<_> = std::iter::once(fragment).chain(missing).collect();
    sections.join("\n\n")
}

/// Every command, page by page.
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    blocks("sh").into_iter().flat_map(commands_of)
}

/// The commands of the block that contains `text`.
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

/// The code spans in the first column of the table with this head.
pub(crate) fn first_column(head: &str) -> Vec<&'static str> {
    let table = PAGES
        .iter()
        .find_map(|(_, page)| page.split(head).nth(1))
        .unwrap_or_else(|| panic!("no table {head:?}"));
    table
        .split("\n\n")
        .next()
        .unwrap()
        .lines()
        .skip(2)
        .map(|row| row.split('|').nth(1).unwrap())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}
