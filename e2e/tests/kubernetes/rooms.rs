//! Several clusters at a time, each in a room of its own with a process of its own, which runs one test after the other: most of a test
//! on Kubernetes is waiting.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ExitCode, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{JoinHandle, ScopedJoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use operator::process::{Pid, ended};
use tulle_e2e::cluster::{self, Cluster, Inside};
use tulle_e2e::harness::tulle;
use tulle_e2e::pods::say;

use super::session::Session;
use super::test_of;

/// A cluster is down in seconds, but whatever is done to it at that moment comes to its end first.
const END: Duration = Duration::from_mins(5);
/// No test takes so long.
const LONGEST: Duration = Duration::from_mins(30);

/// The rooms of this run.
#[derive(Debug)]
pub(crate) struct Rooms {
    made: cluster::Rooms,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In which no test runs.
    free: Vec<Room>,
    /// Rooms without a process.
    numbers: BTreeSet<usize>,
    /// Those of them that may have something left in them.
    unclean: BTreeSet<usize>,
    /// All processes that were started, with what ends them.
    processes: Vec<(Pid, Input)>,
    interrupted: bool,
}

impl State {
    /// A process has ended otherwise than it should.
    fn give_back(&mut self, number: usize) {
        self.numbers.insert(number);
        self.unclean.insert(number);
    }
}

/// A process ends, and its cluster with it, when this does.
type Input = Arc<Mutex<Option<ChildStdin>>>;

/// A process in a room.
#[derive(Debug)]
struct Room {
    number: usize,
    process: Child,
    id: Pid,
    orders: Input,
    answers: mpsc::Receiver<String>,
    /// What it says passes through.
    words: JoinHandle<()>,
    /// The test, for who reads the words of several.
    test: Arc<Mutex<String>>,
}

impl Rooms {
    /// Rooms with nobody in them. None where the machine refuses them, which is said.
    pub(crate) fn open(count: usize) -> Result<Option<Self>> {
        // From within a room nothing can be fetched.
        tulle()?;
        Cluster::prepare()?;
        match cluster::Rooms::open() {
            Ok(made) => {
                let numbers = (1..=count).collect();
                let state = Mutex::new(State {
                    numbers,
                    ..State::default()
                });
                Ok(Some(Self { made, state }))
            }
            Err(error) => {
                say(&format!(
                    "two clusters at a time are not possible here, so one test after the other: {error:#}"
                ));
                Ok(None)
            }
        }
    }

    /// Runs a test in a room where none runs; the error is that of the test.
    pub(crate) fn run(&self, name: &str) -> Result<(), String> {
        let mut room = self.take().map_err(|error| format!("{error:?}"))?;
        let done = room.run(name);
        let mut state = self.unless_interrupted();
        match done {
            Ok(done) => {
                state.free.push(room);
                done
            }
            Err(error) => {
                drop(state);
                let (number, end) = (room.number, room.end());
                self.state().give_back(number);
                Err(format!("the process of the room: {error:?}; {end:?}"))
            }
        }
    }

    /// A room with a process.
    fn take(&self) -> Result<Room> {
        let mut state = self.unless_interrupted();
        if let Some(room) = state.free.pop() {
            return Ok(room);
        }
        let number = state.numbers.pop_first().context("every room is in use")?;
        let opened = Room::open(&self.made, number);
        match &opened {
            Ok(room) => {
                state.unclean.remove(&number);
                state.processes.push((room.id, room.orders.clone()));
            }
            Err(_) => state.give_back(number),
        }
        opened
    }

    /// Who comes here after an interruption stays: its test has not failed, and nothing else begins. This process ends when the rooms
    /// have.
    fn unless_interrupted(&self) -> MutexGuard<'_, State> {
        loop {
            let state = self.state();
            if !state.interrupted {
                return state;
            }
            drop(state);
            std::thread::park();
        }
    }

    /// Takes every cluster down.
    pub(crate) fn end(&self) -> Result<()> {
        let (mut rooms, unclean) = {
            let mut state = self.state();
            (std::mem::take(&mut state.free), std::mem::take(&mut state.unclean))
        };
        for number in unclean {
            // It cleans the room when it enters.
            rooms.push(Room::open(&self.made, number)?);
        }
        let ended: Vec<Result<()>> = std::thread::scope(|scope| {
            let threads: Vec<_> = rooms.into_iter().map(|room| scope.spawn(|| room.end())).collect();
            let joined = threads.into_iter().map(ScopedJoinHandle::join);
            joined
                .map(|end| end.unwrap_or_else(|_| Err(anyhow!("a panic"))))
                .collect()
        });
        self.made.end();
        ended.into_iter().collect()
    }

    /// The same, whatever tests run.
    pub(crate) fn interrupt(&self) -> Result<()> {
        let processes = {
            let mut state = self.state();
            state.interrupted = true;
            std::mem::take(&mut state.processes)
        };
        for (_, orders) in &processes {
            locked(orders).take();
        }
        let processes: Vec<Pid> = processes.into_iter().map(|(process, _)| process).collect();
        let all = ended(&processes, END);
        self.made.end();
        ensure!(all, "not every room has ended; `ps` shows what runs in it");
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Room {
    fn open(rooms: &cluster::Rooms, number: usize) -> Result<Self> {
        let mut process = rooms
            .command(number, &std::env::current_exe()?)
            // Ctrl-C is for us, who end it in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot make a room")?;
        let test = Arc::new(Mutex::new(format!("room {number}")));
        let (name, words) = (test.clone(), process.stderr.take().context("no errors")?);
        let words = std::thread::spawn(move || {
            for line in BufReader::new(words).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                // There is nobody to tell if this fails.
                let _ = writeln!(std::io::stderr(), "[{}] {line}", locked(&name));
            }
        });
        let orders = process.stdin.take().context("no input")?;
        let answers = process.stdout.take().context("no output")?;
        let (sender, received) = mpsc::channel();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(answers).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            number,
            id: Pid::of(process.id()).context("it has ended at once")?,
            process,
            orders: Arc::new(Mutex::new(Some(orders))),
            answers: received,
            words,
            test,
        })
    }

    /// An error of the room, or what became of the test.
    fn run(&mut self, name: &str) -> Result<Result<(), String>> {
        name.clone_into(&mut locked(&self.test));
        writeln!(locked(&self.orders).as_mut().context("it is being ended")?, "{name}")?;
        let answer = self.answers.recv_timeout(LONGEST).context("no answer")?;
        let failure: Option<String> = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        Ok(failure.map_or(Ok(()), Err))
    }

    fn end(mut self) -> Result<()> {
        locked(&self.orders).take();
        if !ended(&[self.id], END) {
            self.process.kill()?;
        }
        let status = self.process.wait()?;
        // What it said of its end comes before what is said of it.
        let _ = self.words.join();
        ensure!(
            status.success(),
            "the process of room {} has ended with {status}",
            self.number
        );
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process of a room: runs the tests that are asked for.
pub(crate) fn serve() -> ExitCode {
    let inside = match Inside::enter() {
        Ok(inside) => inside,
        Err(error) => {
            say(&format!("the room cannot be used: {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let session = Session::default();
    for name in orders(session.clone(), inside) {
        let answer = match test_of(&name) {
            Some(test) => session.run(&name, test),
            None => Err(format!("there is no test {name}")),
        };
        if writeln!(std::io::stdout(), "{}", serde_json::json!(answer.err())).is_err() {
            break;
        }
    }
    // The end of the input ends the process.
    loop {
        std::thread::park();
    }
}

/// The names on the input. Its end is that of the process: either no test is left, or nobody waits for the one that runs.
fn orders(session: Session, inside: Inside) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            // Nobody receives it after the output's end; then the input ends soon.
            let _ = sender.send(line);
        }
        let ended = session.end().and_then(|()| inside.leave());
        if let Err(error) = &ended {
            say(&format!("the cluster was not taken down: {error:#}"));
        }
        std::process::exit(i32::from(ended.is_err()));
    });
    receiver
}
