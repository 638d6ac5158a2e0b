//! How much each decision about a request allocates: `cargo bench --bench allocations`.
//!
//! It is apart from the times because counting takes time.

// It is a program for a terminal.
#![allow(clippy::print_stdout)]

mod cases;

fn main() {
    println!("| decision | allocations | bytes |\n|---|---:|---:|");
    for case in cases::all() {
        // What is allocated only once does not count.
        (case.decide)();
        let counted = allocation_counter::measure(&case.decide);
        println!(
            "| {} | {} | {} |",
            case.name, counted.count_total, counted.bytes_total
        );
    }
}
