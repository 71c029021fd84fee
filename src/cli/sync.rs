//! What `run` does with a remote.

use std::sync::Arc;

use clap::Args;
use stagewright::{
    config::{Config, RemoteName, RemoteSettings, RunSync},
    digest::Digest,
    record::Outcome,
    remote::{RemoteError, Session, Supply},
    run::{self, RunSummary},
    store::{LocalStore, Supplier},
};

use super::{CliError, push, screen, transfer};

#[derive(Args)]
pub struct SyncArgs {
    /// Look up in this remote what is not stored here; without a name, in the default one [default: `run` of [sync] in
    /// stagewright.toml]
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, conflicts_with = "no_remote")]
    remote: Option<Option<RemoteName>>,
    /// Bring what this run made to the remote at its end
    #[arg(long, conflicts_with = "no_remote")]
    push: bool,
    /// Use no remote, whatever stagewright.toml says
    #[arg(long)]
    no_remote: bool,
}

/// A remote and what a run does with it.
pub struct Sync {
    settings: RemoteSettings,
    look_up: bool,
    push: bool,
}

impl SyncArgs {
    /// What the command line says, else the settings.
    pub fn resolve(&self, config: &Config) -> Result<Option<Sync>, CliError> {
        let set = config.sync.run;
        let wanted = self.remote.is_some() || self.push || set != RunSync::Off;
        if self.no_remote || !wanted {
            return Ok(None);
        }
        let settings = config.remote(self.remote.as_ref().and_then(Option::as_ref))?.clone();
        if self.push && !settings.write {
            return Err(RemoteError::ReadOnly { name: settings.name.to_string() }.into());
        }
        Ok(Some(Sync {
            look_up: self.remote.is_some() || set != RunSync::Off,
            push: (self.push || set == RunSync::PullAndPush) && settings.write,
            settings,
        }))
    }
}

impl Sync {
    /// The remote, and whether the run writes to it.
    pub fn remote(&self) -> (&RemoteSettings, bool) {
        (&self.settings, self.push)
    }

    /// Where the run takes results from. Called inside the runtime that is to do the waiting.
    pub fn supplier(&self, config: &Config) -> Option<Arc<dyn Supplier>> {
        if !self.look_up {
            return None;
        }
        let session = Session::open(&self.settings, config, Arc::new(|_| {}));
        Some(Arc::new(Supply::new(Arc::new(session), tokio::runtime::Handle::current())))
    }

    /// Brings what the run made to the remote.
    pub fn push(&self, config: &Config, store: &LocalStore, summary: &RunSummary) -> Result<(), CliError> {
        self.push_checkpoints(config, store, summary)?;
        let ran = summary.stages.iter().filter(|stage| stage.outcome == Outcome::Ran);
        let keys: Vec<Digest> = ran.filter_map(|stage| stage.key).map(|key| key.0).collect();
        if !self.push || keys.is_empty() {
            return Ok(());
        }
        push::push(config, Some(&self.settings.name), store, keys)
    }

    /// Brings what stages had saved when they were cut off, so that another machine goes on from there.
    fn push_checkpoints(
        &self,
        config: &Config,
        store: &LocalStore,
        summary: &RunSummary,
    ) -> Result<(), CliError> {
        if !self.push {
            return Ok(());
        }
        let cut_off = summary
            .stages
            .iter()
            .filter(|stage| matches!(stage.outcome, Outcome::Cancelled | Outcome::Failed));
        let session = Arc::new(Session::open(&self.settings, config, Arc::new(|_| {})));
        for (stage, key) in cut_off.filter_map(|stage| Some((&stage.stage, stage.key?))) {
            let folder = run::checkpoint_folder(&config.state_dir, &key);
            let pushed = transfer::block_on(session.push_checkpoint(store, &key.0, &folder))??;
            if let Some(bytes) = pushed {
                println!(
                    "pushed the checkpoint of {stage} ({}) to the remote `{}`",
                    screen::bytes(bytes),
                    self.settings.name
                );
            }
        }
        Ok(())
    }
}
