//! Cells as WebAssembly: one module for many cells of one layout, a function for each; or one for a single cell, to be read
//! and run by a person.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, Elements, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, HeapType, ImportSection, Instruction, MemArg, MemorySection, MemoryType,
    Module, RefType, TableSection, TableType, TypeSection, ValType,
};

use super::cell::{Address, Cell};
use super::instructions::{body, constant, count, differs};
use super::layout::{Layout, OTHER_LARGER, TABLE_ELEMENTS, TABLE_ELEMENTS_MAX};
use super::operation::{Effect, SEGMENT_LENGTH, Type};
use super::oracle::{self, Expected, FUNCTIONS};

/// The module that imported memories and tables come from.
const HOST: &str = "host";
/// The name of the memory under test, exported or imported.
pub const MEMORY: &str = "memory";
/// The name of the table under test, exported or imported.
pub const TABLE: &str = "table";
/// The function that grows a memory or table before anything is tried.
pub const GROW: &str = "grow";
/// A function that gives the size of the memory or table: a sign of life.
pub const ALIVE: &str = "alive";
/// A function that gives the byte at an address.
pub const PEEK: &str = "peek";
/// The name of the other memory or table of a module with two.
pub const OTHER: &str = "other";

/// The name of the function that a table holds under this number.
#[must_use]
pub fn function_name(number: u32) -> String {
    format!("f{number}")
}

/// A module with one function for each of these cells, exported as its index. All must have this layout, and all be about
/// memories or all about tables.
#[must_use]
pub fn of_cells(layout: Layout, cells: &[(Cell, Address)]) -> Vec<u8> {
    let is_of_tables = cells.first().is_some_and(|(cell, _)| cell.operation.is_of_tables());
    let mut builder = Builder::new(layout, is_of_tables, true);
    for (index, (cell, address)) in cells.iter().enumerate() {
        let function = builder.cell(cell, address);
        builder.exports.export(&index.to_string(), ExportKind::Func, function);
    }
    builder.finish()
}

/// A command in the text format that does what one cell does, and traps too when the result is another than expected. The
/// host's memories and tables are its own there.
///
/// # Errors
/// When the module cannot be printed, which would be a slip in here.
pub fn reproduction(cell: &Cell, address: &Address) -> Result<String, String> {
    let expected = oracle::expected(cell, address);
    let mut builder = Builder::new(cell.layout, cell.operation.is_of_tables(), false);
    let function = builder.cell(cell, address);
    builder.start(function, cell, address, &expected);
    let text = wasmprinter::print_bytes(builder.finish()).map_err(|error| error.to_string())?;
    let page_sizes = match cell.layout.page_size_log2() {
        Some(_) => ";; pages of one byte: with wasmtime itself, add -W custom-page-sizes\n",
        None => "",
    };
    Ok(format!(";; {cell}\n;; expected: {}\n{page_sizes}{text}", shown(&expected)))
}

/// What is expected, for a reader.
#[must_use]
pub fn shown(expected: &Expected) -> String {
    match expected {
        Expected::Trap(codes) => {
            let codes: Vec<String> = codes.iter().map(|code| format!("{code:?}")).collect();
            format!("a trap ({})", codes.join(" or "))
        }
        Expected::Done { result: Some(result), .. } => format!("the result {result:#x}"),
        Expected::Done { result: None, .. } => "no trap".to_owned(),
    }
}

struct Builder {
    layout: Layout,
    is_of_tables: bool,
    types: TypeSection,
    known_types: Vec<(Vec<ValType>, Vec<ValType>)>,
    /// The function that grows.
    grow: u32,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    exports: ExportSection,
    elements: ElementSection,
    code: CodeSection,
    data: DataSection,
}

impl Builder {
    /// With the memory or table under test, which `imports` may ask from the host, and what goes with it.
    fn new(layout: Layout, is_of_tables: bool, imports: bool) -> Self {
        let mut builder = Self {
            layout,
            is_of_tables,
            types: TypeSection::new(),
            known_types: Vec::new(),
            grow: 0,
            imports: ImportSection::new(),
            functions: FunctionSection::new(),
            tables: TableSection::new(),
            memories: MemorySection::new(),
            exports: ExportSection::new(),
            elements: ElementSection::new(),
            code: CodeSection::new(),
            data: DataSection::new(),
        };
        let imported = imports && (layout == Layout::Imported || layout.is_shared());
        if is_of_tables {
            builder.table(imported);
        } else {
            builder.memory(imported);
        }
        builder.helpers();
        builder
    }

    /// The index of the memory or table under test.
    const fn index(&self) -> u32 {
        self.layout.indices().0
    }

    /// Exports it, and the other one where there are two.
    fn export(&mut self, name: &str, kind: ExportKind) {
        let (tested, other) = self.layout.indices();
        self.exports.export(name, kind, tested);
        if let Some(other) = other {
            self.exports.export(OTHER, kind, other);
        }
    }

    fn memory(&mut self, imported: bool) {
        let ty = memory_type(self.layout);
        let larger = MemoryType {
            minimum: ty.minimum + OTHER_LARGER,
            maximum: ty.maximum.map(|maximum| maximum + OTHER_LARGER),
            ..ty
        };
        match self.layout.indices() {
            _ if imported => _ = self.imports.import(HOST, MEMORY, EntityType::Memory(ty)),
            (_, None) => _ = self.memories.memory(ty),
            (0, Some(_)) => _ = self.memories.memory(ty).memory(larger),
            (_, Some(_)) => _ = self.memories.memory(larger).memory(ty),
        }
        self.export(MEMORY, ExportKind::Memory);
        self.data.passive((0..SEGMENT_LENGTH).map(|at| oracle::segment_byte(at.into())));
    }

    fn table(&mut self, imported: bool) {
        let ty = table_type(self.layout);
        let larger = TableType {
            minimum: ty.minimum + OTHER_LARGER,
            maximum: ty.maximum.map(|maximum| maximum + OTHER_LARGER),
            ..ty
        };
        match self.layout.indices() {
            _ if imported => _ = self.imports.import(HOST, TABLE, EntityType::Table(ty)),
            (_, None) => _ = self.tables.table(ty),
            (0, Some(_)) => _ = self.tables.table(ty).table(larger),
            (_, Some(_)) => _ = self.tables.table(larger).table(ty),
        }
        self.export(TABLE, ExportKind::Table);
        let ty = self.ty(&[], &[ValType::I32]);
        for number in 0..FUNCTIONS {
            let index = self.function(ty, &[Instruction::I32Const(number.cast_signed())]);
            self.exports.export(&function_name(number), ExportKind::Func, index);
        }
        let functions: Vec<u32> = (0..SEGMENT_LENGTH).filter_map(|at| oracle::segment_element(at.into())).collect();
        self.elements.passive(Elements::Functions(functions.into()));
    }

    /// What grows, and what shows that the instance is alive.
    fn helpers(&mut self) {
        let (bits, index) = (self.layout.address_bits(), self.index());
        let address = address_type(bits);
        let (grow, alive) = if self.is_of_tables {
            let null = Instruction::RefNull(HeapType::FUNC);
            let by = constant(bits, self.layout.elements().saturating_sub(TABLE_ELEMENTS));
            (vec![null, by, Instruction::TableGrow(index)], vec![Instruction::TableSize(index)])
        } else {
            let by = constant(bits, self.layout.grows_by());
            (vec![by, Instruction::MemoryGrow(index)], vec![Instruction::MemorySize(index)])
        };
        let ty = self.ty(&[], &[address]);
        self.grow = self.function(ty, &grow);
        self.exports.export(GROW, ExportKind::Func, self.grow);
        let alive = self.function(ty, &alive);
        self.exports.export(ALIVE, ExportKind::Func, alive);
        if !self.is_of_tables {
            let ty = self.ty(&[address], &[ValType::I32]);
            let byte = Instruction::I32Load8U(MemArg { offset: 0, align: 0, memory_index: index });
            let peek = self.function(ty, &[Instruction::LocalGet(0), byte]);
            self.exports.export(PEEK, ExportKind::Func, peek);
        }
    }

    fn ty(&mut self, parameters: &[ValType], results: &[ValType]) -> u32 {
        let wanted = (parameters.to_vec(), results.to_vec());
        let found = self.known_types.iter().position(|known| *known == wanted);
        let index = found.unwrap_or_else(|| {
            self.types.ty().function(parameters.iter().copied(), results.iter().copied());
            self.known_types.push(wanted);
            self.known_types.len() - 1
        });
        count(index)
    }

    fn function(&mut self, ty: u32, body: &[Instruction<'_>]) -> u32 {
        self.functions.function(ty);
        let mut function = Function::new([]);
        for instruction in body {
            function.instruction(instruction);
        }
        function.instruction(&Instruction::End);
        self.code.function(&function);
        self.functions.len() - 1
    }

    fn cell(&mut self, cell: &Cell, address: &Address) -> u32 {
        let parameters = parameter_types(cell);
        let results = result_type(cell);
        let ty = self.ty(&parameters, results.as_slice());
        let of_tables = self.ty(&[], &[ValType::I32]);
        let body = body(cell, address, self.index(), of_tables);
        self.function(ty, &body)
    }

    /// `_start`, which puts in place what the cell finds, does what it does, and holds the result against what is expected.
    fn start(&mut self, function: u32, cell: &Cell, address: &Address, expected: &Expected) {
        let mut body = Vec::new();
        if self.layout.grows_by() > 0 || self.is_of_tables {
            body.extend([Instruction::Call(self.grow), Instruction::Drop]);
        }
        if self.is_of_tables {
            body.extend(self.fill_table());
        } else if let (Expected::Done { .. }, Some(_)) = (expected, cell.operation.encode) {
            body.extend(self.fill_memory(cell, address));
        }
        let bits = cell.index_bits();
        let [first, second] = address.parameters;
        body.extend([constant(bits, first), constant(bits, second), constant(96 - bits, address.other)]);
        body.push(Instruction::Call(function));
        match (result_type(cell), expected) {
            (Some(ty), Expected::Done { result: Some(right), .. }) => {
                body.extend(differs(ty, *right));
                body.extend([Instruction::If(BlockType::Empty), Instruction::Unreachable, Instruction::End]);
            }
            (Some(_), _) => body.push(Instruction::Drop),
            (None, _) => {}
        }
        let ty = self.ty(&[], &[]);
        let start = self.function(ty, &body);
        self.exports.export("_start", ExportKind::Func, start);
    }

    /// The bytes that the cell finds, from a segment of their own.
    fn fill_memory(&mut self, cell: &Cell, address: &Address) -> Vec<Instruction<'static>> {
        let place = oracle::operand(cell, address) + u128::from(address.offset);
        let place = u64::try_from(place).unwrap_or_default();
        let width = cell.operation.width;
        let segment = self.data.len();
        let bytes = oracle::bytes_at(place, width).to_le_bytes();
        self.data.passive(bytes.into_iter().take(width as usize).collect::<Vec<u8>>());
        vec![
            constant(self.layout.address_bits(), place),
            Instruction::I32Const(0),
            constant(32, width.into()),
            Instruction::MemoryInit { mem: self.index(), data_index: segment },
        ]
    }

    /// What the table holds, from a segment of its own.
    fn fill_table(&mut self) -> Vec<Instruction<'static>> {
        let element = |index: u64| match oracle::element_at(index) {
            Some(number) => ConstExpr::ref_func(number),
            None => ConstExpr::ref_null(HeapType::FUNC),
        };
        let all: Vec<ConstExpr> = (0..self.layout.elements()).map(element).collect();
        let length = count(all.len());
        let segment = self.elements.len();
        self.elements.passive(Elements::Expressions(RefType::FUNCREF, all.into()));
        vec![
            constant(self.layout.address_bits(), 0),
            Instruction::I32Const(0),
            constant(32, length.into()),
            Instruction::TableInit { elem_index: segment, table: self.index() },
        ]
    }

    fn finish(self) -> Vec<u8> {
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.tables).section(&self.memories).section(&self.exports).section(&self.elements);
        if !self.data.is_empty() {
            module.section(&DataCountSection { count: self.data.len() });
        }
        module.section(&self.code).section(&self.data);
        module.finish()
    }
}

/// The type of the memory under test.
#[must_use]
pub fn memory_type(layout: Layout) -> MemoryType {
    MemoryType {
        minimum: layout.pages(),
        maximum: Some(layout.pages_max()),
        memory64: layout.address_bits() == 64,
        shared: layout.is_shared(),
        page_size_log2: layout.page_size_log2(),
    }
}

fn table_type(layout: Layout) -> TableType {
    TableType {
        element_type: RefType::FUNCREF,
        table64: layout.address_bits() == 64,
        minimum: layout.elements().min(TABLE_ELEMENTS),
        maximum: Some(TABLE_ELEMENTS_MAX),
        shared: false,
    }
}

const fn address_type(bits: u32) -> ValType {
    if bits == 64 { ValType::I64 } else { ValType::I32 }
}

/// The parameters of a cell's function: two as wide as an address, one of the other width.
#[must_use]
pub fn parameter_types(cell: &Cell) -> [ValType; 3] {
    let address = address_type(cell.index_bits());
    [address, address, address_type(96 - cell.index_bits())]
}

/// What a cell's function gives.
#[must_use]
pub fn result_type(cell: &Cell) -> Option<ValType> {
    let operation = cell.operation;
    match operation.effect {
        Effect::Load { .. } | Effect::Splat | Effect::Widen { .. } | Effect::LoadLane(_) | Effect::Update(_) => {
            Some(match operation.ty {
                Type::I32 => ValType::I32,
                Type::I64 => ValType::I64,
                Type::F32 => ValType::F32,
                Type::F64 => ValType::F64,
                Type::V128 => ValType::V128,
            })
        }
        Effect::Wait | Effect::Notify | Effect::Get | Effect::Call => Some(ValType::I32),
        Effect::Grow => Some(address_type(cell.index_bits())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traps::{Reserved, Share, blocks};

    #[test]
    fn every_module_of_the_matrix_is_valid() {
        let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
        for family in crate::traps::Family::ALL {
            for block in blocks(family, Share::Default, Reserved::WASMTIME) {
                let bytes = of_cells(block.layout, &block.cells);
                validator.reset();
                if let Err(error) = validator.validate_all(&bytes) {
                    panic!("{} {}: {error}", family.name(), block.layout.name());
                }
            }
        }
    }

    #[test]
    fn a_reproduction_is_a_command_that_says_what_is_expected() {
        for family in crate::traps::Family::ALL {
            for block in blocks(family, Share::Default, Reserved::WASMTIME) {
                let (cell, address) = &block.cells[block.cells.len() / 3];
                let text = reproduction(cell, address).expect("it can be printed");
                assert!(text.contains("expected: ") && text.contains("_start"), "{text}");
                let bytes = wat::parse_str(&text).expect("it is text that can be read");
                let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
                validator.validate_all(&bytes).unwrap_or_else(|error| panic!("{cell}: {error}\n{text}"));
            }
        }
    }
}
