//! Two guests side by side in one worker. Their passes alternate A B B A, so that whatever drifts, drifts under both alike.

use super::pass::{Linked, Worker};
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::native::Native;
use wasiscope_worker::protocol::{Ending, Iteration, Message, Side, Subject, Timed};

/// Fewest instances made in each pass of a pair.
const INSTANCES: u32 = 16;

/// How the passes of a pair are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub quads: u32,
    pub compilations: u32,
    pub repeats: u32,
    pub first: Side,
}

/// One of the two guests.
enum Guest {
    Wasm(Box<Worker>),
    Native(Box<Native>),
}

/// The two guests.
pub struct Pair {
    base: Guest,
    new: Guest,
}

impl Guest {
    fn new(subject: Subject, cell: PhaseCell) -> anyhow::Result<Self> {
        if subject.native {
            return Ok(Self::Native(Box::new(Native::new(subject, cell)?)));
        }
        Ok(Self::Wasm(Box::new(Worker::new(subject, cell)?)))
    }

    /// Compiles and links, timed; nothing for a native guest.
    fn compile(&self) -> anyhow::Result<(Option<Linked>, Iteration)> {
        let Self::Wasm(worker) = self else { return Ok((None, of_phases(Vec::new()))) };
        worker.cell.begin_pass(1);
        let mut watch = worker.stopwatch();
        let linked = worker.prepare(&mut watch).map_err(reason)?;
        Ok((Some(linked), of_phases(watch.timed().to_vec())))
    }

    fn pass(&self, linked: Option<&Linked>, repeats: u32) -> anyhow::Result<Iteration> {
        match (self, linked) {
            (Self::Wasm(worker), Some(linked)) => {
                let mut pass = worker.warm(linked, repeats).map_err(reason)?;
                worker.instantiate_more(linked, INSTANCES.saturating_sub(repeats), &mut pass).map_err(reason)?;
                Ok(pass)
            }
            (Self::Wasm(worker), None) => worker.iterate(repeats).map_err(reason),
            (Self::Native(native), _) => native.iterate(),
        }
    }
}

/// wasmtime's errors are no standard errors.
fn reason(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}

/// A pass through phases in which no guest runs.
fn of_phases(timed: Vec<Timed>) -> Iteration {
    Iteration {
        entered: timed.iter().map(|timed| timed.phase).collect(),
        timed,
        spans: Vec::new(),
        memory: Vec::new(),
        measured: Vec::new(),
        counts: Vec::new(),
        spreads: Vec::new(),
        preemptions: None,
        line: None,
        ending: Ending::Returned,
        outputs: Vec::new(),
    }
}

impl Pair {
    pub fn new(base: Subject, new: Subject, cell: PhaseCell) -> anyhow::Result<Self> {
        Ok(Self { base: Guest::new(base, cell)?, new: Guest::new(new, cell)? })
    }

    fn guest(&self, side: Side) -> &Guest {
        match side {
            Side::Base => &self.base,
            Side::New => &self.new,
        }
    }

    /// Runs the whole layout; `send` gets every pass, a quad at a time.
    pub fn run(&self, layout: Layout, send: &mut dyn FnMut(&Message) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let Layout { quads, compilations, repeats, first } = layout;
        // One of each that does not count: first times are slower, and one side has to be first.
        let (linked_first, once_first) = self.guest(first).compile()?;
        let (linked_second, once_second) = self.guest(first.other()).compile()?;
        if compilations == 0 {
            send(&Message::Compared { side: first, iteration: once_first })?;
            send(&Message::Compared { side: first.other(), iteration: once_second })?;
        }
        for quad in 0..compilations {
            self.quad(order(first, quad), send, &|side| Ok(self.guest(side).compile()?.1))?;
        }
        let linked = |side| if side == first { linked_first.as_ref() } else { linked_second.as_ref() };
        let pass = |side| self.guest(side).pass(linked(side), repeats);
        for side in [first, first.other()] {
            pass(side)?;
        }
        for quad in 0..quads {
            self.quad(order(first, quad), send, &pass)?;
        }
        Ok(())
    }

    /// Four passes; they are sent when all are done, so that the parent sleeps meanwhile.
    fn quad(
        &self,
        order: [Side; 4],
        send: &mut dyn FnMut(&Message) -> anyhow::Result<()>,
        pass: &dyn Fn(Side) -> anyhow::Result<Iteration>,
    ) -> anyhow::Result<()> {
        let mut passes = Vec::with_capacity(order.len());
        for side in order {
            passes.push(Message::Compared { side, iteration: pass(side)? });
        }
        passes.iter().try_for_each(send)
    }
}

/// A B B A, then B A A B, and so on.
fn order(first: Side, quad: u32) -> [Side; 4] {
    let outer = if quad.is_multiple_of(2) { first } else { first.other() };
    [outer, outer.other(), outer.other(), outer]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quads_mirror_each_other() {
        use Side::{Base as A, New as B};
        assert_eq!(order(A, 0), [A, B, B, A]);
        assert_eq!(order(A, 1), [B, A, A, B]);
        assert_eq!(order(B, 0), [B, A, A, B]);
    }
}
