//! What the station keeps of its settings, on the data partition.

use std::io;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use tide_durable::{Durable, IfExists};

use super::log;
use crate::kept::{Applied, Secrets};
use crate::machine::{Machine, with_pub};
use crate::render;
use crate::settings::{Files, Wanted, Zoneinfo, ssh_key};

const SETTINGS: &str = "settings.toml";
const ENV: &str = ".env";
const APPLIED: &str = "applied.json";
const HOSTNAME: &str = "hostname";
const SECRETS: &str = "secrets/kept.json";
const TOKEN: &str = "secrets/token";
const WIFI: &str = "secrets/wpa_supplicant.conf";
const LOGINS: &str = "ssh/authorized_keys";
const HOST_KEY: &str = "ssh/ssh_host_ed25519_key";

/// The folder.
pub(super) struct Keep<'k> {
    pub(super) data: &'k Durable,
    pub(super) machine: &'k dyn Machine,
}

/// What is to be kept.
pub(super) struct ToKeep<'k> {
    pub(super) wanted: &'k Wanted,
    /// `tide.toml` without its secrets.
    pub(super) toml: &'k str,
    pub(super) applied: &'k Applied,
}

impl Keep<'_> {
    /// The secrets of earlier settings.
    pub(super) fn secrets(&self) -> Secrets {
        self.json(SECRETS).or_else(|| self.second_copy()).unwrap_or_default()
    }

    /// Where a data partition was beyond repair, or is new.
    fn second_copy(&self) -> Option<Secrets> {
        match self.machine.second_copy() {
            Ok(text) => serde_json::from_slice(&text?).ok(),
            Err(error) => {
                log(&format!("failed to read the second copy of the secrets: {error}"));
                None
            }
        }
    }

    /// Which settings are in effect; none if none ever were.
    pub(super) fn applied(&self) -> Option<Applied> {
        self.json(APPLIED)
    }

    /// The settings that are in effect.
    pub(super) fn files(&self) -> Files {
        Files { toml: self.read(SETTINGS), env: self.read(ENV) }
    }

    /// The name of the machine.
    pub(super) fn hostname(&self) -> Option<String> {
        let name = String::from_utf8(self.read(HOSTNAME)?).ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    /// The fingerprint of the station's own key.
    pub(super) fn host_key(&self) -> Option<String> {
        let public = self.read_path(&with_pub(&self.path(HOST_KEY)))?;
        ssh_key::fingerprint_of(&String::from_utf8(public).ok()?)
    }

    /// Keeps all of it, the secrets first, each whole and on the disk before the next; what is there already is not written again.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub(super) fn store(&self, to_keep: &ToKeep<'_>, zoneinfo: &Zoneinfo) -> io::Result<()> {
        let ToKeep { wanted, toml, applied } = to_keep;
        for folder in ["secrets", "ssh"] {
            self.data.ensure_folder(&self.path(folder))?;
            self.data.sweep(&self.path(folder))?;
        }
        self.data.sweep(self.data.root())?;
        self.machine.set_mode(&self.path("secrets"), 0o700)?;
        self.machine.set_mode(&self.path("ssh"), 0o755)?;
        self.store_secrets(wanted)?;
        self.put(SETTINGS, Some(toml))?;
        let env = Some(wanted.env.without_token()).filter(|_| !wanted.env.is_empty());
        self.put(ENV, env.as_deref())?;
        self.put(HOSTNAME, Some(&format!("{}\n", wanted.station)))?;
        self.store_logins(wanted)?;
        let zone = wanted.local.zone.as_deref().and_then(|zone| zoneinfo.file_of(zone));
        self.machine.set_link(&self.path("localtime"), zone.as_deref())?;
        self.put(APPLIED, Some(&serde_json::to_string(applied)?))
    }

    /// First whose secret is whose, in one file; then what other programs read.
    fn store_secrets(&self, wanted: &Wanted) -> io::Result<()> {
        let wifi = wanted.wifi.as_ref();
        let secrets = Secrets {
            station: Some(wanted.station.as_str().to_owned()),
            token: Some(wanted.token.clone()),
            network: wifi.map(|wifi| wifi.network.clone()),
            password: wifi.and_then(|wifi| wifi.password.clone()),
        };
        let text = serde_json::to_string(&secrets)?;
        self.put_secret(SECRETS, Some(&text))?;
        // The first is enough for a station that works.
        if let Err(error) = self.machine.keep_second_copy(text.as_bytes()) {
            log(&format!("failed to keep a second copy of the secrets: {error}"));
        }
        self.put_secret(TOKEN, Some(wanted.token.reveal()))?;
        self.put_secret(WIFI, wifi.map(render::wpa_supplicant).as_deref())
    }

    fn store_logins(&self, wanted: &Wanted) -> io::Result<()> {
        let keys = &wanted.local.ssh_keys;
        if keys.is_empty() {
            return self.put(LOGINS, None);
        }
        let path = self.path(HOST_KEY);
        if self.read(HOST_KEY).is_none() {
            // Photos do not depend on it.
            match self.machine.make_host_key(&path) {
                Ok(()) => log("made the station's own SSH key"),
                Err(error) => log(&format!("failed to make the station's own SSH key: {error}")),
            }
        }
        let lines: String = keys.iter().map(|key| format!("{}\n", key.line)).collect();
        self.put(LOGINS, Some(&lines))
    }

    fn put(&self, name: &str, text: Option<&str>) -> io::Result<()> {
        self.put_by(name, text, Durable::publish)
    }

    fn put_secret(&self, name: &str, text: Option<&str>) -> io::Result<()> {
        self.put_by(name, text, Durable::publish_private)
    }

    fn put_by(
        &self,
        name: &str,
        text: Option<&str>,
        publish: impl Fn(&Durable, &std::path::Path, &[u8], IfExists) -> io::Result<()>,
    ) -> io::Result<()> {
        let (path, before) = (self.path(name), self.read(name));
        match text {
            // It may be there without being on the disk yet, if a run before this one was killed.
            Some(text) if before.as_deref() == Some(text.as_bytes()) => return self.data.settle(&path),
            Some(text) => publish(self.data, &path, text.as_bytes(), IfExists::Replace)?,
            None if before.is_some() => self.data.remove(&path)?,
            None => return Ok(()),
        }
        log(&format!("{} {}", if text.is_some() { "wrote" } else { "removed" }, path.display()));
        Ok(())
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&self.read(name)?).ok()
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.read_path(&self.path(name))
    }

    fn read_path(&self, path: &std::path::Path) -> Option<Vec<u8>> {
        match self.data.read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log(&format!("failed to read {}: {error}", path.display()));
                None
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.root().join(name)
    }
}
