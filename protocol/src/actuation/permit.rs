//! Permits: a COSE-signed CWT (RFC 8392) that lets one actuator act in a decided mode, once, for a while.
//!
//! A permit is a statement like any other; its payload is a CWT claims set. Verifying one needs no network: the permit,
//! the credential path of its signer, and the time.

use std::collections::BTreeMap;

use crate::codec::{self, CodecError, Value};
use crate::cose::{Label, int, label};
use crate::ids::{ByteString, StatementId, Timestamp};
use crate::limits::PAYLOAD_BYTES_MAX;

use super::mode::Mode;

/// Private claims, in the range that RFC 8392 leaves to applications (below -65536).
mod claim {
    pub(super) const DECISION: i64 = -70_001;
    pub(super) const MODE: i64 = -70_002;
    pub(super) const SCOPES: i64 = -70_003;
    pub(super) const EFFECT_BY: i64 = -70_004;
    pub(super) const STAGE: i64 = -70_005;
}

/// What a permit allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The decision that it follows from.
    pub decision: StatementId,
    /// The mode: `continue` or `partial`.
    pub mode: Mode,
    /// The scopes that may be acted in, by dimension.
    pub scopes: BTreeMap<String, Vec<String>>,
    /// The one actuator that may use it.
    pub actuator: String,
    /// Not before.
    pub not_before: Timestamp,
    /// Not after.
    pub expires: Timestamp,
    /// One-time id.
    pub token: ByteString,
    /// Until when the effect is to be reported.
    pub effect_by: Timestamp,
    /// The stage that it is for, from one, and how many there are; none where the action has no stages, or has gone
    /// through all.
    pub stage: Option<(u32, u32)>,
}

/// Why a payload is no permit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermitError {
    /// Not strict CBOR.
    #[error("{0}")]
    Codec(#[from] CodecError),
    /// A claim is missing, unknown or of the wrong type.
    #[error("claim {0} is missing, unknown, or of the wrong type")]
    Claim(i64),
    /// Only an action that may go ahead has a permit.
    #[error("there is no permit for mode {0}")]
    Mode(Mode),
    /// Used before its time.
    #[error("not valid before {0}")]
    Early(Timestamp),
    /// Used after its time.
    #[error("expired at {0}")]
    Expired(Timestamp),
    /// Used by another actuator.
    #[error("it is for actuator {permitted:?}, not for {given:?}")]
    Actuator {
        /// Whom it is for.
        permitted: String,
        /// Who came with it.
        given: String,
    },
}

impl Permit {
    /// The CWT claims set: 3 (aud) the actuator, 4 (exp), 5 (nbf), 7 (cti), and the private claims.
    ///
    /// # Errors
    /// [`CodecError`], which no permit of legal size causes.
    pub fn to_claims(&self) -> Result<Vec<u8>, CodecError> {
        let scopes = self
            .scopes
            .iter()
            .map(|(dimension, values)| {
                let values = values.iter().cloned().map(Value::Text).collect();
                (Value::Text(dimension.clone()), Value::Array(values))
            })
            .collect();
        let time = |t: Timestamp| Value::Integer(t.0.into());
        let mut claims = vec![
            (int(3), Value::Text(self.actuator.clone())),
            (int(4), time(self.expires)),
            (int(5), time(self.not_before)),
            (int(7), Value::Bytes(self.token.0.clone())),
            (int(claim::DECISION), Value::Bytes(self.decision.as_bytes().to_vec())),
            (int(claim::MODE), Value::Text(self.mode.name().into())),
            (int(claim::SCOPES), Value::Map(scopes)),
            (int(claim::EFFECT_BY), time(self.effect_by)),
        ];
        if let Some((stage, of)) = self.stage {
            let pair = Value::Array(vec![Value::Integer(stage.into()), Value::Integer(of.into())]);
            claims.push((int(claim::STAGE), pair));
        }
        codec::to_bytes(&Value::Map(claims))
    }

    /// Reads a claims set.
    ///
    /// # Errors
    /// [`PermitError`].
    pub fn from_claims(bytes: &[u8]) -> Result<Self, PermitError> {
        let Value::Map(entries) = codec::from_bytes(bytes, PAYLOAD_BYTES_MAX)? else {
            return Err(CodecError::Shape("claims are a map".into()).into());
        };
        let mut claims: BTreeMap<i64, Value> = BTreeMap::new();
        for (name, value) in entries {
            match label(&name) {
                Label::Int(n) => claims.insert(n, value),
                _ => return Err(PermitError::Claim(0)),
            };
        }
        let stage = claims.remove(&claim::STAGE).map(stage).transpose()?;
        let mut take = |n: i64| claims.remove(&n).ok_or(PermitError::Claim(n));
        let time = |n: i64, value: Value| match value {
            Value::Integer(t) => u64::try_from(t).map(Timestamp).map_err(|_| PermitError::Claim(n)),
            _ => Err(PermitError::Claim(n)),
        };
        let text = |n: i64, value: Value| value.into_text().map_err(|_| PermitError::Claim(n));
        let bytes = |n: i64, value: Value| value.into_bytes().map_err(|_| PermitError::Claim(n));
        let decision: [u8; 32] = bytes(claim::DECISION, take(claim::DECISION)?)?
            .try_into()
            .map_err(|_| PermitError::Claim(claim::DECISION))?;
        let mode = text(claim::MODE, take(claim::MODE)?)?;
        let permit = Self {
            decision: StatementId::from_bytes(decision),
            mode: Mode::from_name(&mode).ok_or(PermitError::Claim(claim::MODE))?,
            scopes: codec::from_value(take(claim::SCOPES)?)?,
            actuator: text(3, take(3)?)?,
            not_before: time(5, take(5)?)?,
            expires: time(4, take(4)?)?,
            token: ByteString(bytes(7, take(7)?)?),
            effect_by: time(claim::EFFECT_BY, take(claim::EFFECT_BY)?)?,
            stage,
        };
        if let Some(unknown) = claims.keys().next() {
            return Err(PermitError::Claim(*unknown));
        }
        match permit.mode {
            Mode::Continue | Mode::Partial => Ok(permit),
            mode => Err(PermitError::Mode(mode)),
        }
    }

    /// Whether `actuator` may act on it at `time`. Whether it was used before is for its organisation's chain to say.
    ///
    /// # Errors
    /// [`PermitError`].
    pub fn check_use(&self, actuator: &str, time: Timestamp) -> Result<(), PermitError> {
        if time < self.not_before {
            return Err(PermitError::Early(self.not_before));
        }
        if time > self.expires {
            return Err(PermitError::Expired(self.expires));
        }
        if actuator != self.actuator {
            let (permitted, given) = (self.actuator.clone(), actuator.to_owned());
            return Err(PermitError::Actuator { permitted, given });
        }
        Ok(())
    }
}

/// A stage from one, and how many there are.
fn stage(value: Value) -> Result<(u32, u32), PermitError> {
    let number = |item: &Value| item.as_integer().and_then(|n| u32::try_from(n).ok());
    let pair = value.as_array().map(|items| items.iter().map(number).collect::<Vec<_>>());
    match pair.as_deref() {
        Some([Some(stage), Some(of)]) if (1..=*of).contains(stage) => Ok((*stage, *of)),
        _ => Err(PermitError::Claim(claim::STAGE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit() -> Permit {
        Permit {
            decision: StatementId::from_bytes([1; 32]),
            mode: Mode::Partial,
            scopes: BTreeMap::from([("site".to_owned(), vec!["north".to_owned()])]),
            actuator: "triage-service".into(),
            not_before: Timestamp(100),
            expires: Timestamp(200),
            token: ByteString(vec![7; 16]),
            effect_by: Timestamp(300),
            stage: None,
        }
    }

    #[test]
    fn claims_round_trip() {
        let bytes = permit().to_claims().unwrap();
        assert_eq!(Permit::from_claims(&bytes).unwrap(), permit());
        let staged = Permit { stage: Some((2, 3)), ..permit() };
        assert_eq!(Permit::from_claims(&staged.to_claims().unwrap()), Ok(staged));
        for stage in [(0, 3), (4, 3)] {
            let bytes = Permit { stage: Some(stage), ..permit() }.to_claims().unwrap();
            assert_eq!(Permit::from_claims(&bytes), Err(PermitError::Claim(claim::STAGE)));
        }
    }

    #[test]
    fn a_permit_is_for_one_actuator_and_one_time_span() {
        assert_eq!(permit().check_use("triage-service", Timestamp(150)), Ok(()));
        assert_eq!(
            permit().check_use("triage-service", Timestamp(99)),
            Err(PermitError::Early(Timestamp(100)))
        );
        assert_eq!(
            permit().check_use("triage-service", Timestamp(201)),
            Err(PermitError::Expired(Timestamp(200)))
        );
        assert!(matches!(permit().check_use("other", Timestamp(150)), Err(PermitError::Actuator { .. })));
    }

    #[test]
    fn there_is_no_permit_to_defer() {
        let bytes = Permit { mode: Mode::Defer, ..permit() }.to_claims().unwrap();
        assert_eq!(Permit::from_claims(&bytes), Err(PermitError::Mode(Mode::Defer)));
    }
}
