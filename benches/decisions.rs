//! How long each decision about a request takes: `cargo bench --bench decisions`.

mod cases;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for case in cases::all() {
        criterion.bench_function(&case.name, |bencher| bencher.iter(&case.decide));
    }
    criterion.final_summary();
}
