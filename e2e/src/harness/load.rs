//! A running load in a namespace: its newest report, and its end.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::traffic::{Event, Failure, Report};

/// What the load has said so far.
#[derive(Debug, Default)]
struct Heard {
    ready: bool,
    failures: Vec<Failure>,
    progress: Report,
    end: Option<Report>,
    over: bool,
}

/// A load. Dropping it ends it.
#[derive(Debug)]
pub struct Load {
    child: Child,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

impl Load {
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let heard = Arc::new((Mutex::<Heard>::default(), Condvar::new()));
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || {
            // A line that is no event is the end too: it would be a defect of ours.
            let events = output.lines().map_while(|line| serde_json::from_str(&line.ok()?).ok());
            events.for_each(|event| hear(&listener, Some(event)));
            hear(&listener, None);
        });
        let load = Self { child, heard };
        load.until("the load begins", Duration::from_secs(20), |heard| heard.ready)?;
        Ok(load)
    }

    /// The newest report.
    pub fn now(&self) -> Report {
        self.lock().progress.clone()
    }

    /// Everything that has failed so far.
    pub fn failures(&self) -> Vec<Failure> {
        self.lock().failures.clone()
    }

    /// Waits until the report is as a test wants it.
    pub fn await_report(&self, what: &str, limit: Duration, wanted: impl Fn(&Report) -> bool) -> Result<Report> {
        self.until(what, limit, |heard| wanted(&heard.progress))?;
        Ok(self.now())
    }

    /// Waits until each flow that still runs has had so many more answers.
    pub fn await_more(&self, answers: u64) -> Result<Report> {
        let before = self.now();
        let alive = |name: &str, report: &Report| report.flow(name).failed == before.flow(name).failed;
        self.await_report("more answers", Duration::from_secs(30), |report| {
            let more = |name: &String| report.flow(name).answered >= before.flow(name).answered + answers;
            report
                .flows
                .keys()
                .all(|name| more(name) || !alive(name, report) || before.flow(name).failed > 0)
        })
    }

    /// Ends it and returns its report.
    pub fn stop(mut self) -> Result<Report> {
        // The end of its input is the sign.
        drop(self.child.stdin.take());
        self.until("the load ends", Duration::from_secs(20), |heard| heard.end.is_some())?;
        self.lock().end.clone().context("the load ended without a report")
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&Heard) -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        let mut heard = self.lock();
        while !wanted(&heard) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.over {
                let Heard {
                    failures,
                    progress,
                    over,
                    ..
                } = &*heard;
                bail!(
                    "{what}: not within {limit:?} (ended: {over}); first failures {:?}; {progress:?}",
                    failures.first()
                );
            }
            heard = self
                .heard
                .1
                .wait_timeout(heard, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hear(heard: &(Mutex<Heard>, Condvar), event: Option<Event>) {
    let mut state = heard.0.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Some(Event::Ready) => state.ready = true,
        Some(Event::Failure(failure)) => state.failures.push(failure),
        Some(Event::Progress(report)) => state.progress = report,
        Some(Event::Report(report)) => {
            state.progress = report.clone();
            state.end = Some(report);
        }
        None => state.over = true,
    }
    drop(state);
    heard.1.notify_all();
}
