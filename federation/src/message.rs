//! What peers say to each other. Everything is strict CBOR, capped before it is read.

use counterfoil_protocol::chain::tree::LeafDigest;
use counterfoil_protocol::chain::{CompactRange, Hash, SignedHead};
use counterfoil_protocol::codec::{self, CodecError};
use counterfoil_protocol::ids::{
    ByteString, Bytes, HeadSeq, MeshId, OrganisationId, Position, StatementId, TreeSize,
};
use counterfoil_protocol::observation::Subject;
use serde::{Deserialize, Serialize};

/// Largest message of the request-response protocols, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// Largest gossip message, in bytes.
pub const GOSSIP_BYTES_MAX: usize = 64 * 1024;

/// A statement and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// Position in its chain.
    pub position: Position,
    /// The statement's bytes.
    pub statement: ByteString,
}

/// Who a peer speaks for: the head of its organisation's chain with the standing statements under it from which the peer's
/// binding follows, and the ids of all others. The head's digest proves that none was left out.
///
/// Whoever does not know the chain can be shown an older head; that an id stands for what matters hides no more than that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// The mesh in which the peers meet.
    pub mesh: MeshId,
    /// The head.
    pub head: ByteString,
    /// Standing statements in chain order, the inception first.
    pub standing: Vec<Placed>,
    /// The other standing statements in chain order, each as its position in 8 bytes, big endian, and its id.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub named: ByteString,
}

/// Bytes of a statement that is named in an introduction.
pub const NAMED_BYTES: usize = 40;

fn is_empty(bytes: &ByteString) -> bool {
    bytes.0.is_empty()
}

/// Up to where a peer has told what is new: a number that counts up in one run of its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Which run.
    pub start: u64,
    /// How many changes ago.
    pub revision: u64,
}

/// Organisations whose ids begin, as numbers of 8 bytes, with `from` to `to`, and a fingerprint of what is known of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// The first half of BLAKE3 over their records.
    pub fingerprint: Bytes<16>,
}

/// One of the ranges asked about, which differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeAnswer {
    /// Which, from zero.
    pub range: u16,
    /// Its records, where they are few; else it is to be asked about in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<ByteString>,
}

/// Entries that travel with their head. They prove themselves: the tree before them, and they, lead to the head's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The tree before the entries.
    pub before: CompactRange,
    /// All entries from there to the head.
    pub entries: Vec<Entry>,
}

impl Carried {
    /// The page that they are, if they lead to this head.
    pub fn page_under(&self, head: &SignedHead) -> Option<Page> {
        let mut range = self.before.clone();
        for entry in &self.entries {
            range.append(match entry {
                Entry::Statement(bytes) => LeafDigest::of(&bytes.0).leaf_hash(),
                Entry::Withheld(digest) => digest.leaf_hash(),
            });
        }
        let is_whole = !self.entries.is_empty() && (range.size(), range.root()) == (head.size(), head.root());
        let (from, entries) = (self.before.size().next_position(), self.entries.clone());
        is_whole.then_some(Page { from, entries, proof: Vec::new() })
    }
}

/// A head with the cosignatures known on its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// The head.
    pub head: ByteString,
    /// Signature lines of witnesses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosignatures: Vec<String>,
    /// The inception, for a receiver that does not know the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inception: Option<ByteString>,
    /// The versions of the organisation that lead to the chain key of the head, for a receiver that knows an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub succession: Vec<ByteString>,
    /// The entries under it that are new, where it is urgent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<Carried>,
}

impl Announcement {
    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        let lines: usize = self.cosignatures.iter().map(String::len).sum();
        let versions: usize = self.inception.iter().chain(&self.succession).map(|bytes| bytes.0.len()).sum();
        64 + self.head.0.len() + lines + versions
    }
}

/// What travels on the topics of heads, links and recalls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Hint {
    /// A [`Notice`](counterfoil_protocol::chain::Notice): that there is a head, which is to be asked for.
    Notice(ByteString),
    /// The head itself: where its entries travel along, or its witnesses' signatures come late.
    Head(Box<Announcement>),
}

/// One entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The statement's bytes.
    Statement(ByteString),
    /// Its digest alone: the statement is not for everybody.
    Withheld(LeafDigest),
}

/// Entries of a chain from one position on, with the proof that they belong under the head asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Position of the first entry.
    pub from: Position,
    /// The entries.
    pub entries: Vec<Entry>,
    /// Consistency proof from the tree that ends with this page to the tree of the head asked for.
    pub proof: Vec<Hash>,
}

/// What in a chain bears on some subjects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearing {
    /// The chain's head.
    pub head: Box<Announcement>,
    /// The places, in order.
    pub places: Vec<Position>,
}

/// Where a statement stands, as somebody says who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whereabout {
    /// The statement.
    pub statement: StatementId,
    /// In whose chain.
    pub organisation: OrganisationId,
    /// Where in it.
    pub position: Position,
    /// Whether the asker may read it.
    pub open: bool,
}

/// Statements that were withheld and are no longer: as many of those asked for as the asker may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revealed {
    /// The statements.
    pub statements: Vec<Placed>,
    /// The first position asked for that was not looked at, where the answer would have been too long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Position>,
}

/// What the first leaves of a tree give, and the proof that they are its first leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Root over the first leaves.
    pub root: Hash,
    /// Consistency proof from there to the whole tree.
    pub proof: Vec<Hash>,
}

/// A request to a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Says who speaks, and asks the same.
    Hello(Box<Introduction>),
    /// Asks what heads are newer than those that the asker has, or better witnessed, and for proofs of misbehaviour.
    Heads {
        /// Up to where the receiver has told the asker already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<Token>,
        /// Digest over everything that the asker has.
        digest: Bytes<32>,
        /// What digests of heads in the answer are salted with.
        salt: u64,
        /// Organisations against which it has a proof.
        exposed: Vec<OrganisationId>,
    },
    /// Asks which of these ranges of organisations differ.
    Ranges {
        /// What digests of heads are salted with.
        salt: u64,
        /// The ranges.
        ranges: Vec<Range>,
    },
    /// Asks for the heads of organisations whose ids begin so.
    Announcements {
        /// Organisations whose inceptions the asker has.
        known: Vec<Bytes<8>>,
        /// Others.
        unknown: Vec<Bytes<8>>,
    },
    /// Asks for a head with this number or a later one, with its witnesses' signatures and the entries under it. Whoever is
    /// about to have that answers when it does.
    Latest {
        /// Whose chain.
        organisation: OrganisationId,
        /// The first position wanted; none for the head alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Position>,
        /// The head's number.
        seq: HeadSeq,
    },
    /// Offers the asker's new head to one of its chain's witnesses.
    Offer(Box<Announcement>),
    /// Asks for entries from a position on, under a head of that size.
    Entries {
        /// Whose chain.
        organisation: OrganisationId,
        /// The first position wanted.
        from: Position,
        /// Size of the head.
        size: TreeSize,
    },
    /// Asks for statements that were withheld, because agreements with their author are in force.
    Reveal {
        /// Whose chain.
        organisation: OrganisationId,
        /// The agreements that the asker takes to be in force.
        agreements: Vec<StatementId>,
        /// Which entries, in order.
        positions: Vec<Position>,
    },
    /// Asks what in the receiver's own chain bears on these subjects.
    Evidence {
        /// What it is about.
        about: Vec<Subject>,
    },
    /// Asks in which chain, and where, these statements stand.
    Whereabouts {
        /// The statements.
        statements: Vec<StatementId>,
    },
    /// Asks what the first leaves of a chain give, and for the proof.
    Consistency {
        /// Whose chain.
        organisation: OrganisationId,
        /// How many leaves.
        from: TreeSize,
        /// Size of the tree that the proof is to lead to.
        to: TreeSize,
    },
    /// Hands over a cosignature on the receiver's own head.
    Cosigned {
        /// Size of the head.
        size: TreeSize,
        /// The signature line.
        line: String,
    },
}

impl Response {
    /// What answers with a page: to a question for entries, or with `head` to one for the latest head.
    pub fn with_page(page: Page, head: Option<Box<Announcement>>) -> Self {
        match head {
            Some(head) => Self::Latest { head, page: Some(page) },
            None => Self::Entries(page),
        }
    }
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Response {
    /// Answers a hello: who answers, and whether the asker's organisation is a member here.
    Hello {
        /// Who answers.
        introduction: Box<Introduction>,
        /// Whether the asker is admitted.
        admitted: bool,
    },
    /// Answers a question for heads: both have the same.
    Same {
        /// Up to where that is.
        token: Token,
    },
    /// Answers a question for heads with a record for each organisation, of 24 bytes.
    Vector {
        /// Up to where that is.
        token: Token,
        /// The records.
        records: ByteString,
        /// Proofs of misbehaviour that the asker lacks.
        proofs: Vec<ByteString>,
    },
    /// Answers a question for heads: too many have changed; compare by ranges.
    TooMany {
        /// Up to where that is.
        token: Token,
        /// Proofs of misbehaviour that the asker lacks.
        proofs: Vec<ByteString>,
    },
    /// Answers a question for ranges with those that differ.
    Ranges(Vec<RangeAnswer>),
    /// Answers a question for announcements.
    Announcements(Vec<Announcement>),
    /// Answers a question for the latest head.
    Latest {
        /// The head.
        head: Box<Announcement>,
        /// The entries asked for, or the first of them; none where the head alone was asked for, or there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page: Option<Page>,
    },
    /// Answers a question for entries.
    Entries(Page),
    /// Answers a question for evidence.
    Evidence(Bearing),
    /// Answers a question for whereabouts: those of the statements that are here.
    Whereabouts(Vec<Whereabout>),
    /// Answers a question for withheld statements.
    Revealed(Revealed),
    /// Answers a question for consistency.
    Consistency(Consistency),
    /// A cosignature or an offer was taken in.
    Noted,
    /// The request is not answered, and why.
    Refused(String),
}

/// Topics on which hints travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// New heads.
    Heads,
    /// Heads under which there are new links or counterfoils.
    Links,
    /// Heads under which there are new recalls or revocations.
    Recalls,
    /// Proofs of misbehaviour.
    Proofs,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 4] = [Self::Heads, Self::Links, Self::Recalls, Self::Proofs];

    /// The topic's name within its mesh.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heads => "heads",
            Self::Links => "links",
            Self::Recalls => "recalls",
            Self::Proofs => "proofs",
        }
    }
}

/// Encodes a message.
///
/// # Errors
/// [`CodecError`], which no message within its limits causes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    codec::encode(message)
}

/// Reads a request.
///
/// # Errors
/// [`CodecError`].
pub fn decode_request(bytes: &[u8]) -> Result<Request, CodecError> {
    codec::decode(bytes, MESSAGE_BYTES_MAX)
}

/// Reads a response.
///
/// # Errors
/// [`CodecError`].
pub fn decode_response(bytes: &[u8]) -> Result<Response, CodecError> {
    codec::decode(bytes, MESSAGE_BYTES_MAX)
}
