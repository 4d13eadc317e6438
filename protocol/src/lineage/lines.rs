//! Nodes of a walk as lines of JSON, for lineages that no single answer holds.

use std::io::{self, Write};

use data_encoding::BASE32_NOPAD;

use super::index::{Index, Reached};
use crate::ids::StatementId;
use crate::observation::SubjectKey;

/// Characters of an id behind its prefix.
const ID_TEXT: usize = 52;

impl Index {
    /// Writes one line for each node: `node`, its text; `depth`, steps from the start; `via`, the kind of the edge that led
    /// there, where there is one; and, of a statement, `here`: whether it is here or only named.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_lines(
        &self,
        reached: impl IntoIterator<Item = Reached>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut line = Vec::with_capacity(192);
        for one in reached {
            line.clear();
            line.extend_from_slice(b"{\"node\":\"");
            match self.node(one.node) {
                SubjectKey::Statement(id) => {
                    line.extend_from_slice(StatementId::PREFIX.as_bytes());
                    line.push(b':');
                    let mut text = [0; ID_TEXT];
                    BASE32_NOPAD.encode_mut(id.as_bytes(), &mut text);
                    text.make_ascii_lowercase();
                    line.extend_from_slice(&text);
                    line.push(b'"');
                    let here: &[u8] =
                        if self.is_here(one.node) { b",\"here\":true" } else { b",\"here\":false" };
                    line.extend_from_slice(here);
                }
                other => {
                    other.to_string().chars().for_each(|c| escape(c, &mut line));
                    line.push(b'"');
                }
            }
            write!(line, ",\"depth\":{}", one.depth)?;
            if let Some(kind) = one.via.and_then(|edge| self.kind(edge)) {
                line.extend_from_slice(b",\"via\":\"");
                line.extend_from_slice(kind.name().as_bytes());
                line.push(b'"');
            }
            line.extend_from_slice(b"}\n");
            out.write_all(&line)?;
        }
        Ok(())
    }
}

/// A character as it stands in a JSON text (RFC 8259, section 7).
fn escape(c: char, line: &mut Vec<u8>) {
    match c {
        '"' | '\\' => line.extend_from_slice(&[b'\\', c as u8]),
        '\0'..='\u{1f}' => {
            let code = c as u8;
            let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
            line.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(code >> 4), digit(code & 15)]);
        }
        c => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{OrganisationId, Position, Timestamp};
    use crate::lineage::index::{Direction, Place};
    use crate::lineage::{Edge, EdgeKind};

    #[test]
    fn each_line_is_json_and_says_what_the_node_is() {
        let id = StatementId::from_bytes([9; 32]);
        let name = "a \"quoted\" \\ name\n\u{1}\u{7f} with ünïcode 🦀";
        let edge =
            |to| Edge { from: SubjectKey::Statement(id), kind: EdgeKind::EvidenceFor, to, asserted_by: id };
        let missing = StatementId::from_bytes([7; 32]);
        let edges = [edge(SubjectKey::Name(name.into())), edge(SubjectKey::Statement(missing))];
        let place = Place {
            organisation: OrganisationId::from_bytes([1; 32]),
            position: Position(0),
            issued_at: Timestamp(5),
        };
        let mut index = Index::default();
        index.insert(id, &place, &edges).unwrap();
        let start = index.find(&SubjectKey::Statement(id));
        let mut text = Vec::new();
        index.write_lines(index.walk(start, Direction::Backward, 10, None), &mut text).unwrap();
        let lines: Vec<serde_json::Value> = text
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], serde_json::json!({"node": id.to_string(), "here": true, "depth": 0}));
        let to_missing = serde_json::json!({"node": missing.to_string(), "here": false, "depth": 1, "via": "evidence-for"});
        let to_name = serde_json::json!({"node": format!("name:{name}"), "depth": 1, "via": "evidence-for"});
        assert!(lines.contains(&to_missing) && lines.contains(&to_name));
    }

    #[test]
    fn the_names_of_edges_are_those_of_their_encoding() {
        for kind in EdgeKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
