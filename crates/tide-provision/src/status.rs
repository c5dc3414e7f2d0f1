//! `tide-status.txt`: what a person reads on any computer. The same settings give the same text, so that the card is not written
//! to at every boot.

use crate::settings::{Fault, Outline, Place, Wanted};

/// How to go on, under every text about a fault.
const MEND: &str =
    "put the card back into the station, and switch it on.\nThe file tide.toml.example shows every setting.";

/// The settings are in effect.
pub fn good(wanted: &Wanted, host_key: Option<&str>, notes: &[String]) -> String {
    let Outline { interval_s, server, camera, flash, gps, rtc } = &wanted.outline;
    let every = if interval_s == "1" { "every second".to_owned() } else { format!("every {interval_s} seconds") };
    let station = &wanted.station;
    let mut lines = vec![
        format!("The station {station} is ready: it takes a photo {every} and sends them to {server}."),
        String::new(),
    ];
    lines.extend(notes.iter().cloned());
    if !notes.is_empty() {
        lines.push(String::new());
    }
    let flash = flash.map_or("none on the header's pins".to_owned(), |flash| {
        let level = if flash.is_active_low { "low" } else { "high" };
        format!("GPIO {}, lit while the pin is {level}", flash.gpio)
    });
    lines.push(format!("Camera   {camera}"));
    lines.push(format!("Flash    {flash}"));
    lines.push(format!("GPS      {}", heard(gps)));
    lines.push(format!("RTC      {}", heard(rtc)));
    lines.push(format!("Zone     {}", wanted.local.zone.as_deref().unwrap_or("UTC")));
    lines.push(format!("Wi-Fi    {}", wifi(wanted)));
    lines.extend(logins(wanted, host_key));
    lines.push(String::new());
    lines.push(
        "The token and the Wi-Fi password are kept on the station. Where tide.toml holds \"\" for them, they stay as they are."
            .to_owned(),
    );
    lines.push("To change something: edit tide.toml on any computer, put the card back, and switch on.".to_owned());
    text(lines)
}

/// The files on the card cannot be used.
pub fn bad(name: &str, faults: &[Fault], notes: &[String]) -> String {
    let in_env = faults.iter().all(|fault| fault.place == Place::Env);
    let name = if in_env { ".env" } else { name };
    let mut lines =
        vec![format!("{name} cannot be used; the station takes no photos until it is mended."), String::new()];
    lines.extend(faults.iter().map(ToString::to_string));
    lines.push(String::new());
    lines.extend(notes.iter().cloned());
    lines.push(format!("What to do: mend {name} on any computer with a text editor, {MEND}"));
    text(lines)
}

/// There are no settings.
pub fn none(why: &str) -> String {
    let first = format!("{}; the station takes no photos until there are settings.", capitalised(why));
    let do_what = "What to do: `tide-server station add NAME --config` on the server prints a tide.toml. Put it on this card as tide.toml,";
    text(vec![first, String::new(), do_what.to_owned(), MEND.to_owned()])
}

/// They could not be kept.
pub fn not_kept(error: &str) -> String {
    let first = "The settings are good, but the station cannot keep them; it takes no photos.";
    let last = "What to do: switch the station off and on again. If that does not help, the card is worn out or full.";
    text(vec![first.to_owned(), String::new(), error.to_owned(), String::new(), last.to_owned()])
}

/// There is no data partition to keep anything on.
pub fn no_place(problem: &str) -> String {
    let first = "The station has no place for photos; it takes none.";
    let last =
        "What to do: switch the station off and on again. If that does not help, write the image to another card.";
    text(vec![first.to_owned(), String::new(), problem.to_owned(), String::new(), last.to_owned()])
}

fn heard(word: &str) -> &str {
    if word == "auto" { "found by the station (auto)" } else { word }
}

fn wifi(wanted: &Wanted) -> String {
    let Some(wifi) = &wanted.wifi else { return "none (a cable, if there is one)".to_owned() };
    let open = if wifi.password.is_none() { ", open" } else { "" };
    let hidden = if wifi.is_hidden { ", hidden" } else { "" };
    format!("network \"{}\", country {}{open}{hidden}", wifi.network, wifi.country)
}

fn logins(wanted: &Wanted, host_key: Option<&str>) -> Vec<String> {
    let keys = &wanted.local.ssh_keys;
    let mut lines = match keys.len() {
        0 => return vec!["SSH      off (no key in tide.toml)".to_owned()],
        1 => vec!["SSH      1 key may log in as the user tide:".to_owned()],
        count => vec![format!("SSH      {count} keys may log in as the user tide:")],
    };
    lines.extend(keys.iter().map(|key| format!("         {}", key.fingerprint)));
    lines.extend(host_key.map(|own| format!("         The station shows itself by {own}")));
    lines
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Lines as every editor shows them: nothing but ASCII, and Windows' line ends.
fn text(mut lines: Vec<String>) -> String {
    lines.push(format!("tide-provision {}", env!("CARGO_PKG_VERSION")));
    let plain = |letter: char| match letter {
        ' '..='~' | '\n' => letter,
        letter if letter.is_control() => ' ',
        _ => '?',
    };
    let whole: String = lines.join("\n").chars().map(plain).collect();
    whole.lines().map(|line| format!("{}\r\n", line.trim_end())).collect()
}
