//! The table `[wifi]`.

use super::document::Document;
use super::fault::Fault;
use super::secret::Secret;
use super::zoneinfo::Zoneinfo;
use crate::kept::Secrets;

const KEYS: &[&str] = &["network", "password", "country", "hidden"];
const SLIPS: &[(&str, &str)] =
    &[("ssid", "network"), ("name", "network"), ("psk", "password"), ("passphrase", "password"), ("regdom", "country")];

/// Longest name of a network, in bytes (IEEE 802.11, 9.4.2.2).
const MAX_NETWORK_BYTES: usize = 32;

/// The network that the station is to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wifi {
    /// Its name (SSID).
    pub network: String,
    /// None for an open network.
    pub password: Option<Secret>,
    /// Where the station stands: which channels it may use there, and how loudly.
    pub country: String,
    /// Whether the network does not say its name.
    pub is_hidden: bool,
}

/// Reads the table, if there is one.
pub(super) fn read(
    document: &Document<'_>,
    kept: &Secrets,
    zoneinfo: &Zoneinfo,
    faults: &mut Vec<Fault>,
) -> Option<Wifi> {
    let table = document.table("wifi", faults)?;
    table.refuse_unknown(KEYS, SLIPS, faults);
    let before = faults.len();
    let network = table.text("network", faults);
    let country = table.text("country", faults);
    let is_hidden = table.flag("hidden", faults).unwrap_or(false);
    let password = table.text("password", faults);
    if !table.has("network") {
        faults.push(Fault::at(table.line, "[wifi] needs `network`, the name of the network"));
    }
    if !table.has("country") {
        let words = "[wifi] needs `country`, the two capital letters of the country where the station stands, for instance \"GR\"";
        faults.push(Fault::at(table.line, words));
    }
    if let Some((name, line)) = network
        && !(1..=MAX_NETWORK_BYTES).contains(&name.len())
    {
        let words = format!("the name of a network is 1 to {MAX_NETWORK_BYTES} bytes long, not {}", name.len());
        faults.push(Fault::at(line, words));
    }
    if let Some((code, line)) = country
        && !zoneinfo.has_country(code)
    {
        let advice = if code == "UK" { "; Britain's is \"GB\"" } else { "" };
        let words = format!(
            "`{code}` is no country: write the two capital letters of ISO 3166, for instance \"GR\" for Greece{advice}"
        );
        faults.push(Fault::at(line, words));
    }
    let password = match password {
        Some(("", line)) => match kept.password_of(network.map_or("", |(name, _)| name)) {
            Some(secret) => Some(secret.clone()),
            None => {
                faults.push(Fault::at(line, NONE_KEPT));
                None
            }
        },
        Some((text, line)) => {
            faults.extend(wrong_password(text).map(|words| Fault::at(line, words)));
            Some(Secret::new(text))
        }
        None => None,
    };
    if faults.len() > before {
        return None;
    }
    let (network, country) = (network?.0.to_owned(), country?.0.to_owned());
    Some(Wifi { network, password, country, is_hidden })
}

const NONE_KEPT: &str = "`password` is empty, and the station has kept none for this network; write the password in, \
                         or take the line out if the network is open";

/// What is wrong with a passphrase, or a key of 64 digits (IEEE 802.11, J.4.1); never the password itself.
fn wrong_password(text: &str) -> Option<String> {
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_key {
        return None;
    }
    if !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Some("a Wi-Fi password holds only plain letters, digits, signs and spaces (ASCII)".to_owned());
    }
    let length = text.len();
    (!(8..=63).contains(&length)).then(|| {
        format!("a Wi-Fi password has 8 to 63 characters (or is a key of 64 hexadecimal digits), not {length}")
    })
}
