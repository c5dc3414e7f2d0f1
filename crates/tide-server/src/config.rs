//! The server's settings. The environment is read here and nowhere else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};
use tide_photo::StationName;
use tide_settings::{Hidden, SettingsError, Sources};

/// Those without `TIDE_` are the prototype's. Its `SECRET_KEY` is not needed: sessions are random numbers, not signed words.
const SOURCES: Sources = Sources {
    default_file: "/etc/tide/server.toml",
    variables: &[
        ("TIDE_DATA_DIR", "data_dir"),
        ("TIDE_PROTOTYPE_DIR", "prototype_dir"),
        ("TIDE_LISTEN", "listen"),
        ("TIDE_PUBLIC_NAME", "public_name"),
        ("TIDE_MAX_PHOTO_BYTES", "max_photo_bytes"),
        ("TIDE_MIN_FREE_BYTES", "min_free_bytes"),
        ("TIDE_MAX_CONNECTIONS", "max_connections"),
        ("TIDE_MAX_CONNECTIONS_PER_ADDRESS", "max_connections_per_address"),
        ("TIDE_TRUSTED_PROXIES", "trusted_proxies"),
        ("TIDE_HSTS_DAYS", "hsts_days"),
        ("TIDE_ANONYMOUS_STATION", "anonymous_station"),
        ("TIDE_PLAIN_HTTP", "plain_http"),
        ("TIDE_LOG", "log"),
        ("TIDE_ACME_DIRECTORY", "acme_directory"),
        ("TIDE_ACME_CONTACT", "acme_contact"),
        ("TIDE_ACME_ROOT", "acme_root"),
        ("SSL_CERT_PATH", "certificate"),
        ("SSL_KEY_PATH", "certificate_key"),
        ("ADMIN_USER", "admin_user"),
        ("ADMIN_PASS", "admin_password"),
    ],
};

/// Longest name and password of an operator, in bytes: hashing more would be work for nothing.
pub const MAX_CREDENTIAL_BYTES: usize = 1_024;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Folder that holds all state.
    pub data_dir: PathBuf,
    /// Folder of a prototype whose photos are copied at the start, if it is there. None: only what lies in `data_dir`.
    pub prototype_dir: Option<PathBuf>,
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Name or address under which stations and operators reach this server, for the certificate and for `tide.toml`.
    pub public_name: Option<String>,
    /// Largest photo taken, in bytes.
    pub max_photo_bytes: u64,
    /// Room that uploads leave free on the disks of photos and catalog, in bytes.
    pub min_free_bytes: u64,
    /// Connections at the same time, from all addresses together.
    pub max_connections: usize,
    /// Connections at the same time from one address; stations behind one router, or a proxy, share theirs.
    pub max_connections_per_address: usize,
    /// Station that takes the uploads of old devices which cannot send a token. None: such uploads are refused.
    #[serde(deserialize_with = "optional_station")]
    pub anonymous_station: Option<StationName>,
    /// Addresses or networks of proxies whose `X-Forwarded-For` is believed, separated by commas. None: nobody's is.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Days for which browsers are to insist on HTTPS with a trusted certificate (Strict-Transport-Security). 0: not told, as
    /// suits a certificate of our own making, which browsers ask about.
    pub hsts_days: u32,
    /// Plain HTTP instead of HTTPS, for a server behind a proxy that speaks HTTPS.
    pub plain_http: bool,
    /// What to log, in `tracing`'s filter language.
    pub log: String,
    /// Own certificate chain (PEM), together with `certificate_key`. None: the server makes its own.
    pub certificate: Option<PathBuf>,
    /// Private key (PEM) of `certificate`.
    pub certificate_key: Option<PathBuf>,
    /// Directory of an ACME authority that issues the certificate for `public_name`, for instance
    /// `https://acme-v02.api.letsencrypt.org/directory`. None: none is asked.
    pub acme_directory: Option<String>,
    /// Whom the authority may write to: `mailto:` and an address.
    pub acme_contact: Option<String>,
    /// Roots (PEM) of a private authority: of its directory and of the certificates that it issues. None: the system's roots.
    pub acme_root: Option<PathBuf>,
    /// Name of the first operator.
    pub admin_user: String,
    /// Password of the first operator. None: a random one is printed once.
    pub admin_password: Option<Hidden>,
}

/// What the container that this runs in was released as, name and tag; the Dockerfile's `IMAGE`, and no setting. None outside
/// of a container, and in one that was built without a name.
pub fn released_image() -> Option<String> {
    std::env::var("IMAGE_NAME").ok().filter(|name| !name.is_empty())
}

/// Whether this runs in our container, by the Dockerfile's word.
pub fn is_container() -> bool {
    std::env::var_os("IMAGE_NAME").is_some()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/data"),
            prototype_dir: None,
            listen: SocketAddr::from(([0, 0, 0, 0], 5000)),
            public_name: None,
            max_photo_bytes: 32 * 1_024 * 1_024,
            min_free_bytes: 128 * 1_024 * 1_024,
            max_connections: 2_048,
            max_connections_per_address: 1_024,
            anonymous_station: None,
            trusted_proxies: Vec::new(),
            hsts_days: 0,
            plain_http: false,
            log: "info".to_owned(),
            certificate: None,
            certificate_key: None,
            acme_directory: None,
            acme_contact: None,
            acme_root: None,
            admin_user: "admin".to_owned(),
            admin_password: None,
        }
    }
}

impl Settings {
    /// The settings of this process.
    ///
    /// # Errors
    /// If a key is unknown or a value wrong: the server refuses to start rather than guess.
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_environment(&tide_settings::environment(std::env::vars_os())?)
    }

    /// The same from any environment.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, SettingsError> {
        let settings: Self = SOURCES.load(environment)?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.certificate.is_some() != self.certificate_key.is_some() {
            return Err(combination(
                "an own certificate needs both SSL_CERT_PATH and SSL_KEY_PATH; set the missing one, or neither",
            ));
        }
        let fits = |text: &str| (1..=MAX_CREDENTIAL_BYTES).contains(&text.len());
        if !fits(&self.admin_user) || self.admin_password.as_ref().is_some_and(|password| !fits(password.reveal())) {
            return Err(combination(
                "ADMIN_USER and ADMIN_PASS are 1 to 1024 bytes long; leave ADMIN_PASS out to get a random password",
            ));
        }
        if self.public_name.as_deref().is_some_and(|name| !is_host(name)) {
            return Err(combination(
                "TIDE_PUBLIC_NAME is a host name or an address alone, without https:// and port (for instance tide.example.org)",
            ));
        }
        self.check_acme()
    }

    fn check_acme(&self) -> Result<(), SettingsError> {
        let Some(directory) = &self.acme_directory else {
            return match self.acme_contact.is_some() || self.acme_root.is_some() {
                true => Err(combination(
                    "TIDE_ACME_CONTACT and TIDE_ACME_ROOT go with TIDE_ACME_DIRECTORY; set it too, or none of the three",
                )),
                false => Ok(()),
            };
        };
        if self.certificate.is_some() || self.plain_http {
            return Err(combination(
                "TIDE_ACME_DIRECTORY asks for a certificate, SSL_CERT_PATH names another, and TIDE_PLAIN_HTTP needs none; \
                 set only one of the three",
            ));
        }
        if !directory.starts_with("https://") {
            return Err(combination(
                "TIDE_ACME_DIRECTORY is an address that begins with https:// (for instance \
                 https://acme-v02.api.letsencrypt.org/directory)",
            ));
        }
        if self.public_name.as_deref().is_none_or(|name| name.parse::<std::net::IpAddr>().is_ok()) {
            return Err(combination(
                "TIDE_ACME_DIRECTORY needs TIDE_PUBLIC_NAME, the host name that the certificate is for; set it to a name, \
                 not an address",
            ));
        }
        if self.acme_contact.as_deref().is_some_and(|contact| !is_contact(contact)) {
            return Err(combination(
                "TIDE_ACME_CONTACT is mailto: and an address (for instance mailto:tide@example.org)",
            ));
        }
        Ok(())
    }
}

fn is_contact(contact: &str) -> bool {
    contact
        .strip_prefix("mailto:")
        .is_some_and(|address| address.contains('@') && !address.contains(char::is_whitespace))
}

fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.parse::<std::net::IpAddr>().is_ok() || name.split('.').all(is_label)
}

fn combination(reason: &str) -> SettingsError {
    SettingsError::Combination(reason.to_owned())
}

/// `10.0.0.0/8, 192.0.2.7`, as one text, because the environment has no lists.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parse = |word: &str| {
        let address = || word.parse::<std::net::IpAddr>().map(IpNet::from);
        word.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            serde::de::Error::custom(format!("`{word}` is no address or network (for instance 10.0.0.0/8)"))
        })
    };
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(parse).collect()
}

/// An empty name, as an unset variable of a compose file gives, is none.
fn optional_station<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<StationName>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from_environment(&environment).map_err(|error| error.to_string())
    }

    #[test]
    fn every_setting_has_a_default_and_a_variable() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.listen.to_string(), "0.0.0.0:5000");
        assert!(settings.admin_password.is_none() && !settings.plain_http);
        let settings = load(&[("ADMIN_USER", "maria"), ("TIDE_MAX_PHOTO_BYTES", "1000"), ("SECRET_KEY", "x")]).unwrap();
        assert_eq!((settings.admin_user.as_str(), settings.max_photo_bytes), ("maria", 1_000));
    }

    #[test]
    fn the_station_for_old_devices_needs_a_legal_name_or_none() {
        assert_eq!(load(&[("TIDE_ANONYMOUS_STATION", "")]).unwrap().anonymous_station, None);
        assert!(load(&[("TIDE_ANONYMOUS_STATION", "old-devices")]).unwrap().anonymous_station.is_some());
        assert!(load(&[("TIDE_ANONYMOUS_STATION", "Old Devices")]).unwrap_err().contains("station name"));
    }

    #[test]
    fn the_compose_file_passes_every_variable_on() {
        const COMPOSE: &str = include_str!("../../../docker-compose.yml");
        // The volume's place, the image's own, and the one that the port is in.
        let fixed = ["TIDE_DATA_DIR", "TIDE_PROTOTYPE_DIR", "TIDE_LISTEN"];
        for (name, _) in SOURCES.variables.iter().filter(|(name, _)| !fixed.contains(name)) {
            assert!(COMPOSE.contains(&format!("\n      {name}: ${{{name}:-}}\n")), "{name} cannot be set there");
        }
    }

    #[test]
    fn half_a_certificate_and_an_endless_password_are_refused() {
        assert!(load(&[("SSL_CERT_PATH", "/x.pem")]).unwrap_err().contains("SSL_KEY_PATH"));
        assert!(load(&[("ADMIN_PASS", &"x".repeat(1_025))]).unwrap_err().contains("ADMIN_PASS"));
        for unset in ["ADMIN_PASS", "ADMIN_USER", "TIDE_PUBLIC_NAME"] {
            let settings = load(&[(unset, "")]).unwrap();
            assert_eq!((settings.admin_user.as_str(), settings.public_name), ("admin", None));
        }
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let settings = load(&[("TIDE_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,")]).unwrap();
        assert_eq!(
            settings.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "192.0.2.7/32"]
        );
        assert!(load(&[("TIDE_TRUSTED_PROXIES", "everyone")]).unwrap_err().contains("everyone"));
    }

    #[test]
    fn the_public_name_is_a_host_alone() {
        for good in ["tide.example.org", "192.0.2.7", "2001:db8::7", "tide-server"] {
            assert!(load(&[("TIDE_PUBLIC_NAME", good)]).is_ok(), "{good}");
        }
        for bad in ["https://tide.example.org", "tide.example.org:5000", "a b", "."] {
            assert!(load(&[("TIDE_PUBLIC_NAME", bad)]).unwrap_err().contains("TIDE_PUBLIC_NAME"), "{bad}");
        }
    }

    #[test]
    fn acme_needs_a_name_and_stands_alone() {
        const DIRECTORY: (&str, &str) = ("TIDE_ACME_DIRECTORY", "https://acme.example.org/directory");
        const NAME: (&str, &str) = ("TIDE_PUBLIC_NAME", "tide.example.org");
        let contact = ("TIDE_ACME_CONTACT", "mailto:tide@example.org");
        let settings = load(&[DIRECTORY, NAME, contact, ("TIDE_ACME_ROOT", "/root.pem")]).unwrap();
        assert_eq!(settings.acme_directory.as_deref(), Some(DIRECTORY.1));
        for (refused, words) in [
            ([DIRECTORY, ("TIDE_PUBLIC_NAME", "")].as_slice(), "needs TIDE_PUBLIC_NAME"),
            (&[DIRECTORY, ("TIDE_PUBLIC_NAME", "192.0.2.7")], "needs TIDE_PUBLIC_NAME"),
            (&[DIRECTORY, NAME, ("SSL_CERT_PATH", "/a"), ("SSL_KEY_PATH", "/b")], "only one"),
            (&[DIRECTORY, NAME, ("TIDE_PLAIN_HTTP", "true")], "only one"),
            (&[("TIDE_ACME_DIRECTORY", "http://acme.example.org"), NAME], "https://"),
            (&[DIRECTORY, NAME, ("TIDE_ACME_CONTACT", "tide@example.org")], "mailto:"),
            (&[contact, NAME], "TIDE_ACME_DIRECTORY"),
        ] {
            let error = load(refused).unwrap_err();
            assert!(error.contains(words), "{refused:?}: {error}");
        }
    }
}
