//! The data directory: configuration, keys, chains. What lies where, and how a new one is made.
//!
//! ```text
//! node.toml        configuration
//! inception.cose   the organisation's inception
//! keys/root.keys   root keys, sealed; needed for acts of the root alone
//! keys/node.keys   chain, witness, peer and authority keys, sealed
//! db/  blobs/      chains; imported documents by their BLAKE3
//! head.lock        the last head that was let out; never part of a backup
//! asked.json       who has nothing later, where that is lost; never part of a backup
//! api.sock         where a running node listens for its owner
//! ```

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterfoil_federation::engine::Identity;
use counterfoil_protocol::identity::{
    ActivationQuorum, AuthorityKind, Credential, NodeBinding, Organisation, Scope,
};
use counterfoil_protocol::ids::{BlobId, OrganisationId, Timestamp, base32};
use counterfoil_protocol::keys::{SecretKey, Signer};
use counterfoil_protocol::statement::{Authentic, Draft, Endorsed, Kind, Statement, Visibility};
use counterfoil_protocol::{codec, digest};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock;
use crate::keystore::{Keystore, KeystoreError};
use crate::runtime::{Runtime, RuntimeError};
use crate::store::Memory;

/// Seconds for which a node binding holds; it is renewed when half of them are over.
pub const BINDING_S: u64 = 365 * 86_400;
/// Role of the first authority.
pub const STEWARD: &str = "steward";
/// Largest imported document that is kept, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// There is no organisation in it.
    #[error("{0} holds no organisation yet; make one with `counterfoil --data {0} init --name NAME`")]
    Empty(PathBuf),
    /// There is an organisation in it already.
    #[error("{0} holds an organisation already; choose another directory with --data")]
    Taken(PathBuf),
    /// The configuration is not valid.
    #[error("{path}: {error}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with line and column.
        error: String,
    },
    /// See the inner error.
    #[error("{0}")]
    Keystore(#[from] KeystoreError),
    /// A key that has to be there is not.
    #[error("{path} lacks the key {name:?}")]
    Key {
        /// Which file.
        path: PathBuf,
        /// The key.
        name: String,
    },
    /// The number of keys or the threshold makes no sense, or a name is too long.
    #[error("{0}")]
    Organisation(String),
    /// See the inner error.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// No passphrase was given.
    #[error(
        "no passphrase: set COUNTERFOIL_PASSPHRASE_FILE to a file that holds it, or COUNTERFOIL_PASSPHRASE"
    )]
    NoPassphrase,
}

/// What to do about links of members to own statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkPolicy {
    /// Answer at once with a counterfoil, when the link's receipt proves the statement.
    #[default]
    Accept,
    /// Leave them open until somebody answers.
    Ask,
}

/// `node.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NodeConfig {
    /// Where to listen for peers, as multiaddresses.
    pub listen: Vec<String>,
    /// Where to serve the HTTP API.
    pub api: String,
    /// Peers to dial, as multiaddresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,
    /// Relays over which the node is to be reached, as multiaddresses with the relay's peer id: for a node behind NAT.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<String>,
    /// Whether the node relays the connections of other members that cannot be reached directly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relay: bool,
    /// C2SP witnesses that are asked about each new checkpoint, as `http://host:port` and a prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<String>,
    /// What to do about links.
    #[serde(default)]
    pub links: LinkPolicy,
    /// Seconds of a quiet period, after which other organisations' new heads are anchored; 0 never.
    #[serde(default = "anchor_s")]
    pub anchor_s: u64,
    /// Days after which imported documents are deleted; never where nothing is said. What they were imported as stays in the
    /// chain. Refused below what the organisation's jurisdictions ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Memory for the database, in MiB.
    #[serde(default)]
    pub database_mib: Memory,
}

const fn anchor_s() -> u64 {
    30
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            listen: vec!["/ip4/0.0.0.0/tcp/7610".into(), "/ip4/0.0.0.0/udp/7610/quic-v1".into()],
            api: "127.0.0.1:7600".into(),
            peers: Vec::new(),
            via: Vec::new(),
            relay: false,
            witnesses: Vec::new(),
            links: LinkPolicy::default(),
            anchor_s: anchor_s(),
            retention_days: None,
            database_mib: Memory::default(),
        }
    }
}

/// A new organisation.
pub struct Founding {
    /// Display name.
    pub name: String,
    /// Claimed domains.
    pub domains: Vec<String>,
    /// Jurisdictions.
    pub jurisdictions: Vec<String>,
    /// Parent organisation, if it has one.
    pub parent: Option<String>,
    /// Number of root keys.
    pub keys: u8,
    /// How many of them an act of the root needs.
    pub threshold: u8,
    /// Who has to stand behind the activation of profiles.
    pub activation_quorum: Option<ActivationQuorum>,
}

/// A data directory.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

impl DataDir {
    /// The directory at `path`; nothing is read yet.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The socket of a running node.
    pub fn socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }

    fn config_path(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// Where the head lock lies, which belongs to no backup.
    pub fn head_lock(&self) -> PathBuf {
        self.0.join("head.lock")
    }

    fn inception_path(&self) -> PathBuf {
        self.0.join("inception.cose")
    }

    /// Where the root keys lie.
    pub fn root_keys_path(&self) -> PathBuf {
        self.0.join("keys/root.keys")
    }

    /// Where the node's keys lie.
    pub fn node_keys_path(&self) -> PathBuf {
        self.0.join("keys/node.keys")
    }

    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |error| DataError::File { path, error }
    }

    /// The organisation's inception.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn inception(&self) -> Result<Statement, DataError> {
        let path = self.inception_path();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(DataError::Empty(self.0.clone()));
            }
            read => read.map_err(Self::file(&path))?,
        };
        Statement::parse(bytes).map_err(|error| DataError::Config { path, error: error.to_string() })
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn config(&self) -> Result<NodeConfig, DataError> {
        let path = self.config_path();
        let text = fs::read_to_string(&path).map_err(Self::file(&path))?;
        toml::from_str(&text).map_err(|error| DataError::Config { path, error: error.to_string() })
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn save_config(&self, config: &NodeConfig) -> Result<(), DataError> {
        let path = self.config_path();
        let text = toml::to_string(config)
            .map_err(|error| DataError::Config { path: path.clone(), error: error.to_string() })?;
        write_private(&path, text.as_bytes())
    }

    /// The engine's identity, from the node's keys.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn identity(&self, keys: &Keystore) -> Result<Identity, DataError> {
        let signer = |name: &str| Ok::<Arc<dyn Signer>, DataError>(Arc::new(self.key(keys, name)?));
        Ok(Identity {
            inception: self.inception()?.bytes().clone(),
            chain_key: signer("chain")?,
            witness_key: signer("witness")?,
        })
    }

    /// One of the node's keys.
    ///
    /// # Errors
    /// [`DataError::Key`].
    pub fn key(&self, keys: &Keystore, name: &str) -> Result<SecretKey, DataError> {
        keys.key(name).ok_or_else(|| DataError::Key { path: self.node_keys_path(), name: name.to_owned() })
    }

    /// Keeps a document, by its digest.
    ///
    /// # Errors
    /// [`DataError::File`].
    pub fn keep_document(&self, bytes: &[u8]) -> Result<BlobId, DataError> {
        let id = BlobId::from_bytes(digest::blake3(bytes));
        let path = self.document_path(&id);
        if path.exists() {
            // It was imported anew: its time begins anew.
            let open = fs::File::options().write(true).open(&path).map_err(Self::file(&path))?;
            open.set_modified(at(clock::now().timestamp())).map_err(Self::file(&path))?;
        } else {
            make_private(&self.0.join("blobs"))?;
            write_private(&path, bytes)?;
        }
        Ok(id)
    }

    /// Deletes documents that were imported last before `until`. Gives how many.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn expire_documents(&self, until: Timestamp) -> Result<usize, DataError> {
        let folder = self.0.join("blobs");
        if !folder.exists() {
            return Ok(0);
        }
        let mut deleted = 0;
        for entry in fs::read_dir(&folder).map_err(Self::file(&folder))? {
            let path = entry.map_err(Self::file(&folder))?.path();
            let modified =
                fs::metadata(&path).and_then(|found| found.modified()).map_err(Self::file(&path))?;
            if modified < at(until) {
                fs::remove_file(&path).map_err(Self::file(&path))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Where a document lies, if it is here.
    pub fn document_path(&self, id: &BlobId) -> PathBuf {
        self.0.join("blobs").join(base32(id.as_bytes()))
    }

    /// Makes a new organisation: keys, inception, first authority, node binding.
    ///
    /// # Errors
    /// [`DataError`]; when the directory was empty before, nothing usable is left in it.
    pub fn found(&self, founding: Founding, passphrase: &[u8]) -> Result<OrganisationId, DataError> {
        if self.inception_path().exists() {
            return Err(DataError::Taken(self.0.clone()));
        }
        make_private(&self.0)?;
        make_private(&self.0.join("keys"))?;
        let now = clock::now().timestamp();
        let (mut root, mut keys) = (Keystore::default(), Keystore::default());
        let root_keys: Vec<SecretKey> =
            (1..=founding.keys).map(|n| root.generate(&format!("root-{n}"))).collect();
        let next: Vec<SecretKey> = (1..=founding.keys).map(|n| root.generate(&format!("next-{n}"))).collect();
        let [chain, witness, peer] = ["chain", "witness", "peer"].map(|name| keys.generate(name));
        let steward = keys.generate(&authority_key_name(STEWARD));
        let description = Organisation {
            version: 0,
            name: founding.name,
            domains: founding.domains,
            jurisdictions: founding.jurisdictions,
            parent: founding.parent,
            root_keys: root_keys.iter().map(Signer::public_key).collect(),
            threshold: founding.threshold,
            next_root_keys: next.iter().map(|key| key.public_key().commitment()).collect(),
            chain_key: chain.public_key(),
            witness_key: witness.public_key(),
            activation_quorum: founding.activation_quorum,
            recovery: None,
        };
        description.check().map_err(|error| DataError::Organisation(error.to_string()))?;
        let inception = root_act(None, Kind::Organisation, &description, &root_keys, now)?;
        let organisation = OrganisationId::from(inception.statement().id());
        let credential = Credential {
            key: steward.public_key(),
            kind: AuthorityKind::HumanRole,
            role: STEWARD.into(),
            scopes: vec![Scope::everything()],
            jurisdictions: Vec::new(),
            competence: Vec::new(),
            not_before: now,
            expires: None,
            delegation: 1,
            issuer: None,
            authority: None,
            overrides: None,
        };
        let credential = root_act(Some(organisation), Kind::Credential, &credential, &root_keys, now)?;
        let binding = binding(&organisation, &peer, 1, now, Vec::new());
        let binding = draft(Some(organisation), Kind::Node, &binding, now)?;
        let binding = binding.sign(&steward).map_err(|error| DataError::Organisation(error.to_string()))?;
        root.save(&self.root_keys_path(), passphrase)?;
        keys.save(&self.node_keys_path(), passphrase)?;
        self.save_config(&NodeConfig::default())?;
        // Last: from here on the directory counts as taken.
        write_private(&self.inception_path(), inception.statement().bytes())?;
        let (identity, memory) = (self.identity(&keys)?, Memory::default());
        let node = Runtime::start(&self.0, identity, counterfoil_federation::Config::default(), memory)?;
        for statement in [&inception, &credential, &binding] {
            node.append(statement.statement().bytes())?;
        }
        node.stop();
        Ok(organisation)
    }
}

/// The keystore's name for the key of the authority with this role.
pub fn authority_key_name(role: &str) -> String {
    format!("authority/{role}")
}

/// The binding of the peer's key to the organisation.
pub fn binding(
    organisation: &OrganisationId,
    peer: &SecretKey,
    counter: u64,
    now: Timestamp,
    addresses: Vec<String>,
) -> NodeBinding {
    let expires = now.plus(BINDING_S);
    let message = NodeBinding::message(organisation, &peer.public_key(), counter, expires);
    NodeBinding {
        mesh: None,
        peer_key: peer.public_key(),
        counter,
        expires,
        addresses,
        peer_signature: peer.sign(&message),
    }
}

/// A statement of the root: signed by the first key, approved by the others.
///
/// # Errors
/// [`DataError::Organisation`] when there is no key, or the content has no legal form.
pub fn root_act<T: Serialize>(
    organisation: Option<OrganisationId>,
    kind: Kind,
    content: &T,
    keys: &[SecretKey],
    now: Timestamp,
) -> Result<Authentic, DataError> {
    let Some((first, others)) = keys.split_first() else {
        return Err(DataError::Organisation("an act of the root needs a root key".into()));
    };
    let others: Vec<&dyn Signer> = others.iter().map(|key| key as &dyn Signer).collect();
    let failed = |error: String| DataError::Organisation(error);
    let endorsed = Endorsed::new(kind, content, &others).map_err(|error| failed(error.to_string()))?;
    draft(organisation, kind, &endorsed, now)?.sign(first).map_err(|error| failed(error.to_string()))
}

/// A draft with that payload, visible to the mesh.
///
/// # Errors
/// [`DataError::Organisation`] when the payload has no legal form.
pub fn draft<T: Serialize>(
    organisation: Option<OrganisationId>,
    kind: Kind,
    payload: &T,
    now: Timestamp,
) -> Result<Draft, DataError> {
    Ok(Draft {
        kind,
        organisation,
        subject: None,
        issued_at: now,
        refs: Vec::new(),
        visibility: Visibility::Mesh,
        payload: codec::encode(payload).map_err(|error| DataError::Organisation(error.to_string()))?,
    })
}

/// The passphrase from the environment: a file named there, or the text itself.
///
/// # Errors
/// [`DataError::NoPassphrase`], [`DataError::File`].
pub fn passphrase() -> Result<Zeroizing<Vec<u8>>, DataError> {
    if let Some(path) = std::env::var_os("COUNTERFOIL_PASSPHRASE_FILE") {
        let path = PathBuf::from(path);
        let mut bytes = Zeroizing::new(fs::read(&path).map_err(DataDir::file(&path))?);
        while bytes.last().is_some_and(u8::is_ascii_whitespace) {
            bytes.pop();
        }
        return Ok(bytes);
    }
    std::env::var("COUNTERFOIL_PASSPHRASE")
        .ok()
        .filter(|text| !text.is_empty())
        .map(|text| Zeroizing::new(text.into_bytes()))
        .ok_or(DataError::NoPassphrase)
}

pub(crate) fn make_private(path: &Path) -> Result<(), DataError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(DataDir::file(path))
}

/// A new file in place of the old one, synced, for the owner alone.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(DataDir::file(&fresh))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(DataDir::file(&fresh))?;
    fs::rename(&fresh, path).map_err(DataDir::file(path))
}

/// A second, as the file system counts.
fn at(second: Timestamp) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_secs(second.0)
}
