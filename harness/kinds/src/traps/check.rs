//! What can be checked without a hand-written guest.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::matrix::{Share, blocks};
use super::operation::Family;
use super::{OTHER_TRAPS, Reserved, of_cells, specification};

/// What to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The cells of one family of operations.
    Matrix {
        /// The family.
        family: Family,
        /// How many of its cells.
        share: Share,
    },
    /// Traps of every other kind.
    OtherTraps,
    /// Files of the specification's test suite.
    Specification {
        /// Which.
        group: specification::Group,
    },
}

impl Check {
    /// The first part of a case's id.
    #[must_use]
    pub const fn workload(self) -> &'static str {
        match self {
            Self::Matrix { family, .. } => family.name(),
            Self::OtherTraps => "other-traps",
            Self::Specification { group } => group.name(),
        }
    }

    /// The second part of a case's id: where its modules come from.
    #[must_use]
    pub const fn flavour(self) -> &'static str {
        match self {
            Self::Matrix { .. } | Self::OtherTraps => GENERATED,
            Self::Specification { .. } => TESTSUITE,
        }
    }

    /// All modules that the check brings along: their hash, and their bytes together.
    #[must_use]
    pub fn fingerprint(self, reserved: Reserved) -> (String, u64) {
        let mut hash = Sha256::new();
        let mut total = 0;
        let mut add = |bytes: &[u8]| {
            hash.update(bytes);
            total += bytes.len() as u64;
        };
        match self {
            Self::Matrix { family, share } => {
                blocks(family, share, reserved).iter().for_each(|block| add(&of_cells(block.layout, &block.cells)));
            }
            Self::OtherTraps => OTHER_TRAPS.iter().for_each(|trap| add(trap.wat.as_bytes())),
            Self::Specification { group } => group.files().iter().for_each(|file| add(file.text.as_bytes())),
        }
        (const_hex::encode(hash.finalize()), total)
    }
}

pub use wasiscope_model::kind::GENERATED;
/// The flavour of what comes from the specification's test suite.
pub const TESTSUITE: &str = "testsuite";
