//! The auditor's trust file: whose chains are meant, and whose cosignatures count.
//!
//! It has the form of a C2SP tlog-policy, with lines for organisations added:
//!
//! ```text
//! # comment
//! log <vkey> [url]
//! witness <name> <vkey> [url]
//! group <name> all|any|<k> <witness or group>...
//! quorum <witness or group>|none
//! organisation <org id> [what it is called here]
//! ```

use std::collections::BTreeMap;

use super::report::{Outcome, Report};
use super::walk::{Chain, Chains};
use crate::chain::checkpoint::verifier;
use crate::chain::cosignature::witness_name;
use crate::chain::note::VerifierKey;
use crate::ids::OrganisationId;
use crate::limits::{LABEL_BYTES_MAX, NOTE_BYTES_MAX};

/// Deepest nesting of groups.
const GROUP_DEPTH_MAX: usize = 8;

/// A trust file, read.
#[derive(Debug, Clone, Default)]
pub struct TrustFile {
    logs: Vec<VerifierKey>,
    witnesses: BTreeMap<String, VerifierKey>,
    groups: BTreeMap<String, Group>,
    quorum: Option<String>,
    organisations: BTreeMap<OrganisationId, String>,
}

#[derive(Debug, Clone)]
struct Group {
    need: usize,
    members: Vec<String>,
}

/// A line that is none of a trust file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TrustError {
    /// Which line, from one.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl TrustFile {
    /// Reads a trust file.
    ///
    /// # Errors
    /// [`TrustError`], naming the line.
    pub fn parse(text: &str) -> Result<Self, TrustError> {
        let mut file = Self::default();
        if text.len() > NOTE_BYTES_MAX {
            let what = format!("a trust file has at most {NOTE_BYTES_MAX} bytes");
            return Err(TrustError { line: 1, what });
        }
        for (index, text) in text.lines().enumerate() {
            let words: Vec<&str> = text.split_whitespace().collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            file.line(&words).map_err(|what| TrustError { line: index + 1, what })?;
        }
        Ok(file)
    }

    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", key] | ["log", key, _] => {
                self.logs.push(key.parse().map_err(|_| format!("{key} is no verifier key"))?);
            }
            ["witness", name, key] | ["witness", name, key, _] => {
                self.name_is_free(name)?;
                let key = key.parse().map_err(|_| format!("{key} is no verifier key"))?;
                self.witnesses.insert((*name).to_owned(), key);
            }
            ["group", name, need, members @ ..] => {
                self.name_is_free(name)?;
                let need = match *need {
                    "all" => members.len(),
                    "any" => 1,
                    number => number.parse().map_err(|_| format!("{number} is not all, any or a number"))?,
                };
                if need == 0 || need > members.len() {
                    return Err(format!("{need} of {} members can never decide anything", members.len()));
                }
                // Members come before the groups that name them, so no group can hold itself.
                if let Some(unknown) = members.iter().find(|member| !self.is_known(member)) {
                    return Err(format!("{unknown} is no witness or group of an earlier line"));
                }
                let members = members.iter().map(|member| (*member).to_owned()).collect();
                self.groups.insert((*name).to_owned(), Group { need, members });
            }
            ["quorum", "none"] => self.quorum = None,
            ["quorum", name] if self.is_known(name) => self.quorum = Some((*name).to_owned()),
            ["quorum", name] => return Err(format!("{name} is no witness or group of an earlier line")),
            ["organisation", id, name @ ..] => {
                let id = id.parse().map_err(|error| format!("{error}"))?;
                self.organisations.insert(id, name.join(" "));
            }
            [first, ..] => {
                return Err(format!("{first:?} is not log, witness, group, quorum or organisation"));
            }
            [] => {}
        }
        Ok(())
    }

    fn is_known(&self, name: &str) -> bool {
        self.witnesses.contains_key(name) || self.groups.contains_key(name)
    }

    fn name_is_free(&self, name: &str) -> Result<(), String> {
        if self.is_known(name) || name == "none" || name.len() > LABEL_BYTES_MAX {
            return Err(format!("{name} is taken or no name"));
        }
        Ok(())
    }

    /// Whether a chain is one of those that are meant: by its organisation, or by its log key.
    fn means(&self, chain: &Chain) -> bool {
        let organisation = chain.state.organisation();
        let mut keys = chain.state.epochs().iter().filter_map(|e| verifier(&organisation, e.key).ok());
        self.organisations.contains_key(&organisation)
            || keys.any(|key| self.logs.iter().any(|log| log.to_string() == key.to_string()))
    }

    /// Whether the cosignatures on a chain's head satisfy a witness or group.
    fn is_satisfied(&self, name: &str, signed: &[String], depth: usize) -> bool {
        if let Some(witness) = self.witnesses.get(name) {
            return signed.contains(&witness.to_string());
        }
        let Some(group) = self.groups.get(name).filter(|_| depth <= GROUP_DEPTH_MAX) else { return false };
        let found = group.members.iter().filter(|member| self.is_satisfied(member, signed, depth + 1));
        found.count() >= group.need
    }
}

/// Holds the chains against what the auditor trusts.
pub(super) fn check(trust: &TrustFile, chains: &Chains, report: &mut Report) {
    // The witnesses' keys as verifier keys, for those whose cosignatures were verified with them.
    let vkey = |witness: &OrganisationId| {
        let key = chains.get(witness)?.state.description().witness_key;
        VerifierKey::cosigner(&witness_name(witness), key).ok().map(|key| key.to_string())
    };
    for (organisation, chain) in chains {
        let input = organisation.short();
        if trust.means(chain) {
            report.pass("trust", &input, "the trust file names it");
        } else {
            report.fail("trust", &input, "the trust file names neither the organisation nor its log key");
        }
        let Some(quorum) = &trust.quorum else { continue };
        let signed: Vec<String> = chain.cosignatures.keys().filter_map(vkey).collect();
        if trust.is_satisfied(quorum, &signed, 0) {
            report.pass("trust-quorum", input, format!("{quorum} had seen its head"));
        } else {
            let detail = format!("{quorum} of the trust file had not seen its head");
            report.add("trust-quorum", Outcome::Failed, input, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named_by_line() {
        for (text, line, what) in [
            ("frobnicate x", 1, "not log"),
            ("# fine\n\nlog nonsense", 3, "no verifier key"),
            ("group g any", 1, "can never decide"),
            ("group g any w", 1, "w is no witness"),
            ("quorum w", 1, "w is no witness"),
            ("organisation x", 1, "not an id"),
        ] {
            let error = TrustFile::parse(text).unwrap_err();
            assert!(error.line == line && error.to_string().contains(what), "{text}: {error}");
        }
        assert!(TrustFile::parse("quorum none\n# nothing else\n").is_ok());
    }
}
