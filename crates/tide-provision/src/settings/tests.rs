//! Every mistake, with its line.

use super::*;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ maria@office";

fn zoneinfo() -> (tempfile::TempDir, Zoneinfo) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("Europe")).unwrap();
    std::fs::write(folder.path().join("Europe/Athens"), "TZif2").unwrap();
    std::fs::write(folder.path().join("iso3166.tab"), "GR\tGreece\nGB\tBritain (UK)\n").unwrap();
    let zoneinfo = Zoneinfo::new(folder.path());
    (folder, zoneinfo)
}

fn kept() -> Secrets {
    Secrets {
        station: Some("pier-3".to_owned()),
        token: Some(Secret::new("tide_kept")),
        network: Some("Harbour".to_owned()),
        password: Some(Secret::new("kept password")),
    }
}

fn judge_with(toml: Option<&[u8]>, env: Option<&str>, kept: &Secrets) -> Result<Wanted, Vec<String>> {
    let (_folder, zoneinfo) = zoneinfo();
    let files = Files { toml: toml.map(<[u8]>::to_vec), env: env.map(|text| text.as_bytes().to_vec()) };
    let judgement = judge(&files, kept, &zoneinfo);
    judgement.wanted.ok_or_else(|| judgement.faults.iter().map(ToString::to_string).collect())
}

/// The settings of a station that has its name and its token, and these lines from the third on.
fn with(lines: &str) -> Result<Wanted, Vec<String>> {
    judge_with(Some(format!("station = 'pier-3'\nserver.token = 'tide_new'\n{lines}").as_bytes()), None, &kept())
}

#[track_caller]
fn check(lines: &str, expected: &[&str]) {
    let faults = with(lines).unwrap_err();
    let is_expected = |(fault, words): (&String, &&str)| {
        let (line, words) = words.split_once(": ").unwrap();
        fault.starts_with(&format!("{line}: ")) && fault.contains(words)
    };
    let all = faults.len() == expected.len() && faults.iter().zip(expected).all(is_expected);
    assert!(all, "{lines}: {faults:#?}");
}

#[test]
fn a_full_file_is_understood_however_windows_wrote_it() {
    let text = format!(
        "\u{feff}station = \"pier-3\"\r\ninterval_s = 60\r\n[server]\r\nurl = \"https://me:pw@tide.example.org:5000/upload\"\r\n\
         token = \"tide_new\"\r\n[camera]\r\nkind = \"usb\"\r\n[flash]\r\ngpio = 0x6\r\nactive_low = false\r\n\
         [wifi]\r\nnetwork = \"Harbour office\"\r\npassword = \"12345678\"\r\ncountry = \"GR\"\r\nhidden = true\r\n\
         [system]\r\nzone = \"Europe/Athens\"\r\nssh_keys = [\"{KEY}\", \"{KEY}\"]\r\n[gps]\r\nsource = \"none\"\r\n"
    );
    let wanted = judge_with(Some(text.as_bytes()), None, &Secrets::default()).unwrap();
    assert_eq!((wanted.station.as_str(), wanted.token.reveal()), ("pier-3", "tide_new"));
    let wifi = wanted.wifi.unwrap();
    assert_eq!((wifi.network.as_str(), wifi.country.as_str(), wifi.is_hidden), ("Harbour office", "GR", true));
    assert_eq!(wifi.password.unwrap().reveal(), "12345678");
    assert_eq!((wanted.local.zone.as_deref(), wanted.local.ssh_keys.len()), (Some("Europe/Athens"), 1));
    let outline = wanted.outline;
    assert_eq!(outline.flash, Some(Flash { gpio: 6, is_active_low: false }));
    assert_eq!((outline.interval_s.as_str(), outline.server.as_str()), ("60", "https://tide.example.org:5000"));
    assert_eq!((outline.camera.as_str(), outline.gps.as_str(), outline.rtc.as_str()), ("usb", "none", "auto"));
}

#[test]
fn each_mistake_in_our_tables_has_its_line() {
    for (lines, expected) in [
        ("[wifi]\nssid = 'x'\nnetwork = 'x'\ncountry = 'GR'", &["line 4: did you mean `network`?"][..]),
        ("[wifi]\nnetwork = 'x'\nCountry = 'GR'\ncountry = 'GR'", &["line 5: did you mean `country`?"]),
        ("[wifi]\nspeed = 3\nnetwork = 'x'\ncountry = 'GR'", &["line 4: it knows `network`, `password`"]),
        ("[wifi]\npassword = '12345678'", &["line 3: needs `network`", "line 3: needs `country`"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'UK'", &["line 5: Britain's is \"GB\""]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'gr'", &["line 5: two capital letters"]),
        ("[wifi]\nnetwork = ''\ncountry = 'GR'", &["line 4: 1 to 32 bytes"]),
        ("[wifi]\nnetwork = '123456789012345678901234567890123'\ncountry = 'GR'", &["line 4: 1 to 32 bytes"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\npassword = '1234567'", &["line 6: 8 to 63 characters"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\npassword = 12345678", &["line 6: is a text"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\npassword = 'passw\u{f6}rd'", &["line 6: plain letters"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\npassword = \"pass\\nword\"", &["line 6: plain letters"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\npassword = ''", &["line 6: has kept none for this network"]),
        ("[wifi]\nnetwork = 'x'\ncountry = 'GR'\nhidden = 'yes'", &["line 6: true or false"]),
        ("wifi = 'x'", &["line 3: write [wifi]"]),
        ("[system]\nzone = 'Europe/Atlantis'", &["line 4: there is no time zone `Europe/Atlantis`"]),
        ("[system]\nzone = '../Athens'", &["line 4: there is no time zone"]),
        ("[system]\ntimezone = 'Europe/Athens'", &["line 4: did you mean `zone`?"]),
        ("[system]\nssh_keys = 'ssh-ed25519 AAAA'", &["line 4: a list of texts"]),
        (
            "[system]\nssh_keys = [\n  'ssh-ed25519 AAAA',\n  7,\n]",
            &["line 5: no whole SSH key", "line 6: a list of texts"],
        ),
        (
            "[wifi]\nnetwork = 'x'\ncountry = 'XX'\n[system]\nzone = 'x'\nssh_key = []",
            &["line 5: is no country", "line 7: no time zone", "line 8: did you mean `ssh_keys`?"],
        ),
    ] {
        check(lines, expected);
    }
}

#[test]
fn all_that_is_no_toml_is_told_and_no_secret_with_it() {
    let text = "station = pier-3\n[server]\ntoken = 'tide_secret\nurl = 'x'\n[wifi\nnetwork = 'x'\n";
    let faults = judge_with(Some(text.as_bytes()), None, &kept()).unwrap_err();
    let has = |line: &str| faults.iter().any(|fault| fault.starts_with(line));
    assert!(has("line 1: ") && has("line 3: ") && has("line 5: "), "{faults:#?}");
    assert!(!faults.join("").contains("tide_secret"), "{faults:#?}");
}

#[test]
fn what_is_no_utf_8_is_told_with_its_line() {
    let faults = judge_with(Some(b"station = 'x'\n# caf\xe9\n"), None, &kept()).unwrap_err();
    assert!(faults[0].starts_with("line 2: ") && faults[0].contains("UTF-8"), "{faults:?}");
    let faults = judge_with(Some(b"\xff\xfes\0t\0"), None, &kept()).unwrap_err();
    assert!(faults[0].contains("UTF-16"), "{faults:?}");
}

#[test]
fn a_name_is_needed_and_is_never_guessed() {
    for (text, words) in [
        ("[server]\ntoken = 'x'", "the station's name is missing"),
        ("# x\nstation = 'Pier 3'\n[server]\ntoken = 'x'", "line 2: a station name is"),
        ("station = 3\n[server]\ntoken = 'x'", "line 1: `station` is a text"),
    ] {
        let faults = judge_with(Some(text.as_bytes()), None, &kept()).unwrap_err();
        assert!(faults.len() == 1 && faults[0].contains(words), "{faults:?}");
    }
}

#[test]
fn a_blank_token_is_the_one_kept_for_the_same_station() {
    let judged = |text: &str| judge_with(Some(text.as_bytes()), None, &kept());
    for text in ["station = 'pier-3'\n[server]\ntoken = ''", "station = 'pier-3'"] {
        assert_eq!(judged(text).unwrap().token.reveal(), "tide_kept");
    }
    let faults = judged("station = 'pier-4'\n[server]\ntoken = ''").unwrap_err();
    assert!(faults[0].starts_with("line 3: ") && faults[0].contains("that of pier-3"), "{faults:?}");
    assert!(faults[0].contains("`tide-server station token pier-4 --config`"), "{faults:?}");
    let faults = judge_with(Some(b"station = 'pier-4'"), None, &Secrets::default()).unwrap_err();
    assert!(faults[0].contains("the token is missing") && faults[0].contains("station add pier-4"), "{faults:?}");
    let faults = judged("station = 'pier-3'\n[server]\ntoken = 'tide new'").unwrap_err();
    assert!(faults[0].starts_with("line 3: ") && !faults[0].contains("tide new"), "{faults:?}");
    let faults = judged("station = 'pier-3'\n[server]\ntoken = 48151623").unwrap_err();
    assert!(faults[0].starts_with("line 3: ") && !faults[0].contains("48151623"), "{faults:?}");
}

#[test]
fn a_blank_password_is_the_one_kept_for_the_same_network() {
    let wanted = with("[wifi]\nnetwork = 'Harbour'\ncountry = 'GR'\npassword = ''").unwrap();
    assert_eq!(wanted.wifi.unwrap().password.unwrap().reveal(), "kept password");
    let open = with("[wifi]\nnetwork = 'Harbour'\ncountry = 'GR'").unwrap();
    assert_eq!(open.wifi.unwrap().password, None);
}

#[test]
fn a_prototypes_file_goes_before_and_may_stand_alone() {
    let env =
        "\u{feff}TIDE_STATION=pier-9\r\nTIDE_TOKEN='tide_env'\r\nFLASH_GPIO=6\r\nPHOTO_INTERVAL=45\r\nSECRET=x\r\n";
    for toml in [None, Some(&b"station = 'pier-3'\ninterval_s = 60\n[server]\ntoken = 'tide_new'"[..])] {
        let wanted = judge_with(toml, Some(env), &Secrets::default()).unwrap();
        assert_eq!((wanted.station.as_str(), wanted.token.reveal()), ("pier-9", "tide_env"));
        assert_eq!((wanted.outline.interval_s.as_str(), wanted.outline.flash.unwrap().gpio), ("45", 6));
        assert_eq!(wanted.env.without_token(), "FLASH_GPIO=\"6\"\nPHOTO_INTERVAL=\"45\"\nTIDE_STATION=\"pier-9\"\n");
        assert_eq!(EnvFile::parse(&wanted.env.without_token()).unwrap().without_token(), wanted.env.without_token());
    }
    for (env, words) in [
        ("FLASH_GPIO=5\nTIDE_TOKEN='tide_secret", ".env, line 2: this is not NAME=VALUE"),
        ("\nTIDE_STATION=Pier", ".env, line 2: a station name is"),
        ("TIDE_STATION=pier-3\nTIDE_TOKEN_FILE=/x", ".env, line 2: TIDE_TOKEN_FILE cannot be used"),
    ] {
        let faults = judge_with(None, Some(env), &kept()).unwrap_err();
        assert!(faults[0].starts_with(words) && !faults.join("").contains("tide_secret"), "{faults:?}");
    }
}

#[test]
fn what_is_kept_of_a_prototypes_file_reads_as_it_was() {
    let text = "SERVER_URL='a \"b\" \\ $HOME'\nTIDE_CERTIFICATE=\"one\ntwo\"\n";
    let read = EnvFile::parse(text).unwrap();
    assert_eq!(read.last(&["TIDE_CERTIFICATE"]), Some("one\ntwo"));
    assert_eq!(EnvFile::parse(&read.without_token()).unwrap(), read);
}

#[test]
fn only_a_pin_of_the_header_is_the_firmwares() {
    for (lines, expected) in [
        ("[flash]\ngpio = 5", Some(5)),
        ("[flash]\ngpio = 28", None),
        ("[flash]\ngpio = 5\ndriver = 'off'", None),
        ("[flash]\ngpio = 5\nchip = 'pinctrl-rp1'", None),
        ("", None),
    ] {
        assert_eq!(with(lines).unwrap().outline.flash.map(|flash| flash.gpio), expected, "{lines}");
    }
}
