//! What a station's status says, line by line, and which of it wants a look.

use semver::Version;
use tide_photo::CapturedAt;
use tide_photo::status::{GpsStatus, Room, SpoolStatus, StationStatus};

/// Difference between a station's clock and the server's that is told, in seconds: more than any way through a network takes.
const CLOCKS_APART_S: i64 = 60;

/// Least free part of a disk that is well, in percent.
const LITTLE_ROOM_PERCENT: u64 = 10;

/// A Pi slows down at 80 degrees Celsius, as its makers say; this is short of it.
const HOT_C: f32 = 75.0;

/// How old the oldest waiting photo may be, in seconds: an hour's trouble with the link is nothing unusual at sea.
const LONG_WAIT_S: i64 = 60 * 60;

/// A line about a station.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// What it is about.
    pub(super) name: &'static str,
    /// What there is to say, in plain text: some of it is the station's own.
    pub(super) text: String,
    /// Whether somebody should look after it.
    pub(super) is_problem: bool,
}

/// All that a status says, but the clock's quality. Ages of what the station dates are by the station's own clock.
pub(super) fn facts(status: &StationStatus, received_at: CapturedAt) -> Vec<Fact> {
    let apart_s = seconds_between(status.at, received_at);
    let is_throttled = !status.throttling.is_empty();
    let facts = [
        (apart_s.abs() > CLOCKS_APART_S).then(|| problem("Its time", clocks_apart(apart_s))),
        status.last_error.as_ref().map(|mishap| {
            let at = mishap.at.format_utc("%Y-%m-%d %H:%M:%S UTC");
            problem("Last error", format!("{} ({}, {at})", mishap.what, ago(mishap.at, status.at)))
        }),
        Some(waiting(&status.spool, status.at)),
        status.spool.trouble.clone().map(|trouble| problem("Delivery", trouble)),
        lost(&status.spool),
        Some(camera(status)),
        is_throttled.then(|| problem("Supply", status.throttling.join(", "))),
        status.disk.map(|room| Fact { is_problem: is_short(room), ..fact("Disk", free(room)) }),
        status.memory.map(|room| fact("Memory", free(room))),
        status
            .temperature_c
            .map(|heat| Fact { is_problem: heat >= HOT_C, ..fact("Temperature", format!("{heat:.0} °C")) }),
        status.gps.as_ref().map(|gps| satellites(gps, status.at)),
        Some(fact("Running", format!("for {}", span(status.monotonic_us / 1_000_000)))),
        Some(fact("Version", version(&status.software))),
    ];
    facts.into_iter().flatten().collect()
}

/// The version of this server.
pub(super) const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether a station's program is older than this server. What is no version is not compared.
pub(super) fn is_behind(software: &str) -> bool {
    let [station, server] = [software, SERVER_VERSION].map(Version::parse);
    station.is_ok_and(|station| server.is_ok_and(|server| station < server))
}

/// `5 min ago`; `just now` for what is not a minute past, or lies ahead.
pub(super) fn ago(then: CapturedAt, now: CapturedAt) -> String {
    match u64::try_from(seconds_between(then, now)) {
        Ok(60..) => format!("{} ago", span(seconds_between(then, now).unsigned_abs())),
        _ => "just now".to_owned(),
    }
}

/// From one moment to a later one.
pub(super) fn seconds_between(then: CapturedAt, now: CapturedAt) -> i64 {
    (now.as_micros() - then.as_micros()) / 1_000_000
}

/// The largest unit that fits, which is as much as a person wants to know.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn fact(name: &'static str, text: impl Into<String>) -> Fact {
    Fact { name, text: text.into(), is_problem: false }
}

fn problem(name: &'static str, text: impl Into<String>) -> Fact {
    Fact { is_problem: true, ..fact(name, text) }
}

/// No problem: an older station goes on delivering, and during an update all of them are behind.
fn version(software: &str) -> String {
    if is_behind(software) { format!("{software}, older than this server") } else { software.to_owned() }
}

fn clocks_apart(apart_s: i64) -> String {
    let way = if apart_s > 0 { "behind" } else { "ahead of" };
    format!("its clock is {} {way} the server's", span(apart_s.unsigned_abs()))
}

fn waiting(spool: &SpoolStatus, now: CapturedAt) -> Fact {
    let mut text = match spool.waiting {
        0 => "no photo".to_owned(),
        1 => "1 photo".to_owned(),
        number => format!("{number} photos"),
    };
    let oldest_s = spool.oldest_at.filter(|_| spool.waiting > 0).map(|oldest| seconds_between(oldest, now));
    if let Some(oldest_s) = oldest_s {
        text.push_str(&format!(", the oldest {} old", span(u64::try_from(oldest_s).unwrap_or(0))));
    }
    if spool.in_memory > 0 {
        text.push_str(&format!("; {} of them in memory alone", spool.in_memory));
    }
    let is_problem = spool.in_memory > 0 || oldest_s.is_some_and(|oldest_s| oldest_s > LONG_WAIT_S);
    Fact { is_problem, ..fact("Waiting", text) }
}

/// What did not and will not come by itself.
fn lost(spool: &SpoolStatus) -> Option<Fact> {
    let counts = [(spool.parked, "refused and kept"), (spool.dropped, "dropped"), (spool.incomplete, "cut off")];
    let counts = counts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}"));
    let text = counts.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then(|| Fact { is_problem: spool.parked + spool.dropped > 0, ..fact("Not delivered", text) })
}

fn camera(status: &StationStatus) -> Fact {
    let (camera, shots) = (&status.camera, &status.shots);
    let mut text = format!("{}, {} taken, {} missed", camera.kind, shots.taken, shots.missed);
    if camera.failures_in_a_row > 0 {
        text.push_str(&format!("; failed {} times in a row", camera.failures_in_a_row));
    }
    if let Some(trouble) = &camera.trouble {
        text.push_str(&format!(": {trouble}"));
    }
    Fact { is_problem: camera.trouble.is_some() || camera.failures_in_a_row > 0, ..fact("Camera", text) }
}

fn satellites(gps: &GpsStatus, now: CapturedAt) -> Fact {
    let mut text = match gps.mode {
        2 => "fix in two dimensions".to_owned(),
        3.. => "fix".to_owned(),
        _ => "no fix".to_owned(),
    };
    if let Some(number) = gps.satellites {
        text.push_str(&format!(", {number} satellites"));
    }
    if let Some(fix_at) = gps.fix_at.filter(|_| gps.mode < 2) {
        text.push_str(&format!(", the last one {}", ago(fix_at, now)));
    }
    Fact { is_problem: gps.mode < 2, ..fact("GPS", text) }
}

fn is_short(room: Room) -> bool {
    u128::from(room.free_bytes) * 100 < u128::from(room.total_bytes) * u128::from(LITTLE_ROOM_PERCENT)
}

fn free(room: Room) -> String {
    format!("{} of {} free", readable(room.free_bytes), readable(room.total_bytes))
}

fn readable(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}

/// A station that is well.
#[cfg(test)]
pub(super) fn example(at: CapturedAt) -> StationStatus {
    let status = serde_json::json!({
        "version": 1, "station": "pier-3", "at": at, "clock": {"source": "gps", "uncertainty_ms": 3},
        "boot_id": "b", "monotonic_us": 90_000_000_000_u64, "software": "0.1.0",
        "spool": {"waiting": 0, "in_memory": 0, "parked": 0, "dropped": 0, "incomplete": 0, "delivered": 7},
        "shots": {"taken": 7, "missed": 0}, "camera": {"kind": "usb", "failures_in_a_row": 0},
        "disk": {"free_bytes": 12_300_000_000_u64, "total_bytes": 30_000_000_000_u64}, "temperature_c": 48.6,
        "gps": {"mode": 3, "satellites": 9},
    });
    serde_json::from_value(status).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> CapturedAt {
        CapturedAt::from_micros(second * 1_000_000).unwrap()
    }

    /// The facts that want a look after `change`, for a status of second 100,000 that came at once.
    fn problems(change: impl FnOnce(&mut StationStatus)) -> Vec<String> {
        let mut status = example(at(100_000));
        change(&mut status);
        let found = facts(&status, at(100_001)).into_iter().filter(|fact| fact.is_problem);
        found.map(|fact| format!("{}: {}", fact.name, fact.text)).collect()
    }

    #[test]
    fn times_are_told_in_the_largest_unit() {
        let told = |seconds: i64| ago(at(1_000_000 - seconds), at(1_000_000));
        assert_eq!(
            [-5, 0, 59, 60, 3_599, 3_600, 172_799, 172_800].map(told),
            ["just now", "just now", "just now", "1 min ago", "59 min ago", "1 h ago", "47 h ago", "2 days ago"]
        );
    }

    #[test]
    fn a_station_that_is_well_has_no_problem() {
        assert_eq!(problems(|_| ()), Vec::<String>::new());
        let told: Vec<String> = facts(&example(at(0)), at(0)).into_iter().map(|fact| fact.text).collect();
        let expected = ["no photo", "usb, 7 taken, 0 missed", "12.3 GB of 30.0 GB free", "49 °C"];
        assert_eq!(told[..4], expected);
        assert_eq!(told[4..], ["fix, 9 satellites", "for 25 h", "0.1.0"]);
    }

    #[test]
    fn an_older_version_than_the_servers_is_behind() {
        let server = Version::parse(SERVER_VERSION).unwrap();
        let newer = Version::new(server.major, server.minor, server.patch + 1).to_string();
        for (software, expected) in [("0.0.9", true), (SERVER_VERSION, false), (&newer, false), ("mine", false)] {
            assert_eq!(is_behind(software), expected, "{software}");
        }
        let told: Vec<String> = problems(|status| status.software = "0.0.9".to_owned());
        assert_eq!(told, Vec::<String>::new(), "it is no problem");
    }

    #[test]
    fn what_wants_a_look_is_marked() {
        assert_eq!(problems(|status| status.at = at(96_000)), ["Its time: its clock is 1 h behind the server's"]);
        assert_eq!(
            problems(|status| (status.spool.waiting, status.spool.oldest_at) = (2, Some(at(90_000)))),
            ["Waiting: 2 photos, the oldest 2 h old"]
        );
        assert_eq!(problems(|status| status.spool.dropped = 3), ["Not delivered: 3 dropped"]);
        assert_eq!(problems(|status| status.temperature_c = Some(80.0)), ["Temperature: 80 °C"]);
        assert_eq!(problems(|status| status.throttling.push("under-voltage now".to_owned())).len(), 1);
        let full = Room { free_bytes: 1, total_bytes: u64::MAX };
        assert_eq!(problems(|status| status.disk = Some(full)).len(), 1);
        let lost = GpsStatus { mode: 1, satellites: Some(0), fix_at: Some(at(40_000)) };
        assert_eq!(problems(|status| status.gps = Some(lost)), ["GPS: no fix, 0 satellites, the last one 16 h ago"]);
    }
}
