//! Bundles whose items were changed, left out, repeated or moved by somebody who makes the digest fit again.

use counterfoil_protocol::bundle::{Earlier, Range, Section};
use counterfoil_protocol::chain::Hash;
use counterfoil_protocol::chain::tree::node_hash;
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::ids::{ByteString, OrganisationId, Position, StatementId, Timestamp, TreeSize};

use super::parts::{Case, Parts, absent, here, leaf, seal};
use super::valid;

/// Every change to every place of every base.
pub(crate) fn all() -> Vec<Case> {
    let bases = [
        ("lineage", valid::lineage()),
        ("sparse", valid::sparse()),
        ("disclosed", valid::disclosed()),
        ("withheld", valid::withheld()),
        ("limited", valid::limited()),
    ];
    let mut found = Vec::new();
    for (base, bytes) in &bases {
        let parts = Parts::of(bytes);
        let mut add = |what: String, changed: Vec<u8>| {
            found.push(Case { name: format!("{base}: {what}"), bytes: changed });
        };
        assert_eq!(parts.seal(), *bytes);
        entries(&parts, &mut add);
        sections(&parts, &mut add);
        manifests(&parts, &mut add);
        items(&parts, &mut add);
    }
    found
}

fn value(entry: &[u8]) -> Value {
    codec::from_bytes(entry, usize::MAX).unwrap()
}

fn array(items: Vec<Value>) -> Vec<u8> {
    codec::to_bytes(&Value::Array(items)).unwrap()
}

/// The statement of an entry.
fn statement(entry: &[u8]) -> Option<Vec<u8>> {
    match value(entry) {
        Value::Bytes(bytes) => Some(bytes),
        Value::Array(parts) => parts.into_iter().next()?.into_bytes().ok(),
        _ => None,
    }
}

/// What one entry can be replaced by.
fn replacements(entry: &[u8], next: Option<&Vec<u8>>) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let again = entry.to_vec();
    let mut found = vec![
        ("left out", vec![]),
        ("twice", vec![again.clone(), again.clone()]),
        ("a text", vec![codec::to_bytes(&Value::Text("x".into())).unwrap()]),
        ("an empty array", vec![array(vec![])]),
        ("an array of three", vec![array(vec![0.into(), Value::Bytes(vec![0; 32]), 0.into()])]),
    ];
    if let Some(next) = next {
        found.push(("moved behind the next", vec![next.clone(), again.clone()]));
        if let (Some(one), Some(other)) = (statement(entry), statement(next)) {
            let both = node_hash(&Hash(leaf(&one)), &Hash(leaf(&other)));
            found.push(("joined with the next", vec![absent(1, &both.0)]));
        }
    }
    if let Some(bytes) = statement(entry) {
        let plain = || Value::Bytes(bytes.clone());
        let mut cut = bytes.clone();
        cut.pop();
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        found.extend([
            ("withheld", vec![absent(0, &leaf(&bytes))]),
            ("withheld under another hash", vec![absent(0, &leaf(&cut))]),
            ("cut", vec![here(&cut)]),
            ("signed otherwise", vec![here(&other)]),
            ("without disclosures", vec![here(&bytes)]),
            ("with no disclosure", vec![array(vec![plain(), Value::Array(vec![])])]),
            ("with a disclosure that is none", vec![array(vec![plain(), Value::Array(vec![plain()])])]),
            ("with a number for disclosures", vec![array(vec![plain(), 1.into()])]),
            ("with a number for a disclosure", vec![array(vec![plain(), Value::Array(vec![1.into()])])]),
        ]);
    }
    match value(entry) {
        Value::Array(parts) if parts[0].is_integer() => {
            let level = u64::try_from(parts[0].as_integer().unwrap()).unwrap();
            let hash = parts[1].as_bytes().unwrap();
            let mut other = hash.clone();
            other[31] ^= 1;
            found.extend([
                ("a level higher", vec![absent(level + 1, hash)]),
                ("two of the level below", vec![absent(level.saturating_sub(1), hash); 2]),
                ("of level 63", vec![absent(63, hash)]),
                ("of level 64", vec![absent(64, hash)]),
                ("of no level", vec![absent(1 << 40, hash)]),
                ("of a negative level", vec![array(vec![(-1).into(), parts[1].clone()])]),
                ("of another hash", vec![absent(level, &other)]),
                ("of a short hash", vec![absent(level, &hash[1..])]),
            ]);
        }
        Value::Array(parts) => {
            let disclosures = parts[1].as_array().unwrap();
            let mut reversed = disclosures.clone();
            reversed.reverse();
            let mut changed = disclosures.clone();
            let mut bytes = changed[0].as_bytes().unwrap().clone();
            *bytes.last_mut().unwrap() ^= 1;
            changed[0] = Value::Bytes(bytes);
            let repeated = vec![disclosures[0].clone(), disclosures[0].clone()];
            for (what, list) in [
                ("disclosures the other way round", reversed),
                ("a disclosure of another value", changed),
                ("a disclosure twice", repeated),
                ("one disclosure only", disclosures[..1].to_vec()),
            ] {
                found.push((what, vec![array(vec![parts[0].clone(), Value::Array(list)])]));
            }
        }
        _ => {}
    }
    found
}

fn entries(parts: &Parts, add: &mut impl FnMut(String, Vec<u8>)) {
    for (n, (_, entries)) in parts.sections.iter().enumerate() {
        for at in 0..entries.len() {
            for (what, put) in replacements(&entries[at], entries.get(at + 1)) {
                let mut changed = parts.clone();
                let takes = if what.ends_with("the next") { 2 } else { 1 };
                changed.sections[n].1.splice(at..at + takes, put);
                changed.count();
                add(format!("section {n} entry {at} {what}"), changed.seal());
            }
        }
    }
}

fn sections(parts: &Parts, add: &mut impl FnMut(String, Vec<u8>)) {
    type Change = fn(&mut Vec<(Section, Vec<Vec<u8>>)>, usize);
    let changes: &[(&str, Change)] = &[
        ("left out", |all, n| {
            all.remove(n);
        }),
        ("twice", |all, n| all.push(all[n].clone())),
        ("last", |all, n| all.rotate_left(n + 1)),
        ("without entries", |all, n| all[n].1.clear()),
        ("of nobody", |all, n| all[n].0.organisation = OrganisationId::from_bytes([7; 32])),
        ("with the next one's entries", |all, n| {
            let next = (n + 1) % all.len();
            all[n].1 = all[next].1.clone();
        }),
        ("with the next one's head", |all, n| {
            let next = (n + 1) % all.len();
            all[n].0.head = all[next].0.head.clone();
        }),
        ("with a head cut off", |all, n| {
            all[n].0.head.0.pop();
        }),
        ("with a head signed otherwise", |all, n| *all[n].0.head.0.last_mut().unwrap() ^= 1),
        ("with an inner byte of its head changed", |all, n| {
            let middle = all[n].0.head.0.len() / 2;
            all[n].0.head.0[middle] ^= 1;
        }),
        ("with a statement for a head", |all, n| {
            all[n].0.head = ByteString(statement(&all[n].1[0]).unwrap());
        }),
        ("without cosignatures", |all, n| all[n].0.cosignatures.clear()),
        ("with each cosignature twice", |all, n| {
            let lines = all[n].0.cosignatures.clone();
            all[n].0.cosignatures.extend(lines);
        }),
        ("with cosignatures in one line", |all, n| {
            let lines = all[n].0.cosignatures.concat();
            all[n].0.cosignatures = vec![lines];
        }),
        ("with a cosignature of nobody", |all, n| {
            all[n].0.cosignatures.push("\u{2014} nobody AAAAAAAA\n".into());
        }),
        ("with a cosignature that is none", |all, n| all[n].0.cosignatures.push("x\n".into())),
        ("with a cosignature without its end", |all, n| {
            all[n].0.cosignatures.push("\u{2014} nobody AAAAAAAA".into());
        }),
        ("with an empty cosignature", |all, n| all[n].0.cosignatures.push(String::new())),
        ("with cosignatures signed otherwise", |all, n| {
            for line in &mut all[n].0.cosignatures {
                let at = line.len() - 20;
                let other = if line[at..].starts_with('A') { "B" } else { "A" };
                line.replace_range(at..=at, other);
            }
        }),
        ("without earlier sizes", |all, n| all[n].0.earlier.clear()),
        ("with each earlier size twice", |all, n| {
            let earlier = all[n].0.earlier.clone();
            all[n].0.earlier.extend(earlier);
        }),
        ("with other earlier sizes", |all, n| {
            all[n].0.earlier.iter_mut().for_each(|one| one.size = TreeSize(one.size.0 + 1));
        }),
        ("with a hash more in earlier proofs", |all, n| {
            all[n].0.earlier.iter_mut().for_each(|one| one.proof.push(Hash([0; 32])));
        }),
        ("with a hash fewer in earlier proofs", |all, n| {
            all[n].0.earlier.iter_mut().for_each(|one| {
                one.proof.pop();
            });
        }),
        ("with another hash in earlier proofs", |all, n| {
            for one in &mut all[n].0.earlier {
                one.proof.iter_mut().for_each(|hash| hash.0[0] ^= 1);
            }
        }),
        ("with earlier proofs the other way round", |all, n| {
            all[n].0.earlier.iter_mut().for_each(|one| one.proof.reverse());
        }),
        ("with an earlier size that nobody speaks of", |all, n| {
            all[n].0.earlier.push(Earlier { size: TreeSize(1 << 50), proof: vec![] });
        }),
    ];
    for n in 0..parts.sections.len() {
        for (what, change) in changes {
            let mut changed = parts.clone();
            change(&mut changed.sections, n);
            changed.count();
            add(format!("section {n} {what}"), changed.seal());
        }
        for more in [-1i64, 1] {
            let mut changed = parts.clone();
            let entries = &mut changed.sections[n].0.entries;
            *entries = entries.wrapping_add_signed(more);
            add(format!("section {n} with {more} announced"), changed.seal());
        }
    }
}

fn manifests(parts: &Parts, add: &mut impl FnMut(String, Vec<u8>)) {
    let some = StatementId::from_bytes([5; 32]);
    let first = parts.sections[0].0.organisation;
    let range = |from: u64, to: u64| Range { organisation: first, from: Position(from), to: Position(to) };
    let size = {
        let said = |entry: &Vec<u8>| match value(entry) {
            Value::Array(parts) => parts[0].as_integer().map_or(1, |n| 1u64 << u64::try_from(n).unwrap()),
            _ => 1,
        };
        parts.sections[0].1.iter().map(said).sum::<u64>()
    };
    let always = Some((Timestamp(1000), Timestamp(1000)));
    type Change<'a> = Box<dyn Fn(&mut Parts) + 'a>;
    let changes: Vec<(&str, Change<'_>)> = vec![
        ("about nothing", Box::new(|p| p.manifest.about.clear())),
        ("about something else", Box::new(|p| p.manifest.about.push(some))),
        ("about the same twice", Box::new(|p| p.manifest.about.extend(p.manifest.about.clone()))),
        ("with something absent that nobody needs", Box::new(|p| p.manifest.absent.push(some))),
        ("with something absent that is here", Box::new(|p| p.manifest.absent.push(first_said(p)))),
        ("with something limited that nobody needs", Box::new(|p| p.manifest.limited.push(some))),
        ("with something limited that is here", Box::new(|p| p.manifest.limited.push(first_said(p)))),
        ("with nothing limited", Box::new(|p| p.manifest.limited.clear())),
        (
            "with limited for absent",
            Box::new(|p| std::mem::swap(&mut p.manifest.limited, &mut p.manifest.absent)),
        ),
        ("with limited and absent", Box::new(|p| p.manifest.absent.extend(p.manifest.limited.clone()))),
        ("with nothing absent", Box::new(|p| p.manifest.absent.clear())),
        ("with a proof that is none", Box::new(|p| p.manifest.misbehaviour.push(ByteString(vec![0xa0])))),
        ("with a section more", Box::new(|p| p.manifest.sections += 1)),
        ("with a section fewer", Box::new(|p| p.manifest.sections -= 1)),
        ("with very many sections", Box::new(|p| p.manifest.sections = u64::MAX)),
        ("without ranges", Box::new(|p| p.manifest.ranges.clear())),
        ("without a period", Box::new(|p| p.manifest.period = None)),
        ("with a period", Box::new(|p| p.manifest.period = always)),
        ("with a period before", Box::new(|p| p.manifest.period = Some((Timestamp(0), Timestamp(9))))),
        (
            "with a period the other way round",
            Box::new(|p| {
                p.manifest.period = Some((Timestamp(2000), Timestamp(1)));
            }),
        ),
        (
            "with the whole chain for a range",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(0, size)], always);
            }),
        ),
        (
            "with the beginning for a range",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(0, 3)], always);
            }),
        ),
        (
            "with the end for a range",
            Box::new(move |p| {
                let period = Some((Timestamp(1001), Timestamp(u64::MAX)));
                (p.manifest.ranges, p.manifest.period) = (vec![range(size, size)], period);
            }),
        ),
        (
            "with the middle for a range",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(size / 2, size - 1)], always);
            }),
        ),
        (
            "with a range beyond the end",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(1, size + 1)], always);
            }),
        ),
        (
            "with a range of everything there could be",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(0, u64::MAX)], always);
            }),
        ),
        (
            "with a range the other way round",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(3, 2)], always);
            }),
        ),
        (
            "with a range twice",
            Box::new(move |p| {
                (p.manifest.ranges, p.manifest.period) = (vec![range(0, 1), range(0, 1)], always);
            }),
        ),
        (
            "with a range of nobody",
            Box::new(move |p| {
                let organisation = OrganisationId::from_bytes([7; 32]);
                p.manifest.ranges = vec![Range { organisation, from: Position(0), to: Position(0) }];
                p.manifest.period = always;
            }),
        ),
    ];
    for (what, change) in changes {
        let mut changed = parts.clone();
        change(&mut changed);
        add(format!("manifest {what}"), changed.seal());
    }
}

fn first_said(parts: &Parts) -> StatementId {
    let bytes = statement(&parts.sections[0].1[0]).unwrap();
    StatementId::from_bytes(counterfoil_protocol::digest::blake3(&bytes))
}

/// Changes to the encoding of manifest and sections, and to the sequence of items.
fn items(parts: &Parts, add: &mut impl FnMut(String, Vec<u8>)) {
    let items = parts.items();
    let text = |name: &str| Value::Text(name.into());
    for (n, what) in [(0, "manifest"), (1, "section")] {
        let Value::Map(fields) = value(&items[n]) else { panic!("a map") };
        let mut with = |how: String, fields: Vec<(Value, Value)>| {
            let mut items = items.clone();
            items[n] = codec::to_bytes(&Value::Map(fields)).unwrap();
            add(format!("{what} {how}"), seal(&items));
        };
        for at in 0..fields.len() {
            let name = fields[at].0.as_text().unwrap();
            let mut without = fields.clone();
            without.remove(at);
            with(format!("without {name}"), without);
            for (other, put) in [
                ("a text", text("x")),
                ("a number", 1.into()),
                ("a negative number", (-1).into()),
                ("nothing in it", Value::Array(vec![])),
                ("bytes", Value::Bytes(vec![1; 32])),
                ("true", Value::Bool(true)),
                ("a list of three numbers", Value::Array(vec![1.into(), 2.into(), 3.into()])),
                ("a map", Value::Map(vec![])),
            ] {
                let mut changed = fields.clone();
                changed[at].1 = put;
                with(format!("with {other} for {name}"), changed);
            }
        }
        for name in ["absent", "misbehaviour", "ranges", "period", "cosignatures", "earlier", "zzz"] {
            if fields.iter().all(|(key, _)| key.as_text() != Some(name)) {
                let mut more = fields.clone();
                more.push((text(name), Value::Array(vec![])));
                with(format!("with an empty {name}"), more);
            }
        }
        let mut more = fields.clone();
        more.push((1.into(), 1.into()));
        with("with a number for a name".into(), more);
        let mut reversed = items.clone();
        // The first key and its value moved to the end of the map: the same map in another encoding.
        let (key, first) = &fields[0];
        let lead = [codec::to_bytes(key).unwrap(), codec::to_bytes(first).unwrap()].concat();
        let sorted = codec::to_bytes(&Value::Map(fields.clone())).unwrap();
        reversed[n] = match sorted[1..].strip_prefix(lead.as_slice()) {
            Some(rest) => [&sorted[..1], rest, &lead].concat(),
            None => [&sorted[..], &[0]].concat(),
        };
        add(format!("{what} in another order"), seal(&reversed));
    }
    for (what, extra) in [("a number", vec![0]), ("a digest", [vec![0x58, 0x20], vec![0; 32]].concat())] {
        let mut more = items.clone();
        more.push(extra);
        add(format!("{what} more before the digest"), seal(&more));
    }
    let mut long = items.clone();
    // An integer that is not in its shortest form, in place of the last entry.
    *long.last_mut().unwrap() = vec![0x82, 0x18, 0x00, 0x41, 0x00];
    add("a level in two bytes".into(), seal(&long));
    let whole = seal(&items);
    for (what, version) in [("version 1", 1), ("version 3", 3), ("version 0", 0)] {
        let mut other = whole.clone();
        other[8] = version;
        add(what.into(), super::parts::resealed(other));
    }
    add("another magic".into(), super::parts::resealed([b"X", &whole[1..]].concat()));
    add("the digest cut off".into(), whole[..whole.len() - 34].to_vec());
    add("a byte behind the digest".into(), [whole.as_slice(), &[0]].concat());
    add("another digest".into(), [&whole[..whole.len() - 1], &[whole[whole.len() - 1] ^ 1]].concat());
    add("nothing".into(), Vec::new());
}
