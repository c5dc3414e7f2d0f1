//! A station's machine in QEMU. It ends with its value, whatever happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::wait::until;
use super::{Card, Image, Qmp, Receiver, Shell};
use crate::programs::{Running, that_ends_with_us};

/// What is the same for every machine. A Raspberry Pi 4 has Cortex-A72s; 512 MB is what a Zero 2 W has.
const MACHINE: &[&str] = &[
    "-M",
    "virt",
    "-cpu",
    "cortex-a72",
    "-smp",
    "2",
    "-m",
    "512",
    "-nodefaults",
    "-display",
    "none",
    "-netdev",
    "user,id=net",
    "-device",
    "virtio-net-pci,netdev=net,romfile=",
    "-device",
    "virtio-rng-pci",
    "-device",
    "i6300esb",
    "-action",
    "watchdog=reset",
    "-device",
    "qemu-xhci",
    "-device",
    "virtio-serial-pci",
];

/// What the kernel is told where the card says nothing.
const COMMAND_LINE: &str = "root=LABEL=tide-root ro";

/// A machine that boots, on an idle host, in a third of this.
pub const TO_BOOT: Duration = Duration::from_secs(400);

/// An orderly end: each service has its own limit.
const TO_END: Duration = Duration::from_secs(120);

/// Lines of a console that a person wants to see after a failure.
const TAIL_LINES: usize = 60;

/// How the card is attached.
#[derive(Debug, Clone, Copy)]
pub enum Disk<'a> {
    /// As it is.
    Plain,
    /// With a log of every write to it; see [`super::WriteLog`].
    Logged(&'a Path),
}

/// What the battery-backed clock shows at the start. It goes on while a machine is reset, and ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rtc {
    /// That of a station which never had GPS.
    Year2000,
    /// The time: somebody has set it before.
    Set,
}

/// A machine that is on.
pub struct Machine {
    qemu: Running,
    folder: PathBuf,
    qmp: Qmp,
    shell: Shell,
    receiver: Option<Receiver>,
    on_since: Instant,
}

impl Machine {
    /// Switches a machine on, with a receiver plugged in. `folder` is for its sockets and what its console says.
    ///
    /// # Errors
    /// If QEMU does not start.
    pub fn switch_on(image: &Image, card: &Card, folder: &Path, rtc: Rtc, disk: Disk) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        for socket in ["qmp", "shell", "gps"] {
            // Those of a machine that was on before.
            let _ = fs::remove_file(folder.join(socket));
        }
        let at = |name: &str| folder.join(name).display().to_string();
        let mut qemu = that_ends_with_us("qemu-system-aarch64");
        qemu.args(MACHINE);
        qemu.arg("-kernel").arg(image.kernel()).arg("-initrd").arg(image.initrd());
        qemu.args(["-append", &command_line(card)?]);
        let base = if rtc == Rtc::Set { "utc" } else { "2000-01-01T00:00:00" };
        qemu.args(["-rtc", &format!("base={base}")]);
        qemu.args(["-blockdev", &block_device(card, disk).to_string(), "-device", "virtio-blk-pci,drive=card"]);
        // The console of every machine in this folder, one after the other.
        qemu.args([
            "-chardev",
            &format!("file,id=console,path={},append=on", at("console")),
            "-serial",
            "chardev:console",
        ]);
        for (id, device) in
            [("gps", "usb-serial,id=gps,chardev=gps"), ("shell", "virtserialport,chardev=shell,name=org.tide.test")]
        {
            let socket = format!("socket,id={id},path={},server=on,wait=off", at(id));
            qemu.args(["-chardev", &socket, "-device", device]);
        }
        qemu.args(["-qmp", &format!("unix:{},server=on,wait=off", at("qmp"))]);
        let errors = File::options().create(true).append(true).open(folder.join("errors"))?;
        qemu.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        let on_since = Instant::now();
        let running = Running::start(&mut qemu)?;
        let connected = (|| {
            let qmp = Qmp::connect(&folder.join("qmp"))?;
            let shell = Shell::connect(&folder.join("shell"))?;
            let receiver = Some(Receiver::plug_in(&folder.join("gps"))?);
            Ok((qmp, shell, receiver))
        })();
        let says = || format!("QEMU says: {}", fs::read_to_string(folder.join("errors")).unwrap_or_default());
        let (qmp, shell, receiver) = connected.map_err(|error: anyhow::Error| error.context(says()))?;
        Ok(Self { qemu: running, folder: folder.to_owned(), qmp, shell, receiver, on_since })
    }

    /// Its root shell, once [`Shell::wait`] has found it.
    pub fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    /// QEMU's own socket.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// How long it has been on.
    pub fn on_for(&self) -> Duration {
        self.on_since.elapsed()
    }

    /// Processor time of this machine that it has taken: that does not depend on who else wants some, as the clock does.
    ///
    /// # Errors
    /// If it is off.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        self.qemu.cpu_ms().map(Duration::from_millis)
    }

    /// Plugs the receiver in.
    ///
    /// # Errors
    /// If QEMU has no such socket.
    pub fn plug_receiver_in(&mut self) -> anyhow::Result<()> {
        self.receiver = Some(Receiver::plug_in(&self.folder.join("gps"))?);
        Ok(())
    }

    /// Unplugs the receiver: the device is gone, as if its plug was pulled.
    pub fn unplug_receiver(&mut self) {
        self.receiver = None;
    }

    /// Plugs the network cable in, or unplugs it.
    ///
    /// # Errors
    /// If QEMU refuses.
    pub fn set_network(&mut self, is_up: bool) -> anyhow::Result<()> {
        self.qmp.execute("set_link", &json!({"name": "net", "up": is_up})).map(drop)
    }

    /// Ends it at once, and whatever it was doing.
    ///
    /// # Errors
    /// If it was off.
    pub fn cut_power(mut self) -> anyhow::Result<()> {
        self.qemu.expect_running().context("the machine was off before its power was cut")?;
        self.qemu.kill()
    }

    /// Shuts it down in order.
    ///
    /// # Errors
    /// If it does not end.
    pub fn switch_off(mut self) -> anyhow::Result<()> {
        self.shell.send("systemctl poweroff")?;
        let code = self.qemu.exit_code_within(TO_END).context("the machine does not switch itself off")?;
        if code != 0 {
            bail!("QEMU ended with {code}");
        }
        Ok(())
    }

    /// Has it do something that begins a new boot, and waits for that.
    ///
    /// # Errors
    /// If it does not boot.
    pub fn boot_by(&mut self, command: &str) -> anyhow::Result<()> {
        let before = self.boot_id()?;
        self.shell.send(command)?;
        self.until_booted_after(&before)
    }

    /// The name of the boot in hand.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn boot_id(&mut self) -> anyhow::Result<String> {
        self.shell.output("cat /proc/sys/kernel/random/boot_id")
    }

    /// Waits for a boot that is not this one.
    ///
    /// # Errors
    /// If it does not come.
    pub fn until_booted_after(&mut self, before: &str) -> anyhow::Result<()> {
        until("the machine has booted anew", TO_END + TO_BOOT, || {
            self.qemu.expect_running()?;
            Ok(self
                .shell
                .wait(Duration::from_secs(5))
                .ok()
                .and_then(|()| self.boot_id().ok())
                .filter(|id| id != before))
        })
        .map(drop)
    }
}

/// What the card's console has said last.
///
/// # Errors
/// If there is no console.
pub fn console_tail(folder: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(folder.join("console"))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// What a Pi's firmware would tell the kernel, but for the console: that is where this machine has its own. A kernel that tests its
/// own cryptography boots two seconds later in an emulated processor.
fn command_line(card: &Card) -> anyhow::Result<String> {
    let said = card.read_fat("cmdline.txt")?;
    let words = said.as_deref().unwrap_or(COMMAND_LINE).split_whitespace().filter(|word| !word.starts_with("console="));
    Ok(words.chain(["console=ttyAMA0", "cryptomgr.notests"]).collect::<Vec<_>>().join(" "))
}

fn block_device(card: &Card, disk: Disk) -> Value {
    let file = |path: &Path| json!({"driver": "file", "filename": path});
    match disk {
        Disk::Plain => json!({"driver": "raw", "node-name": "card", "discard": "unmap", "file": file(card.path())}),
        Disk::Logged(log) => json!({
            "driver": "blklogwrites",
            "node-name": "card",
            "file": {"driver": "raw", "file": file(card.path())},
            "log": {"driver": "raw", "file": file(log)},
        }),
    }
}
