//! The latest inputs of each kind that an engine got, to be given to it again.

use std::collections::{BTreeMap, VecDeque};

use counterfoil_federation::Input;
use counterfoil_federation::message::{GOSSIP_BYTES_MAX, Hint, Request, Response, Topic};
use counterfoil_protocol::codec;

/// Inputs of one kind that are kept.
const KEPT_MAX: usize = 2;

/// The latest inputs of one engine since it started.
#[derive(Debug, Default)]
pub struct Inputs(BTreeMap<&'static str, VecDeque<Input>>);

impl Inputs {
    /// Keeps a copy of an input, unless it is one after which the engine ends.
    pub fn keep(&mut self, input: &Input) {
        let Some(kind) = kind(input) else { return };
        let kept = self.0.entry(kind).or_default();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(input.clone());
    }

    /// The kinds of which there are inputs.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// All that is kept, kind by kind.
    pub fn all(&self) -> impl Iterator<Item = &Input> {
        self.0.values().flatten()
    }
}

/// The kind of an input; none of those after which the engine ends.
fn kind(input: &Input) -> Option<&'static str> {
    Some(match input {
        Input::Append { .. } => "append",
        Input::Durable(_) => "durable",
        Input::HeadLocked { outcome: Ok(()), .. } => "head locked",
        Input::HeadLocked { .. } | Input::WriteFailed { .. } => return None,
        Input::Cosigned { .. } => "cosigned",
        Input::EnterMesh { .. } => "enter mesh",
        Input::Connected(_) => "connected",
        Input::Disconnected(_) => "disconnected",
        Input::Unreached(_) => "unreached",
        Input::Asked { request, .. } => asked(request),
        Input::Answered { response, .. } => answered(response),
        Input::Failed(_) => "failed",
        Input::Proven { .. } => "proven",
        Input::Pause { .. } => "pause",
        Input::Gather { .. } => "gather",
        Input::Locate { .. } => "locate",
        Input::Lacking { .. } => "lacking",
        Input::Heard { topic, bytes, .. } => heard(*topic, bytes),
        Input::Wake => "wake",
    })
}

const fn asked(request: &Request) -> &'static str {
    match request {
        Request::Hello(_) => "asked hello",
        Request::Heads { .. } => "asked heads",
        Request::Ranges { .. } => "asked ranges",
        Request::Announcements { .. } => "asked announcements",
        Request::Latest { .. } => "asked latest",
        Request::Offer(_) => "asked offer",
        Request::Entries { .. } => "asked entries",
        Request::Reveal { .. } => "asked reveal",
        Request::Evidence { .. } => "asked evidence",
        Request::Whereabouts { .. } => "asked whereabouts",
        Request::Consistency { .. } => "asked consistency",
        Request::Cosigned { .. } => "asked cosigned",
    }
}

const fn answered(response: &Response) -> &'static str {
    match response {
        Response::Hello { .. } => "answered hello",
        Response::Same { .. } => "answered same",
        Response::Vector { .. } => "answered vector",
        Response::TooMany { .. } => "answered too many",
        Response::Ranges(_) => "answered ranges",
        Response::Announcements(_) => "answered announcements",
        Response::Latest { .. } => "answered latest",
        Response::Entries(_) => "answered entries",
        Response::Evidence(_) => "answered evidence",
        Response::Whereabouts(_) => "answered whereabouts",
        Response::Revealed(_) => "answered revealed",
        Response::Consistency(_) => "answered consistency",
        Response::Noted => "answered noted",
        Response::Refused(_) => "answered refused",
    }
}

fn heard(topic: Topic, bytes: &[u8]) -> &'static str {
    let hint = codec::decode::<Hint>(bytes, GOSSIP_BYTES_MAX);
    match (topic, hint) {
        (Topic::Proofs, _) => "heard proof",
        (Topic::Heads, Ok(Hint::Notice(_))) => "heard notice on heads",
        (Topic::Heads, Ok(Hint::Head(_))) => "heard head on heads",
        (Topic::Links, Ok(Hint::Notice(_))) => "heard notice on links",
        (Topic::Links, Ok(Hint::Head(_))) => "heard head on links",
        (Topic::Recalls, Ok(Hint::Notice(_))) => "heard notice on recalls",
        (Topic::Recalls, Ok(Hint::Head(_))) => "heard head on recalls",
        (_, Err(_)) => "heard noise",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_federation::outbox::Ticket;

    #[test]
    fn the_latest_of_each_kind_are_kept() {
        let mut inputs = Inputs::default();
        (0..4).for_each(|n| inputs.keep(&Input::Durable(Ticket(n))));
        inputs.keep(&Input::Wake);
        inputs.keep(&Input::WriteFailed { ticket: Ticket(9), reason: "the end".into() });
        inputs.keep(&Input::HeadLocked { ticket: Ticket(9), outcome: Err(None) });
        assert_eq!(inputs.kinds().collect::<Vec<_>>(), ["durable", "wake"]);
        let kept: Vec<String> = inputs.all().map(|input| format!("{input:?}")).collect();
        assert_eq!(kept, ["Durable(Ticket(2))", "Durable(Ticket(3))", "Wake"]);
    }
}
