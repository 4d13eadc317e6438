//! `backup`, `restore`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::Context;
use super::print::time;
use crate::api::routes::BackupBody;
use crate::backup::{self, Manifest};
use crate::store::{HeadLock, Memory, Store};

/// Write everything but the head lock into a new directory
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// Where to; it must not exist, or be empty
    directory: PathBuf,
}

/// Put a backup into an empty data directory, or one with nothing but head.lock
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// Where the backup lies
    directory: PathBuf,
}

impl Backup {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let directory = std::path::absolute(&self.directory).context("the directory for the backup")?;
        let manifest: Manifest = if context.client.is_local() {
            context.data.inception()?;
            match HeadLock::open(&context.data.head_lock()) {
                // No node runs here, and none can start while the lock is open.
                Ok(_lock) => {
                    let store = Store::open(&context.data.path().join("db"), Memory::default())?;
                    backup::write(&context.data, &store, &directory)?
                }
                Err(_) => context.client.post("/v1/backups", &BackupBody { path: directory.clone() })?,
            }
        } else {
            context.client.post("/v1/backups", &BackupBody { path: directory.clone() })?
        };
        let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
        let out = context.out;
        out.done(format!("{} files, {bytes} bytes, in {}", manifest.files.len(), directory.display()));
        out.detail("head.lock is not in it and must stay with the node");
        out.next(format!("counterfoil --data NEW restore {}", directory.display()));
        out.value(&manifest)
    }
}

impl Restore {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let restored = backup::restore(&self.directory, &context.data)?;
        let out = context.out;
        out.done(format!(
            "{} files of {} as of {}, in {}",
            restored.files,
            restored.organisation,
            time(restored.made_at),
            context.data.path().display()
        ));
        if restored.head_lock {
            out.detail("head.lock was not touched; the node catches up from its peers before it signs");
        } else {
            out.bad(
                "head.lock is missing: the node will not sign before it is put back from where it ran last; if it is lost, \
                 let the node run until it has caught up with its peers, and then see `root recover`",
            );
        }
        out.next(format!("counterfoil --data {} fsck", context.data.path().display()));
        out.value(&restored)
    }
}
