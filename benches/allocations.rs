//! How much each decision about a request allocates: `cargo bench --bench allocations`. It fails if
//! one takes more allocations than it may.
//!
//! It is apart from the times because counting takes time.

// It is a program for a terminal.
#![allow(clippy::print_stdout)]

mod cases;

use std::process::ExitCode;

/// The number of allocations that each decision may take: as many as it takes today.
const LIMITS: [(&str, u64); 12] = [
    ("reading of a head", 1),
    ("routing, 1 of 1", 0),
    ("routing, 1 of 100", 6),
    ("routing, 1 of 10000", 6),
    ("subject of an RSA-2048 certificate", 224),
    ("Authorization, Basic", 3),
    ("Authorization, Bearer, 1 of 1", 0),
    ("Authorization, Bearer, 1 of 1,000", 0),
    ("challenge", 6),
    ("body, flat", 8),
    ("body, nested, 2.5 KiB", 15),
    ("body, nested, 64 KiB", 15),
];

fn main() -> ExitCode {
    let mut has_grown = false;
    println!("| decision | allocations | at most | bytes |\n|---|---:|---:|---:|");
    for case in cases::all() {
        // What is allocated only once does not count.
        (case.decide)();
        let counted = allocation_counter::measure(&case.decide);
        let limit = limit_of(&case.name);
        println!(
            "| {} | {} | {limit} | {} |",
            case.name, counted.count_total, counted.bytes_total
        );
        has_grown |= counted.count_total > limit;
    }
    match has_grown {
        true => {
            println!("\nA decision takes more allocations than it may.");
            ExitCode::FAILURE
        }
        false => ExitCode::SUCCESS,
    }
}

fn limit_of(name: &str) -> u64 {
    let known = LIMITS.iter().find(|(known, _)| *known == name);
    known.expect("every decision has a limit").1
}
