//! A letter invites whom it names until it expires, and nothing of it can be exchanged.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

use counterfoil_protocol::ids::{ByteString, MeshId, OrganisationId, Timestamp};
use counterfoil_protocol::mesh::letter::{Letter, LetterError};
use counterfoil_protocol::mesh::{Charter, Invitation, OnFork};
use counterfoil_protocol::statement::Kind;
use counterfoil_protocol::test_support::TestOrganisation;
use counterfoil_protocol::test_support::mesh::Chain;

const NOW: Timestamp = Timestamp(5000);

/// A letter of an organisation that founded a mesh, and what it invites to.
fn letter(seed: u64, invited: Option<OrganisationId>) -> (Letter, MeshId) {
    let mut chain = Chain::new(seed);
    let charter = Charter {
        name: "test".into(),
        members: vec![chain.organisation.id()],
        admission_threshold: 1,
        witness_quorum: 1,
        freshness_s: 60,
        link_answer_s: 60,
        on_fork: OnFork::Quarantine,
        amendment_threshold: None,
        witnesses: None,
    };
    let mesh = MeshId::from(chain.say(Kind::Charter, &charter));
    chain.say(Kind::Invitation, &Invitation { mesh, organisation: invited, expires: Timestamp(6000) });
    chain.sign(0);
    let bytes = |nth: usize| ByteString(chain.statements[nth].bytes().to_vec());
    let last = chain.statements.last().unwrap().position();
    let (receipt, checkpoint) = chain.proof(last);
    let (charter, invitation) = (bytes(chain.statements.len() - 2), bytes(chain.statements.len() - 1));
    let addresses = vec!["/ip4/192.0.2.1/tcp/4001".to_owned()];
    (Letter { charter, inception: bytes(0), invitation, receipt, checkpoint, addresses }, mesh)
}

#[test]
fn whoever_is_invited_checks_the_letter_alone_and_in_time() {
    let (alice, bob) = (TestOrganisation::new(1).id(), TestOrganisation::new(2).id());
    let (written, mesh) = letter(1, Some(bob));
    let read = Letter::parse(&format!(" {}\n", written.to_text().unwrap())).unwrap();
    assert_eq!(read, written);
    let invited = read.check(&bob, NOW).unwrap();
    assert_eq!((invited.mesh, invited.by, invited.by_founder), (mesh, alice, true));
    assert_eq!(read.check(&alice, NOW), Err(LetterError::Other(bob)));
    assert_eq!(read.check(&bob, Timestamp(6001)), Err(LetterError::Expired(Timestamp(6000))));
    let (open, _) = letter(1, None);
    assert!(open.check(&alice, NOW).is_ok() && open.check(&bob, NOW).is_ok());
}

#[test]
fn no_part_of_a_letter_can_be_exchanged_or_changed() {
    let bob = TestOrganisation::new(2).id();
    let (right, _) = letter(1, Some(bob));
    let (other, _) = letter(3, None);
    let changes: [fn(&mut Letter, &Letter); 6] = [
        |letter, other| letter.charter = other.charter.clone(),
        |letter, other| letter.inception = other.inception.clone(),
        |letter, other| letter.invitation = other.invitation.clone(),
        |letter, other| letter.receipt = other.receipt.clone(),
        |letter, other| letter.checkpoint = other.checkpoint.clone(),
        |letter, _| letter.invitation = letter.charter.clone(),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut changed = right.clone();
        change(&mut changed, &other);
        assert!(changed.check(&bob, NOW).is_err(), "change {n}");
    }
    for at in 0..right.invitation.0.len() {
        let mut changed = right.clone();
        changed.invitation.0[at] ^= 1;
        assert!(changed.check(&bob, NOW).is_err(), "byte {at} of the invitation");
    }
    let mut crowded = right;
    crowded.addresses = vec![String::new(); 33];
    assert!(matches!(Letter::parse(&crowded.to_text().unwrap()), Err(LetterError::Form(_))));
    assert_eq!(Letter::parse("counterfoil-invitation-1:aa"), Err(LetterError::Text));
}
