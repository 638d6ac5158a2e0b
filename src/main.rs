//! The program. What it does is in the library.

use mimalloc::MiMalloc;
use std::process::ExitCode;

// A request makes a few dozen small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    netdata_webhook_proxy::commands::main()
}
