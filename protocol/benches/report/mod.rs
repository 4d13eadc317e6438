//! What benchmarks share: percentiles, and the report that each of them adds its part to.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// How long the repetitions of one thing took.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    /// The median, in microseconds.
    pub(crate) p50_us: f64,
    /// The 99th percentile, in microseconds.
    pub(crate) p99_us: f64,
    /// How many there were.
    pub(crate) runs: usize,
}

impl Times {
    /// Of at least one time.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_nanos() as f64 / 1000.0;
        Self { p50_us: at(50), p99_us: at(99), runs: times.len() }
    }
}

/// Adds a part to `report.json`, beside what other benchmarks of the same run have put there.
pub(crate) fn add(name: &str, part: &impl Serialize) {
    let path = path();
    let known = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut report = match known {
        Some(serde_json::Value::Object(report)) => report,
        _ => serde_json::Map::new(),
    };
    report.insert(name.to_owned(), serde_json::to_value(part).unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, serde_json::to_string_pretty(&report).unwrap() + "\n").unwrap();
    println!("\n{}", path.display());
}

/// `bench/report.json` in the target directory, or where `BENCH_REPORT` says.
fn path() -> PathBuf {
    std::env::var_os("BENCH_REPORT").map(PathBuf::from).unwrap_or_else(|| {
        // Cargo says where the target directory is only by way of a folder in it.
        let folder = option_env!("CARGO_TARGET_TMPDIR").unwrap_or("target/tmp");
        PathBuf::from(folder).parent().unwrap().join("bench/report.json")
    })
}
