//! Random histories of requests and deaths against three promises.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::json;

use crate::support::{Asked, Client, Event, Served, WorkerDouble, config_with};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A client sends a request, `true`: with side effects.
    Ask(bool),
    /// Worker n reads and begins its next request, and returns from the handler.
    Begin(usize),
    /// Worker n answers one that it has begun.
    Answer(usize, usize),
    /// Worker n dies; `true`: in the handler of its next record. Another takes its place.
    Die(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Ask),
        3 => (0usize..2).prop_map(Step::Begin),
        3 => (0usize..2, any::<usize>()).prop_map(|(at, which)| Step::Answer(at, which)),
        1 => (0usize..2, any::<bool>()).prop_map(|(at, running)| Step::Die(at, running)),
    ]
}

/// What the test knows of one worker.
struct Model {
    worker: WorkerDouble,
    /// Begun and not answered.
    begun: Vec<Asked>,
}

/// How often each path was begun, and in which record it was killing.
#[derive(Default)]
struct History {
    begun: HashMap<String, u32>,
    killed: HashMap<String, u32>,
}

impl Model {
    fn new(served: &Served, home: u16) -> Self {
        let mut worker = served.worker(home);
        worker.eager = false;
        Self {
            worker,
            begun: Vec::new(),
        }
    }

    /// Begins the next request, if there is one.
    fn begin(&mut self, history: &mut History) -> Option<Asked> {
        loop {
            match self.worker.poll()? {
                Event::Request(asked) => {
                    self.worker.begin(&asked);
                    *history.begun.entry(asked.path().to_owned()).or_default() += 1;
                    return Some(asked);
                }
                _ => self.worker.release(),
            }
        }
    }

    /// Returns from the handler. As JavaScript does, the head of the ring moves behind what was begun; here at
    /// once, because a batch is one record long.
    fn return_from(&mut self, asked: Asked) {
        self.worker.release();
        self.worker.rest();
        self.begun.push(asked);
    }
}

fn run(reactors: u8, steps: &[Step]) -> Result<(), TestCaseError> {
    let served = Served::start(&config_with(json!({}), json!({ "reactors": reactors })));
    let mut history = History::default();
    let mut models = [Model::new(&served, 0), Model::new(&served, 1)];
    let mut clients: Vec<(String, Client)> = Vec::new();
    for &step in steps {
        match step {
            Step::Ask(has_effects) => {
                let path = format!(
                    "/{}{}",
                    if has_effects { "post" } else { "get" },
                    clients.len()
                );
                let mut client = served.connect();
                if has_effects {
                    client.post(&path, b"x");
                } else {
                    client.get(&path);
                }
                clients.push((path, client));
                let sent = clients.len() as u64;
                served.until("the request", |stats| stats.counters.request_count == sent);
            }
            Step::Begin(at) => {
                if let Some(asked) = models[at].begin(&mut history) {
                    models[at].return_from(asked);
                }
            }
            Step::Answer(at, which) => {
                let model = &mut models[at];
                if !model.begun.is_empty() {
                    let asked = model.begun.remove(which % model.begun.len());
                    model.worker.answer(&asked, asked.path());
                }
            }
            Step::Die(at, running) => {
                if running && let Some(asked) = models[at].begin(&mut history) {
                    *history.killed.entry(asked.path().to_owned()).or_default() += 1;
                }
                let slot = models[at].worker.slot;
                // The new one is there before the old one dies, as in a reload.
                let next = Model::new(&served, at as u16);
                drop(std::mem::replace(&mut models[at], next));
                served.gone(slot);
            }
        }
    }
    finish(&served, &mut models, &mut history, clients)
}

/// Lets the workers answer everything, and looks at what the clients got.
fn finish(
    served: &Served,
    models: &mut [Model; 2],
    history: &mut History,
    clients: Vec<(String, Client)>,
) -> Result<(), TestCaseError> {
    served.until("nothing in flight", |stats| {
        for model in models.iter_mut() {
            while let Some(asked) = model.begin(history) {
                model.return_from(asked);
            }
            for asked in std::mem::take(&mut model.begun) {
                model.worker.answer(&asked, asked.path());
            }
        }
        stats.concurrency == 0
    });
    for (path, mut client) in clients {
        let response = client.response();
        let begun = history.begun.get(&path).copied().unwrap_or_default();
        let killed = history.killed.get(&path).copied().unwrap_or_default();
        let most = if path.starts_with("/post") { 1 } else { 2 };
        prop_assert!(begun <= most, "{} was begun {} times", path, begun);
        prop_assert!(killed <= 1, "{} killed twice", path);
        match response.status {
            200 => {
                prop_assert_eq!(response.text(), &path);
                prop_assert_eq!(killed, 0, "{} was replayed although it killed", path);
            }
            503 => prop_assert!(begun > 0, "{} was refused and never begun", path),
            other => prop_assert!(false, "{} got {}", path, other),
        }
        // One answer, and nothing behind it.
        client.half_close();
        prop_assert_eq!(client.rest(), b"".to_vec());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_one_answer_no_effect_happens_twice_and_no_killer_is_replayed(
        reactors in 1u8..3,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(reactors, &steps)?;
    }
}
