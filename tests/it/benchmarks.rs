//! What is said about the benchmarks is true: their commands, and the numbers in the README.

use crate::support::{PAGES, commands, page};
use std::collections::BTreeMap;

#[test]
fn the_documented_benchmarks_exist() {
    let manifest = include_str!("../../Cargo.toml");
    for command in commands().filter_map(|command| command.strip_prefix("cargo bench --bench ")) {
        let name = command.split(' ').next().unwrap();
        assert!(
            manifest.contains(&format!("[[bench]]\nname = \"{name}\"\n")),
            "{name}"
        );
    }
}

/// The rows of the table that begins with `head`, as cells.
fn rows<'p>(page: &'p str, head: &str) -> Vec<Vec<&'p str>> {
    let table = &page[page.find(head).expect(head)..];
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_numbers_in_the_readme_are_those_of_the_benchmarks() {
    let mut costs = BTreeMap::new();
    let mut work = "";
    for row in &rows(page("benchmarks"), "| work | server |")[2..] {
        // A line is named in its first row only.
        work = if row[0].is_empty() { work } else { row[0] };
        costs.insert((work, row[1]), row[2]);
    }
    let numbers = rows(PAGES[0].1, "| work | NGINX |");
    let mut servers = numbers[0].clone();
    // In the tables of the page it is short.
    servers[5] = servers[5].strip_suffix(" program").unwrap();
    assert_eq!(numbers.len(), 2 + 6);
    for row in &numbers[2..] {
        for (server, number) in servers.iter().zip(row).skip(1) {
            let cost = costs.get(&(row[0], *server)).unwrap_or(&"–");
            assert_eq!(number, cost, "{}, {server}", row[0]);
        }
        assert_ne!(row.last(), Some(&"–"), "{}", row[0]);
    }
}
