//! Recordings of real GPS receivers, and the times that gpsd found in them.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::Value;

/// The times of gpsd's fixes in what it made of a recording (`NAME.log.chk`), each once, in their order.
///
/// # Errors
/// If that is not there.
pub fn gpsds_times(recording: &Path) -> anyhow::Result<Vec<Timestamp>> {
    let path = format!("{}.chk", recording.display());
    let bytes = fs::read(&path).with_context(|| format!("failed to read {path}"))?;
    // The receiver's own messages lie between gpsd's lines, and need not be text.
    times_in(&String::from_utf8_lossy(&bytes))
}

/// The times of gpsd's fixes in what it has said, each once, in their order.
///
/// # Errors
/// If its lines cannot be read.
pub fn times_in(said: &str) -> anyhow::Result<Vec<Timestamp>> {
    let reports = said.lines().filter(|line| line.starts_with("{\"class\":\"TPV\""));
    let reports = reports.map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let fixes = reports.iter().filter(|report| report["mode"].as_u64() >= Some(2));
    once(fixes.filter_map(|report| report["time"].as_str()).map(|time| Ok(time.parse()?)))
}

/// The times that `tide-timesync fixes` has printed, each once, in their order.
///
/// # Errors
/// If it has printed anything else.
pub fn printed_times(printed: &str) -> anyhow::Result<Vec<Timestamp>> {
    once(printed.lines().map(|line| {
        let fix: Value = serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?;
        Ok(fix["time"].as_str().with_context(|| format!("no time: {line}"))?.parse()?)
    }))
}

fn once(times: impl Iterator<Item = anyhow::Result<Timestamp>>) -> anyhow::Result<Vec<Timestamp>> {
    let mut seen = HashSet::new();
    let mut times = times.collect::<anyhow::Result<Vec<_>>>()?;
    times.retain(|time| seen.insert(*time));
    Ok(times)
}
