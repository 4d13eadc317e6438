//! Tiles (C2SP tlog-tiles): the tree in pieces of 256 hashes, full ones immutable.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::proof::Subtrees;
use super::tree::{Hash, node_hash};
use crate::ids::TreeSize;

/// Hashes in a full tile.
pub const TILE_WIDTH: u64 = 256;
/// Levels of the tree that one tile spans.
const TILE_HEIGHT: u32 = 8;

/// Names one tile: level 0 holds leaf hashes, level 1 roots of full level-0 tiles, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Level.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
}

/// A path of the tiles resource: `tile/<level>/<index>` with `.p/<width>` behind it for a partial tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePath {
    /// Level; none for the `entries` bundles.
    pub level: Option<u8>,
    /// Index within the level.
    pub index: u64,
    /// Hashes in the tile, 1 to 256.
    pub width: u16,
}

/// A text that is no tile path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form tile/<level>/<index>[.p/<width>]")]
pub struct TilePathError(pub String);

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "tile/{level}/")?,
            None => f.write_str("tile/entries/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        for group in groups.iter().skip(1).rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{:03}", groups.first().copied().unwrap_or_default())?;
        if u64::from(self.width) < TILE_WIDTH { write!(f, ".p/{}", self.width) } else { Ok(()) }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, TilePathError> {
        let refuse = || TilePathError(text.chars().take(120).collect());
        let rest = text.strip_prefix("tile/").ok_or_else(refuse)?;
        let (level, rest) = rest.split_once('/').ok_or_else(refuse)?;
        let level = match level {
            "entries" => None,
            level => Some(level.parse::<u8>().ok().filter(|level| *level < 64).ok_or_else(refuse)?),
        };
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (index, width.parse::<u16>().map_err(|_| refuse())?),
            None => (rest, TILE_WIDTH as u16),
        };
        let mut number = 0u64;
        for group in index.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            let value = digits.parse::<u64>().map_err(|_| refuse())?;
            number = number.checked_mul(1000).and_then(|n| n.checked_add(value)).ok_or_else(refuse)?;
        }
        let path = Self { level, index: number, width };
        // One spelling per tile: what is read must be what would be written.
        if width == 0 || u64::from(width) > TILE_WIDTH || path.to_string() != text {
            return Err(refuse());
        }
        Ok(path)
    }
}

/// How many hashes tile `id` has in a tree of `size`.
pub const fn width_in(id: TileId, size: TreeSize) -> u64 {
    let shift = TILE_HEIGHT * id.level as u32;
    let at_level = if shift >= 64 { 0 } else { size.0 >> shift };
    let start = id.index.saturating_mul(TILE_WIDTH);
    let width = at_level.saturating_sub(start);
    if width > TILE_WIDTH { TILE_WIDTH } else { width }
}

/// The right border of a growing tree: the last, partial tile of each level.
///
/// Appending touches at most one tile per level; a store writes those that [`Self::take_dirty`] gives in the same batch
/// as the statements.
#[derive(Debug, Clone, Default)]
pub struct TileCursor {
    size: u64,
    rightmost: Vec<Vec<Hash>>,
    dirty: BTreeMap<TileId, Vec<Hash>>,
}

impl TileCursor {
    /// The cursor at the end of a tree of `size`, whose tiles `load` reads.
    ///
    /// Returns `None` when a tile is missing or too short.
    pub fn load(size: TreeSize, mut load: impl FnMut(TileId) -> Option<Vec<Hash>>) -> Option<Self> {
        let mut cursor = Self { size: size.0, ..Self::default() };
        let mut level = 0u8;
        loop {
            let shift = TILE_HEIGHT * u32::from(level);
            let at_level = size.0.checked_shr(shift).unwrap_or(0);
            if at_level == 0 {
                return Some(cursor);
            }
            let width = usize::try_from(at_level % TILE_WIDTH).ok()?;
            let mut hashes = Vec::new();
            if width > 0 {
                hashes = load(TileId { level, index: at_level / TILE_WIDTH })?;
                if hashes.len() < width {
                    return None;
                }
                hashes.truncate(width);
            }
            cursor.rightmost.push(hashes);
            level += 1;
        }
    }

    /// Leaves so far.
    pub const fn size(&self) -> TreeSize {
        TreeSize(self.size)
    }

    /// Adds a leaf, by its hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0u8.. {
            let shift = TILE_HEIGHT * u32::from(level);
            let index = self.size.checked_shr(shift).unwrap_or(0) / TILE_WIDTH;
            if self.rightmost.len() <= usize::from(level) {
                self.rightmost.push(Vec::new());
            }
            let Some(tile) = self.rightmost.get_mut(usize::from(level)) else { break };
            tile.push(hash);
            let full = tile.len() as u64 == TILE_WIDTH;
            self.dirty.insert(TileId { level, index }, tile.clone());
            if !full {
                break;
            }
            hash = root_of(tile);
            tile.clear();
        }
        self.size = self.size.saturating_add(1);
    }

    /// The tiles that changed since the last call, each as it is now.
    pub fn take_dirty(&mut self) -> BTreeMap<TileId, Vec<Hash>> {
        std::mem::take(&mut self.dirty)
    }
}

/// Root over a power of two of hashes.
fn root_of(hashes: &[Hash]) -> Hash {
    let mut layer = hashes.to_vec();
    while layer.len() > 1 {
        layer = layer
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    layer.first().copied().unwrap_or_else(super::tree::empty_root)
}

/// Reads a tile's bytes: hashes of 32 bytes, one behind the other.
pub fn hashes_of(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (rest.is_empty() && hashes.len() as u64 <= TILE_WIDTH).then(|| hashes.iter().map(|h| Hash(*h)).collect())
}

/// A tile's bytes.
pub fn bytes_of(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Subtree hashes out of tiles.
pub struct TileSubtrees<F>(pub F);

impl<F: Fn(TileId) -> Option<Vec<Hash>>> Subtrees for TileSubtrees<F> {
    fn subtree(&self, level: u32, index: u64) -> Option<Hash> {
        let tile_level = level / TILE_HEIGHT;
        let within = level % TILE_HEIGHT;
        let first = index.checked_shl(within)?;
        let tile = (self.0)(TileId { level: u8::try_from(tile_level).ok()?, index: first / TILE_WIDTH })?;
        let start = usize::try_from(first % TILE_WIDTH).ok()?;
        tile.get(start..start + (1 << within)).map(root_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::proof::{LeafHashes, consistency_proof, inclusion_proof};
    use crate::chain::tree::leaf_hash;
    use crate::ids::Position;

    #[test]
    fn paths_have_one_spelling() {
        for (text, level, index, width) in [
            ("tile/0/000", Some(0), 0, 256),
            ("tile/1/x001/x234/067", Some(1), 1_234_067, 256),
            ("tile/0/x001/000.p/17", Some(0), 1000, 17),
            ("tile/entries/005", None, 5, 256),
        ] {
            let path = TilePath { level, index, width };
            assert_eq!(text.parse::<TilePath>().unwrap(), path);
            assert_eq!(path.to_string(), text);
        }
        for text in [
            "tile/0/0",
            "tile/0/1000",
            "tile/0/x000/001",
            "tile/0/001.p/256",
            "tile/0/001.p/0",
            "tile/64/001",
            "x",
        ] {
            assert!(text.parse::<TilePath>().is_err(), "{text}");
        }
    }

    #[test]
    fn tiles_give_the_proofs_that_the_leaves_give() {
        let mut leaves = LeafHashes::default();
        let mut tiles: BTreeMap<TileId, Vec<Hash>> = BTreeMap::new();
        let mut cursor = TileCursor::default();
        for n in 0..70_000u64 {
            let leaf = leaf_hash(&n.to_be_bytes());
            leaves.0.push(leaf);
            cursor.append(leaf);
            if n % 300 == 0 || n == 69_999 {
                tiles.extend(cursor.take_dirty());
                // A reload at any point goes on as if nothing had happened.
                cursor = TileCursor::load(cursor.size(), |id| tiles.get(&id).cloned()).unwrap();
            }
        }
        assert_eq!(tiles.keys().map(|id| id.level).max(), Some(2));
        let subtrees = TileSubtrees(|id: TileId| tiles.get(&id).cloned());
        let size = TreeSize(70_000);
        for position in [0, 255, 256, 65_535, 65_536, 69_999] {
            let expected = inclusion_proof(&leaves, Position(position), size).unwrap();
            assert_eq!(inclusion_proof(&subtrees, Position(position), size).unwrap(), expected);
        }
        for from in [1, 256, 257, 65_536, 69_999] {
            let expected = consistency_proof(&leaves, TreeSize(from), size).unwrap();
            assert_eq!(consistency_proof(&subtrees, TreeSize(from), size).unwrap(), expected);
        }
        assert_eq!(width_in(TileId { level: 0, index: 273 }, size), 112);
        assert_eq!(width_in(TileId { level: 1, index: 1 }, size), 17);
        assert_eq!(width_in(TileId { level: 3, index: 0 }, size), 0);
        let bytes = bytes_of(&tiles[&TileId { level: 2, index: 0 }]);
        assert_eq!(hashes_of(&bytes).unwrap().len(), 1);
        assert_eq!(hashes_of(&bytes[1..]), None);
    }
}
