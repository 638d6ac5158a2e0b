//! The usual metrics of a process, by the names that Prometheus' client libraries give them.
//!
//! The collector of the `prometheus` crate reads `/proc/stat`, which a service of systemd with
//! `ProcSubset=pid` cannot see.

use super::register;
use prometheus::core::Collector;
use prometheus::{Gauge, Opts, Registry};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The metrics of this process. A part that cannot be read keeps its last value.
pub(super) struct ProcessMetrics {
    cpu_seconds: prometheus::Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    resident_memory: Gauge,
    threads: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name, help| add(registry, Gauge::with_opts(Opts::new(name, help)));
        let started = gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
        );
        started.set(start_time());
        let cpu = Opts::new(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        );
        Self {
            cpu_seconds: add(registry, prometheus::Counter::with_opts(cpu)),
            open_fds: gauge("process_open_fds", "Number of open file descriptors."),
            max_fds: gauge(
                "process_max_fds",
                "Maximum number of open file descriptors.",
            ),
            virtual_memory: gauge(
                "process_virtual_memory_bytes",
                "Virtual memory size in bytes.",
            ),
            resident_memory: gauge(
                "process_resident_memory_bytes",
                "Resident memory size in bytes.",
            ),
            threads: gauge("process_threads", "Number of OS threads in the process."),
        }
    }

    /// Measures them now.
    pub(super) fn update(&self) {
        let used = cpu_time().as_secs_f64() - self.cpu_seconds.get();
        self.cpu_seconds.inc_by(used.max(0.0));
        let max_fds = getrlimit(Resource::Nofile).current;
        set(&self.max_fds, max_fds.map(|limit| limit as f64));
        set(&self.open_fds, entries("/proc/self/fd"));
        set(&self.threads, entries("/proc/self/task"));
        let memory = memory();
        set(&self.virtual_memory, memory.map(|(size, _)| size));
        set(&self.resident_memory, memory.map(|(_, resident)| resident));
    }
}

/// Sets a gauge to what was measured, if it could be.
fn set(gauge: &Gauge, measured: Option<f64>) {
    if let Some(measured) = measured {
        gauge.set(measured);
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    register(registry, metric.expect("the metric is valid"))
}

/// Returns the time when this process started.
fn start_time() -> f64 {
    // Its age is the uptime of the system less the uptime at its start.
    let uptime = duration(clock_gettime(ClockId::Boottime));
    let age = uptime.saturating_sub(uptime_at_start().unwrap_or(uptime));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.saturating_sub(age).as_secs_f64()
}

/// Returns the uptime of the system when this process started, which the system has in ticks.
fn uptime_at_start() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let tick = Duration::from_secs(1) / u32::try_from(clock_ticks_per_second()).unwrap_or(100);
    Some(tick.mul_f64(start_ticks(&stat)? as f64))
}

fn start_ticks(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(19)?.parse().ok()
}

fn cpu_time() -> Duration {
    duration(clock_gettime(ClockId::ProcessCPUTime))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the number of entries of a directory.
fn entries(directory: &str) -> Option<f64> {
    Some(fs::read_dir(directory).ok()?.count() as f64)
}

/// Returns the virtual and the resident memory in bytes.
fn memory() -> Option<(f64, f64)> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let mut sizes = statm.split(' ').map(bytes_of_pages);
    Some((sizes.next()??, sizes.next()??))
}

fn bytes_of_pages(pages: &str) -> Option<f64> {
    let pages: u64 = pages.parse().ok()?;
    Some(pages.saturating_mul(page_size() as u64) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_can_be_measured() {
        let registry = Registry::new();
        let metrics = ProcessMetrics::new(&registry);
        let started = start_time();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - started;
        assert!((0.0..3600.0).contains(&age), "{age}");
        metrics.update();
        for family in registry.gather() {
            let metric = &family.get_metric()[0];
            let value = metric.get_gauge().get_value() + metric.get_counter().get_value();
            assert!(value > 0.0, "{}", family.name());
        }
        let before = metrics.cpu_seconds.get();
        metrics.update();
        assert!(metrics.cpu_seconds.get() >= before);
    }
}
