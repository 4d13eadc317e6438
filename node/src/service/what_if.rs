//! Recorded decisions under other circumstances, or under another profile. Nothing is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use counterfoil_protocol::actuation::Mode;
use counterfoil_protocol::admissibility::gather::{Inputs, case, open_head};
use counterfoil_protocol::admissibility::scenario::{Setting, read_evidence};
use counterfoil_protocol::admissibility::what_if::{
    Comparison, Difference, Supposition, difference, what_if, with_profile,
};
use counterfoil_protocol::admissibility::{Decision, Evaluator, Profile, Verdict};
use counterfoil_protocol::chain::head::Head;
use counterfoil_protocol::codec;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp};
use counterfoil_protocol::limits::PAYLOAD_BYTES_MAX;
use counterfoil_protocol::statement::{Kind, Payload, Statement, Verified};
use serde::{Deserialize, Serialize};

use super::decide::{Gathered, authority_names};
use super::known::Known;
use super::read::NODES_MAX;
use super::{Node, ServiceError, covered};
use crate::runtime::View;
use crate::store::{Placed, StoredEntry};

/// What somebody supposes of a recorded decision.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suppose {
    /// Statements that would not be there.
    #[serde(default)]
    pub without: Vec<String>,
    /// Files of evidence that would be there, as texts.
    #[serde(default)]
    pub with: Vec<String>,
    /// Authorities that would have been revoked before they spoke.
    #[serde(default)]
    pub revoke: Vec<String>,
    /// When it would be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Two verdicts on one request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Supposed {
    /// The decision.
    pub decision: StatementId,
    /// The two verdicts, and what differs.
    #[serde(flatten)]
    pub comparison: Comparison,
    /// `role of organisation` for each authority.
    pub authorities: BTreeMap<String, String>,
    /// What the supposed evidence is called.
    pub supposed: BTreeMap<String, String>,
}

/// What a profile would have made of past decisions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shadow {
    /// The profile.
    pub profile: String,
    /// Decisions, in the order in which they were made.
    pub decisions: Vec<Shadowed>,
    /// How many decisions had one mode and would have another: `continue -> defer`.
    pub summary: BTreeMap<String, usize>,
    /// Whether there are more decisions than are listed.
    pub truncated: bool,
}

/// One past decision under another profile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Shadowed {
    /// The decision.
    pub decision: StatementId,
    /// When it was made.
    pub time: Timestamp,
    /// The action that was asked about.
    pub action: String,
    /// As it was decided.
    pub before: Mode,
    /// As it would have been; none where it cannot be computed.
    pub after: Option<Mode>,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// What differs, requirement by requirement.
    pub difference: Option<Difference>,
}

impl Node {
    /// A recorded decision as it would be under other circumstances.
    ///
    /// # Errors
    /// [`ServiceError`], also when what the decision was made from is not here any more.
    pub fn what_if(&self, id: &StatementId, suppose: &Suppose) -> Result<Supposed, ServiceError> {
        let view = self.view()?;
        let verified = self.verified_one(&view, id)?;
        let decision = decision(&verified)?;
        let gathered = self.frozen(&view, decision)?;
        let time = suppose.at.unwrap_or(decision.time);
        let names = Self::names(&view);
        // A name that no organisation has is that of one that is supposed too.
        let organisation = |text: &str| {
            let known = names.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(id, _)| *id);
            known
                .or_else(|| text.parse().ok())
                .unwrap_or_else(|| OrganisationId::from_bytes(*blake3::hash(text.as_bytes()).as_bytes()))
        };
        let setting = Setting { time, subjects: &decision.request.subjects, organisation: &organisation };
        let (mut with, mut supposed) = (Vec::new(), BTreeMap::new());
        for text in &suppose.with {
            let found = read_evidence(text, &setting).map_err(|remarks| {
                let lines: Vec<String> = remarks.iter().map(ToString::to_string).collect();
                ServiceError::caller("evidence", lines.join("; "))
            })?;
            for (name, evidence) in found {
                supposed.insert(evidence.statement.to_string(), name);
                with.push(evidence);
            }
        }
        let revoked = suppose.revoke.iter().map(|text| self.authority_anywhere(&view, text));
        let suppose = Supposition {
            without: suppose.without.iter().map(|text| self.resolve(text)).collect::<Result<_, _>>()?,
            with,
            revoked: revoked.collect::<Result<_, _>>()?,
            at: suppose.at,
        };
        let inputs = gathered.inputs(verified.organisation(), decision.request.clone(), decision.time);
        let comparison = what_if(inputs, &suppose)
            .map_err(|error| ServiceError::caller("supposition", error.to_string()))?;
        check_same(decision, &comparison.before)?;
        let mut authorities = authority_names(&view, &comparison.before);
        authorities.extend(authority_names(&view, &comparison.after));
        Ok(Supposed { decision: *id, comparison, authorities, supposed })
    }

    /// What a profile would have made of the own decisions of a period.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn shadow(&self, toml: &str, period: (Timestamp, Timestamp)) -> Result<Shadow, ServiceError> {
        let profile = profile(toml)?;
        let view = self.view()?;
        let organisation = self.organisation();
        let mut shadow = Shadow {
            profile: profile.id.clone(),
            decisions: Vec::new(),
            summary: BTreeMap::new(),
            truncated: false,
        };
        let mut evaluator = Evaluator::default();
        for position in 0..covered(&view, &organisation).0 {
            let position = Position(position);
            let Some(StoredEntry::Statement(bytes)) = self.store().entry(&organisation, position)? else {
                continue;
            };
            let Ok(statement) = Statement::parse(bytes) else { continue };
            if statement.header().kind != Kind::Decision {
                continue;
            }
            let Ok(Payload::Decision(decision)) = Payload::decode(Kind::Decision, statement.payload()) else {
                continue;
            };
            if decision.time < period.0 || decision.time > period.1 {
                continue;
            }
            if shadow.decisions.len() == NODES_MAX {
                shadow.truncated = true;
                break;
            }
            let one = self.shadowed(&view, statement.id(), &decision, &profile, &mut evaluator);
            let after = one.after.map_or("unknown", Mode::name);
            *shadow.summary.entry(format!("{} -> {after}", one.before)).or_default() += 1;
            shadow.decisions.push(one);
        }
        Ok(shadow)
    }

    fn shadowed(
        &self,
        view: &View,
        id: StatementId,
        decision: &Decision,
        profile: &Profile,
        evaluator: &mut Evaluator,
    ) -> Shadowed {
        let outcome = self.frozen(view, decision).and_then(|gathered| {
            let inputs = gathered.inputs(self.organisation(), decision.request.clone(), decision.time);
            let recorded = case(&inputs)?;
            let wrong = |error: counterfoil_protocol::admissibility::evaluate::CaseError| {
                ServiceError::refused("case", error.to_string())
            };
            let before = evaluator.evaluate(&recorded).map_err(wrong)?;
            check_same(decision, &before)?;
            let supposed = with_profile(recorded, decision.activation, profile);
            let after = evaluator.evaluate(&supposed).map_err(wrong)?;
            Ok((before, after))
        });
        let (time, action) = (decision.time, decision.request.action.clone());
        match outcome {
            Ok((before, after)) => Shadowed {
                decision: id,
                time,
                action,
                before: decision.mode,
                after: Some(after.mode),
                reasons: after.reasons.iter().map(|reason| reason.text.to_string()).collect(),
                difference: Some(difference(&before, &after)),
            },
            Err(error) => Shadowed {
                decision: id,
                time,
                action,
                before: decision.mode,
                after: None,
                reasons: vec![error.to_string()],
                difference: None,
            },
        }
    }

    /// What a recorded decision was made from, and nothing else.
    fn frozen(&self, view: &View, decision: &Decision) -> Result<Gathered, ServiceError> {
        let gone =
            |what: String| ServiceError::absent(format!("{what}; the decision cannot be computed again"));
        let mut chains = BTreeMap::new();
        for basis in &decision.basis {
            let organisation = basis.organisation;
            let replica = view.chains.get(&organisation);
            let replica = replica.ok_or_else(|| gone(format!("the chain of {organisation} is not here")))?;
            let size = Head::parse(basis.head.0.as_slice())
                .map_err(|error| gone(format!("its head of {organisation}: {error}")))?
                .claimed_size();
            let known = Known::under(replica, size, basis.clone())?;
            open_head(basis, &known.state)?;
            chains.insert(organisation, known);
        }
        let mut by_chain: BTreeMap<OrganisationId, Vec<Placed>> = BTreeMap::new();
        for item in &decision.evidence {
            let placed = self.store().statement(&item.statement)?;
            let placed =
                placed.ok_or_else(|| gone(format!("{}, which it weighed, is not here", item.statement)))?;
            by_chain.entry(placed.organisation).or_default().push(placed);
        }
        let mut evidence = Vec::with_capacity(decision.evidence.len());
        for (organisation, placed) in by_chain {
            evidence.extend(self.verified(view, &organisation, placed)?.into_iter().map(Arc::new));
        }
        let forked: BTreeSet<OrganisationId> = decision.forked.iter().copied().collect();
        let inquiries = decision.inquiries.clone();
        let (mesh, silence) = (decision.mesh, decision.silence);
        Ok(Gathered { chains, evidence, mesh, forked, inquiries, silence })
    }

    /// The authority with this id, or unambiguous role, of any organisation.
    fn authority_anywhere(
        &self,
        view: &View,
        text: &str,
    ) -> Result<counterfoil_protocol::ids::AuthorityId, ServiceError> {
        if let Ok(id) = text.parse() {
            return Ok(id);
        }
        let matches = |role: &str, organisation: &str| {
            role == text || format!("{role} of {organisation}").eq_ignore_ascii_case(text)
        };
        let all = view.chains.values().flat_map(|replica| {
            let name = &replica.state().description().name;
            replica.state().authorities().iter().map(move |(id, record)| (*id, &record.credential.role, name))
        });
        let found: Vec<_> = all.filter(|(_, role, name)| matches(role, name)).map(|(id, ..)| id).collect();
        match found.as_slice() {
            [id] => Ok(*id),
            [] => Err(ServiceError::absent(format!("no authority known here is called {text:?}"))),
            _ => Err(ServiceError::caller(
                "id",
                format!("{text:?} is ambiguous; say \"ROLE of ORGANISATION\""),
            )),
        }
    }
}

fn decision(verified: &Verified) -> Result<&Decision, ServiceError> {
    match verified.payload() {
        Payload::Decision(decision) => Ok(decision),
        _ => {
            let text = format!("{} is a statement of kind {}", verified.id(), verified.kind());
            Err(ServiceError::caller("decision", text))
        }
    }
}

/// A profile's text, for a profile that is to be tried.
fn profile(toml: &str) -> Result<Profile, ServiceError> {
    Profile::from_toml(toml).map_err(|error| ServiceError::caller("profile", error.to_string()))
}

/// Whether a decision computed again is the one that was recorded: nothing is supposed of anything else.
fn check_same(decision: &Decision, again: &Verdict) -> Result<(), ServiceError> {
    let recorded: Verdict = codec::decode(&decision.verdict.0, PAYLOAD_BYTES_MAX)?;
    if recorded == *again {
        return Ok(());
    }
    let text = format!("it records {}, and what it was made from gives {}", recorded.mode, again.mode);
    Err(ServiceError::refused("decision", text))
}

impl Gathered {
    /// All of it as the input of a decision.
    pub(super) fn inputs(
        &self,
        decider: OrganisationId,
        request: counterfoil_protocol::actuation::Request,
        time: Timestamp,
    ) -> Inputs<'_> {
        Inputs {
            decider,
            request,
            time,
            mesh: self.mesh,
            chains: self.chains.iter().map(|(id, known)| (*id, known.view())).collect(),
            inquiries: self.inquiries.clone(),
            silence: self.silence,
            evidence: self.evidence.iter().map(Arc::as_ref).collect(),
            forked: self.forked.clone(),
        }
    }
}
