//! The prototype's devices send their form to `/upload`, by curl and by Python's requests.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;
use tide_journey::TestServer;
use tide_journey::hand::{jpeg, with_comment};
use tide_journey::needs::{self, Need, journey};
use tide_journey::programs::output;
use tide_journey::server::files_below;

use crate::wait_for;

pub(crate) fn journeys() -> Vec<Trial> {
    vec![
        journey("old_devices_upload_with_curl", Need::Program("curl"), with_curl),
        journey("old_devices_upload_with_python_requests", Need::PythonRequests, with_python),
        journey("old_devices_words_do_no_harm", Need::Program("curl"), words),
        journey("old_devices_without_a_token_may_be_allowed", Need::Program("curl"), anonymous),
    ]
}

/// An old device with a photo.
struct Device {
    server: TestServer,
    folder: TempDir,
    token: String,
}

impl Device {
    fn new(server: TestServer) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("tide-device-")?;
        fs::write(folder.path().join("photo.jpg"), jpeg()?)?;
        let token = server.add_station_token("old-pi")?;
        Ok(Self { server, folder, token })
    }

    fn photo(&self) -> PathBuf {
        self.folder.path().join("photo.jpg")
    }

    /// What curl prints: the body, a space, the status.
    fn curl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--write-out", " %{http_code}", "--cacert"]);
        output(command.arg(self.server.certificate()).args(arguments).arg(format!("{}/upload", self.server.url())))
    }

    fn user(&self) -> String {
        format!("any:{}", self.token)
    }
}

fn with_curl() -> anyhow::Result<()> {
    let device = Device::new(TestServer::start()?)?;
    let (user, image) = (device.user(), format!("image=@{}", device.photo().display()));
    ensure!(device.curl(&["-F", &image, "-F", "timestamp=2025-06-01T10:00:00"])?.ends_with(" 401"));
    ensure!(device.curl(&["-u", "any:wrong", "-F", &image, "-F", "timestamp=2025-06-01T10:00:00"])?.ends_with(" 401"));
    device.server.expect_clean(0)?;

    let missing = "Missing image or timestamp 400";
    ensure!(device.curl(&["-u", &user, "-F", &image])? == missing);
    ensure!(device.curl(&["-u", &user, "-F", "timestamp=2025-06-01T10:00:00"])? == missing);
    ensure!(device.curl(&["-u", &user, "-d", "timestamp=2025-06-01T10:00:00"])? == missing);
    device.server.expect_clean(0)?;

    let uploaded = "Uploaded 200";
    ensure!(device.curl(&["-u", &user, "-F", &image, "-F", "timestamp=2025-06-01 10:00:00.5+03:00"])? == uploaded);
    ensure!(device.curl(&["-u", &user, "-F", "timestamp=2025-06-01T10:00:00", "-F", &image])? == uploaded, "a repeat");
    device.server.expect_clean(1)?;
    wait_for(async {
        let photos = device.server.log_in().await?.photos().await?;
        ensure!(photos[0]["timestamp"] == "2025-06-01T07:00:00.500Z" && photos[0]["station"] == "old-pi");
        Ok(())
    })
}

/// The prototype's own call, with the token added.
const PROTOTYPE: &str = r#"
import sys, requests
url, certificate, token, photo = sys.argv[1:5]
for auth, files, data in [
    (None, True, {"timestamp": "2025-06-01T10:00:00"}),
    (("station", token), True, {}),
    (("station", token), False, {"timestamp": "2025-06-01T10:00:00"}),
    (("station", token), True, {"timestamp": "2025-06-01T10:00:00"}),
]:
    with open(photo, "rb") as image:
        answer = requests.post(url, files={"image": image} if files else None, data=data, auth=auth, verify=certificate)
    print(answer.status_code, answer.text if answer.status_code != 401 else "")
"#;

fn with_python() -> anyhow::Result<()> {
    let device = Device::new(TestServer::start()?)?;
    let mut command = Command::new(needs::python()?);
    command.args(["-c", PROTOTYPE]).arg(format!("{}/upload", device.server.url()));
    let printed = output(command.arg(device.server.certificate()).arg(&device.token).arg(device.photo()))?;
    let answers: Vec<&str> = printed.lines().map(str::trim).collect();
    let missing = "400 Missing image or timestamp";
    ensure!(answers == ["401", missing, missing, "200 Uploaded"], "{answers:?}");
    device.server.expect_clean(1)
}

/// Script as timestamp, paths as file names: kept as text, or not at all.
fn words() -> anyhow::Result<()> {
    let device = Device::new(TestServer::start()?)?;
    let long_name = "x".repeat(300);
    let script = "<script>alert(1)</script>";
    for (number, name) in ["../../../tmp/owned.jpg", "/etc/cron.d/x", "..", "a/b\\c", &long_name].iter().enumerate() {
        // Another byte in the JPEG's comment, so that each is another photo.
        let photo = with_comment(&fs::read(device.photo())?, &[u8::try_from(number)?])?;
        let path = device.folder.path().join(format!("{number}.jpg"));
        fs::write(&path, photo)?;
        let image = format!("image=@{};filename=\"{name}\"", path.display());
        let timestamp = format!("timestamp={script}");
        let answer = device.curl(&["-u", &device.user(), "-F", &image, "--form-string", &timestamp])?;
        ensure!(answer == "Uploaded 200", "{name}: {answer}");
    }
    device.server.expect_clean(5)?;
    let files = files_below(&device.server.data().join("photos"))?;
    ensure!(files.iter().all(|file| file.starts_with("old-pi/20") && file.ends_with(".jpg")), "{files:?}");
    wait_for(async {
        let login = device.server.log_in().await?;
        let id = login.photos().await?[0]["id"].as_i64().context("a photo has a number")?;
        let page = login.get(&format!("/photo/{id}")).await?.text().await?;
        ensure!(!page.contains("<script") && page.contains("&#60;script&#62;alert"), "the words are shown as text");
        Ok(())
    })
}

fn anonymous() -> anyhow::Result<()> {
    let settings = [("ADMIN_PASS", tide_journey::server::PASSWORD), ("TIDE_ANONYMOUS_STATION", "old-devices")];
    let device = Device::new(TestServer::start_with(&settings)?)?;
    let image = format!("image=@{}", device.photo().display());
    let form = ["-F", image.as_str(), "-F", "timestamp=2025-06-01T10:00:00"];
    ensure!(device.curl(&[["-u", "any:wrong"].as_slice(), &form].concat())?.ends_with(" 401"));
    ensure!(device.curl(&form)? == "Uploaded 200");
    wait_for(async {
        let photos = device.server.log_in().await?.photos().await?;
        ensure!(photos.len() == 1 && photos[0]["station"] == "old-devices");
        Ok(())
    })
}
