//! A timeline of the run in Chrome's trace event format, which Perfetto and chrome://tracing show: what each thread does, downloads, and
//! scripts by package.

use rootstrap_bootstrap::{Event, FetchEvent};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

/// The only process of the timeline.
const PROCESS: u32 = 1;

/// A timeline that many threads may add to.
pub(crate) struct Trace(Mutex<State>);

struct State {
    out: BufWriter<File>,
    began: Instant,
    has_entries: bool,
    /// Whether the file is complete.
    has_ended: bool,
    threads: Vec<Lane>,
}

/// What one thread is doing.
struct Lane {
    thread: ThreadId,
    /// The names of the spans that are open, outermost first: a stage, and a package in it.
    open: Vec<String>,
}

impl Trace {
    pub(crate) fn new(file: File) -> Self {
        let (out, began) = (BufWriter::new(file), Instant::now());
        Self(Mutex::new(State { out, began, has_entries: false, has_ended: false, threads: Vec::new() }))
    }

    /// Adds what an event says, which the present thread has sent. `image` is the image that it is about, if there are several.
    pub(crate) fn event(&self, image: Option<&str>, event: &Event) {
        if let Event::Of { architecture, event } = event {
            let root = image.map_or_else(|| architecture.clone(), |image| format!("{image} {architecture}"));
            return self.event(Some(&root), event);
        }
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_ended {
            return;
        }
        let lane = state.lane();
        let named = |text: &str| image.map_or_else(|| text.to_owned(), |image| format!("{image}: {text}"));
        match event {
            Event::Stage(stage) => state.replace(lane, 0, &named(stage.name()), "stage"),
            Event::Unpacking { package } => state.begin(lane, &named(&format!("decode {package}")), "decode"),
            Event::Unpacked { .. } => state.end_to(lane, 0),
            Event::Preinst { package } => state.replace(lane, 1, &named(&format!("preinst of {package}")), "script"),
            Event::Configuring { package } => state.replace(lane, 1, &named(&format!("configure {package}")), "script"),
            Event::Warning(text) => state.entry(lane, "i", &named(text), "warning", false),
            Event::Fetch(FetchEvent::IndexStarted { name, .. }) => state.entry(lane, "b", &named(name), "index", true),
            Event::Fetch(FetchEvent::IndexDone { name }) => state.entry(lane, "e", &named(name), "index", true),
            Event::Fetch(FetchEvent::DebStarted { label }) => state.entry(lane, "b", &named(label), "deb", true),
            Event::Fetch(FetchEvent::DebDone { label }) => state.entry(lane, "e", &named(label), "deb", true),
            Event::Fetch(FetchEvent::Retry { what, reason, .. }) => {
                state.entry(lane, "i", &named(&format!("retry {what}: {reason}")), "retry", false);
            }
            _ => {}
        }
    }

    /// Ends all spans and the file. A failure to write it does not stop the run.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut state.has_ended, true) {
            return;
        }
        (0..state.threads.len()).for_each(|lane| state.end_to(lane, 0));
        let end: &[u8] = if state.has_entries { b"\n]\n" } else { b"[]\n" };
        let _ = state.out.write_all(end).and_then(|()| state.out.flush());
    }
}

impl State {
    /// Returns the number of the present thread.
    fn lane(&mut self) -> usize {
        let current = std::thread::current();
        if let Some(known) = self.threads.iter().position(|lane| lane.thread == current.id()) {
            return known;
        }
        self.threads.push(Lane { thread: current.id(), open: Vec::new() });
        let lane = self.threads.len() - 1;
        let name = current.name().unwrap_or("worker");
        self.write(&json!({"ph": "M", "name": "thread_name", "pid": PROCESS, "tid": lane, "args": {"name": name}}));
        lane
    }

    /// Ends what is open at `depth` and below it, and begins another span there. A depth that does not exist is the next one.
    fn replace(&mut self, lane: usize, depth: usize, name: &str, category: &str) {
        self.end_to(lane, depth);
        self.begin(lane, name, category);
    }

    fn begin(&mut self, lane: usize, name: &str, category: &str) {
        self.entry(lane, "B", name, category, false);
        if let Some(lane) = self.threads.get_mut(lane) {
            lane.open.push(name.to_owned());
        }
    }

    /// Ends open spans until no more than `depth` are left.
    fn end_to(&mut self, lane: usize, depth: usize) {
        while let Some(name) =
            self.threads.get_mut(lane).filter(|it| it.open.len() > depth).and_then(|it| it.open.pop())
        {
            self.entry(lane, "E", &name, "", false);
        }
    }

    /// Adds an entry. One with an id belongs to the other entry of its name, on whatever thread that is.
    fn entry(&mut self, lane: usize, phase: &str, name: &str, category: &str, has_id: bool) {
        let moment = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut entry = json!({"ph": phase, "name": name, "cat": category, "ts": moment, "pid": PROCESS, "tid": lane});
        if let Some(fields) = entry.as_object_mut().filter(|_| has_id) {
            fields.insert("id".to_owned(), Value::from(name));
        }
        self.write(&entry);
    }

    fn write(&mut self, entry: &Value) {
        let before = if std::mem::replace(&mut self.has_entries, true) { ",\n" } else { "[\n" };
        let _ = write!(self.out, "{before}{entry}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rootstrap_bootstrap::Stage;

    /// Roots that are built at the same time can be told apart.
    #[test]
    fn events_of_a_platform_name_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let trace = Trace::new(file.reopen().unwrap());
        let of = |event| Event::Of { architecture: "arm64".to_owned(), event: Box::new(event) };
        trace.event(None, &of(Event::Stage(Stage::Configure)));
        trace.event(Some("web"), &of(Event::Warning("slow".to_owned())));
        trace.end();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.contains("arm64: configure") && text.contains("web arm64: slow"), "{text}");
    }

    #[test]
    fn spans_end_in_the_order_in_which_they_nest() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let trace = Trace::new(file.reopen().unwrap());
        let package = |name: &str| name.to_owned();
        trace.event(None, &Event::Stage(Stage::Configure));
        trace.event(None, &Event::Preinst { package: package("a") });
        trace.event(None, &Event::Configuring { package: package("b") });
        trace.event(None, &Event::Fetch(FetchEvent::DebStarted { label: package("c.deb") }));
        trace.event(None, &Event::Stage(Stage::Finish));
        trace.event(None, &Event::Fetch(FetchEvent::DebDone { label: package("c.deb") }));
        trace.end();
        trace.event(None, &Event::Warning("after the end".to_owned()));
        trace.end();
        let entries: Vec<Value> = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        let shown = entries
            .iter()
            .map(|entry| format!("{} {}", entry["ph"].as_str().unwrap(), entry["name"].as_str().unwrap()));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "M thread_name",
                "B configure",
                "B preinst of a",
                "E preinst of a",
                "B configure b",
                "b c.deb",
                "E configure b",
                "E configure",
                "B finish",
                "e c.deb",
                "E finish"
            ]
        );
        let moments: Vec<u64> = entries.iter().filter_map(|entry| entry["ts"].as_u64()).collect();
        assert!(moments.is_sorted());
    }
}
