//! Organisations' nodes as processes that meet in one mesh: started, told to append, killed, compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use counterfoil_node::cli::client::Client;
use counterfoil_node::service::read::{ChainStatus, PeerView, StatementView, Status};
use counterfoil_node::service::say::{Said, Say};
use counterfoil_protocol::codec::Value;
use counterfoil_protocol::ids::{Position, StatementId, Timestamp};
use counterfoil_protocol::observation::{Observation, Subject};
use counterfoil_protocol::statement::{Kind, Visibility};

use crate::lab::Host;
use crate::process::{Outcome, Process};

/// Port at which every node of a lab listens for peers.
pub const PORT: u16 = 7610;
/// Statements that are read at once.
const PAGE: usize = 2000;

/// A statement that a node has acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Acknowledged {
    /// Whose chain, by the node's number.
    pub author: usize,
    /// The statement.
    pub statement: StatementId,
    /// Where it stands.
    pub position: Position,
}

/// Nodes of one mesh.
pub struct Fleet {
    /// The nodes.
    pub nodes: Vec<Process>,
    /// The organisations, in the same order.
    pub ids: Vec<String>,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
}

/// Lets one node append, from whatever thread.
pub struct Appender {
    author: usize,
    client: Client,
    acknowledged: Arc<Mutex<Vec<Acknowledged>>>,
}

impl Appender {
    /// Appends an observation, and remembers that it was acknowledged.
    ///
    /// # Errors
    /// When it was not.
    pub fn observe(&self, n: u64) -> Outcome<Said> {
        self.observe_bytes(n, 0, Visibility::Mesh)
    }

    /// Appends an observation with so many bytes of content, for those whom `visibility` names, and remembers that it was
    /// acknowledged.
    ///
    /// # Errors
    /// When it was not.
    pub fn observe_bytes(&self, n: u64, bytes: usize, visibility: Visibility) -> Outcome<Said> {
        let content = Some(("bytes".to_owned(), Value::Bytes(vec![7; bytes])));
        let observation = Observation {
            claim: "evaluation/test".into(),
            subjects: vec![Subject::Named(format!("subject-{}-{n}", self.author))],
            effective: Timestamp(1),
            expires: None,
            adverse: false,
            content: content.filter(|_| bytes > 0).into_iter().collect(),
            sealed: Vec::new(),
            metrics: Vec::new(),
            derived_from: Vec::new(),
            materials: Vec::new(),
            source: None,
        };
        let say = Say::new(Kind::Observation, &observation).map_err(|error| error.to_string())?;
        let say = Say { visibility, ..say };
        let said: Said = self.client.post("/v1/statements", &say)?;
        let one = Acknowledged { author: self.author, statement: said.statement, position: said.position };
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        Ok(said)
    }
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// When that does not come in time; with what was last in its way.
pub fn until<T>(patience: Duration, mut ask: impl FnMut() -> Result<T, String>) -> Outcome<T> {
    let since = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return Ok(answer),
            Err(why) if since.elapsed() >= patience => {
                return Err(format!("waited {} s in vain: {why}", patience.as_secs()).into());
            }
            // Asking costs the nodes time that they need.
            Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}

/// Where a node of a lab can be dialled, by transport.
pub fn addresses(host: &Host) -> [String; 2] {
    [format!("/ip4/{}/tcp/{PORT}", host.address), format!("/ip4/{}/udp/{PORT}/quic-v1", host.address)]
}

impl Fleet {
    /// Founds an organisation on each host.
    ///
    /// # Errors
    /// When one cannot be founded.
    pub fn found(program: &str, folder: &Path, hosts: &[Host]) -> Outcome<Self> {
        let mut nodes = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let name = format!("node-{number}");
            let node = Process::found(program, &folder.join(&name), &name)?;
            nodes.push(node.within(&host.space, &addresses(host)));
        }
        Ok(Self::of(nodes))
    }

    /// Organisations that were founded already.
    pub fn of(nodes: Vec<Process>) -> Self {
        Self { nodes, ids: Vec::new(), acknowledged: Arc::default() }
    }

    fn node(&self, number: usize) -> Outcome<&Process> {
        self.nodes.get(number).ok_or_else(|| format!("there is no node {number}").into())
    }

    /// How a node is.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn status(&self, number: usize) -> Outcome<Status> {
        Ok(self.node(number)?.client().get("/v1/status")?)
    }

    /// The peers of a node.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn peers(&self, number: usize) -> Outcome<Vec<PeerView>> {
        Ok(self.node(number)?.client().get("/v1/peers")?)
    }

    /// Starts all nodes and lets them found a mesh. The first relays for those with these numbers, who can be reached over
    /// it alone.
    ///
    /// # Errors
    /// When a node or the mesh does not come about.
    pub fn meet(&mut self, quorum: usize, behind: &[usize]) -> Outcome<()> {
        if let Some(first) = self.nodes.first_mut() {
            first.always(&["--relay"]);
        }
        self.node(0)?.start()?;
        let relay = self.status(0)?.peer_id;
        let at = self.node(0)?.listening().first().cloned().unwrap_or_default();
        let via = format!("{at}/p2p/{relay}");
        for number in behind {
            if let Some(node) = self.nodes.get_mut(*number) {
                node.always(&["--via", &via]);
            }
        }
        self.nodes.iter().skip(1).try_for_each(Process::start)?;
        for number in 0..self.nodes.len() {
            let organisation = self.status(number)?.organisation.to_string();
            self.ids.push(organisation);
        }
        let quorum = quorum.to_string();
        let mut create = vec!["mesh", "create", "--name", "lab", "--threshold", "2", "--quorum", &quorum];
        self.ids.iter().skip(1).for_each(|id| create.extend(["--member", id]));
        self.node(0)?.run(&create)?;
        let listens = || match self.status(0) {
            Ok(status) if !status.addresses.is_empty() => Ok(()),
            other => Err(format!("the first node does not listen: {other:?}")),
        };
        until(Duration::from_secs(20), listens)?;
        let invitation = self.node(0)?.run(&["mesh", "invite"])?;
        let invitation = invitation.as_str().ok_or("no invitation")?;
        for node in self.nodes.iter().skip(1) {
            node.run(&["mesh", "join", invitation])?;
        }
        Ok(())
    }

    /// Waits until a node is connected with those, and each has said who it speaks for.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn await_peers(&self, number: usize, others: &[usize], patience: Duration) -> Outcome<Vec<PeerView>> {
        let wanted: BTreeSet<&String> = others.iter().filter_map(|other| self.ids.get(*other)).collect();
        until(patience, || {
            let peers = self.peers(number).map_err(|error| error.to_string())?;
            let there: BTreeSet<String> =
                peers.iter().filter_map(|peer| peer.organisation).map(|id| id.to_string()).collect();
            let missing = wanted.iter().filter(|id| !there.contains(**id)).count();
            if missing == 0 {
                Ok(peers)
            } else {
                Err(format!("node {number} lacks {missing} peers: {peers:?}"))
            }
        })
    }

    /// Lets a node append an observation, and remembers that it was acknowledged.
    ///
    /// # Errors
    /// When it was not.
    pub fn observe(&self, author: usize, n: u64) -> Outcome<Said> {
        self.appender(author)?.observe(n)
    }

    /// What lets a node append while others do other things with the fleet.
    ///
    /// # Errors
    /// When there is no such node.
    pub fn appender(&self, author: usize) -> Outcome<Appender> {
        Ok(Appender { author, client: self.node(author)?.client(), acknowledged: self.acknowledged.clone() })
    }

    /// How many statements were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Waits until a node has at least so much of another's chain.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn await_size(&self, number: usize, author: usize, size: u64, patience: Duration) -> Outcome<()> {
        until(patience, || {
            let found = self.size_of(number, author).map_err(|error| error.to_string())?;
            if found >= size {
                Ok(())
            } else {
                Err(format!("node {number} has {found} of {size} of node {author}"))
            }
        })
    }

    /// How much of another's chain a node has.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn size_of(&self, number: usize, author: usize) -> Outcome<u64> {
        Ok(self.chain_of(number, author)?.map_or(0, |chain| chain.size.0))
    }

    /// What a node has of another's chain.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn chain_of(&self, number: usize, author: usize) -> Outcome<Option<ChainStatus>> {
        let status = self.status(number)?;
        let id = self.ids.get(author).ok_or("there is no such node")?;
        Ok(status.chains.into_iter().find(|chain| chain.organisation.to_string() == *id))
    }

    /// A node's view of its connection with the peer of another, if there is one.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn peer_of(&self, number: usize, other: usize) -> Outcome<Option<PeerView>> {
        let id = self.ids.get(other).ok_or("there is no such node")?;
        let is_other = |peer: &PeerView| peer.organisation.is_some_and(|one| one.to_string() == *id);
        Ok(self.peers(number)?.into_iter().find(is_other))
    }

    /// Waits until every node has the same heads: of all organisations, with the same sizes and roots.
    ///
    /// # Errors
    /// When that does not come in time, or a node does not sign.
    pub fn settle(&self, patience: Duration) -> Outcome<BTreeMap<String, (u64, String)>> {
        until(patience, || {
            let mut seen: Option<BTreeMap<String, (u64, String)>> = None;
            for number in 0..self.nodes.len() {
                let status = self.status(number).map_err(|error| error.to_string())?;
                if let Some(frozen) = status.frozen {
                    return Err(format!("node {number} does not sign: {frozen}"));
                }
                let heads: BTreeMap<String, (u64, String)> = status
                    .chains
                    .iter()
                    .map(|chain| {
                        let root = serde_json::to_string(&chain.root).unwrap_or_default();
                        (chain.organisation.to_string(), (chain.size.0, root))
                    })
                    .collect();
                if heads.len() != self.ids.len() {
                    return Err(format!("node {number} knows {} of {} chains", heads.len(), self.ids.len()));
                }
                match &seen {
                    Some(first) if *first != heads => {
                        return Err(format!("node {number} has {heads:?}, node 0 has {first:?}"));
                    }
                    _ => seen = Some(heads),
                }
            }
            seen.ok_or_else(|| "there is no node".into())
        })
    }

    /// Looks at every node for what must never be: a proof of misbehaviour, an acknowledged statement that is not where it
    /// was said to be. Gives how many statements were looked at.
    ///
    /// # Errors
    /// When there is one; all of them are named.
    pub fn check(&self) -> Outcome<usize> {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut wrong, mut looked) = (Vec::new(), 0);
        for (number, node) in self.nodes.iter().enumerate() {
            let client = node.client();
            let forks: serde_json::Value = client.get("/v1/forks")?;
            if forks != serde_json::Value::Array(Vec::new()) {
                wrong.push(format!("node {number} has proofs of misbehaviour: {forks}"));
            }
            for (author, id) in self.ids.iter().enumerate() {
                let (mut here, mut from) = (BTreeMap::new(), 0);
                loop {
                    let path = format!("/v1/statements?organisation={id}&from={from}&limit={PAGE}");
                    let page: Vec<StatementView> = client.get(&path)?;
                    let Some(last) = page.last() else { break };
                    from = last.position.0 + 1;
                    here.extend(page.iter().map(|one| (one.position, one.statement)));
                }
                for one in acknowledged.iter().filter(|one| one.author == author) {
                    looked += 1;
                    let found = here.get(&one.position);
                    if found != Some(&one.statement) {
                        wrong.push(format!("node {number} has {found:?} in the place of {one:?}"));
                    }
                }
            }
        }
        if wrong.is_empty() { Ok(looked) } else { Err(wrong.join("\n").into()) }
    }
}
