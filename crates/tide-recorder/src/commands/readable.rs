//! A status as a page for a person at the console.

use tide_photo::CapturedAt;
use tide_photo::status::{Room, StationStatus};

/// Every line but the first begins with the part that it is about.
pub(super) fn page(status: &StationStatus) -> String {
    let uptime = lasting(status.monotonic_us / 1_000_000);
    let first = format!("{}, tide-recorder {}, switched on {uptime} ago\n", status.station, status.software);
    lines(status).into_iter().fold(first, |page, (part, text)| format!("{page}  {part:<10} {text}\n"))
}

fn lines(status: &StationStatus) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("clock", format!("{}, {}", status.at, status.clock)),
        ("camera", camera(status)),
        ("spool", spool(status)),
        ("server", server(status)),
    ];
    lines.extend(status.gps.as_ref().map(|gps| ("GPS", gps_words(gps.mode, gps.satellites))));
    lines.extend(status.disk.map(|disk| ("disk", room(disk))));
    lines.extend(status.memory.map(|memory| ("memory", room(memory))));
    lines.extend(status.temperature_c.map(|celsius| ("processor", format!("{celsius:.1} °C"))));
    if !status.throttling.is_empty() {
        lines.push(("supply", status.throttling.join(", ")));
    }
    lines.extend(
        status.last_error.as_ref().map(|mishap| ("last error", format!("{}, {}", mishap.what, ago(status, mishap.at)))),
    );
    lines
}

fn camera(status: &StationStatus) -> String {
    let (camera, shots) = (&status.camera, &status.shots);
    let last = shots.last_at.map_or("no photo yet".to_owned(), |at| format!("last photo {}", ago(status, at)));
    let mut text = format!("{}, {last}; {} taken, {} missed", camera.kind, shots.taken, shots.missed);
    if let Some(trouble) = &camera.trouble {
        text += &format!("; failed {} times in a row: {trouble}", camera.failures_in_a_row);
    }
    text
}

fn spool(status: &StationStatus) -> String {
    let spool = &status.spool;
    let mut text = format!("{} photos wait", spool.waiting);
    if let Some(at) = spool.oldest_at {
        text += &format!(", the oldest was taken {}", ago(status, at));
    }
    let counts = [
        (spool.in_memory, "held in memory only, because the disk takes none"),
        (spool.parked, "parked, because the server refused them or they cannot be read"),
        (spool.dropped, "given up for want of room"),
        (spool.incomplete, "cut off by an interruption"),
    ];
    for (count, words) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!("; {count} {words}");
    }
    text
}

fn server(status: &StationStatus) -> String {
    let spool = &status.spool;
    let last = spool.delivered_at.map_or("no receipt yet".to_owned(), |at| format!("last receipt {}", ago(status, at)));
    match &spool.trouble {
        Some(trouble) => format!("{last}; {trouble}"),
        None => format!("{last}; {} photos delivered since the start", spool.delivered),
    }
}

fn gps_words(mode: u8, satellites: Option<u8>) -> String {
    let fix = match mode {
        2 => "fix in two dimensions",
        3 => "fix in three dimensions",
        _ => "no fix",
    };
    satellites.map_or(fix.to_owned(), |satellites| format!("{fix}, {satellites} satellites"))
}

fn room(room: Room) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    format!("{:.1} GiB free of {:.1} GiB", gib(room.free_bytes), gib(room.total_bytes))
}

fn ago(status: &StationStatus, at: CapturedAt) -> String {
    let seconds = (status.at.as_micros() - at.as_micros()) / 1_000_000;
    u64::try_from(seconds).map_or(format!("at {at}"), |seconds| format!("{} ago", lasting(seconds)))
}

fn lasting(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_reads_what_is_wrong_and_since_when() {
        let status: StationStatus = serde_json::from_value(serde_json::json!({
            "version": 1, "station": "pier-3", "at": "2026-05-31T18:00:30Z", "clock": {"source": "gps", "uncertainty_ms": 3},
            "boot_id": "boot", "monotonic_us": 400_000_000_000_u64, "software": "0.1.0",
            "spool": {"waiting": 12, "in_memory": 2, "parked": 0, "oldest_at": "2026-05-31T17:00:00Z", "dropped": 0,
                "incomplete": 1, "delivered": 9, "delivered_at": "2026-05-31T18:00:40Z", "trouble": "no route to host"},
            "shots": {"taken": 20, "missed": 1, "last_at": "2026-05-31T18:00:00Z"},
            "camera": {"kind": "usb", "failures_in_a_row": 2, "trouble": "fswebcam took longer than 5 s"},
            "disk": {"free_bytes": 1_073_741_824, "total_bytes": 31_138_512_896_u64}, "temperature_c": 51.121,
            "throttling": ["under-voltage now"],
            "gps": {"mode": 3, "satellites": 9, "fix_at": null},
            "last_error": {"at": "2026-05-31T18:00:00Z", "what": "fswebcam took longer than 5 s"},
        }))
        .unwrap();
        let expected = "\
pier-3, tide-recorder 0.1.0, switched on 4 days ago
  clock      2026-05-31T18:00:30.000Z, gps ± 3 ms
  camera     usb, last photo 30 s ago; 20 taken, 1 missed; failed 2 times in a row: fswebcam took longer than 5 s
  spool      12 photos wait, the oldest was taken 60 min ago; 2 held in memory only, because the disk takes none; 1 cut off by \
an interruption
  server     last receipt at 2026-05-31T18:00:40.000Z; no route to host
  GPS        fix in three dimensions, 9 satellites
  disk       1.0 GiB free of 29.0 GiB
  processor  51.1 °C
  supply     under-voltage now
  last error fswebcam took longer than 5 s, 30 s ago
";
        assert_eq!(page(&status), expected);
    }
}
