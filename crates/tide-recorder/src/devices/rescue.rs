//! A camera that fails again and again is an error of its own, and may be helped: its USB port switched off and on, or a command
//! run that the owner chose (`systemctl restart ...`, or a reboot).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tide_photo::CapturedAt;

use super::hurry::Hurry;
use super::{program, usb, usb_port};
use crate::config::{self, OnFailure};
use crate::devices::camera::{Camera, CameraError, Frame};

/// Failures in a row before anything is done about it. Ours: one may be chance, and the second follows the first.
const FIRST_AFTER: u32 = 3;

/// How long the owner's command may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A camera that is looked after.
pub struct Rescued {
    camera: Box<dyn Camera>,
    help: Help,
    hurry: Hurry,
    failures: u32,
}

/// What may help.
enum Help {
    Nothing,
    /// The video device, and the switch of its port, remembered from when it was last there: one that has fallen off the bus has no
    /// device any more.
    UsbReset {
        video: PathBuf,
        switch: Option<PathBuf>,
    },
    Command(Vec<String>),
}

impl Rescued {
    /// `camera`, helped as the settings say.
    pub fn new(camera: Box<dyn Camera>, settings: &config::Camera, hurry: Hurry) -> Self {
        let help = match settings.on_failure {
            OnFailure::None => Help::Nothing,
            OnFailure::UsbReset => Help::UsbReset { video: usb::device(settings).into(), switch: None },
            OnFailure::Command => Help::Command(settings.failure_command.clone()),
        };
        Self { camera, help, hurry, failures: 0 }
    }
}

impl Camera for Rescued {
    fn expose(&mut self, now: CapturedAt) -> Result<Frame, CameraError> {
        let exposed = self.camera.expose(now);
        if exposed.is_ok() {
            self.failures = 0;
            self.help.remember(Path::new(usb_port::SYSFS));
        } else {
            self.failures = self.failures.saturating_add(1);
        }
        exposed
    }

    fn recover(&mut self) {
        self.camera.recover();
        // Of a shot that was cut short the camera is not to blame.
        if self.hurry.is_on() || !is_due(self.failures) {
            return;
        }
        tracing::error!("the camera has failed {} times in a row; {}", self.failures, self.help.announcement());
        if let Err(why) = self.help.give(&self.hurry) {
            tracing::error!("{why}");
        }
    }

    fn kind(&self) -> &'static str {
        self.camera.kind()
    }

    fn is_simulated(&self) -> bool {
        self.camera.is_simulated()
    }
}

impl Help {
    fn remember(&mut self, sysfs: &Path) {
        if let Self::UsbReset { video, switch: switch @ None } = self {
            *switch = usb_port::switch_of(video, sysfs).ok();
        }
    }

    fn announcement(&self) -> &'static str {
        match self {
            Self::Nothing => "somebody should look at it (`on_failure` in [camera] may do more than say so)",
            Self::UsbReset { .. } => "its USB port is switched off and on",
            Self::Command(_) => "the `failure_command` is run",
        }
    }

    fn give(&mut self, hurry: &Hurry) -> Result<(), String> {
        self.remember(Path::new(usb_port::SYSFS));
        match self {
            Self::Nothing => Ok(()),
            Self::UsbReset { video, switch: None } => {
                Err(format!("failed to find the USB port of {}; is it a USB camera, and plugged in?", video.display()))
            }
            Self::UsbReset { switch: Some(switch), .. } => usb_port::off_and_on(switch).map_err(|error| {
                format!(
                    "failed to switch the USB port: {error}; give the recorder's user the right to write {}",
                    switch.display()
                )
            }),
            Self::Command(words) => run(words, hurry),
        }
    }
}

fn run(words: &[String], hurry: &Hurry) -> Result<(), String> {
    let Some((name, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(name);
    command.args(arguments);
    match program::run(command, COMMAND_LIMIT, hurry) {
        Ok(ended) if ended.status.success() => Ok(()),
        Ok(ended) => Err(format!("the `failure_command` ended with {}, saying \"{}\"", ended.status, ended.words)),
        Err(error) => Err(format!("failed to run the `failure_command` `{name}`: {error}")),
    }
}

/// Whether something is to be done after so many failures in a row: after the third, and then each time that their number has
/// doubled, so that what does not help is not done for ever.
fn is_due(failures: u32) -> bool {
    failures.is_multiple_of(FIRST_AFTER) && (failures / FIRST_AFTER).is_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera that does as it is told, one word after the other.
    struct Told(Vec<bool>);

    impl Camera for Told {
        fn expose(&mut self, _now: CapturedAt) -> Result<Frame, CameraError> {
            let frame = Frame { jpeg: Vec::new(), moment: crate::devices::camera::Moment::DuringCall };
            self.0.remove(0).then_some(frame).ok_or(CameraError::Failed { reason: "told so".to_owned() })
        }

        fn kind(&self) -> &'static str {
            "usb"
        }
    }

    #[test]
    fn help_comes_after_three_failures_and_then_ever_more_seldom() {
        assert_eq!((0..=100).filter(|failures| is_due(*failures)).collect::<Vec<u32>>(), [3, 6, 12, 24, 48, 96]);
    }

    /// How often the command was run for these outcomes.
    fn runs(outcomes: &[bool]) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let append = format!("echo run >> {}", log.display());
        let settings = format!("kind = 'usb'\non_failure = 'command'\nfailure_command = ['sh', '-c', '{append}']");
        let mut camera =
            Rescued::new(Box::new(Told(outcomes.to_vec())), &toml::from_str(&settings).unwrap(), Hurry::default());
        for _ in outcomes {
            if camera.expose(CapturedAt::EPOCH).is_err() {
                camera.recover();
            }
        }
        std::fs::read_to_string(log).unwrap_or_default().lines().count()
    }

    #[test]
    fn a_photo_between_failures_begins_the_count_anew() {
        assert_eq!(runs(&[false; 2]), 0);
        assert_eq!(runs(&[false; 5]), 1);
        assert_eq!(runs(&[false; 6]), 2);
        assert_eq!(runs(&[false, false, true, false, false]), 0);
        assert_eq!(runs(&[false, false, false, true, false, false, false]), 2);
    }

    #[test]
    fn what_does_not_help_says_why() {
        let sentence = |settings: &str| {
            let settings = toml::from_str(&format!("kind = 'usb'\n{settings}")).unwrap();
            Rescued::new(Box::new(Told(Vec::new())), &settings, Hurry::default())
                .help
                .give(&Hurry::default())
                .unwrap_err()
        };
        let failing = "on_failure = 'command'\nfailure_command = ['sh', '-c', 'echo not allowed; exit 4']";
        assert!(sentence(failing).contains("exit status: 4, saying \"not allowed\""));
        assert!(sentence("on_failure = 'command'\nfailure_command = ['/no/such']").contains("`/no/such`"));
        assert!(sentence("on_failure = 'usb-reset'\ndevice = '/dev/no-camera'").contains("/dev/no-camera"));
    }
}
