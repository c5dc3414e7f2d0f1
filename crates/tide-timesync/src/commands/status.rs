//! `tide-timesync status`.

use std::fmt::Write;
use std::fs;

use serde_json::json;
use tide_photo::ClockSource;
use tide_photo::clock_report::ClockReport;

use super::StatusOptions;
use crate::config::Settings;
use crate::devices::clock::{KernelState, SystemClock};
use crate::devices::keepers;
use crate::devices::kernel_clock::KernelClock;
use crate::kept::{self, Run};

/// What is known of the clock at this moment.
struct Known {
    kernel: Option<KernelState>,
    daemons: Vec<&'static str>,
    report: Option<ClockReport>,
    run: Option<Run>,
    age_s: Option<u64>,
    /// Whether somebody has stepped the clock since the report.
    is_stepped: bool,
}

/// Prints how well the clock is kept. It changes nothing, and needs no rights.
///
/// # Errors
/// If the settings cannot be used.
pub fn status(options: &StatusOptions) -> anyhow::Result<()> {
    let settings = Settings::load()?;
    let clock = KernelClock;
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let report = fs::read(&settings.clock.report).ok().and_then(|json| ClockReport::from_json(&json));
    // One of another boot says nothing of now.
    let report = report.filter(|report| report.boot_id == boot_id.trim());
    let now = clock.reading();
    let is_stepped = report.as_ref().is_some_and(|report| report.is_stepped_since(now.boot_at_us(), now.spread_us));
    let now_us = now.monotonic_us;
    let age_s = report.as_ref().map(|report| now_us.saturating_sub(report.set_at_monotonic_us) / 1_000_000);
    let daemons = keepers::running("/proc".as_ref()).unwrap_or_default();
    let known = Known {
        kernel: clock.kernel_state().ok(),
        daemons: daemons.iter().map(|daemon| daemon.as_str()).collect(),
        report,
        run: kept::last_run(&settings.clock.folder),
        age_s,
        is_stepped,
    };
    if options.json {
        let kernel = known.kernel.map(|kernel| {
            let bound_us = kernel.synchronised.then(|| kernel.bound_us());
            json!({ "synchronised": kernel.synchronised, "max_error_us": bound_us })
        });
        println!("{}", json!({ "kernel": kernel, "report": known.report, "last_run": known.run }));
    } else {
        print!("{}", readable(&known));
    }
    Ok(())
}

fn readable(known: &Known) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{name:<10}{value}");
    };
    line("clock", &clock(known));
    line("kernel", &known.kernel.map_or_else(|| "says nothing of its clock".to_owned(), |kernel| kernel_line(&kernel)));
    if !known.daemons.is_empty() {
        line("runs", &known.daemons.join(", "));
    }
    if let Some(gps) = known.report.as_ref().and_then(|report| report.gps.as_ref()) {
        let satellites = gps.satellites.map_or_else(String::new, |count| format!(", {count} satellites"));
        let fix = match gps.mode {
            0 | 1 => "no fix".to_owned(),
            mode => format!("fix in {mode} dimensions{satellites}"),
        };
        line("receiver", &fix);
    }
    match &known.run {
        None => line("last run", "none yet (`tide-timesync sync`)"),
        Some(run) => {
            let ended = if run.exit_code == 0 { "well".to_owned() } else { format!("with {}", run.exit_code) };
            line("last run", &format!("{}, ended {ended}", run.at));
            for said in &run.said {
                line("", said);
            }
        }
    }
    text
}

fn clock(known: &Known) -> String {
    let Some(report) = &known.report else { return "not set or checked since the boot".to_owned() };
    let Some(age_s) = known.age_s.filter(|_| report.source != ClockSource::Unsynchronised) else {
        return "unsynchronised: nobody knows how far it is off".to_owned();
    };
    if known.is_stepped {
        return "set by somebody else since it was checked: nobody knows how far it is off".to_owned();
    }
    let slewing_us = known.kernel.map_or(0, |kernel| kernel.slewing_bound_us());
    let bound_ms = (report.error_us((age_s + 1) * 1_000_000) + slewing_us).div_ceil(1_000);
    let kept = report.kept_by.as_ref().map_or_else(String::new, |name| format!(", kept by {name}"));
    let source = report.source;
    format!("{source} ± {bound_ms} ms{kept}; set or checked {} min ago within {} ms", age_s / 60, report.uncertainty_ms)
}

fn kernel_line(kernel: &KernelState) -> String {
    if kernel.synchronised {
        format!("synchronised, within {} ms", kernel.bound_us().div_ceil(1_000))
    } else {
        "unsynchronised: nobody vouches for it".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_how_well_the_clock_is_kept() {
        let report = r#"{"version":1,"source":"gps","uncertainty_ms":250,"set_at_monotonic_us":5,"boot_id":"b",
            "drift_bound_ppm":70,"gps":{"mode":3,"satellites":9}}"#;
        let run = Run { at: "2026-05-31T18:00:00.000Z".to_owned(), said: vec!["stepped".to_owned()], ..Run::default() };
        let kernel = KernelState {
            synchronised: true,
            max_error_us: 2_050_000,
            est_error_us: 0,
            slewing_us: 0,
            time_constant: 6,
            frequency_ppb: 0,
            status: 0,
        };
        let known = Known {
            kernel: Some(kernel),
            daemons: vec!["chronyd"],
            report: ClockReport::from_json(report.as_bytes()),
            run: Some(run),
            age_s: Some(3_600),
            is_stepped: false,
        };
        let expected = "clock     gps ± 503 ms; set or checked 60 min ago within 250 ms\n\
                        kernel    synchronised, within 2050 ms\n\
                        runs      chronyd\n\
                        receiver  fix in 3 dimensions, 9 satellites\n\
                        last run  2026-05-31T18:00:00.000Z, ended well\n          stepped\n";
        assert_eq!(readable(&known), expected);
    }

    #[test]
    fn what_is_not_known_is_said() {
        let none = Known { kernel: None, daemons: Vec::new(), report: None, run: None, age_s: None, is_stepped: false };
        let text = readable(&none);
        assert!(text.contains("not set or checked since the boot") && text.contains("none yet"), "{text}");
    }
}
