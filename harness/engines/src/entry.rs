//! What is called in an instance.

use wasmtime::{Func, FuncType, Instance, Store, TypedFunc, Val, ValType};

use wasmtime_wasi::I32Exit;

use super::host::Host;
use wasiscope_guest::module::{Number, NumberType};
use wasiscope_worker::protocol::Subject;

/// What is called in an instance, found and converted before any clock runs.
pub struct Entry {
    /// `_initialize` of a reactor: its runtime's start.
    initialize: Option<Func>,
    /// `_start`, where it comes before the function that is measured.
    start_first: Option<Func>,
    /// `_start`, or the function that the user named.
    main: Main,
    results: Vec<Val>,
}

enum Main {
    /// `_start`, without the detour over values of any type.
    Start(TypedFunc<(), ()>),
    /// What the user named, with its arguments.
    Named(Func, Vec<Val>),
}

impl Entry {
    pub fn find(subject: &Subject, store: &mut Store<Host>, instance: &Instance) -> wasmtime::Result<Self> {
        let Some(name) = &subject.input.invoke else {
            let start = instance.get_typed_func::<(), ()>(&mut *store, "_start")?;
            return Ok(Self { initialize: None, start_first: None, main: Main::Start(start), results: Vec::new() });
        };
        let named = instance
            .get_func(&mut *store, name)
            .ok_or_else(|| wasmtime::format_err!("the guest exports no function `{name}`"))?;
        let ty = named.ty(&*store);
        let results = vec![Val::I32(0); ty.results().len()];
        let main = Main::Named(named, parameters(name, &ty, &subject.input.args)?);
        let start_first = match subject.input.start_first {
            true => instance.get_func(&mut *store, "_start"),
            false => None,
        };
        Ok(Self { initialize: instance.get_func(&mut *store, "_initialize"), start_first, main, results })
    }

    /// Whether anything is called before the function that is measured.
    pub fn initializes(&self) -> bool {
        self.initialize.is_some() || self.start_first.is_some()
    }

    /// Calls what comes before the function that is measured.
    pub fn initialize(&self, store: &mut Store<Host>) -> wasmtime::Result<()> {
        if let Some(initialize) = &self.initialize {
            initialize.call(&mut *store, &[], &mut [])?;
        }
        if let Some(start) = &self.start_first {
            let started = start.call(&mut *store, &[], &mut []);
            // Many a command ends `_start` in this way, and is as ready for calls as after a return.
            let exit = |error: &wasmtime::Error| error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0);
            started.or_else(|error| if exit(&error) { Ok(()) } else { Err(error) })?;
        }
        // Marks are those of the function that is measured.
        store.data_mut().marks.forget();
        Ok(())
    }

    pub fn call(&mut self, store: &mut Store<Host>) -> wasmtime::Result<()> {
        match &self.main {
            Main::Start(start) => start.call(store, ()),
            Main::Named(named, params) => named.call(store, params, &mut self.results),
        }
    }
}

impl Entry {
    /// What the last call gave, as text.
    pub fn results(&self) -> Vec<String> {
        self.results.iter().map(shown).collect()
    }
}

/// The arguments of the command line as what the function takes.
fn parameters(name: &str, ty: &FuncType, args: &[String]) -> wasmtime::Result<Vec<Val>> {
    if ty.params().len() != args.len() {
        wasmtime::bail!("`{name}` takes {} arguments, {} were given with --arg", ty.params().len(), args.len());
    }
    let value = |(ty, text): (ValType, &String)| {
        let number_type = match ty {
            ValType::I32 => Some(NumberType::I32),
            ValType::I64 => Some(NumberType::I64),
            ValType::F32 => Some(NumberType::F32),
            ValType::F64 => Some(NumberType::F64),
            _ => None,
        };
        match number_type.and_then(|number_type| Number::parse(number_type, text)) {
            Some(Number::I32(value)) => Ok(Val::I32(value)),
            Some(Number::I64(value)) => Ok(Val::I64(value)),
            Some(Number::F32(bits)) => Ok(Val::F32(bits)),
            Some(Number::F64(bits)) => Ok(Val::F64(bits)),
            None => Err(wasmtime::format_err!("`{text}` is no value of type {ty}, which `{name}` takes")),
        }
    };
    ty.params().zip(args).map(value).collect()
}

/// A result as text; references have none.
pub fn shown(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => format!("{other:?}"),
    }
}
