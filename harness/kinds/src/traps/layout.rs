//! The memories and tables that cells are about.

/// The memory, or table, that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layout {
    /// One page of 64 KiB, addressed by 32 bits.
    One,
    /// One page of 64 KiB, addressed by 64 bits.
    Wide,
    /// Pages of one byte, a number of them that no page of the machine divides.
    Bytes,
    /// The same, addressed by 64 bits.
    WideBytes,
    /// No page at all.
    Zero,
    /// One page, and grown by another since.
    Grown,
    /// The host's, imported.
    Imported,
    /// Shared between threads, and imported.
    Shared,
    /// The same, addressed by 64 bits.
    WideShared,
    /// Pages of one byte, and grown since.
    GrownBytes,
    /// The first of two in a module, of which the other is larger.
    First,
    /// The second of two in a module, of which the other is larger.
    Second,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::One,
        Self::Wide,
        Self::Bytes,
        Self::WideBytes,
        Self::Zero,
        Self::Grown,
        Self::Imported,
        Self::Shared,
        Self::WideShared,
        Self::GrownBytes,
        Self::First,
        Self::Second,
    ];

    /// The name in cells.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Wide => "wide",
            Self::Bytes => "bytes",
            Self::WideBytes => "wide-bytes",
            Self::Zero => "zero",
            Self::Grown => "grown",
            Self::Imported => "imported",
            Self::Shared => "shared",
            Self::WideShared => "wide-shared",
            Self::GrownBytes => "grown-bytes",
            Self::First => "first",
            Self::Second => "second",
        }
    }

    /// Bits of an address.
    #[must_use]
    pub const fn address_bits(self) -> u32 {
        match self {
            Self::Wide | Self::WideBytes | Self::WideShared => 64,
            _ => 32,
        }
    }

    /// The binary logarithm of the bytes of a page, where it is not the usual one.
    #[must_use]
    pub const fn page_size_log2(self) -> Option<u32> {
        match self {
            Self::Bytes | Self::WideBytes | Self::GrownBytes => Some(0),
            _ => None,
        }
    }

    const fn page_bytes(self) -> u64 {
        match self.page_size_log2() {
            Some(log2) => 1 << log2,
            None => 1 << 16,
        }
    }

    /// Pages in the beginning.
    #[must_use]
    pub const fn pages(self) -> u64 {
        match self {
            Self::Bytes | Self::WideBytes | Self::GrownBytes => 4099,
            Self::Zero => 0,
            _ => 1,
        }
    }

    /// By how many pages it grows before anything is tried.
    #[must_use]
    pub const fn grows_by(self) -> u64 {
        match self {
            Self::Grown => 1,
            Self::GrownBytes => 2,
            _ => 0,
        }
    }

    /// Most pages, which the module declares.
    #[must_use]
    pub const fn pages_max(self) -> u64 {
        self.pages() + 3
    }

    /// Bytes while things are tried.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        (self.pages() + self.grows_by()) * self.page_bytes()
    }

    /// Bytes before it grows.
    #[must_use]
    pub const fn bytes_before(self) -> u64 {
        self.pages() * self.page_bytes()
    }

    /// Whether it is shared between threads.
    #[must_use]
    pub const fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::WideShared)
    }

    /// The index of the memory or table under test, and that of the other one in its module.
    #[must_use]
    pub const fn indices(self) -> (u32, Option<u32>) {
        match self {
            Self::First => (0, Some(1)),
            Self::Second => (1, Some(0)),
            _ => (0, None),
        }
    }

    /// Elements of a table of this layout.
    #[must_use]
    pub const fn elements(self) -> u64 {
        match self {
            Self::Zero => 0,
            Self::Grown => TABLE_ELEMENTS + 2,
            _ => TABLE_ELEMENTS,
        }
    }

    /// Whether tables can be like that.
    #[must_use]
    pub const fn is_of_tables(self) -> bool {
        matches!(self, Self::One | Self::Wide | Self::Zero | Self::Grown | Self::Imported | Self::First | Self::Second)
    }
}

/// Elements of a table in the beginning.
pub const TABLE_ELEMENTS: u64 = 16;
/// Most elements of a table.
pub const TABLE_ELEMENTS_MAX: u64 = TABLE_ELEMENTS + 6;
/// By how many pages, or elements, the other memory or table of a module is larger than the one under test: bounds that are
/// those of the other one are wrong on both sides.
pub const OTHER_LARGER: u64 = 2;
