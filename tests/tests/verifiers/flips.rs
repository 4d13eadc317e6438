//! Single changed bytes, with the digest made to fit, so that what refuses them lies deeper.

use counterfoil_protocol::digest::blake3;

use super::parts::{Case, resealed};
use super::valid;

/// How many changes of each base; `MUTATIONS` says how many of all.
fn each(bases: usize) -> u64 {
    let wanted = std::env::var("MUTATIONS").ok().and_then(|text| text.parse::<u64>().ok());
    wanted.unwrap_or(600).div_ceil(bases as u64)
}

/// The last item, which is made to fit.
const SEAL: usize = 34;

/// Spread evenly over each file, the same each time.
pub(crate) fn all() -> Vec<Case> {
    let bases = [
        ("lineage", valid::lineage()),
        ("sparse", valid::sparse()),
        ("disclosed", valid::disclosed()),
        ("withheld", valid::withheld()),
    ];
    let mut found = Vec::new();
    for (base, bytes) in &bases {
        for n in 0..each(bases.len()) {
            let random = blake3(&[base.as_bytes(), &n.to_be_bytes()].concat());
            let at = u64::from_be_bytes(random[..8].try_into().unwrap()) as usize % (bytes.len() - SEAL);
            let mut changed = bytes.clone();
            changed[at] ^= random[8].max(1);
            found.push(Case { name: format!("{base}: byte {at} changed"), bytes: resealed(changed) });
        }
    }
    found
}
