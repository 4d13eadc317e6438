//! `init`: a new organisation.

use anyhow::ensure;
use clap::Args;
use counterfoil_protocol::identity::ActivationQuorum;

use super::Context;
use crate::data::{Founding, passphrase};

/// Make a new organisation
#[derive(Debug, Args)]
pub(super) struct Init {
    /// Display name
    #[arg(long)]
    name: String,
    /// Domain that the organisation claims; may be repeated
    #[arg(long = "domain")]
    domains: Vec<String>,
    /// Jurisdiction that it acts under; may be repeated
    #[arg(long = "jurisdiction")]
    jurisdictions: Vec<String>,
    /// The organisation that owns this one
    #[arg(long)]
    parent: Option<String>,
    /// Number of root keys
    #[arg(long, default_value_t = 3)]
    keys: u8,
    /// How many of them an act of the root needs
    #[arg(long, default_value_t = 2)]
    threshold: u8,
    /// How many authorities have to stand behind the activation of profiles
    #[arg(long, value_name = "N")]
    activation_quorum: Option<u8>,
    /// Role that counts for that, as a pattern; may be repeated; any where none is named
    #[arg(long, value_name = "ROLE", requires = "activation_quorum")]
    activation_role: Vec<String>,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        ensure!(self.threshold >= 1 && self.threshold <= self.keys, "--threshold must be 1 to --keys");
        let passphrase = passphrase()?;
        ensure!(passphrase.len() >= 8, "a passphrase has at least 8 bytes; nothing was made");
        let (keys, threshold) = (self.keys, self.threshold);
        let founding = Founding {
            name: self.name.clone(),
            domains: self.domains,
            jurisdictions: self.jurisdictions,
            parent: self.parent,
            keys,
            threshold,
            activation_quorum: self
                .activation_quorum
                .map(|approvals| ActivationQuorum { approvals, roles: self.activation_role }),
        };
        let organisation = context.data.found(founding, &passphrase)?;
        let out = context.out;
        out.done(format!("{} is {organisation}", self.name));
        out.detail(format!(
            "root keys: {threshold} of {keys}, sealed in {}",
            context.data.root_keys_path().display()
        ));
        out.detail("move that file to a safe place; a running node does not need it");
        out.next(format!("counterfoil --data {} run", context.data.path().display()));
        out.value(&serde_json::json!({
            "organisation": organisation,
            "name": self.name,
            "data": context.data.path(),
        }))
    }
}
