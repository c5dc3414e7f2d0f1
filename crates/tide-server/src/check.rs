//! `tide-server check`: every row of the catalog has its intact bytes, and all bytes have their row.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::catalog::{Catalog, PhotoRecord};
use crate::config::Settings;
use crate::left_behind;
use crate::photo_store::{PhotoStore, digest_of_file};
use crate::serve::{open_catalog, open_existing_data_folder};

/// Rows read at a time.
const CHUNK_PHOTOS: u32 = 1_000;

/// How long an upload under way may be between its bytes and its row.
const SETTLING: Duration = Duration::from_secs(2);

/// Further looks at bytes without a row, for a server that is slow just now.
const FURTHER_LOOKS: u32 = 2;

/// How thorough.
#[derive(Args)]
pub struct CheckOptions {
    /// Read every photo and compare its digest, instead of only its length.
    #[arg(long)]
    read: bool,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    /// Rows looked at.
    pub photos: u64,
    /// What is wrong inside the catalog's own file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalog: Vec<String>,
    /// Rows whose bytes are not there.
    pub missing: Vec<String>,
    /// Rows whose bytes are others, or cannot be read.
    pub damaged: Vec<String>,
    /// Bytes without a row: an upload was interrupted before its receipt, or the catalog is an older one.
    pub unlisted: Vec<String>,
    /// Files that earlier starts have set aside because they had no row. No problem of the store, so the JSON leaves it out.
    #[serde(skip)]
    pub set_aside: usize,
}

impl Findings {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems() == 0
    }

    fn problems(&self) -> usize {
        [&self.catalog, &self.missing, &self.damaged, &self.unlisted].map(Vec::len).iter().sum()
    }
}

/// Checks a data folder, beside a running server or alone, and prints what it found.
///
/// # Errors
/// If the data folder cannot be read.
pub async fn check(settings: &Settings, options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let durable = open_existing_data_folder(settings)?;
    let catalog = open_catalog(&durable).await?;
    let store = PhotoStore::look(durable);
    let findings = examine(&catalog, &store, options.read).await?;
    catalog.close().await;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        print(&findings);
    }
    tell_set_aside(&findings, &store);
    Ok(if findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Compares catalog and store in both directions.
///
/// # Errors
/// If either cannot be read.
pub async fn examine(catalog: &Catalog, store: &PhotoStore, read: bool) -> anyhow::Result<Findings> {
    let mut findings = Findings { catalog: catalog.damage().await?, ..Findings::default() };
    let files = all_files(store, store.folder())?;
    let progress = progress_bar(catalog.photo_count().await?);
    let mut last_id = 0;
    loop {
        let rows = catalog.photos_after(last_id, CHUNK_PHOTOS).await?;
        let Some(last) = rows.last() else { break };
        last_id = last.id;
        for row in &rows {
            examine_row(row, store, read, &mut findings);
            progress.inc(1);
        }
    }
    let mut unlisted = without_row(catalog, store, &files).await?;
    progress.finish_and_clear();
    for _ in 0..FURTHER_LOOKS {
        if unlisted.is_empty() {
            break;
        }
        // An upload that the running server was just taking in may have its row by now, and bytes that were left behind may be
        // set aside.
        tokio::time::sleep(SETTLING).await;
        unlisted = without_row(catalog, store, &unlisted).await?;
    }
    findings.unlisted = unlisted.iter().map(|file| store.key_of(file)).collect();
    findings.set_aside = all_files(store, store.aside_folder())?.len();
    Ok(findings)
}

/// Those of the files that no row points at, and that are there.
async fn without_row(catalog: &Catalog, store: &PhotoStore, files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut without = left_behind::select(catalog, files, false, |file| store.key_of(file)).await?;
    without.retain(|file| left_behind::is_ordinary(file));
    Ok(without)
}

fn examine_row(row: &PhotoRecord, store: &PhotoStore, read: bool, findings: &mut Findings) {
    let photo = &row.photo;
    let path = store.path(&photo.store_key);
    findings.photos += 1;
    let is_intact = || -> io::Result<bool> {
        Ok(fs::metadata(&path)?.len() == photo.size_bytes && (!read || digest_of_file(&path)? == photo.digest))
    };
    match is_intact() {
        Ok(true) => (),
        Ok(false) => findings.damaged.push(photo.store_key.clone()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => findings.missing.push(photo.store_key.clone()),
        // A bad sector is what the check is for: it is told, and the others are looked at.
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "failed to read a photo");
            findings.damaged.push(photo.store_key.clone());
        }
    }
}

/// Every file of the store below a folder.
fn all_files(store: &PhotoStore, folder: PathBuf) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let mut listing = store.list(&folder)?;
        files.append(&mut listing.files);
        folders.append(&mut listing.folders);
    }
    Ok(files)
}

fn progress_bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("checking {bar:40} {pos}/{len}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn print(findings: &Findings) {
    for damage in &findings.catalog {
        println!("the catalog's file is damaged, restore it from a backup: {damage}");
    }
    for (keys, problem) in [
        (&findings.missing, "is in the catalog, but its bytes are missing"),
        (&findings.damaged, "cannot be read, or has other bytes than the catalog says"),
        (
            &findings.unlisted,
            "is not in the catalog: its upload was interrupted before the receipt (a station then offers it again), or the \
             catalog is older than the photo; it may be the only copy",
        ),
    ] {
        for key in keys {
            println!("{key} {problem}");
        }
    }
    println!("{} photos checked, {} problems", findings.photos, findings.problems());
}

/// Beside the findings, whatever their form.
fn tell_set_aside(findings: &Findings, store: &PhotoStore) {
    if findings.set_aside > 0 {
        eprintln!(
            "{} files without a row lie in {}, where starts of the server have put them: interrupted uploads, or an older \
             catalog; they may be the only copies",
            findings.set_aside,
            store.aside_folder().display()
        );
    }
}

#[cfg(test)]
mod tests {
    use tide_durable::Durable;

    use super::*;

    #[tokio::test]
    async fn what_is_no_ordinary_file_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = PhotoStore::open(Durable::open(folder.path()).unwrap()).unwrap();
        let catalog = Catalog::open(&folder.path().join("tide.db")).await.unwrap();
        std::os::unix::fs::symlink(folder.path(), store.folder().join("pier-4")).unwrap();
        std::os::unix::fs::symlink("nowhere", store.folder().join("dangling.jpg")).unwrap();
        assert!(examine(&catalog, &store, true).await.unwrap().is_clean());
    }
}
