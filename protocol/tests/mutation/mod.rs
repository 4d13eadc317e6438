//! Changes to valid bytes: what a broken disk, a cut connection or a patient adversary would make of them.

use counterfoil_protocol::codec::{self, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One change to a string of bytes. Places are shares of the length, so that any change fits any bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    /// From here on, the rest of another document.
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => at().prop_map(Change::Cut),
        1 => (at(), 1usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (at(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        2 => (at(), at()).prop_map(|(to, from)| Change::Splice(to, from)),
    ]
}

/// Arbitrary bytes, of a length at which a decoder still gets somewhere.
pub(crate) fn noise() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..400)
}

/// One of `samples`, with up to three changes; now and then unchanged.
pub(crate) fn mutated(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let sample = select(samples);
    (sample.clone(), sample, vec(change(), 0..4)).prop_map(|(mut bytes, other, changes)| {
        for change in changes {
            apply(&mut bytes, &other, change);
        }
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, other: &[u8], change: Change) {
    let end = bytes.len() + 1;
    match change {
        Change::Flip(at, bit) if end > 1 => bytes[at.index(end - 1)] ^= 1 << bit,
        Change::Set(at, byte) if end > 1 => bytes[at.index(end - 1)] = byte,
        Change::Flip(..) | Change::Set(..) => {}
        Change::Cut(at) => bytes.truncate(at.index(end)),
        Change::Remove(at, count) => {
            let from = at.index(end);
            bytes.drain(from..(from + count).min(end - 1));
        }
        Change::Insert(at, new) => {
            let at = at.index(end);
            bytes.splice(at..at, new);
        }
        Change::Splice(to, from) => {
            bytes.truncate(to.index(end));
            bytes.extend_from_slice(&other[from.index(other.len() + 1)..]);
        }
    }
}

/// One change to a document's tree, which leaves it strict CBOR and so gets past the codec, to the types.
#[derive(Debug, Clone)]
enum Graft {
    Replace(Value),
    Remove(Index),
    Repeat(Index),
    /// A map entry, or an element.
    Add(String, Value),
    Rename(Index, Value),
    /// The same content in another type: text as bytes, a map as an array, an integer as text.
    Disguise,
}

/// Field names and variants of the formats, and what is left out when a field has its default.
const WORDS: &[&str] = &[
    "adverse",
    "approvals",
    "expires",
    "refused",
    "missing",
    "truncated",
    "withheld",
    "vetoes",
    "kind",
    "mesh",
    "previous",
    "label",
    "named",
    "statement",
    "artifact",
    "sha256",
    "distinct",
    "unrecognised",
    "delegation",
    "",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![0u64..40, any::<u64>(), Just(u64::MAX)].prop_map(|n| Value::Integer(n.into())),
        any::<i64>().prop_map(|n| Value::Integer(n.into())),
        vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
        select(WORDS).prop_map(|word| Value::Text(word.to_owned())),
        Just(Value::Array(Vec::new())),
        Just(Value::Map(Vec::new())),
    ]
}

fn graft() -> impl Strategy<Value = Graft> {
    let word = select(WORDS).prop_map(str::to_owned);
    prop_oneof![
        2 => leaf().prop_map(Graft::Replace),
        1 => any::<Index>().prop_map(Graft::Remove),
        1 => any::<Index>().prop_map(Graft::Repeat),
        2 => (word, leaf()).prop_map(|(word, value)| Graft::Add(word, value)),
        1 => (any::<Index>(), leaf()).prop_map(|(at, key)| Graft::Rename(at, key)),
        2 => Just(Graft::Disguise),
    ]
}

/// One of the CBOR documents `samples`, with up to three of its nodes changed.
pub(crate) fn grafted(samples: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(samples), vec((any::<Index>(), graft()), 0..4)).prop_map(|(bytes, grafts)| {
        let mut tree = codec::from_bytes(&bytes, bytes.len()).unwrap();
        for (at, graft) in grafts {
            let mut number = at.index(count(&tree));
            alter(&mut tree, &mut number, &graft);
        }
        // A key that is there twice has no encoding; the sample then stays as it was.
        codec::to_bytes(&tree).unwrap_or(bytes)
    })
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|(_, value)| count(value)).sum(),
        _ => 0,
    }
}

/// Alters the node with that number, counted from the root downwards.
fn alter(value: &mut Value, number: &mut usize, graft: &Graft) -> bool {
    if *number == 0 {
        change_node(value, graft);
        return true;
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| alter(item, number, graft)),
        Value::Map(entries) => entries.iter_mut().any(|(_, value)| alter(value, number, graft)),
        _ => false,
    }
}

fn change_node(node: &mut Value, graft: &Graft) {
    match (graft, &mut *node) {
        (Graft::Replace(new), _) => *node = new.clone(),
        (Graft::Remove(at), Value::Array(items)) if !items.is_empty() => {
            drop(items.remove(at.index(items.len())))
        }
        (Graft::Remove(at), Value::Map(items)) if !items.is_empty() => {
            drop(items.remove(at.index(items.len())))
        }
        (Graft::Repeat(at), Value::Array(items)) if !items.is_empty() => {
            items.push(items[at.index(items.len())].clone());
        }
        (Graft::Add(_, new), Value::Array(items)) => items.push(new.clone()),
        (Graft::Add(name, new), Value::Map(entries)) => {
            entries.push((Value::Text(name.clone()), new.clone()));
        }
        (Graft::Rename(at, key), Value::Map(entries)) if !entries.is_empty() => {
            let at = at.index(entries.len());
            entries[at].0 = key.clone();
        }
        (Graft::Disguise, _) => *node = disguised(node),
        _ => {}
    }
}

fn disguised(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::Bytes(text.clone().into_bytes()),
        Value::Bytes(bytes) => {
            Value::Array(bytes.iter().map(|byte| Value::Integer((*byte).into())).collect())
        }
        Value::Integer(n) => Value::Text(i128::from(*n).to_string()),
        Value::Bool(flag) => Value::Integer(u8::from(*flag).into()),
        Value::Map(entries) => Value::Array(entries.iter().map(|(_, value)| value.clone()).collect()),
        Value::Array(items) => {
            let numbered = items.iter().enumerate();
            Value::Map(numbered.map(|(n, item)| (Value::Integer((n as u64).into()), item.clone())).collect())
        }
        other => other.clone(),
    }
}

/// How many inputs a property is tried on: `usual`, or what `PROPTEST_CASES` says.
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(asked.unwrap_or(usual))
}
