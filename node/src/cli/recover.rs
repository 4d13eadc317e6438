//! `root recover`: a node that has lost track of its own heads goes on in a new epoch of the chain key.
//!
//! ```text
//! new chain key -> keystore | recovery and first head -> database | first head -> head.lock | the key in its place
//! ```
//!
//! Each step can be cut off: nothing leaves this machine before the node runs again, and running the command again goes on
//! with the key that is in the keystore.

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use counterfoil_federation::recover::{Ground, ground, recover};
use counterfoil_federation::replica::Replica;
use counterfoil_protocol::chain::proof::consistency_proof;
use counterfoil_protocol::chain::{Head, SignedHead};
use counterfoil_protocol::identity::{Organisation, Recovery};
use counterfoil_protocol::ids::{ByteString, OrganisationId};
use counterfoil_protocol::keys::{PublicKey, Signer as _};
use counterfoil_protocol::limits::RECOVERY_ASKED_MAX;
use counterfoil_protocol::statement::Kind;

use super::Context;
use super::authority::{bring_up_to_date, named};
use super::print::time;
use crate::asked::Asked;
use crate::clock;
use crate::data::{passphrase, root_act};
use crate::keystore::Keystore;
use crate::store::{HeadLock, Memory, Store};

/// The keystore's name for the chain key of the epoch that is about to begin.
const NEXT: &str = "chain-next";

/// Give up heads that were signed and that nobody has any more, and go on with a new chain key; the node must not run
#[derive(Debug, Clone, Args)]
pub(super) struct Recover {
    /// What happened; it stands in the chain for ever
    #[arg(long)]
    reason: String,
    /// How many statements are kept, as the command says without this: whatever was signed behind them is given up
    #[arg(long, value_name = "STATEMENTS")]
    lose_after: Option<u64>,
    /// Go on although not every other member of the mesh has answered that it holds nothing later; that is recorded
    #[arg(long)]
    alone: bool,
}

impl Recover {
    pub(super) fn run(self, context: &Context) -> anyhow::Result<()> {
        let data = &context.data;
        let organisation = OrganisationId::from(data.inception()?.id());
        // No node runs here, and none can start while the lock is open.
        let mut lock = HeadLock::open(&data.head_lock()).context("stop the node first")?;
        let store = Store::open(&data.path().join("db"), Memory::default())?;
        let chains = store.snapshot()?.chains;
        let chain = chains.iter().find(|chain| chain.organisation == organisation);
        let own = Replica::restore(
            chain.context("there is no chain yet, so nothing is to be recovered")?,
            &counterfoil_federation::Checked::default(),
        )?;
        let passphrase = passphrase()?;
        let mut keys = Keystore::load(&data.node_keys_path(), &passphrase)?;
        let latest = own.state().epochs().latest().key;
        if let Some(head) = own.head().filter(|_| public(&keys, NEXT) == Some(latest)) {
            // It was cut off behind the database.
            return finish(context, &mut lock, &mut keys, head);
        }
        if store.misbehaviour(&organisation)?.is_some() {
            bail!(
                "there is a proof that this organisation forked its chain; a recovery hides no fork; see `forks list`"
            );
        }
        let chain_key = data.key(&keys, "chain")?.public_key();
        let ground = ground(&own, lock.held(), &chain_key)?;
        let (asked, alone) = self.asked(context, &store, &organisation)?;
        self.confirm(context, &ground)?;

        let root_path = data.root_keys_path();
        let mut root = Keystore::load(&root_path, &passphrase)?;
        let now = own.state().description();
        bring_up_to_date(&mut root, now, &root_path, &passphrase)?;
        let next = match keys.key(NEXT) {
            Some(next) => next,
            None => keys.generate(NEXT),
        };
        keys.save(&data.node_keys_path(), &passphrase)?;
        let proof = consistency_proof(&store.chain(organisation), ground.base.size(), ground.size)?;
        let base = ByteString(ground.base.bytes().to_vec());
        let recovery = Recovery { base, proof, reason: self.reason, lost: ground.lost, asked, alone };
        let version = Organisation {
            version: now.version + 1,
            chain_key: next.public_key(),
            recovery: Some(Box::new(recovery)),
            ..now.clone()
        };
        version.check()?;
        let at = clock::now().timestamp();
        let act = root_act(Some(organisation), Kind::Organisation, &version, &named(&root, "root-"), at)?;
        let (writes, head) = recover(&own, &ground, act, &next, at)?;
        store.persist(&writes)?;
        finish(context, &mut lock, &mut keys, &head)
    }

    /// Whom the node asked when it ran last, and whether that was not everybody.
    fn asked(
        &self,
        context: &Context,
        store: &Store,
        organisation: &OrganisationId,
    ) -> anyhow::Result<(Vec<OrganisationId>, bool)> {
        let found = Asked::read(context.data.path())?.unwrap_or_default();
        let names =
            |ids: &[OrganisationId]| ids.iter().map(OrganisationId::short).collect::<Vec<_>>().join(", ");
        ensure!(
            found.holding.is_empty(),
            "{} holds later heads of this chain; let the node run until it has fetched them (`sync status`); nothing was \
             changed",
            names(&found.holding)
        );
        let mut asked = found.asked.clone();
        asked.retain(|member| member != organisation && found.others.contains(member));
        asked.sort();
        let unasked: Vec<_> = found.others.iter().copied().filter(|other| !asked.contains(other)).collect();
        let everybody = !found.others.is_empty() && unasked.is_empty();
        if !everybody && !self.alone {
            let why = match (store.mesh()?, unasked.is_empty()) {
                (Some(_), false) => format!("{} did not answer when the node ran last", names(&unasked)),
                (Some(_), true) => {
                    "the node has not asked the members of its mesh since it stopped signing".into()
                }
                (None, _) => "the node takes part in no mesh, so there is nobody who could have more".into(),
            };
            bail!(
                "{why}; let the node run until all other members have answered (`root recover` says who has not), or go on \
                 without them with --alone, which is recorded; nothing was changed"
            );
        }
        asked.truncate(RECOVERY_ASKED_MAX);
        Ok((asked, !everybody))
    }

    /// Says what is lost, and has the operator say it too.
    fn confirm(&self, context: &Context, ground: &Ground) -> anyhow::Result<()> {
        let (base, kept) = (&ground.base, ground.size);
        let out = context.out;
        out.line(format!(
            "the chain goes on behind its {kept} statements that are here, from head {} of {} statements, signed {}",
            base.seq(),
            base.size(),
            time(base.issued_at())
        ));
        out.detail(
            "whatever was signed behind that is given up for ever: its receipts prove nothing any more",
        );
        if let Some(lost) = ground.lost {
            out.detail(format!("head.lock says that this was at least up to statement {}", lost.size));
        }
        out.detail("a member that holds more does not follow this chain any further");
        out.detail("the chain key is replaced, the recovery and its reason stand in the chain, and every bundle says so");
        match self.lose_after {
            Some(size) if size == kept.0 => Ok(()),
            Some(size) => bail!("{kept} statements are here, not {size}; nothing was changed"),
            None => bail!(
                "to give up whatever was signed behind the {kept} statements that are here, say --lose-after {kept}; nothing \
                 was changed"
            ),
        }
    }
}

fn public(keys: &Keystore, name: &str) -> Option<PublicKey> {
    keys.key(name).map(|key| key.public_key())
}

/// The recovery is in the database. Its head goes into the head lock, and the new key into the place of the former.
fn finish(
    context: &Context,
    lock: &mut HeadLock,
    keys: &mut Keystore,
    head: &SignedHead,
) -> anyhow::Result<()> {
    if lock.held() != Some(head.bytes()) {
        let held = lock.held().map(|bytes| Head::parse(bytes.clone())).transpose()?;
        let swapped = lock.swap(held.map(|held| held.hash()), head)?;
        ensure!(swapped.is_ok(), "the head lock changed while it was open");
    }
    keys.rename(NEXT, "chain");
    keys.save(&context.data.node_keys_path(), &passphrase()?)?;
    Asked::forget(context.data.path())?;
    let out = context.out;
    out.done(format!("the chain goes on with head {} of {} statements", head.seq(), head.size()));
    out.detail("it has a new chain key; the former one is gone from the keystore");
    out.next("counterfoil run");
    out.value(&serde_json::json!({ "seq": head.seq(), "size": head.size(), "head": head.hash() }))
}
