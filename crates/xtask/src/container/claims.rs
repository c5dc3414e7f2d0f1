//! What Dockerfile and compose file promise, read from their text. What the engine makes of it, `cargo xtask container` tries.

use std::collections::BTreeMap;

use serde::Deserialize;

const DOCKERFILE: &str = include_str!("../../../../Dockerfile");
const COMPOSE: &str = include_str!("../../../../docker-compose.yml");

#[derive(Deserialize)]
struct Compose {
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Volume>,
}

#[derive(Deserialize)]
struct Volume {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: String,
    build: Build,
    container_name: String,
    restart: String,
    ports: Vec<String>,
    environment: BTreeMap<String, String>,
    volumes: Vec<String>,
    read_only: bool,
    tmpfs: Vec<String>,
    cap_drop: Vec<String>,
    security_opt: Vec<String>,
    mem_limit: String,
    cpus: String,
    pids_limit: u32,
    stop_grace_period: String,
    logging: serde_json::Value,
}

#[derive(Deserialize)]
struct Build {
    target: String,
}

fn web() -> Service {
    let mut compose: Compose = serde_saphyr::from_str(COMPOSE).unwrap();
    let volumes: Vec<_> = compose.volumes.iter().map(|(key, volume)| (key.as_str(), volume.name.as_str())).collect();
    // With a name of its own it is the same, from whichever folder it is started: not another one, and empty.
    assert_eq!(volumes, [("data", "tide-recorder-data")]);
    assert_eq!(compose.services.len(), 1);
    compose.services.remove("web").unwrap()
}

/// Each instruction of the Dockerfile as one line, without comments.
fn instructions() -> Vec<String> {
    let lines = DOCKERFILE.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_service_may_do_nothing_but_its_work() {
    let web = web();
    assert!(web.read_only);
    assert_eq!((web.cap_drop, web.security_opt), (vec!["ALL".to_owned()], vec!["no-new-privileges:true".to_owned()]));
    assert!(web.mem_limit.ends_with('g') && web.pids_limit > 0);
    // More than a machine has is refused by the engine, and the smallest have one.
    assert_eq!(web.cpus, "${TIDE_CPUS:-1}");
    assert!(web.tmpfs[0].contains("size="), "a file system in memory has a bound");
    assert_eq!(web.logging["driver"], "json-file");
    assert!(web.logging["options"]["max-size"].is_string(), "logs of a year have a bound");
}

#[test]
fn the_service_is_the_prototypes_and_comes_back() {
    let web = web();
    assert_eq!((web.container_name.as_str(), web.restart.as_str()), ("tide-recorder-server-https", "unless-stopped"));
    // One number in and out: a station is told the port that the server listens on.
    assert_eq!(web.ports, ["${TIDE_PORT:-5000}:${TIDE_PORT:-5000}"]);
    assert_eq!(web.environment["TIDE_LISTEN"], "0.0.0.0:${TIDE_PORT:-5000}");
    for name in ["ADMIN_USER_FILE", "ADMIN_PASS_FILE", "SSL_CERT_PATH", "SSL_KEY_PATH"] {
        assert_eq!(web.environment[name], format!("${{{name}:-}}"));
    }
    assert_eq!(web.volumes, ["data:/data", "./secrets:/run/secrets:ro"]);
    assert_eq!(web.build.target, "server");
    assert!(web.image.starts_with("${TIDE_IMAGE:-ghcr.io/"));
    // Requests under way have 10 s.
    assert_eq!(web.stop_grace_period, "30s");
}

#[test]
fn the_base_image_is_pinned_by_its_digest() {
    let instructions = instructions();
    let base = instructions.iter().find_map(|line| line.strip_prefix("ARG BASE_IMAGE=")).unwrap();
    let (_, digest) = base.split_once("@sha256:").unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{base}");
    for from in instructions.iter().filter_map(|line| line.strip_prefix("FROM ")) {
        let image = from.split(' ').find(|word| !word.starts_with("--")).unwrap();
        assert!(["$BASE_IMAGE", "scratch", "server"].contains(&image), "{from}");
    }
}

#[test]
fn nothing_is_compiled_in_an_emulator() {
    let instructions = instructions();
    let stages = instructions.split(|line| line.starts_with("FROM ")).skip(1);
    let froms = instructions.iter().filter(|line| line.starts_with("FROM "));
    for (from, stage) in froms.zip(stages) {
        let is_foreign = !from.contains("--platform=$BUILDPLATFORM");
        assert!(!(is_foreign && stage.iter().any(|line| line.contains("cargo"))), "{from}");
    }
}

/// BuildKit takes an `ARG` without a value for an empty one, in place of its own: seen with the one of Docker 26.1. The classic
/// builder has no values of its own.
#[test]
fn the_builders_own_platforms_come_through() {
    let instructions = instructions();
    for (name, value) in [("BUILDPLATFORM", "linux/amd64"), ("TARGETPLATFORM", "linux/amd64"), ("TARGETARCH", "amd64")]
    {
        assert!(instructions.contains(&format!("ARG {name}=${{{name}:-{value}}}")), "{name}");
    }
}

#[test]
fn the_container_is_nobodys_and_says_how_it_is() {
    let instructions = instructions();
    let server = instructions.iter().skip_while(|line| *line != "FROM scratch AS server").skip(1);
    let server: Vec<&String> = server.take_while(|line| !line.starts_with("FROM ")).collect();
    let has = |start: &str| server.iter().any(|line| line.starts_with(start));
    assert!(has("USER 10001:10001") && has("VOLUME /data") && has("EXPOSE 5000"));
    assert!(has("ENTRYPOINT [\"/usr/bin/tide-server\"]"));
    let check = server.iter().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
    assert!(check.ends_with("CMD [\"/usr/bin/tide-server\", \"healthcheck\"]"), "{check}");
    assert!(!has("RUN "), "there is no shell");
}
