//! A card in the station, through the programs of util-linux and e2fsprogs, and the kernel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::card::{Card, Contents, FileForPeople, MADE_ANEW, Trial};
use super::layout::{Partition, SECOND, Table};
use super::programs::{Ended, run};
use super::system::Device;
use crate::devices::partitions;

/// For what takes a moment on a healthy card.
const SHORT: Duration = Duration::from_secs(120);

/// For a check, a repair, or a new file system. Our choice, beyond what a large card with a million files should need.
const LONG: Duration = Duration::from_secs(15 * 60);

/// How long a program that was ended may take to close a partition: what it has written goes to the card first.
const CLOSING: Duration = Duration::from_secs(20);

/// The options of `data.mount`.
const MOUNT_OPTIONS: &str = "noatime,nodev,nosuid,errors=remount-ro";

/// A disk that the kernel knows.
pub(super) struct RealCard {
    disk: Device,
    /// Where a partition is mounted to try it.
    trial: PathBuf,
    /// A folder that becomes the root of a new file system.
    root: PathBuf,
}

impl RealCard {
    /// With a folder for what is needed meanwhile.
    pub(super) fn new(disk: Device, folder: &Path) -> Self {
        // As the kernel names it when something is mounted there.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Self { disk, trial: folder.join("trial"), root: folder.join("new-root") }
    }

    /// A partition that has been attached.
    pub(super) fn device(&self, partition: Partition) -> anyhow::Result<Device> {
        let found = self.disk.partition(partition.number)?;
        let (device, _) = found.with_context(|| format!("the kernel does not know partition {}", partition.number))?;
        Ok(device)
    }

    fn disk(&self) -> &str {
        path(&self.disk.node)
    }

    fn e2fsck(&self, partition: Partition, options: &[&str]) -> Ended {
        match self.device(partition) {
            Ok(device) => run("e2fsck", &[options, &[path(&device.node)]].concat(), "", LONG),
            Err(error) => Ended::Unfinished(format!("{error:#}")),
        }
    }

    fn try_mount(&self, partition: Partition) -> anyhow::Result<Contents> {
        let device = self.device(partition)?;
        fs::create_dir_all(&self.trial).with_context(|| format!("failed to make {}", self.trial.display()))?;
        let trial = path(&self.trial);
        let arguments = ["-t", "ext4", "-o", MOUNT_OPTIONS, path(&device.node), trial];
        run("mount", &arguments, "", SHORT).success("mounting it")?;
        let contents = self.look();
        run("umount", &[trial], "", SHORT).success("unmounting it")?;
        contents
    }

    /// Through a program, since a dying card can hold up whoever reads it.
    fn look(&self) -> anyhow::Result<Contents> {
        let trial = path(&self.trial);
        let whole = ["-mindepth", "1", "-maxdepth", "1", "-printf", "%f\\n"];
        let root = run("find", &[&[trial], &whole[..]].concat(), "", SHORT).success("reading its root folder")?;
        let says_made_anew = root.lines().any(|name| name == MADE_ANEW.name);
        if !root.lines().any(|name| name == "lost+found") {
            return Ok(Contents { lost_and_found: 0, says_made_anew });
        }
        // A dot for each, whatever a name holds.
        let found = format!("{trial}/lost+found");
        let one_each = ["-mindepth", "1", "-maxdepth", "1", "-printf", "."];
        let dots =
            run("find", &[&[found.as_str()], &one_each[..]].concat(), "", SHORT).success("reading lost+found")?;
        Ok(Contents { lost_and_found: dots.len() as u64, says_made_anew })
    }

    /// The folder that becomes the root of the new file system, if there is something to put into it.
    fn new_root(&self, file: Option<&FileForPeople>) -> anyhow::Result<Option<&str>> {
        let Some(file) = file else { return Ok(None) };
        if self.root.exists() {
            fs::remove_dir_all(&self.root)?;
        }
        fs::create_dir_all(&self.root)?;
        fs::write(self.root.join(file.name), file.text)?;
        Ok(Some(path(&self.root)))
    }
}

impl Card for RealCard {
    fn table(&mut self) -> anyhow::Result<Table> {
        let json = run("sfdisk", &["--json", self.disk()], "", SHORT);
        parse_table(&json.success("reading the partition table")?, self.disk.size_bytes)
    }

    fn attach(&mut self, partition: Partition) -> anyhow::Result<()> {
        let number = partition.number;
        let disk = File::open(&self.disk.node).with_context(|| format!("failed to open {}", self.disk()))?;
        if let Some((known, start_bytes)) = self.disk.partition(partition.number)? {
            if (start_bytes, known.size_bytes) == (partition.start_bytes, partition.size_bytes) {
                return Ok(());
            }
            // Left by one of our own runs that ended before its time, on another card.
            partitions::delete(&disk, number).context("failed to correct what the kernel knows of the card")?;
        }
        partitions::add(&disk, number, partition.start_bytes, partition.size_bytes)
            .with_context(|| format!("failed to tell the kernel of partition {number}"))
    }

    fn is_in_use(&mut self, partition: Partition) -> anyhow::Result<bool> {
        let device = self.device(partition)?;
        for place in device.mounted_at()? {
            // Left by a run that ended before its time.
            if place != self.trial {
                return Ok(true);
            }
            run("umount", &[path(&place)], "", SHORT).success("unmounting it")?;
        }
        // Whatever else is wrong with it, e2fsck says it better.
        let is_held = || {
            let held = rustix::fs::open(&device.node, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty());
            matches!(held, Err(Errno::BUSY))
        };
        let began = Instant::now();
        while is_held() {
            if began.elapsed() > CLOSING {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(false)
    }

    fn make(&mut self, partition: Partition, file: Option<&FileForPeople>) -> anyhow::Result<()> {
        let device = self.device(partition)?;
        // Opened before it is written, so that an error of the card's while writing is told to us too.
        let opened = File::open(&device.node).with_context(|| format!("failed to open {}", device.node.display()))?;
        let label = if partition.number == SECOND { "tide-data-2" } else { "tide-data" };
        // A journal only has to hold what is written in some seconds; e2fsprogs would take up to 1 GiB of a large card, and
        // write all of it now.
        let journal = if partition.size_bytes >= 2 << 30 { "size=64" } else { "size=16" };
        let mut arguments = vec!["-q", "-F", "-b", "4096", "-L", label, "-O", "64bit,metadata_csum", "-J", journal];
        // 1 % is kept for root: the journal and the settings still fit in when photos have filled the rest. To discard all of
        // a card takes some cards very long.
        arguments.extend(["-m", "1", "-e", "remount-ro", "-E", "nodiscard,root_owner=0:0"]);
        if let Some(root) = self.new_root(file)? {
            arguments.extend(["-d", root]);
        }
        arguments.push(path(&device.node));
        run("mkfs.ext4", &arguments, "", LONG).success("making the file system")?;
        opened.sync_all().context("the card failed to keep the new file system")
    }

    fn enter(&mut self, partition: Partition) -> anyhow::Result<()> {
        let sector_bytes = self.table()?.sector_bytes;
        let (start, size) = (partition.start_bytes / sector_bytes, partition.size_bytes / sector_bytes);
        // The kernel knows the partition already, and would not read the table while the system is mounted from this disk.
        // What looks like an older file system in it is the one that we just made. The lock keeps udev from looking meanwhile.
        let quietly = ["--append", "--no-reread", "--no-tell-kernel", "--wipe", "never", "--wipe-partitions", "never"];
        let entry = format!("start={start}, size={size}, type=83\n");
        let ended = run("sfdisk", &[&quietly[..], &["--lock", "--quiet", self.disk()]].concat(), &entry, SHORT);
        ended.success("entering the partition in the table")?;
        File::open(&self.disk.node).and_then(|disk| disk.sync_all()).context("the card failed to keep its table")?;
        if self.table()?.get(partition.number) != Some(partition) {
            bail!("the card did not keep the new entry in its partition table; replace the card");
        }
        Ok(())
    }

    fn check(&mut self, partition: Partition) -> Ended {
        // A full check: it finds the damage that a station would otherwise meet in the middle of its work, and be stopped by.
        self.e2fsck(partition, &["-p", "-f"])
    }

    fn repair(&mut self, partition: Partition) -> Ended {
        self.e2fsck(partition, &["-f", "-y"])
    }

    fn trial(&mut self, partition: Partition) -> Trial {
        match self.try_mount(partition) {
            Ok(contents) => Trial::Works(contents),
            Err(error) => {
                // If it was the second step that failed.
                if self.device(partition).and_then(|device| device.mounted_at()).is_ok_and(|places| !places.is_empty())
                {
                    run("umount", &["--lazy", path(&self.trial)], "", SHORT);
                }
                Trial::Fails(format!("{error:#}"))
            }
        }
    }
}

/// The paths that are made here are text.
fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

#[derive(Deserialize)]
struct Json {
    partitiontable: JsonTable,
}

#[derive(Deserialize)]
struct JsonTable {
    label: String,
    device: String,
    sectorsize: u64,
    #[serde(default)]
    partitions: Vec<JsonPartition>,
}

#[derive(Deserialize)]
struct JsonPartition {
    node: String,
    start: u64,
    size: u64,
}

fn parse_table(json: &str, disk_bytes: u64) -> anyhow::Result<Table> {
    let table = serde_json::from_str::<Json>(json).context("failed to read what sfdisk says")?.partitiontable;
    if table.label != "dos" {
        bail!("{} has a partition table of kind {}, not the MBR of our images", table.device, table.label);
    }
    let number = |node: &str| -> Option<u32> {
        let end = node.strip_prefix(&table.device)?;
        end.strip_prefix('p').unwrap_or(end).parse().ok()
    };
    let partition = |entry: &JsonPartition| -> anyhow::Result<Partition> {
        let number = number(&entry.node).with_context(|| format!("{} has no number", entry.node))?;
        let (start_bytes, size_bytes) = (entry.start * table.sectorsize, entry.size * table.sectorsize);
        Ok(Partition { number, start_bytes, size_bytes })
    };
    let partitions = table.partitions.iter().map(partition).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Table { disk_bytes, sector_bytes: table.sectorsize, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(label: &str, partitions: &str) -> String {
        format!(
            r#"{{"partitiontable": {{"label": "{label}", "id": "0x1", "device": "/dev/mmcblk0", "unit": "sectors",
                "sectorsize": 512{partitions}}}}}"#
        )
    }

    #[test]
    fn sfdisk_is_understood() {
        let partitions = r#", "partitions": [
            {"node": "/dev/mmcblk0p1", "start": 8192, "size": 65536, "type": "c", "bootable": true},
            {"node": "/dev/mmcblk0p2", "start": 73728, "size": 131072, "type": "83"}]"#;
        let table = parse_table(&json("dos", partitions), 1 << 30).unwrap();
        let second = Partition { number: 2, start_bytes: 73_728 * 512, size_bytes: 131_072 * 512 };
        assert_eq!((table.partitions.len(), table.get(2)), (2, Some(second)));
        assert_eq!(parse_table(&json("dos", ""), 1 << 30).unwrap().partitions, []);
        let error = parse_table(&json("gpt", ""), 1 << 30).unwrap_err().to_string();
        assert_eq!(error, "/dev/mmcblk0 has a partition table of kind gpt, not the MBR of our images");
    }
}
