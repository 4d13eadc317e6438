//! Pausing the exchange with an organisation, resuming it, and what came of it: the reconciliation report.

use std::collections::BTreeMap;

use counterfoil_federation::Input;
use counterfoil_protocol::ids::{OrganisationId, Position, StatementId, Timestamp, TreeSize};
use counterfoil_protocol::mesh::LinkState;
use counterfoil_protocol::statement::{Kind, Statement};
use serde::{Deserialize, Serialize};

use super::{Node, ServiceError};
use crate::runtime::View;
use crate::store::StoredEntry;

/// A pause of the exchange with one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// When it began.
    pub since: Timestamp,
    /// Size of the organisation's chain here at that moment.
    pub size: TreeSize,
    /// When it ended, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Timestamp>,
}

/// What came since the exchange with an organisation was paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// The pause.
    pub pause: Pause,
    /// Size of its chain here now.
    pub size: TreeSize,
    /// Whether its own node has confirmed since that this is all there is.
    pub complete: bool,
    /// Statements that came since, by kind.
    pub came: BTreeMap<Kind, u64>,
    /// Entries that came since as digests alone.
    pub withheld: u64,
    /// Recalls among what came.
    pub recalls: Vec<StatementId>,
    /// Links between the two that are without an answer.
    pub open: Vec<StatementId>,
    /// Links between the two that were not answered in time.
    pub lapsed: Vec<StatementId>,
}

impl Node {
    /// Pauses exchange with an organisation: its nodes are told nothing and believed nothing.
    ///
    /// # Errors
    /// [`ServiceError`] when it is paused already, or is this one.
    pub fn pause(&self, organisation: OrganisationId) -> Result<Pause, ServiceError> {
        if organisation == self.organisation() {
            return Err(ServiceError::caller("pause", "that is this node's own organisation"));
        }
        if let Some(pause) = self.store().pause(&organisation)?.filter(|pause| pause.resumed.is_none()) {
            let text = format!("exchange with {organisation} is paused since {}", pause.since);
            return Err(ServiceError::refused("pause", text));
        }
        let view = self.view()?;
        let size = super::covered(&view, &organisation);
        let pause = Pause { since: self.now(), size, resumed: None };
        self.store().set_pause(&organisation, &pause)?;
        self.runtime.input(Input::Pause { organisation, paused: true })?;
        Ok(pause)
    }

    /// Resumes it.
    ///
    /// # Errors
    /// [`ServiceError`] when it is not paused.
    pub fn resume(&self, organisation: OrganisationId) -> Result<Pause, ServiceError> {
        let paused = self.store().pause(&organisation)?.filter(|pause| pause.resumed.is_none());
        let Some(mut pause) = paused else {
            let text = format!("exchange with {organisation} is not paused");
            return Err(ServiceError::refused("pause", text));
        };
        pause.resumed = Some(self.now());
        self.store().set_pause(&organisation, &pause)?;
        self.runtime.input(Input::Pause { organisation, paused: false })?;
        Ok(pause)
    }

    /// For each organisation with which exchange was paused, the last time: what came since, what is missing, and which
    /// links are without an answer.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub fn reconciliation(&self) -> Result<Vec<Reconciliation>, ServiceError> {
        let view = self.view()?;
        let names = Self::names(&view);
        let links = self.links(false)?;
        let mut found = Vec::new();
        for (organisation, pause) in self.store().pauses()? {
            let between = |state: LinkState| {
                let of = links.iter().filter(|link| {
                    link.state == state
                        && [link.organisation, link.target_organisation].contains(&organisation)
                });
                of.map(|link| link.link).collect()
            };
            let size = super::covered(&view, &organisation);
            let mut one = Reconciliation {
                organisation,
                name: names.get(&organisation).cloned().unwrap_or_else(|| organisation.short()),
                complete: is_complete(&view, &organisation, &pause),
                size,
                came: BTreeMap::new(),
                withheld: 0,
                recalls: Vec::new(),
                open: between(LinkState::Open),
                lapsed: between(LinkState::Lapsed),
                pause,
            };
            self.count(&mut one)?;
            found.push(one);
        }
        Ok(found)
    }

    fn count(&self, one: &mut Reconciliation) -> Result<(), ServiceError> {
        let mut at = one.pause.size.next_position();
        while one.size.contains(at) {
            match self.store().entry(&one.organisation, at)? {
                Some(StoredEntry::Statement(bytes)) => {
                    if let Ok(statement) = Statement::parse(bytes) {
                        let kind = statement.header().kind;
                        *one.came.entry(kind).or_default() += 1;
                        if kind == Kind::Recall {
                            one.recalls.push(statement.id());
                        }
                    }
                }
                Some(StoredEntry::Withheld(_)) => one.withheld += 1,
                None => {}
            }
            at = Position(at.0.saturating_add(1));
        }
        Ok(())
    }
}

/// Whether the organisation's own node has said since the pause ended that its head here is the latest.
fn is_complete(view: &View, organisation: &OrganisationId, pause: &Pause) -> bool {
    let seen = view.chains.get(organisation).map(|replica| replica.seen.timestamp());
    pause.resumed.zip(seen).is_some_and(|(resumed, seen)| seen > resumed)
}
