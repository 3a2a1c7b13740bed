//! A small reader of the kernel's own type information (BTF), for what differs between kernels.
//!
//! The format is that of `Documentation/bpf/btf.rst`: a header, a run of type records of varying length, and a
//! section of zero-terminated names. Only the names of functions' parameters and the places of structures' members are
//! looked up here, so the records in between are measured and skipped.
//!
//! Our own, because aya's reader of BTF (in aya-obj) keeps both to itself.

use std::path::Path;

/// Where the running kernel shows its BTF (Linux 5.4, with `CONFIG_DEBUG_INFO_BTF`).
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Bytes that are not BTF as this reader knows it.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file cannot be read.
    #[error("cannot read the kernel's BTF: {0}")]
    Read(#[from] std::io::Error),
    /// The bytes do not begin with BTF's magic number in this machine's byte order.
    #[error("not BTF")]
    Magic,
    /// A section or record lies past the end of the data.
    #[error("BTF ends in the middle of {0}")]
    Truncated(&'static str),
    /// A record of a kind newer than this reader, which it cannot measure and so not skip.
    #[error("BTF type {id} is of the unknown kind {kind}")]
    UnknownKind {
        /// The type's number.
        id: u32,
        /// The kind's number.
        kind: u32,
    },
    /// A function whose prototype is missing or is no prototype.
    #[error("BTF function {0} has no prototype")]
    NoPrototype(String),
}

const MAGIC: u16 = 0xeb9f;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;

/// The records and the names of a parsed BTF blob.
#[derive(Debug)]
pub struct Btf {
    data: Vec<u8>,
    /// Offset in `data` of each type's record; type 0 is `void` and has none, so type `n` is at `n - 1`.
    records: Vec<usize>,
    /// Start and end of the names in `data`.
    names: (usize, usize),
}

/// The twelve bytes that every record begins with.
#[derive(Clone, Copy)]
struct Record {
    name: usize,
    kind: u32,
    /// How many entries follow, for kinds that have a list.
    entries: usize,
    /// A size or the number of another type, depending on the kind.
    size_or_type: u32,
    /// For structures: whether members' offsets carry the size of a bit field in their highest byte.
    bit_fields: bool,
}

/// Deepest nesting of unnamed members that is followed; the kernel's own do not go beyond four.
const DEEPEST: usize = 16;

impl Btf {
    /// The running kernel's.
    ///
    /// # Errors
    /// When the kernel shows none, or in a form that cannot be read.
    pub fn from_kernel() -> Result<Self, BtfError> {
        Self::from_file(Path::new(KERNEL_BTF))
    }

    /// That of a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not BTF.
    pub fn from_file(path: &Path) -> Result<Self, BtfError> {
        Self::parse(std::fs::read(path)?)
    }

    /// Reads `data` in this machine's byte order.
    ///
    /// # Errors
    /// When it is not BTF, is cut short, or has records of an unknown kind.
    pub fn parse(data: Vec<u8>) -> Result<Self, BtfError> {
        let header = "its header";
        if data.get(..2).ok_or(BtfError::Truncated(header))? != MAGIC.to_ne_bytes() {
            return Err(BtfError::Magic);
        }
        let header_length = word(&data, 4, header)?;
        let types = section(&data, header_length, word(&data, 8, header)?, word(&data, 12, header)?)?;
        let names = section(&data, header_length, word(&data, 16, header)?, word(&data, 20, header)?)?;
        let mut btf = Self { data, records: Vec::new(), names };
        let (mut at, end) = types;
        while at < end {
            let id = u32::try_from(btf.records.len() + 1).unwrap_or(u32::MAX);
            let record = btf.record(at)?;
            btf.records.push(at);
            at += 12 + tail_length(record).ok_or(BtfError::UnknownKind { id, kind: record.kind })?;
        }
        if at > end { Err(BtfError::Truncated("a type")) } else { Ok(btf) }
    }

    /// Names of the parameters of `function`, in order; `None` when the kernel has no such function.
    ///
    /// # Errors
    /// When the function's own records are damaged.
    pub fn parameters(&self, function: &str) -> Result<Option<Vec<&str>>, BtfError> {
        match self.find(function, |kind| kind == KIND_FUNC)? {
            Some((_, record)) => self.prototype(function, record.size_or_type).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes of a structure; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the records are damaged.
    pub fn size(&self, structure: &str) -> Result<Option<u32>, BtfError> {
        Ok(self.find(structure, |kind| kind == KIND_STRUCT)?.map(|(_, record)| record.size_or_type))
    }

    /// Where a member lies in a structure, in bytes; a path of several names goes into structures in structures. `None`
    /// when there is no such structure or member, or it is a bit field.
    ///
    /// # Errors
    /// When the structure's own records are damaged.
    pub fn offset(&self, structure: &str, path: &[&str]) -> Result<Option<u32>, BtfError> {
        let Some((mut at, _)) = self.find(structure, |kind| kind == KIND_STRUCT)? else { return Ok(None) };
        let mut offset_bits = 0_u32;
        for name in path {
            let Some((member_bits, member_type)) = self.member(at, name, DEEPEST)? else { return Ok(None) };
            offset_bits = offset_bits.saturating_add(member_bits);
            match self.composite(member_type)? {
                Some(inner) => at = inner,
                None if Some(name) == path.last() => {}
                None => return Ok(None),
            }
        }
        Ok(offset_bits.is_multiple_of(8).then_some(offset_bits / 8))
    }

    /// Offset in bits and type of a member, of a structure or of the unnamed ones in it.
    fn member(&self, at: usize, wanted: &str, depth: usize) -> Result<Option<(u32, u32)>, BtfError> {
        let record = self.record(at)?;
        for entry in 0..record.entries {
            let (what, entry_at) = ("a member", at + 12 + entry * 12);
            let name = word(&self.data, entry_at, what)?;
            let member_type = word_u32(&self.data, entry_at + 4, what)?;
            let offset = word_u32(&self.data, entry_at + 8, what)?;
            let offset_bits = if record.bit_fields { offset & 0xff_ffff } else { offset };
            if self.is_named(name, wanted) {
                return Ok(Some((offset_bits, member_type)));
            }
            if name != 0 || depth == 0 {
                continue;
            }
            let Some(inner) = self.composite(member_type)? else { continue };
            if let Some((inner_bits, inner_type)) = self.member(inner, wanted, depth - 1)? {
                return Ok(Some((offset_bits.saturating_add(inner_bits), inner_type)));
            }
        }
        Ok(None)
    }

    /// The record of the structure or union that a type is, behind its other names; `None` when it is neither.
    fn composite(&self, mut id: u32) -> Result<Option<usize>, BtfError> {
        for _ in 0..DEEPEST {
            let Some(at) = self.at(id) else { return Ok(None) };
            let record = self.record(at)?;
            match record.kind {
                KIND_STRUCT | KIND_UNION => return Ok(Some(at)),
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => id = record.size_or_type,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The first type of that name and kind.
    fn find(&self, name: &str, is_kind: impl Fn(u32) -> bool) -> Result<Option<(usize, Record)>, BtfError> {
        for &at in &self.records {
            let record = self.record(at)?;
            if is_kind(record.kind) && self.is_named(record.name, name) {
                return Ok(Some((at, record)));
            }
        }
        Ok(None)
    }

    /// Offset of the record of type `id`; `None` for `void` and for what is not there.
    fn at(&self, id: u32) -> Option<usize> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.records.get(index).copied()
    }

    fn prototype(&self, function: &str, id: u32) -> Result<Vec<&str>, BtfError> {
        let missing = || BtfError::NoPrototype(function.to_owned());
        let at = self.at(id).ok_or_else(missing)?;
        let prototype = self.record(at)?;
        if prototype.kind != KIND_FUNC_PROTO {
            return Err(missing());
        }
        (0..prototype.entries)
            .map(|entry| {
                let name = word(&self.data, at + 12 + entry * 8, "a parameter")?;
                self.name(name).ok_or(BtfError::Truncated("a name"))
            })
            .collect()
    }

    fn record(&self, at: usize) -> Result<Record, BtfError> {
        let what = "a type";
        let info = word_u32(&self.data, at + 4, what)?;
        Ok(Record {
            name: word(&self.data, at, what)?,
            kind: (info >> 24) & 0x1f,
            entries: (info & 0xffff) as usize,
            size_or_type: word_u32(&self.data, at + 8, what)?,
            bit_fields: info >> 31 == 1,
        })
    }

    /// Whether the name at `offset` is this one: unlike [`name`](Self::name), without looking for its end first.
    fn is_named(&self, offset: usize, wanted: &str) -> bool {
        let names = self.data.get(self.names.0..self.names.1).unwrap_or_default();
        let rest = names.get(offset..).unwrap_or_default();
        rest.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }

    /// The name at `offset` in the names; `None` when it is not there, has no end, or is not UTF-8.
    fn name(&self, offset: usize) -> Option<&str> {
        let names = self.data.get(self.names.0..self.names.1)?;
        let rest = names.get(offset..)?;
        let length = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..length]).ok()
    }
}

/// Bytes that follow the first twelve of a record; `None` for an unknown kind.
fn tail_length(record: Record) -> Option<usize> {
    Some(match record.kind {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // struct, union, data section, 64-bit enumeration
        4 | 5 | 15 | 19 => 12 * record.entries,
        // enumeration, function prototype
        6 | 13 => 8 * record.entries,
        _ => return None,
    })
}

/// Start and end of a section whose offset counts from the end of the header.
fn section(data: &[u8], header: usize, offset: usize, length: usize) -> Result<(usize, usize), BtfError> {
    let start = header.checked_add(offset).ok_or(BtfError::Truncated("a section"))?;
    let end = start.checked_add(length).filter(|&end| end <= data.len()).ok_or(BtfError::Truncated("a section"))?;
    Ok((start, end))
}

fn word_u32(data: &[u8], at: usize, what: &'static str) -> Result<u32, BtfError> {
    let bytes = data.get(at..).and_then(|rest| rest.first_chunk()).ok_or(BtfError::Truncated(what))?;
    Ok(u32::from_ne_bytes(*bytes))
}

fn word(data: &[u8], at: usize, what: &'static str) -> Result<usize, BtfError> {
    usize::try_from(word_u32(data, at, what)?).map_err(|_| BtfError::Truncated(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BTF of `int`, a struct of two members, and `int __traceiter_probe(int __data, int id)`.
    fn sample() -> Vec<u8> {
        let names = b"\0int\0pair\0__traceiter_probe\0__data\0id\0";
        let kind = |kind: u32, entries: u32| kind << 24 | entries;
        let types: Vec<u8> = [
            [1, kind(1, 0), 4].as_slice(),
            &[32],
            &[5, kind(4, 2), 8],
            &[0, 1, 0, 0, 1, 32],
            &[0, kind(KIND_FUNC_PROTO, 2), 1],
            &[28, 1, 35, 1],
            &[10, kind(KIND_FUNC, 0), 3],
        ]
        .concat()
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
        blob(&types, names)
    }

    fn blob(types: &[u8], names: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_ne_bytes();
        let mut data = MAGIC.to_ne_bytes().to_vec();
        data.extend([1, 0]);
        data.extend(24_u32.to_ne_bytes());
        data.extend(0_u32.to_ne_bytes());
        data.extend(length(types));
        data.extend(length(types));
        data.extend(length(names));
        data.extend(types);
        data.extend(names);
        data
    }

    #[test]
    fn parameters_come_in_order() {
        let btf = Btf::parse(sample()).unwrap();
        assert_eq!(btf.parameters("__traceiter_probe").unwrap(), Some(vec!["__data", "id"]));
        assert_eq!(btf.parameters("pair").unwrap(), None, "a struct is no function");
        assert_eq!(btf.parameters("").unwrap(), None);
    }

    /// BTF of a structure with a plain member, a member that is a structure, an unnamed union, and a bit field:
    /// `struct outer { int a; struct inner { int b; int c; } i; union { int d; }; int e : 3; }`.
    fn structures() -> Btf {
        let names = b"\0int\0outer\0inner\0a\0i\0b\0c\0d\0e\0";
        let (int, outer, inner, a, i, b, c, d, e) = (1, 5, 11, 17, 19, 21, 23, 25, 27);
        let kind = |kind: u32, entries: u32| kind << 24 | entries;
        let types: Vec<u8> = [
            [int, kind(1, 0), 4].as_slice(),
            &[32],
            &[inner, kind(KIND_STRUCT, 2), 8],
            &[b, 1, 0, c, 1, 32],
            &[0, kind(KIND_UNION, 1), 4],
            &[d, 1, 0],
            &[0, kind(8, 0), 2],
            &[outer, 1 << 31 | kind(KIND_STRUCT, 4), 20],
            &[a, 1, 0, i, 4, 32, 0, 3, 96, e, 1, 3 << 24 | 129],
        ]
        .concat()
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
        Btf::parse(blob(&types, names)).unwrap()
    }

    #[test]
    fn members_are_found_where_they_lie() {
        let btf = structures();
        let offset = |path: &[&str]| btf.offset("outer", path).unwrap();
        assert_eq!(offset(&["a"]), Some(0));
        assert_eq!((offset(&["i"]), offset(&["i", "b"]), offset(&["i", "c"])), (Some(4), Some(4), Some(8)));
        assert_eq!(offset(&["d"]), Some(12), "in an unnamed union");
        assert_eq!(offset(&["e"]), None, "a bit field has no address");
        assert_eq!((offset(&["b"]), offset(&["a", "b"]), offset(&["x"])), (None, None, None));
        assert_eq!(btf.offset("int", &["a"]).unwrap(), None, "no structure");
    }

    #[test]
    fn every_cut_is_an_error_and_none_panics() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(Btf::parse(whole[..length].to_vec()).is_err(), "cut to {length} bytes");
        }
    }

    #[test]
    fn every_damaged_byte_is_survived() {
        let whole = sample();
        for at in 0..whole.len() {
            for value in [0x00, 0x01, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                if let Ok(btf) = Btf::parse(damaged) {
                    let _ = btf.parameters("__traceiter_probe");
                    let _ = btf.offset("pair", &["id"]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_btf_says_so() {
        assert!(matches!(Btf::parse(b"\x7fELF".to_vec()), Err(BtfError::Magic)));
        assert!(matches!(Btf::parse(Vec::new()), Err(BtfError::Truncated(_))));
    }

    #[test]
    fn a_kind_from_the_future_says_so() {
        let record: Vec<u8> = [0, 31_u32 << 24, 0].into_iter().flat_map(u32::to_ne_bytes).collect();
        let error = Btf::parse(blob(&record, b"\0")).unwrap_err();
        assert!(matches!(error, BtfError::UnknownKind { id: 1, kind: 31 }));
    }

    #[test]
    fn a_function_without_prototype_says_so() {
        // A function whose type is 0, itself, and past the end.
        for prototype in [0, 1, 9] {
            let record: Vec<u8> = [1, KIND_FUNC << 24, prototype].into_iter().flat_map(u32::to_ne_bytes).collect();
            let btf = Btf::parse(blob(&record, b"\0f\0")).unwrap();
            assert!(matches!(btf.parameters("f"), Err(BtfError::NoPrototype(name)) if name == "f"));
        }
    }
}
