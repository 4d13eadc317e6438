//! The tap: everything that honest hosts put on the wire is looked at, as bytes.

use std::collections::{BTreeMap, BTreeSet};

use ciborium::Value;
use counterfoil_federation::effect::ChannelId;
use counterfoil_federation::message::{Announcement, Hint};
use counterfoil_protocol::chain::{Head, Notice};
use counterfoil_protocol::digest::blake3;
use counterfoil_protocol::identity::epoch_of;
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, StatementId, TreeSize};
use counterfoil_protocol::keys::Signer;
use counterfoil_protocol::limits::HEAD_BYTES_MAX;

use crate::history::{Leak, Published};
use crate::world::World;

/// Statements that are not for everybody, with those that may have them besides their author.
pub type Limited = BTreeMap<StatementId, BTreeSet<OrganisationId>>;

/// Shortest byte string that could be a head or a statement.
const OBJECT_BYTES_MIN: usize = 96;

/// What kind of request or answer the bytes are: the name of their variant.
pub fn label(bytes: &[u8], otherwise: &'static str) -> &'static str {
    const NAMES: &[&str] = &[
        "hello",
        "heads",
        "same",
        "vector",
        "too-many",
        "ranges",
        "announcements",
        "entries",
        "latest",
        "offer",
        "consistency",
        "cosigned",
        "noted",
        "refused",
        "reveal",
        "revealed",
        "evidence",
    ];
    // A map of one entry with a text for its key, or the text alone.
    let text = match bytes {
        [0xa1, head, rest @ ..] | [head, rest @ ..] if (0x60..0x78).contains(head) => {
            rest.get(..usize::from(head - 0x60)).unwrap_or_default()
        }
        _ => return otherwise,
    };
    NAMES.iter().find(|name| name.as_bytes() == text).copied().unwrap_or(otherwise)
}

/// What is said on a topic about a head with these signature lines of witnesses.
pub fn hint(head: ByteString, cosignatures: Vec<String>) -> Hint {
    let told = Announcement { head, cosignatures, inception: None, succession: Vec::new(), page: None };
    Hint::Head(Box::new(told))
}

fn byte_strings(value: &Value, found: &mut impl FnMut(&[u8])) {
    match value {
        Value::Bytes(bytes) if bytes.len() >= OBJECT_BYTES_MIN => found(bytes),
        Value::Array(items) => items.iter().for_each(|item| byte_strings(item, found)),
        Value::Map(entries) => entries.iter().for_each(|(key, value)| {
            byte_strings(key, found);
            byte_strings(value, found);
        }),
        Value::Tag(_, inner) => byte_strings(inner, found),
        _ => {}
    }
}

impl World {
    /// Looks at what a host says, to one other host or to all.
    pub(crate) fn tap(&mut self, from: usize, to: Option<usize>, bytes: &[u8]) {
        self.trace.bytes(bytes);
        let Some(me) = self.hosts.get(from).filter(|host| host.is_honest()).map(|host| host.id()) else {
            return;
        };
        let Ok(value) = ciborium::from_reader::<Value, _>(bytes) else { return };
        let (mut heads, mut notices) = (Vec::new(), Vec::new());
        let mut statements = Vec::new();
        byte_strings(&value, &mut |bytes| {
            if let Ok(notice) = Notice::parse(bytes) {
                notices.push(notice);
            }
            if bytes.len() <= HEAD_BYTES_MAX
                && let Ok(head) = Head::parse(bytes)
            {
                heads.push(head);
            } else {
                statements.push(StatementId::from_bytes(blake3(bytes)));
            }
        });
        for head in heads.into_iter().filter(|head| head.organisation() == me) {
            self.let_out(from, head);
        }
        for notice in notices.into_iter().filter(|notice| notice.organisation() == me) {
            self.let_out_notice(from, notice);
        }
        for statement in statements {
            let Some(allowed) = self.limited.get(&statement) else { continue };
            let reader = to.and_then(|to| self.hosts.get(to)).map(|host| host.id());
            if reader != Some(me) && reader.is_none_or(|reader| !allowed.contains(&reader)) {
                let to = to.unwrap_or(usize::MAX);
                self.history.leaks.push(Leak { from, to, what: format!("statement {statement}") });
            }
        }
    }

    /// A host says a head of its own: by now it must be in its head lock, and everything under it on its disk.
    fn let_out(&mut self, from: usize, head: Head) {
        let hash = head.hash();
        if !self.history.seen.insert((from, hash)) {
            return;
        }
        let Some(host) = self.hosts.get(from) else { return };
        let key = host.organisation.epoch_key(epoch_of(head.claimed_seq()));
        let Ok(head) = head.verify(&Signer::public_key(&key)) else { return };
        let on_disk = host.disk.chains().get(&host.id()).map_or(0, |chain| chain.entries.len() as u64);
        let lacking = if host.disk.lock().is_none_or(|lock| lock.seq() < head.seq()) {
            Some("it is not in the head lock")
        } else if on_disk < head.size().0 {
            Some("not everything under it is on disk")
        } else {
            None
        };
        let published =
            Published { host: from, organisation: head.organisation(), seq: head.seq(), hash, lacking };
        self.note(&format!("{from} lets out head {} of {} statements", head.seq(), head.size()));
        self.history.published.push(published);
    }

    /// A host says that there is a head of its own: by now that must be in its head lock.
    fn let_out_notice(&mut self, from: usize, notice: Notice) {
        let Some(host) = self.hosts.get(from) else { return };
        let key = host.organisation.epoch_key(epoch_of(notice.claimed_seq()));
        let Ok(notice) = notice.verify(&Signer::public_key(&key)) else { return };
        let is_locked = host.disk.lock().is_some_and(|lock| lock.seq() >= notice.seq());
        let lacking = (!is_locked).then_some("it gave notice of it before it was in the head lock");
        let (organisation, seq, hash) = (notice.organisation(), notice.seq(), notice.head());
        self.history.published.push(Published { host: from, organisation, seq, hash, lacking });
    }

    /// A host serves entries: not to those who are no members by the votes on its own disk.
    pub(crate) fn serves(
        &mut self,
        from: usize,
        channel: ChannelId,
        organisation: OrganisationId,
        position: Position,
    ) {
        let Some((to, _)) = self.channels.get(&channel).copied() else { return };
        let (Some(host), Some(reader)) = (self.hosts.get(from), self.hosts.get(to)) else { return };
        if !self.setting.taps || !host.is_honest() || reader.id() == host.id() {
            return;
        }
        let had = host.outsiders.get(&reader.id()).map(|had| had.get(&organisation).copied());
        if had.is_none_or(|had| had.unwrap_or(TreeSize(0)).contains(position)) {
            return;
        }
        // Since the disks were looked at, it may have been let in and put out again: a proof takes votes away, and others come.
        if self.roll_of(from).is_some_and(|roll| roll.members.contains(&reader.id())) {
            return;
        }
        let what = format!("entries of {organisation} from {position} on, as no member");
        // Votes that are not on disk yet may have let it in.
        self.suspects.push(Leak { from, to, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_federation::effect::ExchangeId;
    use counterfoil_federation::message::{Request, Response, encode};

    #[test]
    fn who_was_let_in_again_since_the_disks_were_looked_at_is_no_suspect() {
        let mut world = crate::story::mesh(1, 3).unwrap();
        let (channel, exchange, author) = (ChannelId(9), ExchangeId(9), world.hosts[0].id());
        let member = world.hosts[1].id();
        world.channels.insert(channel, (1, exchange));
        let suspects = |world: &mut World| {
            world.serves(0, channel, author, Position(1));
            world.suspects.len()
        };
        assert_eq!(suspects(&mut world), 0, "nobody took it for an outsider");
        world.hosts[0].outsiders.insert(member, BTreeMap::new());
        assert_eq!(suspects(&mut world), 0, "the votes on disk say that it is a member");
        let (mesh, mut charter) = world.mesh().cloned().unwrap();
        charter.members.retain(|one| *one != member);
        world.set_mesh(mesh, charter);
        world.folded = std::cell::RefCell::default();
        assert_eq!(suspects(&mut world), 1);
    }

    #[test]
    fn kinds_are_read_from_the_bytes() {
        let request = Request::Consistency {
            organisation: OrganisationId::from_bytes([1; 32]),
            from: TreeSize(1),
            to: TreeSize(2),
        };
        assert_eq!(label(&encode(&request).unwrap(), "request"), "consistency");
        assert_eq!(label(&encode(&Response::Noted).unwrap(), "answer"), "noted");
        assert_eq!(label(&encode(&Response::Refused("no".into())).unwrap(), "answer"), "refused");
        assert_eq!(label(&[0xff, 1], "answer"), "answer");
        assert_eq!(label(&[], "answer"), "answer");
    }
}
