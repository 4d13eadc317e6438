//! CEL expressions over one piece of evidence: compiled once, boolean, without side effects.
//!
//! An expression that fails (a field that is not there, a type that does not fit) is not satisfied, and says why, in
//! words of our own: they are part of verdicts, whose bytes no library's wording, and no order of a map, may change.
//!
//! What an evaluation costs is bounded when the expression is compiled: its length and nesting, no macro inside
//! another, few additions and none inside a macro, so that no value grows with the square of another. And the content
//! that it looks at is bounded too.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use cel::objects::Key;
use cel::{Context, Env, ExecutionError, Program};

use super::source::did_you_mean;
use crate::codec::Value;
use crate::limits::{EXPRESSION_DEPTH_MAX, EXPRESSION_SUMS_MAX, EXPRESSION_VALUES_MAX, EXPRESSIONS_KEPT_MAX};
use crate::observation::Observation;

/// What an expression may look at.
const VARIABLES: [&str; 5] = ["claim", "adverse", "age_days", "content", "metrics"];
/// The functions of the language as it is built here, operators aside.
const FUNCTIONS: [&str; 15] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "type",
    "dyn",
    "min",
    "max",
    "has",
];
/// Names of types, which stand for themselves.
const TYPES: [&str; 10] =
    ["int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type", "type"];

/// What a macro goes through passes this function: the keys of a map in their order, and lists as they are.
// INVARIANT(6): maps have no order of their own here, and one that changes from run to run would reach the verdict.
const ORDERED: &str = "@ordered";

/// A compiled expression.
pub struct Expression {
    /// As it was written.
    program: Program,
    /// As it is evaluated: what macros go through is put in order.
    ordered: IdedExpr,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression does not compile: {text}")]
pub struct ExpressionError {
    /// What is wrong.
    pub text: String,
    /// At which byte of it, where that is known.
    pub at: Option<usize>,
}

/// Why an expression says neither yes nor no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// A field is read that is not there. The name is cut off behind 80 characters.
    #[error("field {0} is not there")]
    Missing(String),
    /// A variable or function that there is not.
    #[error("it names what it is not given")]
    Undeclared,
    /// Overflow, division by zero, or an index behind a list's end.
    #[error("a number or an index is out of range")]
    Range,
    /// An operation on values of types that it is not for.
    #[error("a value has another type than it needs")]
    Type,
    /// There is too much to look at.
    #[error("its content has more than {EXPRESSION_VALUES_MAX} values")]
    TooMuch,
    /// It gives a value that is neither true nor false.
    #[error("it is neither true nor false")]
    NotBoolean,
}

impl From<&ExecutionError> for Undecided {
    fn from(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::NoSuchKey(name) => Self::Missing(name.chars().take(80).collect()),
            ExecutionError::UndeclaredReference(_) => Self::Undeclared,
            ExecutionError::DivisionByZero(_)
            | ExecutionError::RemainderByZero(_)
            | ExecutionError::Overflow(..)
            | ExecutionError::IndexOutOfBounds(_) => Self::Range,
            _ => Self::Type,
        }
    }
}

/// The language's functions, the same for all expressions.
static LIBRARY: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Expressions by their text, each compiled when it is first asked for. Whoever decides again and again keeps them.
#[derive(Default)]
pub struct Expressions(BTreeMap<String, Arc<Result<Expression, ExpressionError>>>);

impl Expressions {
    /// The expression with this text, or why it is none.
    pub fn compiled(&mut self, text: &str) -> Arc<Result<Expression, ExpressionError>> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        // Profiles change seldom: what is not in force any more is let go all at once.
        if self.0.len() >= EXPRESSIONS_KEPT_MAX {
            self.0.clear();
        }
        let compiled = Arc::new(Expression::compile(text));
        self.0.insert(text.to_owned(), Arc::clone(&compiled));
        compiled
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`ExpressionError`].
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        let program = Program::compile(text).map_err(|errors| {
            let first = errors.errors.first();
            ExpressionError {
                text: first.map_or_else(|| errors.to_string(), |error| error.msg.clone()),
                at: first.and_then(|error| offset(text, error.pos)),
            }
        })?;
        let mut walk = Walk { bound: Vec::new(), sums: 0, is_inside: false };
        walk.see(program.expression(), 0).map_err(|(id, text)| ExpressionError {
            text,
            at: program.source_info().offset_for(id).map(|(start, _)| start as usize),
        })?;
        let mut ordered = program.expression().clone();
        put_in_order(&mut ordered);
        Ok(Self { program, ordered })
    }

    /// Whether `observation` satisfies it at an age in days: `content` and `metrics` are maps, `claim` text, `adverse`
    /// boolean, `age_days` a number.
    ///
    /// # Errors
    /// Why it could not be evaluated, which counts as not satisfied.
    pub fn holds(&self, observation: &Observation, age_days: u64) -> Result<bool, Undecided> {
        let mut values = 0;
        observation.content.values().for_each(|value| count(value, &mut values));
        if values > EXPRESSION_VALUES_MAX {
            return Err(Undecided::TooMuch);
        }
        let mut context = Context::with_env(Arc::clone(&LIBRARY));
        let content: std::collections::HashMap<String, cel::Value> =
            observation.content.iter().map(|(name, value)| (name.clone(), to_cel(value))).collect();
        let metrics: std::collections::HashMap<String, i64> =
            observation.metrics.iter().map(|metric| (metric.name.clone(), metric.ppm)).collect();
        context.add_variable_from_value("claim", observation.claim.clone());
        context.add_variable_from_value("adverse", observation.adverse);
        context.add_variable_from_value("age_days", i64::try_from(age_days).unwrap_or(i64::MAX));
        context.add_variable_from_value("content", content);
        context.add_variable_from_value("metrics", metrics);
        context.add_function(ORDERED, ordered).map_err(|_| Undecided::Undeclared)?;
        match cel::Value::resolve(&self.ordered, &context) {
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err(Undecided::NotBoolean),
            Err(error) => Err(Undecided::from(&error)),
        }
    }
}

impl Expression {
    /// Its syntax tree.
    pub(super) fn tree(&self) -> &IdedExpr {
        self.program.expression()
    }
}

/// Wraps what each macro goes through.
fn put_in_order(part: &mut IdedExpr) {
    match &mut part.expr {
        Expr::Comprehension(each) => {
            let parts = [
                &mut each.iter_range,
                &mut each.accu_init,
                &mut each.loop_cond,
                &mut each.loop_step,
                &mut each.result,
            ];
            parts.into_iter().for_each(put_in_order);
            let range = std::mem::take(&mut each.iter_range);
            let id = range.id;
            let call = CallExpr { func_name: ORDERED.to_owned(), target: None, args: vec![range] };
            each.iter_range = IdedExpr { id, expr: Expr::Call(call) };
        }
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| put_in_order(target));
            call.args.iter_mut().for_each(put_in_order);
        }
        Expr::List(list) => list.elements.iter_mut().for_each(put_in_order),
        Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
            EntryExpr::MapEntry(entry) => {
                put_in_order(&mut entry.key);
                put_in_order(&mut entry.value);
            }
            EntryExpr::StructField(field) => put_in_order(&mut field.value),
        }),
        Expr::Select(select) => put_in_order(&mut select.operand),
        Expr::Ident(_) | Expr::Struct(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn ordered(range: cel::Value) -> cel::Value {
    let cel::Value::Map(map) = range else { return range };
    let mut keys: Vec<&Key> = map.map.keys().collect();
    keys.sort();
    let keys = keys.into_iter().map(|key| match key {
        Key::Int(n) => cel::Value::Int(*n),
        Key::Uint(n) => cel::Value::UInt(*n),
        Key::Bool(flag) => cel::Value::Bool(*flag),
        Key::String(text) => cel::Value::String(text.clone()),
    });
    cel::Value::List(keys.collect::<Vec<_>>().into())
}

/// A place in lines and columns, from 1, as bytes from the beginning.
fn offset(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let lines: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    Some(lines + usize::try_from(column.checked_sub(1)?).ok()?)
}

fn count(value: &Value, values: &mut usize) {
    *values += 1;
    match value {
        Value::Array(items) => items.iter().for_each(|item| count(item, values)),
        Value::Map(entries) => entries.iter().for_each(|(_, value)| count(value, values)),
        _ => {}
    }
}

/// A walk over a syntax tree, which ends at the first part that may not be there.
struct Walk<'e> {
    /// Variables of the macros around.
    bound: Vec<&'e str>,
    sums: usize,
    is_inside: bool,
}

type Seen = Result<(), (u64, String)>;

impl<'e> Walk<'e> {
    fn see(&mut self, part: &'e IdedExpr, depth: usize) -> Seen {
        let refuse = |text: String| Err((part.id, text));
        if depth > EXPRESSION_DEPTH_MAX {
            return refuse(format!("it is nested deeper than {EXPRESSION_DEPTH_MAX} levels"));
        }
        let depth = depth + 1;
        match &part.expr {
            Expr::Ident(name) => {
                let is_known = name.starts_with('@')
                    || self.bound.contains(&name.as_str())
                    || VARIABLES.contains(&name.as_str())
                    || TYPES.contains(&name.as_str());
                if is_known {
                    return Ok(());
                }
                let known = did_you_mean(name, VARIABLES);
                let all = VARIABLES.join(", ");
                refuse(format!("there is no variable {name:?}, only {all}{known}"))
            }
            Expr::Call(call) => {
                self.call(call).map_err(|text| (part.id, text))?;
                call.target.iter().try_for_each(|target| self.see(target, depth))?;
                call.args.iter().try_for_each(|argument| self.see(argument, depth))
            }
            Expr::Comprehension(each) => {
                if self.is_inside {
                    return refuse("a macro such as all or exists stands inside another".into());
                }
                self.see(&each.iter_range, depth)?;
                self.see(&each.accu_init, depth)?;
                self.bound.push(&each.iter_var);
                self.bound.extend(each.iter_var2.as_deref());
                self.bound.push(&each.accu_var);
                self.is_inside = true;
                self.see(&each.loop_cond, depth)?;
                self.see(&each.loop_step, depth)?;
                self.see(&each.result, depth)?;
                self.is_inside = false;
                self.bound.clear();
                Ok(())
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.see(element, depth)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.see(&entry.key, depth)?;
                    self.see(&entry.value, depth)
                }
                EntryExpr::StructField(field) => self.see(&field.value, depth),
            }),
            Expr::Select(select) => self.see(&select.operand, depth),
            Expr::Struct(_) => refuse("there are no messages here".into()),
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn call(&mut self, call: &CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !FUNCTIONS.contains(&name) {
            return Err(format!("there is no function {name:?} here{}", did_you_mean(name, FUNCTIONS)));
        }
        // Macros add to their own result, which is theirs to bound.
        let is_macros_own = matches!(call.args.first().map(|first| &first.expr), Some(Expr::Ident(name)) if name.starts_with('@'));
        if name == cel::common::ast::operators::ADD && !is_macros_own {
            self.sums += 1;
            if self.is_inside {
                return Err("an addition inside a macro; add up outside of it".into());
            }
            if self.sums > EXPRESSION_SUMS_MAX {
                return Err(format!("it has more than {EXPRESSION_SUMS_MAX} additions"));
            }
        }
        Ok(())
    }
}

fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Integer(n) => i64::try_from(*n).map_or(cel::Value::Null, cel::Value::Int),
        Value::Text(text) => cel::Value::String(text.clone().into()),
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Bytes(bytes) => cel::Value::Bytes(bytes.clone().into()),
        Value::Array(items) => cel::Value::List(items.iter().map(to_cel).collect::<Vec<_>>().into()),
        Value::Map(entries) => {
            let map: std::collections::HashMap<String, cel::Value> = entries
                .iter()
                .filter_map(|(key, value)| Some((key.as_text()?.to_owned(), to_cel(value))))
                .collect();
            map.into()
        }
        _ => cel::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::observation;

    #[test]
    fn what_would_cost_too_much_is_no_expression() {
        let nested = "content.a.all(x, content.b.exists(y, x == y))";
        let adds = "content.a.all(x, x + 1 > 0)";
        let many = ["content.a"; EXPRESSION_SUMS_MAX + 2].join(" + ");
        let deep = format!("{}true", "!".repeat(EXPRESSION_DEPTH_MAX + 2));
        let selects = format!("content{}", ".a".repeat(EXPRESSION_DEPTH_MAX + 2));
        let cases = [
            (nested, "inside another"),
            (adds, "addition"),
            (&many, "additions"),
            (&selects, "nested"),
            ("contnet.a == 1", "did you mean \"content\""),
            ("content.name.startWith('x')", "did you mean \"startsWith\""),
            ("x == 1", "no variable \"x\""),
        ];
        for (text, expected) in cases {
            let error = Expression::compile(text).err().unwrap_or_else(|| panic!("{text} compiles"));
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        // Pairs of negations cancel each other in the parser, or nest; either way they are bounded.
        let _ = Expression::compile(&deep);
        for text in [
            "content.a.all(x, x > 0) && content.b.exists(y, y == 'z')",
            "size(content.list) > 2 && has(content.when) && !adverse",
            "content.items.map(x, x.name).exists(n, n == 'a')",
            "'a' in content.list && metrics.auroc + 10 > age_days",
            "claim.startsWith('audit/') ? content.grade >= 2 : string(content.n) == '1'",
        ] {
            assert!(Expression::compile(text).is_ok(), "{text}: {:?}", Expression::compile(text).err());
        }
    }

    #[test]
    fn an_expression_is_compiled_once_and_what_is_kept_is_bounded() {
        let mut expressions = Expressions::default();
        let first = expressions.compiled("age_days < 3");
        assert!(Arc::ptr_eq(&first, &expressions.compiled("age_days < 3")));
        assert!(expressions.compiled("age_days <").is_err());
        for n in 0..=EXPRESSIONS_KEPT_MAX {
            expressions.0.insert(n.to_string(), Arc::clone(&first));
        }
        assert!(!Arc::ptr_eq(&first, &expressions.compiled("age_days < 4")));
        assert_eq!(expressions.0.len(), 1);
    }

    #[test]
    fn macros_go_through_the_keys_of_maps_in_their_order() {
        let mut about = observation("evaluation/x", 1);
        let keys = ["d", "b", "a", "c", "é", "Z", "", "aa"];
        let entry = |key: &&str| (Value::Text((*key).into()), Value::Integer(key.len().into()));
        about.content.insert("map".into(), Value::Map(keys.iter().map(entry).collect()));
        about.content.insert("list".into(), Value::Array(vec!["b".into(), "a".into()]));
        // Each map has an order of its own, so that an answer that depends on it would change within a few.
        for _ in 0..64 {
            for (text, expected) in [
                ("content.map.map(k, k) == ['', 'Z', 'a', 'aa', 'b', 'c', 'd', 'é']", Ok(true)),
                ("content.map.filter(k, k > 'a')[0] == 'aa'", Ok(true)),
                ("content.list.map(k, k) == ['b', 'a']", Ok(true)),
                ("content.map.all(k, content.map[k] < 3)", Ok(true)),
                ("{'y': 1, 'x': 2}.map(k, k)[0] == 'x' && [2, 1].map(n, n)[0] == 2", Ok(true)),
                // What is looked at first decides which of two mistakes is named.
                (
                    "content.map.map(k, k == 'a' ? content.one : k == 'c' ? content.two : k)[0] == ''",
                    Err("field one is not there"),
                ),
                ("content.list.exists(k, k == 'z')", Ok(false)),
                ("claim.all(k, true)", Err("a value has another type than it needs")),
            ] {
                let found = Expression::compile(text).unwrap().holds(&about, 0);
                assert_eq!(found.map_err(|why| why.to_string()), expected.map_err(str::to_owned), "{text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_decided_is_said_in_words_of_our_own() {
        let mut about = observation("evaluation/x", 1);
        about.content.insert("grade".into(), Value::Integer(3.into()));
        let map = vec![(Value::Text("a".into()), true.into()), (Value::Text("b".into()), true.into())];
        about.content.insert("map".into(), Value::Map(map));
        for (text, expected) in [
            ("content.grade == 3", Ok(true)),
            ("content.grade > 3", Ok(false)),
            ("content.absent", Err("field absent is not there".into())),
            ("min(1, 2) == 1", Err("it names what it is not given".into())),
            ("content.grade / 0 == 1", Err("a number or an index is out of range".into())),
            ("content.map + content.map == 1", Err("a value has another type than it needs".into())),
            ("content.grade", Err("it is neither true nor false".into())),
        ] {
            let found = Expression::compile(text).unwrap().holds(&about, 0);
            assert_eq!(found.map_err(|why| why.to_string()), expected, "{text}");
        }
    }
}
