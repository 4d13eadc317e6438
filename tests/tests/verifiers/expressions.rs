//! Expressions: whatever the second verifier reads, it reads as the first does, to the same answer and the same words.

use std::collections::BTreeMap;

use counterfoil_protocol::admissibility::expression::Expression;
use counterfoil_protocol::codec::{self, Value};
use counterfoil_protocol::ids::Timestamp;
use counterfoil_protocol::observation::{Metric, Observation};
use counterfoil_protocol::test_support::observation;
use data_encoding::HEXLOWER;
use serde_json::json;

use super::second;
use super::world::Dice;

const TIME: u64 = 100 * 86_400;

fn observations() -> Vec<Observation> {
    let text = |text: &str| Value::Text(text.into());
    let map = |entries: Vec<(&str, Value)>| {
        Value::Map(entries.into_iter().map(|(name, value)| (text(name), value)).collect())
    };
    let mut found = Vec::new();
    for n in 0..3u64 {
        let mut one = observation(["evaluation/test", "audit/b", "x"][n as usize], n);
        one.adverse = n == 1;
        one.effective = Timestamp([0, TIME + 5, TIME - 3 * 86_400][n as usize]);
        one.metrics.push(Metric { name: "score".into(), ppm: [500_000, i64::MIN, -7][n as usize] });
        one.content = BTreeMap::from([
            ("grade".into(), Value::Integer(n.into())),
            ("big".into(), Value::Integer(i64::MAX.into())),
            ("huge".into(), Value::Integer(u64::MAX.into())),
            ("name".into(), text(["x", "é😀", ""][n as usize])),
            ("flag".into(), Value::Bool(n == 0)),
            ("raw".into(), Value::Bytes(vec![0, n as u8])),
            ("tags".into(), Value::Array(vec![text("x"), text("xy"), Value::Integer(n.into())])),
            ("numbers".into(), Value::Array((0..n * 2).map(|n| Value::Integer(n.into())).collect())),
            ("deep".into(), map(vec![("inner", text("a")), ("more", map(vec![("x", 1.into())]))])),
            (
                "mixed".into(),
                Value::Map(vec![(Value::Integer(1.into()), 1.into()), (text("one"), true.into())]),
            ),
        ]);
        if n > 0 {
            one.content.insert("only".into(), Value::Integer(n.into()));
        }
        found.push(one);
    }
    found
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "7",
    "9223372036854775807",
    "-9223372036854775808",
    "content.grade",
    "content.big",
    "metrics.score",
    "age_days",
    "content.only",
    "content.numbers[1]",
    "size(content.tags)",
    "content.name.size()",
    "content['grade']",
    "content.deep.more.x",
    "metrics['none']",
];
const TEXTS: &[&str] = &[
    "''",
    "'x'",
    "\"xy\"",
    "'é😀'",
    "'a\\nb'",
    "'\\\\'",
    "claim",
    "content.name",
    "content.deep.inner",
    "content.tags[0]",
    "'it\\'s'",
];
const TRUTHS: &[&str] = &[
    "true",
    "false",
    "adverse",
    "content.flag",
    "has(content.only)",
    "has(content.deep.inner)",
    "has(content.none.inner)",
    "has(content.name.x)",
    "'grade' in content",
    "1 in content.mixed",
];
const LISTS: &[&str] = &["[]", "[1, 2, 3,]", "['x', 1, true, null]", "content.tags", "content.numbers"];
const OTHERS: &[&str] = &[
    "null",
    "content.huge",
    "content.raw",
    "content",
    "metrics",
    "content.deep",
    "content.mixed",
    "content.absent",
    "content.deep.none",
];

/// A text of about the kind that is asked for: now and then of another, so that types do not fit.
fn text(dice: &mut Dice, kind: usize, depth: usize) -> String {
    let kind = if dice.once_in(14) { dice.below(5) } else { kind };
    let atoms = [TRUTHS, NUMBERS, TEXTS, LISTS, OTHERS][kind];
    if depth == 0 || dice.once_in(4) {
        return dice.pick(atoms).into();
    }
    let part = |dice: &mut Dice, kinds: &[usize]| {
        let kind = dice.pick(kinds);
        text(dice, kind, depth - 1)
    };
    let whole = match kind {
        0 => match dice.below(13) {
            0 | 1 => {
                let sign = dice.pick(&["&&", "||"]);
                let count = 2 + dice.below(4);
                (0..count).map(|_| part(dice, &[0])).collect::<Vec<_>>().join(&format!(" {sign} "))
            }
            2 => format!("!({})", part(dice, &[0])),
            3 | 4 => {
                let sign = dice.pick(&["<", "<=", ">", ">=", "==", "!="]);
                let kind = dice.pick(&[1, 1, 1, 2, 0]);
                format!("{}{sign}{}", part(dice, &[kind]), part(dice, &[kind]))
            }
            5 => format!("{} == {}", part(dice, &[0, 1, 2, 3, 4]), part(dice, &[0, 1, 2, 3, 4])),
            6 => format!("{} in {}", part(dice, &[1, 2, 4]), part(dice, &[3, 3, 4])),
            7 => {
                let method = dice.pick(&["startsWith", "endsWith", "contains"]);
                format!("({}).{method}({})", part(dice, &[2]), part(dice, &[2]))
            }
            8 | 9 => {
                let method = dice.pick(&["all", "exists"]);
                let each = part(dice, &[0]);
                let each = match dice.below(4) {
                    0 => each,
                    1 => format!("e > {}", part(dice, &[1])),
                    2 => format!("e.startsWith({})", part(dice, &[2])),
                    _ => format!("{each} && 10 / e > 1 || e == 'x'"),
                };
                format!("{}.{method}(e, {each})", part(dice, &[3]))
            }
            10 => format!("{} ? {} : {}", part(dice, &[0]), part(dice, &[0]), part(dice, &[0])),
            11 => format!("({}) == ({})", part(dice, &[0]), part(dice, &[0])),
            _ => format!("({})", part(dice, &[0])),
        },
        1 => match dice.below(4) {
            0 => format!("-({})", part(dice, &[1])),
            1 => format!("size({})", part(dice, &[2, 3, 4])),
            2 => format!("{}[{}]", part(dice, &[3]), part(dice, &[1])),
            _ => {
                format!("{} {} {}", part(dice, &[1]), dice.pick(&["+", "-", "*", "/", "%"]), part(dice, &[1]))
            }
        },
        2 => match dice.below(3) {
            0 => format!("{} + {}", part(dice, &[2]), part(dice, &[2])),
            1 => format!("({} ? {} : {})", part(dice, &[0]), part(dice, &[2]), part(dice, &[2])),
            _ => format!("content.tags[{}]", part(dice, &[1])),
        },
        3 => match dice.below(2) {
            0 => format!("[{}, {}]", part(dice, &[0, 1, 2, 3, 4]), part(dice, &[0, 1, 2, 3, 4])),
            _ => format!("{} + {}", part(dice, &[3]), part(dice, &[3])),
        },
        _ => dice.pick(OTHERS).into(),
    };
    if dice.once_in(3) { format!("({whole})") } else { whole }
}

/// The same text with a character left out, put in or exchanged.
fn changed(dice: &mut Dice, text: &str) -> String {
    let alphabet: Vec<char> = "()[]{}.,?:!+-*/%<>=&|'\"\\ 0129abuxinre_é\n".chars().collect();
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(chars.len().max(1)).min(chars.len());
        match dice.below(3) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars[at] = dice.pick(&alphabet),
            _ => chars.insert(at, dice.pick(&alphabet)),
        }
    }
    chars.into_iter().collect()
}

/// What is beyond the part of the language that the second reads, or no expression at all, or nearly either.
const BEYOND: &[&str] = &[
    "",
    " ",
    "1",
    "1.5 > 1.0",
    "1u == 1u",
    "0x10 == 16",
    "r'a' == 'a'",
    "b'a' == b'a'",
    "'''a''' == 'a'",
    "'' '' == ''",
    "{'a': 1}.a == 1",
    "content.tags.map(t, t)",
    "content.tags.filter(t, t == 'x').size() == 1",
    "int('1') == 1",
    "content.tags.exists_one(t, t == 'x')",
    "content.all(k, k == 'x')",
    "content.all(k, size(k) > 0)",
    "content.exists(k, k > 'grade' ? 1 / 0 == 1 : content.absent)",
    "content.all(k, k < 'm' && metrics[k] == 1)",
    "[1].all(content, content == 1)",
    "!!adverse",
    "--1 == 1",
    "-(-9223372036854775808) == 1",
    "--9223372036854775808 == 1",
    "9223372036854775808 == 1",
    "!-1",
    "content.?grade.hasValue()",
    "contents.x",
    "content.matches('x')",
    "claim.matches('x')",
    "'\\x41' == 'A'",
    "'\\u0041' == 'A'",
    "true // comment",
    "true / / true",
    "content.in",
    "content.if",
    "if",
    "content.true",
    "a.b.c",
    "optional.of(1) == 1",
    ".content.flag",
    "content . flag",
    "content\n.\tflag",
    "1 . x",
    "1.x",
    "has(content)",
    "has(content['x'])",
    "has((content.flag))",
    "size()",
    "size(1, 2)",
    "'a'.size(1)",
    "type(1) == int",
    "[?1]",
    "content.`flag`",
    "[1, 2][0] == 1",
    "[[1]][0][0] == 1",
    "(true)",
    "((((true))))",
    "true ? false ? true : false : true",
    "true ? true : false ? true : false",
    "1 < 2 == true",
    "1 == 1 == true",
    "1 in [1] == true",
    "-content.grade == 0",
    "- 1 == -1",
    "2 - -1 == 3",
    "2-1==1",
    "2 -1 == 1",
    "!content.flag == false",
    "'a' < 'b' && 'é' > 'z'",
    "'\u{ffff}' < '😀'",
    "'a\u{c}b' == 'x'",
    "true\u{c}",
    "true &&",
    "&& true",
    "true true",
    "[1,,2] == [1]",
    "[,] == []",
    "[1,] == [1]",
    "9223372036854775807 + 1 > 0 || true",
    "false && 1 / 0 > 0",
    "1 / 0 > 0 && false",
    "1 && false",
    "false || 1",
    "true && 1",
    "1 || true",
    "content.absent || content.none",
    "content.absent && true && content.none",
    "(1 && true) || content.absent",
    "content.absent && 1",
    "1 && content.absent",
    "content.absent > 1 && 1 && true && true",
    "-9223372036854775808 / -1 == 0",
    "-9223372036854775808 % -1 == 0",
    "-7 / 2 == -3",
    "-7 % 2 == -1",
    "[] + content == []",
    "content.tags.exists(e, e + 1 > 2)",
    "content.tags.all(e, content.tags.exists(f, f == e))",
    "[3, 0, 1].exists(e, 6 / e == 2)",
    "[0, 'x'].all(e, e / 0 == 1)",
    "content.mixed.one",
    "content.mixed['one'] == true",
    "content.mixed[1] == 1",
    "content.mixed[true]",
    "content.tags['x']",
    "content.name[0]",
    "content.tags[-1] == 1",
    "content.tags[3] == 1",
    "content.huge == null",
    "content.raw + content.raw != content.raw",
    "content.raw < content.raw",
    "null < null",
    "content < content",
    "[1] < [2]",
    "content == content",
    "metrics == {}",
];

fn word(found: Result<bool, String>) -> String {
    found.map_or_else(|why| why, |holds| holds.to_string())
}

#[test]
fn expressions_are_read_the_same_or_not_at_all() {
    if !second::build() {
        return;
    }
    let observations = observations();
    let mut dice = Dice::new("expressions");
    let mut texts: Vec<String> = BEYOND.iter().map(|one| (*one).to_owned()).collect();
    let well = texts.len();
    for n in 0..900 {
        let made = text(&mut dice, 0, 1 + n % 4);
        texts.push(made);
    }
    let bent = texts.len();
    for _ in 0..900 {
        let from = dice.pick(&texts[..bent]);
        let made = changed(&mut dice, &from);
        texts.push(made);
    }
    let asked: Vec<(&String, &Observation)> =
        texts.iter().flat_map(|one| observations.iter().map(move |about| (one, about))).collect();
    let lines = asked.iter().map(|(expression, about)| {
        let payload = HEXLOWER.encode(&codec::encode(about).unwrap());
        json!({ "expression": expression, "observation": payload, "time": TIME.to_string() }).to_string()
    });
    let found = second::expressions(&lines.collect::<Vec<_>>().join("\n"));
    assert_eq!(found.len(), asked.len());
    let (mut differences, mut read) = (Vec::new(), [0usize; 3]);
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for (n, ((expression, about), second)) in asked.iter().zip(&found).enumerate() {
        let Some(second) = second else { continue };
        let place = n / observations.len();
        read[usize::from(place >= well) + usize::from(place >= bent)] += 1;
        let compiled = Expression::compile(expression).map_err(|error| error.to_string());
        let age_days = Timestamp(TIME).since(about.effective) / 86_400;
        let first = compiled.and_then(|one| one.holds(about, age_days).map_err(|why| why.to_string()));
        let first = word(first);
        if first != *second {
            differences.push(format!("{expression:?}: Rust {first}, TypeScript {second}"));
        }
        *answers.entry(first.split(' ').take(2).collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    let shown = differences.iter().take(40).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} of {} differ:\n{shown}", differences.len(), asked.len());
    eprintln!("of {} texts read {read:?}; answers {answers:?}", asked.len());
    // What is made of what is read is read, but for macros inside others, additions in them, and too much nesting.
    assert!(read[1] * 4 > (bent - well) * observations.len() * 3, "{read:?}");
    assert!(read[0] > 100 && read[2] > 150, "{read:?}");
    let kinds = ["true", "false", "field absent", "a number", "a value", "it is"];
    assert!(kinds.iter().all(|kind| answers.get(*kind).is_some_and(|count| *count > 20)), "{answers:?}");
}
