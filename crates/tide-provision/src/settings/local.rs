//! The table `[system]`: the zone, and who may log in.

use super::document::Document;
use super::fault::Fault;
use super::ssh_key::{self, SshKey};
use super::zoneinfo::Zoneinfo;

const KEYS: &[&str] = &["zone", "ssh_keys"];
const SLIPS: &[(&str, &str)] = &[
    ("timezone", "zone"),
    ("time_zone", "zone"),
    ("tz", "zone"),
    ("ssh_key", "ssh_keys"),
    ("authorized_keys", "ssh_keys"),
    ("keys", "ssh_keys"),
];

/// What `[system]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Local {
    /// The zone of the system's local time, UTC if there is none.
    pub zone: Option<String>,
    /// Who may log in; nobody if there is none.
    pub ssh_keys: Vec<SshKey>,
}

/// Reads the table; the defaults if there is none.
pub(super) fn read(document: &Document<'_>, zoneinfo: &Zoneinfo, faults: &mut Vec<Fault>) -> Local {
    let Some(table) = document.table("system", faults) else { return Local::default() };
    table.refuse_unknown(KEYS, SLIPS, faults);
    let zone = table.text("zone", faults);
    if let Some((name, line)) = zone
        && zoneinfo.file_of(name).is_none()
    {
        let words = format!("there is no time zone `{name}`; write it as in \"Europe/Athens\", or \"UTC\"");
        faults.push(Fault::at(line, words));
    }
    let mut ssh_keys: Vec<SshKey> = Vec::new();
    for (text, line) in table.texts("ssh_keys", "[\"ssh-ed25519 AAAA... someone@office\"]", faults) {
        match ssh_key::parse(text) {
            Ok(key) if ssh_keys.iter().any(|known| known.fingerprint == key.fingerprint) => (),
            Ok(key) => ssh_keys.push(key),
            Err(words) => faults.push(Fault::at(line, words)),
        }
    }
    Local { zone: zone.map(|(name, _)| name.to_owned()), ssh_keys }
}
