//! The texts that other programs of the station read.

use std::fmt::Write;

use crate::settings::{Flash, Wifi};

/// What wpa_supplicant reads.
///
/// The name of the network is written in hexadecimal digits, so that no character of it can end the text. A password is printable
/// ASCII, and wpa_supplicant takes everything up to the line's last quote as belonging to it.
///
/// Only WPA2's way of showing the password is offered, which networks with WPA2 and WPA3 take as well. WPA3's own (SAE) is done by
/// the firmware of the Pi's radio if at all, and networks in transition have been reported to fail with it there. Frames for
/// management stay unprotected, as is wpa_supplicant's default, for the same reason.
pub fn wpa_supplicant(wifi: &Wifi) -> String {
    let mut text = format!("country={}\nctrl_interface=DIR=/run/wpa_supplicant\n\nnetwork={{\n\tssid=", wifi.country);
    // Writing to a text does not fail.
    for byte in wifi.network.bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    if wifi.is_hidden {
        text.push_str("\tscan_ssid=1\n");
    }
    match wifi.password.as_ref().map(crate::settings::Secret::reveal) {
        None => text.push_str("\tkey_mgmt=NONE\n"),
        Some(key) if key.len() == 64 => {
            let _ = writeln!(text, "\tkey_mgmt=WPA-PSK\n\tpsk={key}");
        }
        Some(password) => {
            let _ = writeln!(text, "\tkey_mgmt=WPA-PSK\n\tpsk=\"{password}\"");
        }
    }
    text.push_str("}\n");
    text
}

/// What the firmware reads after `config.txt`: the flash is dark from the first moment on, long before our program runs.
pub fn hardware(flash: Option<Flash>) -> String {
    let head = "# Written by tide-provision from tide.toml at each boot; config.txt includes it.\r\n";
    let Some(Flash { gpio, is_active_low }) = flash else { return head.to_owned() };
    let level = if is_active_low { "dh" } else { "dl" };
    format!("{head}gpio={gpio}=op,{level}\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Secret;

    fn wifi(network: &str, password: Option<&str>) -> Wifi {
        let (network, password) = (network.to_owned(), password.map(Secret::new));
        Wifi { network, password, country: "GR".to_owned(), is_hidden: false }
    }

    #[test]
    fn a_network_is_written_so_that_nothing_can_break_out() {
        let text = wpa_supplicant(&wifi("a\"\n}", Some("pass\"word#1 ")));
        assert_eq!(
            text,
            "country=GR\nctrl_interface=DIR=/run/wpa_supplicant\n\nnetwork={\n\tssid=61220a7d\n\tkey_mgmt=WPA-PSK\n\
             \tpsk=\"pass\"word#1 \"\n}\n"
        );
    }

    #[test]
    fn open_hidden_and_keyed_networks_have_their_lines() {
        assert!(wpa_supplicant(&wifi("pier", None)).contains("\tkey_mgmt=NONE\n"));
        let hidden = Wifi { is_hidden: true, ..wifi("pier", Some(&"ab".repeat(32))) };
        let text = wpa_supplicant(&hidden);
        assert!(text.contains("\tscan_ssid=1\n") && text.contains(&format!("\tpsk={}\n", "ab".repeat(32))), "{text}");
    }

    #[test]
    fn the_firmware_holds_the_flash_dark() {
        assert!(hardware(Some(Flash { gpio: 5, is_active_low: true })).ends_with("\r\ngpio=5=op,dh\r\n"));
        assert!(hardware(Some(Flash { gpio: 6, is_active_low: false })).ends_with("\r\ngpio=6=op,dl\r\n"));
        assert!(!hardware(None).contains("gpio"));
    }
}
