//! Strangers' tools look for holes in a server with photos, an operator and a station: wapiti over its pages, schemathesis over
//! its interface, each with and without credentials. Run it by `cargo xtask scan`, which builds for release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::Value;
use tempfile::TempDir;
use tide_journey::server::PASSWORD;
use tide_journey::{TestServer, TestStation};

/// What wapiti tries. Left out are modules that ask a host of wapiti's makers or fetch lists, those for other people's programs,
/// and `csrf`, which knows only secrets in forms: this server looks at where a request comes from, and a journey looks at that.
const MODULES: &str = "backup,cookieflags,crlf,csp,exec,file,htaccess,http_headers,https_redirect,ldap,methods,\
                       permanentxss,redirect,sql,timesql,upload,xss";

/// What schemathesis looks at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Wapiti's own numbers: 0 is a remark, 1 low, 2 medium, 3 high, 4 critical.
const MEDIUM: i64 = 2;

/// Looks for holes.
#[derive(Parser)]
struct Arguments {
    /// The program wapiti.
    #[arg(long)]
    wapiti: PathBuf,
    /// The program schemathesis.
    #[arg(long)]
    schemathesis: PathBuf,
    /// Longest time for each of the four scans.
    #[arg(long, default_value_t = 150)]
    seconds: u32,
}

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let server = TestServer::start_with(&[("ADMIN_PASS", PASSWORD), ("TIDE_LOG", "info,tower_http=debug")])?;
    let settings = server.add_station("pier-3")?;
    fill(&settings)?;
    let token = settings.lines().find_map(|line| line.strip_prefix("token = ")).context("the settings hold a token")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let login = runtime.block_on(server.log_in())?;
    let scan = Scan { arguments, server: &server, folder: TempDir::with_prefix("tide-scan-")? };
    // First: a stranger's failed logins make the next ones wait.
    let credentials =
        [format!("Authorization: Bearer {}", token.trim_matches('"')), format!("Cookie: {}", login.cookie())];
    let outcomes = [
        scan.pages("pages, logged in", Some(login.cookie()))?,
        scan.interface("interface, with credentials", &credentials)?,
        scan.interface("interface, without credentials", &[])?,
        scan.pages("pages, logged out", None)?,
    ];
    Ok(outcomes.iter().all(|is_clean| *is_clean) && is_sound(&server)?)
}

/// Photos of a real station, in the gallery.
fn fill(settings: &str) -> anyhow::Result<()> {
    let mut station = TestStation::new(settings)?;
    station.shoot(&["--count", "12", "--from", "2026-05-31T00:00:00Z", "--every", "3600"])?;
    station.run()?;
    station.until_delivered()?;
    station.stop()
}

/// Whether all photos are as they were promised.
fn is_sound(server: &TestServer) -> anyhow::Result<bool> {
    let found = server.check()?;
    let empty = ["missing", "damaged", "unlisted"].iter().all(|key| found[key].as_array().is_some_and(Vec::is_empty));
    // Only there if the catalog's own file is damaged.
    let sound = empty && found.get("catalog").is_none();
    println!("afterwards: {} photos, {}", found["photos"], if sound { "all sound" } else { "NOT all sound" });
    Ok(sound)
}

struct Scan<'a> {
    arguments: &'a Arguments,
    server: &'a TestServer,
    folder: TempDir,
}

/// Answers by their first digit, as the server's log has them.
#[derive(Clone, Copy)]
struct Answers([usize; 6]);

impl Scan<'_> {
    /// Wapiti, over all pages that it finds.
    fn pages(&self, name: &str, cookie: Option<&str>) -> anyhow::Result<bool> {
        let report = self.folder.path().join("wapiti.json");
        let mut command = self.tool(&self.arguments.wapiti);
        let url = format!("{}/", self.server.url());
        command.args(["--url", &url, "--module", MODULES, "--scope", "domain", "--no-bugreport", "--flush-session"]);
        for start in ["login", "gallery", "photo/1", "photos", "health", "upload", "api/v1/openapi.json"] {
            command.args(["--start", &format!("{url}{start}")]);
        }
        command.args([
            "--level",
            "2",
            "--max-scan-time",
            &(self.arguments.seconds / 3).to_string(),
            "--max-attack-time",
            "30",
        ]);
        command.args(["--verbose", "0", "--format", "json", "--output"]).arg(&report);
        for kept in ["--store-session", "--store-config"] {
            command.arg(kept).arg(self.folder.path().join(kept));
        }
        if let Some(cookie) = cookie {
            // It would log itself out.
            command.args(["--header", &format!("Cookie: {cookie}"), "--exclude", &format!("{url}logout")]);
        }
        let (answers, _) = self.watch(name, &mut command)?;
        let report: Value = serde_json::from_slice(&fs::read(&report).context("wapiti leaves no report")?)?;
        let findings = findings(&report);
        println!("{name}: wapiti sent {answers}, {}", by_severity(&findings));
        for finding in &findings {
            println!("    {finding}");
        }
        Ok(answers.server_errors() == 0 && findings.iter().all(|finding| finding.level < MEDIUM))
    }

    /// Schemathesis, over all that the server says of its interface.
    fn interface(&self, name: &str, headers: &[String]) -> anyhow::Result<bool> {
        let mut command = self.tool(&self.arguments.schemathesis);
        let url = self.server.url();
        command.args(["run", &format!("{url}/api/v1/openapi.json"), "--url", &url, "--tls-verify"]);
        command.arg(self.server.certificate());
        command.args([
            "--checks",
            CHECKS,
            "--mode",
            "all",
            "--phases",
            "examples,coverage,fuzzing",
            "--seed",
            "20261122",
        ]);
        command.args([
            "--max-examples",
            "500",
            "--continue-on-failure",
            "--max-time",
            &(self.arguments.seconds / 2).to_string(),
        ]);
        command.args(["--generation-database", "none", "--suppress-health-check", "all", "--request-timeout", "30"]);
        command.args(["--warnings", "off", "--no-color"]);
        for header in headers {
            command.args(["--header", header]);
        }
        let (answers, passed) = self.watch(name, &mut command)?;
        println!("{name}: schemathesis sent {answers}, {}", if passed { "no finding" } else { "FINDINGS above" });
        Ok(answers.server_errors() == 0 && passed)
    }

    fn tool(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.folder.path());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a tool to its end, or to the end of its time; what the server answered meanwhile, and whether the tool was content.
    fn watch(&self, name: &str, command: &mut Command) -> anyhow::Result<(Answers, bool)> {
        println!("{name}: at most {} s ...", self.arguments.seconds);
        let before = Answers::in_log(&self.server.log());
        let said = self.folder.path().join("said");
        let log = fs::File::create(&said)?;
        let mut child = command.stdout(log.try_clone()?).stderr(log).spawn().context("failed to start a tool")?;
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if began.elapsed() > Duration::from_secs(self.arguments.seconds.into()) {
                child.kill()?;
                child.wait()?;
                show(&said)?;
                bail!("{name}: the tool did not end in time; give it more with --seconds");
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if !status.success() {
            show(&said)?;
        }
        Ok((Answers::in_log(&self.server.log()).since(before), status.success()))
    }
}

fn show(said: &Path) -> anyhow::Result<()> {
    println!("{}", String::from_utf8_lossy(&fs::read(said)?));
    Ok(())
}

impl Answers {
    fn in_log(log: &str) -> Self {
        let mut answers = [0; 6];
        for line in log.lines().filter(|line| line.contains("finished processing request")) {
            let status = line.rsplit_once("status=").and_then(|(_, status)| status.trim().parse::<usize>().ok());
            if let Some(count) = status.and_then(|status| answers.get_mut(status / 100)) {
                *count += 1;
            }
        }
        Self(answers)
    }

    fn since(self, before: Self) -> Self {
        Self(std::array::from_fn(|class| self.0[class] - before.0[class]))
    }

    fn server_errors(&self) -> usize {
        self.0[5]
    }
}

impl std::fmt::Display for Answers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, fine, elsewhere, refused, errors] = self.0;
        let all: usize = self.0.iter().sum();
        write!(out, "{all} requests (2xx {fine}, 3xx {elsewhere}, 4xx {refused}, 5xx {errors})")
    }
}

struct Finding {
    level: i64,
    text: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "[{}] {}", severity(self.level), self.text)
    }
}

fn findings(report: &Value) -> Vec<Finding> {
    let groups = ["vulnerabilities", "anomalies"].into_iter().filter_map(|key| report[key].as_object()).flatten();
    let finding = |(category, found): (&String, &Value)| {
        let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
        Finding {
            level: found["level"].as_i64().unwrap_or(MEDIUM),
            text: format!("{category}: {} {}: {}", text("method"), text("path"), text("info")),
        }
    };
    let each =
        groups.flat_map(|(category, list)| list.as_array().into_iter().flatten().map(move |one| (category, one)));
    each.map(finding).collect()
}

fn severity(level: i64) -> &'static str {
    match level {
        0 => "remark",
        1 => "low",
        2 => "medium",
        3 => "high",
        _ => "critical",
    }
}

fn by_severity(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let counts: Vec<String> = [4, 3, 2, 1, 0].map(|level| format!("{} {}", severity(level), count(level))).into();
    counts.join(", ")
}
