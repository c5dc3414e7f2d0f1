//! What is asked of the machine beside files that last: the mount of the card, other programs, links, the machine's name.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::config::Folders;
use crate::disk::CARD_LINK;
use crate::second_copy;

/// How often it is looked whether a program has ended. Ours: nobody notices.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long ssh-keygen may take. Ours: the kernel's random numbers may have to be waited for at the first boot.
const KEY_LIMIT: Duration = Duration::from_secs(60);

/// A program that judges the part of the settings that is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judge {
    /// `tide-recorder settings`.
    Recorder,
    /// `tide-timesync settings`.
    Timesync,
}

/// The machine.
pub trait Machine {
    /// Lets the card take writes.
    ///
    /// # Errors
    /// If it does not.
    fn open_card(&self) -> io::Result<()>;

    /// Forces everything to the card, and lets it take no more writes.
    ///
    /// # Errors
    /// If that cannot be.
    fn close_card(&self) -> io::Result<()>;

    /// What a program says against the settings in a file; nothing if they can be used.
    ///
    /// # Errors
    /// If it cannot be asked.
    fn ask(&self, judge: Judge, settings: &Path) -> io::Result<Option<String>>;

    /// Overwrites a file's bytes with zeros where they lie, for good, if there is such a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn overwrite(&self, path: &Path) -> io::Result<()>;

    /// Makes an SSH host key under this name, for good, and its public half under the name with `.pub`.
    ///
    /// # Errors
    /// If it cannot be made.
    fn make_host_key(&self, path: &Path) -> io::Result<()>;

    /// Makes a link point to a target, or go away, for good.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_link(&self, link: &Path, target: Option<&Path>) -> io::Result<()>;

    /// Says who may enter a folder.
    ///
    /// # Errors
    /// Those of the file system.
    fn set_mode(&self, folder: &Path, mode: u32) -> io::Result<()>;

    /// The second copy of the secrets; none if there is none, or no place for one.
    ///
    /// # Errors
    /// Those of the card.
    fn second_copy(&self) -> io::Result<Option<Vec<u8>>>;

    /// Keeps it, for good, where there is a place for one.
    ///
    /// # Errors
    /// Those of the card.
    fn keep_second_copy(&self, text: &[u8]) -> io::Result<()>;

    /// Gives the machine a name until the next boot.
    ///
    /// # Errors
    /// If the kernel does not take it.
    fn set_hostname(&self, name: &str) -> io::Result<()>;
}

/// The machine that this runs on.
#[derive(Debug)]
pub struct RealMachine {
    boot: PathBuf,
    recorder: PathBuf,
    timesync: PathBuf,
    hostname: PathBuf,
    /// The whole card, if `tide-provision disk` has found that it is ours.
    card: PathBuf,
    limit: Duration,
}

impl RealMachine {
    /// With the programs and folders that are named.
    pub fn new(folders: &Folders) -> Self {
        Self {
            boot: folders.boot.clone(),
            recorder: folders.recorder.clone(),
            timesync: folders.timesync.clone(),
            hostname: folders.hostname.clone(),
            card: folders.run.join(CARD_LINK),
            limit: Duration::from_secs(folders.limit_s),
        }
    }

    fn remount(&self, how: &str) -> io::Result<()> {
        // A folder of another file system has no mount of its own.
        if !is_mount_point(&self.boot)? {
            return Ok(());
        }
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.boot);
        match run(mount, self.limit)? {
            None => Ok(()),
            Some(words) => Err(io::Error::other(words)),
        }
    }
}

impl Machine for RealMachine {
    fn open_card(&self) -> io::Result<()> {
        self.remount("rw")
    }

    fn close_card(&self) -> io::Result<()> {
        let synced = File::open(&self.boot).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        self.remount("ro").and(synced)
    }

    fn ask(&self, judge: Judge, settings: &Path) -> io::Result<Option<String>> {
        let mut command = Command::new(match judge {
            Judge::Recorder => &self.recorder,
            Judge::Timesync => &self.timesync,
        });
        // Nothing of ours may speak for a setting. The token was judged here, and what stands for it is no secret.
        command.arg("settings").env_clear().env("TIDE_CONFIG", settings).env("TIDE_TOKEN", "judged-elsewhere");
        run(command, self.limit)
    }

    fn second_copy(&self) -> io::Result<Option<Vec<u8>>> {
        if self.card.exists() { second_copy::read(&self.card) } else { Ok(None) }
    }

    fn keep_second_copy(&self, text: &[u8]) -> io::Result<()> {
        if self.card.exists() { second_copy::write(&self.card, text) } else { Ok(()) }
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        if_there(OpenOptions::new().write(true).open(path).and_then(fill_with_zeros))
    }

    fn make_host_key(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let [new, new_public] = ["new.part", "new.part.pub"].map(|name| folder.join(name));
        for left in [&new, &new_public] {
            if_there(fs::remove_file(left))?;
        }
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(&new);
        if let Some(words) = run(keygen, KEY_LIMIT)? {
            return Err(io::Error::other(words));
        }
        for made in [&new, &new_public] {
            File::open(made)?.sync_all()?;
        }
        // The private half last: it makes the key exist.
        fs::rename(&new_public, with_pub(path))?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()
    }

    fn set_link(&self, link: &Path, target: Option<&Path>) -> io::Result<()> {
        let folder = link.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let old = fs::read_link(link).ok();
        if old.as_deref() == target {
            return Ok(());
        }
        match target {
            None => if_there(fs::remove_file(link))?,
            Some(target) => {
                let new = link.with_extension("part");
                if_there(fs::remove_file(&new))?;
                symlink(target, &new)?;
                fs::rename(&new, link)?;
            }
        }
        File::open(folder)?.sync_all()
    }

    fn set_mode(&self, folder: &Path, mode: u32) -> io::Result<()> {
        if fs::metadata(folder)?.permissions().mode() & 0o7777 == mode {
            return Ok(());
        }
        fs::set_permissions(folder, Permissions::from_mode(mode))
    }

    fn set_hostname(&self, name: &str) -> io::Result<()> {
        fs::write(&self.hostname, name)
    }
}

fn fill_with_zeros(mut file: File) -> io::Result<()> {
    let length_bytes = file.metadata()?.len();
    io::copy(&mut io::repeat(0).take(length_bytes), &mut file)?;
    file.sync_all()
}

/// The name of a key's public half.
pub fn with_pub(path: &Path) -> PathBuf {
    path.with_file_name([path.file_name().unwrap_or_default(), OsStr::new(".pub")].join(OsStr::new("")))
}

/// What a program said that ended in failure; nothing if it did not.
fn run(mut command: Command, limit: Duration) -> io::Result<Option<String>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let started = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            let sentence = format!("{name} had not ended after {} s and was killed", limit.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, sentence));
        }
        thread::sleep(LOOK_EVERY);
    };
    if status.success() {
        return Ok(None);
    }
    let mut words = String::new();
    if let Some(stderr) = child.stderr.take() {
        // What a person can read ends long before this.
        drop(stderr.take(65_536).read_to_string(&mut words));
    }
    let words = words.trim();
    Ok(Some(if words.is_empty() { format!("{name} ended with {status}") } else { words.to_owned() }))
}

fn is_mount_point(folder: &Path) -> io::Result<bool> {
    let folder = folder.canonicalize()?;
    let Some(parent) = folder.parent() else { return Ok(true) };
    Ok(fs::metadata(&folder)?.dev() != fs::metadata(parent)?.dev())
}

/// That there was none is fine.
fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
