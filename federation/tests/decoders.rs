//! No message makes its decoder panic, and what is accepted is canonical.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails this way says where")]

#[path = "../../protocol/tests/mutation/mod.rs"]
mod mutation;

use counterfoil_federation::message::{
    Announcement, Bearing, Carried, Consistency, Entry, GOSSIP_BYTES_MAX, Hint, Introduction,
    MESSAGE_BYTES_MAX, Page, Placed, Range, RangeAnswer, Request, Response, Revealed, Token, Whereabout,
    decode_request, decode_response, encode,
};
use counterfoil_protocol::chain::{CompactRange, Hash, LeafDigest};
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{ByteString, Bytes, HeadSeq, MeshId, Position, StatementId, TreeSize};
use counterfoil_protocol::test_support::{TestOrganisation, observation};
use mutation::{cases, grafted, mutated, noise};
use proptest::prelude::*;

fn introduction() -> Introduction {
    let organisation = TestOrganisation::new(1);
    let standing = organisation.opening().into_iter().zip(0..).map(|(statement, n)| Placed {
        position: Position(n),
        statement: ByteString(statement.statement().bytes().to_vec()),
    });
    Introduction {
        mesh: MeshId::from_bytes([9; 32]),
        head: ByteString(vec![1; 200]),
        standing: standing.collect(),
        named: ByteString(vec![4; 80]),
    }
}

fn announcement() -> Announcement {
    Announcement {
        head: ByteString(vec![1; 200]),
        cosignatures: vec!["line\n".into()],
        succession: vec![ByteString(vec![9; 40])],
        inception: Some(ByteString(vec![2; 200])),
        page: Some(Carried {
            before: CompactRange::from_parts(TreeSize(2), vec![Hash([5; 32])]).unwrap(),
            entries: vec![Entry::Withheld(LeafDigest([4; 32]))],
        }),
    }
}

fn requests() -> Vec<Request> {
    let organisation = TestOrganisation::new(1).id();
    vec![
        Request::Hello(Box::new(introduction())),
        Request::Heads {
            known: Some(Token { start: 1 << 40, revision: 300 }),
            digest: Bytes([8; 32]),
            salt: 7,
            exposed: vec![organisation],
        },
        Request::Reveal {
            organisation,
            agreements: vec![StatementId::from_bytes([1; 32])],
            positions: vec![Position(5), Position(70_000)],
        },
        Request::Evidence { about: observation("a/b", 1).subjects },
        Request::Whereabouts { statements: vec![StatementId::from_bytes([1; 32])] },
        Request::Heads { known: None, digest: Bytes([8; 32]), salt: 7, exposed: Vec::new() },
        Request::Ranges {
            salt: 7,
            ranges: vec![Range { from: 0, to: u64::MAX, fingerprint: Bytes([6; 16]) }],
        },
        Request::Announcements { known: vec![Bytes([1; 8])], unknown: vec![Bytes([2; 8])] },
        Request::Consistency { organisation, from: TreeSize(5), to: TreeSize(70_000) },
        Request::Entries { organisation, from: Position(5), size: TreeSize(70_000) },
        Request::Latest { organisation, from: Some(Position(5)), seq: HeadSeq(70_000) },
        Request::Latest { organisation, from: None, seq: HeadSeq(1) },
        Request::Offer(Box::new(announcement())),
        Request::Cosigned { size: TreeSize(70_000), line: "line\n".into() },
    ]
}

fn responses() -> Vec<Response> {
    let page = Page {
        from: Position(5),
        entries: vec![Entry::Statement(ByteString(vec![3; 300])), Entry::Withheld(LeafDigest([4; 32]))],
        proof: vec![Hash([5; 32])],
    };
    vec![
        Response::Hello { introduction: Box::new(introduction()), admitted: true },
        Response::Same { token: Token { start: 5, revision: 6 } },
        Response::Vector {
            token: Token { start: 5, revision: 6 },
            records: ByteString(vec![3; 48]),
            proofs: vec![ByteString(vec![3; 300])],
        },
        Response::TooMany { token: Token { start: 5, revision: 6 }, proofs: Vec::new() },
        Response::Ranges(vec![
            RangeAnswer { range: 3, records: Some(ByteString(vec![3; 24])) },
            RangeAnswer { range: 4, records: None },
        ]),
        Response::Announcements(vec![announcement()]),
        Response::Consistency(Consistency { root: Hash([4; 32]), proof: vec![Hash([5; 32])] }),
        Response::Latest { head: Box::new(announcement()), page: Some(page.clone()) },
        Response::Latest { head: Box::new(announcement()), page: None },
        Response::Entries(page),
        Response::Revealed(Revealed {
            statements: vec![Placed { position: Position(5), statement: ByteString(vec![6; 300]) }],
            next: Some(Position(70_000)),
        }),
        Response::Evidence(Bearing { head: Box::new(announcement()), places: vec![Position(5)] }),
        Response::Whereabouts(vec![Whereabout {
            statement: StatementId::from_bytes([1; 32]),
            organisation: TestOrganisation::new(1).id(),
            position: Position(70_000),
            open: true,
        }]),
        Response::Noted,
        Response::Refused("not a member".into()),
    ]
}

fn encoded<T: serde::Serialize>(messages: &[T]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| encode(message).unwrap()).collect()
}

fn samples() -> Vec<Vec<u8>> {
    let mut samples = encoded(&requests());
    samples.extend(encoded(&responses()));
    samples.extend(encoded(&[Hint::Head(Box::new(announcement())), Hint::Notice(ByteString(vec![7; 136]))]));
    samples.extend(encoded(&[introduction()]));
    samples
}

/// What was read is written back, and read again as the same; the bytes are the same where no field is optional.
fn check<T>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, codec::CodecError>, optional: bool)
where
    T: serde::Serialize + PartialEq + std::fmt::Debug,
{
    let Ok(message) = decode(bytes) else { return };
    let again = encode(&message).unwrap();
    assert_eq!(decode(&again).unwrap(), message);
    let value = codec::from_bytes(bytes, bytes.len()).unwrap();
    assert_eq!(codec::to_bytes(&value).unwrap(), bytes);
    if !optional {
        assert_eq!(again, bytes);
    }
}

fn check_all(bytes: &[u8]) {
    check(bytes, decode_request, true);
    check(bytes, decode_response, true);
    check(bytes, |bytes| codec::decode::<Hint>(bytes, GOSSIP_BYTES_MAX), true);
    check(bytes, |bytes| codec::decode::<Introduction>(bytes, MESSAGE_BYTES_MAX), false);
}

#[test]
fn every_sample_is_accepted() {
    let (requests, responses) = (requests(), responses());
    for (message, bytes) in requests.iter().zip(encoded(&requests)) {
        assert_eq!(decode_request(&bytes).as_ref(), Ok(message));
    }
    for (message, bytes) in responses.iter().zip(encoded(&responses)) {
        assert_eq!(decode_response(&bytes).as_ref(), Ok(message));
    }
    for bytes in samples() {
        check_all(&bytes);
    }
}

#[test]
fn a_message_beyond_its_cap_is_refused_unread() {
    let long = Response::Refused("x".repeat(MESSAGE_BYTES_MAX));
    let refused = decode_response(&encode(&long).unwrap());
    assert!(matches!(refused, Err(codec::CodecError::TooLong { .. })), "{refused:?}");
    let refused = decode_request(&vec![0x81; MESSAGE_BYTES_MAX + 1]);
    assert!(matches!(refused, Err(codec::CodecError::TooLong { .. })), "{refused:?}");
    // At the cap itself, depth and counts are what bounds the work.
    assert!(decode_request(&vec![0x81; MESSAGE_BYTES_MAX]).is_err());
    assert!(decode_response(&vec![0xa1; MESSAGE_BYTES_MAX]).is_err());
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes(bytes in noise()) {
        check_all(&bytes);
    }

    #[test]
    fn changed_messages(bytes in mutated(samples())) {
        check_all(&bytes);
    }

    #[test]
    fn messages_of_another_shape(bytes in grafted(samples())) {
        check_all(&bytes);
    }
}
