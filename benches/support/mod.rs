//! What all benches share: numbers of other processes, the running service, and the table that is printed.
//!
//! A figure is a ratio to the bare ceiling of the same run wherever there is one, because absolute numbers drift with the
//! machine. Nothing here asserts: [`Report::end`] prints PASS or FAIL, and only `--check` makes a FAIL an exit status.

#![expect(dead_code, reason = "no bench uses all of it")]

pub(crate) mod bare;
pub(crate) mod caller;
pub(crate) mod rest;
pub(crate) mod service;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// The real clock: a bench measures real time.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The value after `name` on the command line, or `default`.
pub(crate) fn argument(name: &str, default: f64) -> f64 {
    let all: Vec<String> = std::env::args().collect();
    all.windows(2).find(|pair| pair[0] == name).and_then(|pair| pair[1].parse().ok()).unwrap_or(default)
}

/// Whether `name` is on the command line.
pub(crate) fn flag(name: &str) -> bool {
    std::env::args().any(|a| a == name)
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(&mut values.to_vec(), 0.5)
}

/// The value below which `part` (0 to 1) of all lie; 0 when there are none.
pub(crate) fn percentile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * part).round() as usize).copied().unwrap_or(0.0)
}

/// Processor seconds (user and system) that a process with all its threads has used.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold spaces; after it utime and stime are the 12th and 13th fields.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = |n: usize| rest.split_whitespace().nth(n).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    // USER_HZ is 100 on every Linux that matters.
    (ticks(11) + ticks(12)) / 100.0
}

/// Processor seconds that a process's threads have used, by name. Threads that have ended are missing.
pub(crate) fn thread_seconds(pid: u32) -> BTreeMap<String, f64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap_or_default();
        // Nanoseconds on a processor come first.
        let ns = read("schedstat").split(' ').next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0);
        *all.entry(read("comm").trim().to_owned()).or_default() += ns / 1e9;
    }
    all
}

/// Resident bytes of a process.
pub(crate) fn resident_bytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
}

/// Collects figures and prints them as one table.
pub(crate) struct Report {
    rows: Vec<[String; 4]>,
    failed: bool,
}

impl Report {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new(), failed: false }
    }

    /// A figure with a goal.
    pub(crate) fn goal(&mut self, name: &str, value: String, goal: &str, met: bool) {
        let verdict = if met { "PASS" } else { "FAIL" };
        self.failed |= !met;
        self.rows.push([name.to_owned(), value, goal.to_owned(), verdict.to_owned()]);
    }

    /// A figure for information.
    pub(crate) fn note(&mut self, name: &str, value: String) {
        self.rows.push([name.to_owned(), value, String::new(), String::new()]);
    }

    /// Prints the table. With `--check` a missed goal is an exit status.
    pub(crate) fn end(self, title: &str) -> ExitCode {
        println!("\n### {title}\n\n| figure | measured | goal | |\n|---|---|---|---|");
        for [name, value, goal, verdict] in &self.rows {
            println!("| {name} | {value} | {goal} | {verdict} |");
        }
        if self.failed && flag("--check") { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
