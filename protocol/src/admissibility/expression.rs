//! CEL expressions over one piece of evidence: compiled once, boolean, without side effects.
//!
//! An expression that fails (a field that is not there, a type that does not fit) is not satisfied, and says why.

use cel::{Context, Program};
use serde::Serialize;

use crate::codec::Value;
use crate::ids::Timestamp;
use crate::observation::Observation;

/// A compiled expression.
pub struct Expression(Program);

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression does not compile: {0}")]
pub struct ExpressionError(pub String);

/// What an expression sees.
#[derive(Serialize)]
struct Scope<'a> {
    claim: &'a str,
    adverse: bool,
    age_days: u64,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`ExpressionError`].
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        Program::compile(text).map(Self).map_err(|e| ExpressionError(e.to_string()))
    }

    /// Whether `observation` satisfies it at `time`: `content` and `metrics` are maps, `claim` text, `adverse` boolean,
    /// `age_days` a number.
    ///
    /// # Errors
    /// Why it could not be evaluated, which counts as not satisfied.
    pub fn holds(&self, observation: &Observation, time: Timestamp) -> Result<bool, String> {
        let mut context = Context::default();
        let scope = Scope {
            claim: &observation.claim,
            adverse: observation.adverse,
            age_days: time.since(observation.effective) / 86_400,
        };
        let content: std::collections::HashMap<String, cel::Value> =
            observation.content.iter().map(|(name, value)| (name.clone(), to_cel(value))).collect();
        let metrics: std::collections::HashMap<String, i64> =
            observation.metrics.iter().map(|metric| (metric.name.clone(), metric.ppm)).collect();
        context.add_variable_from_value("claim", scope.claim.to_owned());
        context.add_variable_from_value("adverse", scope.adverse);
        context.add_variable_from_value("age_days", i64::try_from(scope.age_days).unwrap_or(i64::MAX));
        context.add_variable_from_value("content", content);
        context.add_variable_from_value("metrics", metrics);
        match self.0.execute(&context) {
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("the expression is not boolean".into()),
            Err(error) => Err(error.to_string()),
        }
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
