//! What an image and a container are, by the engine's own word and the kernel's.

use std::fs;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tide_journey::container::{Deployment, docker, image_facts};

/// What the image may take, unpacked. The issue that asked for a container said 25 MB.
const MOST_BYTES: u64 = 25_000_000;

/// As the Dockerfile has it: nobody on the host, most likely.
const USER: &str = "10001";

/// Programs that may be in it: ours, and the loader of the C library.
const PROGRAMS: [&str; 2] = ["usr/bin/tide-server", "ld-linux-"];

pub(crate) fn image(image: &str) -> anyhow::Result<String> {
    let facts = image_facts(image)?;
    let bytes = facts["Size"].as_u64().context("the engine tells no size")?;
    ensure!(bytes <= MOST_BYTES, "the image takes {bytes} bytes, more than {MOST_BYTES}");
    is_ours(&facts["Config"])?;
    let programs = programs(image)?;
    let strays: Vec<_> = programs
        .iter()
        .filter(|path| !PROGRAMS.iter().any(|known| path.contains(known) || path.contains(".so")))
        .collect();
    ensure!(strays.is_empty(), "programs that a server does not need: {strays:?}");
    let refused = docker(&["run", "--rm", image, "station", "add", "pier-3", "--config"]);
    let words = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(words.contains("TIDE_PUBLIC_NAME"), "a station is told the container's own address: {words}");
    Ok(format!("{:.1} MB, user {USER}, no shell, {} executable files", bytes as f64 / 1e6, programs.len()))
}

/// The form with ffmpeg: as shut as the other, and ffmpeg runs in it as the server would run it.
pub(crate) fn film(image: &str) -> anyhow::Result<String> {
    let facts = image_facts(image)?;
    is_ours(&facts["Config"])?;
    let bytes = facts["Size"].as_u64().context("the engine tells no size")?;
    let version = docker(&["run", "--rm", image, "--version"])?;
    let shut = ["run", "--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"];
    let scene = ["-f", "lavfi", "-i", "testsrc=duration=1:size=320x240:rate=10", "-f", "mp4", "/data/film.mp4"];
    let ffmpeg = ["--entrypoint=ffmpeg", image, "-hide_banner", "-loglevel", "error"];
    docker(&[shut.as_slice(), &ffmpeg, &scene].concat())?;
    Ok(format!("{}, {:.0} MB; ffmpeg makes a film as user {USER}", version.trim(), bytes as f64 / 1e6))
}

/// What both forms promise.
fn is_ours(config: &Value) -> anyhow::Result<()> {
    ensure!(config["User"] == format!("{USER}:{USER}"), "it runs as {}", config["User"]);
    ensure!(config["Volumes"] == json!({"/data": {}}), "its volumes are {}", config["Volumes"]);
    ensure!(config["Healthcheck"]["Test"] == json!(["CMD", "/usr/bin/tide-server", "healthcheck"]), "{config}");
    for label in ["title", "description", "licenses", "version", "revision"] {
        let label = format!("org.opencontainers.image.{label}");
        ensure!(config["Labels"][&label].as_str().is_some_and(|text| !text.is_empty()), "it has no label {label}");
    }
    Ok(())
}

/// Executable files in an image.
fn programs(image: &str) -> anyhow::Result<Vec<String>> {
    let container = docker(&["create", image])?;
    let archive = tempfile::NamedTempFile::new()?;
    let to = archive.path().to_str().context("a path is no text")?;
    docker(&["export", "--output", to, container.trim()])?;
    docker(&["rm", container.trim()])?;
    let list = tide_journey::programs::output(std::process::Command::new("tar").args(["-tvf", to]))?;
    // The engine itself puts empty files there.
    let is_program = |fields: &Vec<&str>| fields.len() > 5 && fields[0].starts_with("-rwx") && fields[2] != "0";
    let lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(lines.filter(is_program).filter_map(|fields| fields.last().map(|path| (*path).to_owned())).collect())
}

/// A running container is as shut as the compose file says, to the kernel too.
pub(crate) fn running(deployment: &Deployment) -> anyhow::Result<String> {
    let facts = deployment.facts()?;
    let host = &facts["HostConfig"];
    ensure!(host["ReadonlyRootfs"] == true, "its root file system can be written");
    ensure!(host["CapDrop"] == json!(["ALL"]) && host["CapAdd"].as_array().is_none_or(Vec::is_empty), "{host}");
    ensure!(host["SecurityOpt"].to_string().contains("no-new-privileges"), "{}", host["SecurityOpt"]);
    ensure!(host["RestartPolicy"]["Name"] == "unless-stopped", "{}", host["RestartPolicy"]);
    for limit in ["Memory", "NanoCpus", "PidsLimit"] {
        ensure!(host[limit].as_u64().is_some_and(|limit| limit > 0), "it has no limit of {limit}");
    }
    let id = facts["State"]["Pid"].as_u64().context("it has no process")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |name: &str| line_of(&status, name).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
    ensure!(field("Uid:")? == [USER; 4].join(" "), "its process runs as {}", field("Uid:")?);
    ensure!(field("NoNewPrivs:")? == "1" && field("CapBnd:")? == "0000000000000000", "{status}");
    let mounts = fs::read_to_string(format!("/proc/{id}/mounts"))?;
    let writable: Vec<&str> = mounts
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields.len() > 3 && fields[3].split(',').any(|option| option == "rw")).then_some(fields[1])
        })
        .filter(|at| !["/proc", "/dev", "/sys"].iter().any(|kernel| at.starts_with(kernel)))
        .collect();
    ensure!(is_set(&writable, &["/data", "/tmp"]), "it can write to {writable:?}");
    Ok(format!("process of user {USER} without capabilities, root read-only, writable: {}", writable.join(" ")))
}

fn is_set(found: &[&str], wanted: &[&str]) -> bool {
    // What the engine itself puts there for names belongs to the volume's disk.
    let of_engine = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"];
    let mut found: Vec<&str> = found.iter().copied().filter(|at| !of_engine.contains(at)).collect();
    found.sort_unstable();
    found == wanted
}

fn line_of<'a>(text: &'a str, name: &str) -> anyhow::Result<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("the kernel says nothing of {name}"))
}

/// The facts of a container that matter to a person, for a message.
pub(crate) fn health(facts: &Value) -> String {
    facts["State"]["Health"]["Log"].as_array().and_then(|log| log.last()).map(ToString::to_string).unwrap_or_default()
}
