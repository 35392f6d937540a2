//! The one thread that starts processes.
//!
//! "Die with the parent" means, to the kernel, with the *thread* that started the process. Threads of the runtime come and
//! go, so they must not start such processes; this one lives as long as its owner.

use std::io;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::sync::oneshot;

struct Request {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Hands commands to the thread; the thread ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// Starts the thread. Must be called within a tokio runtime, which then waits for the processes.
    pub(super) fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let (requests, received) = mpsc::channel::<Request>();
        std::thread::Builder::new()
            .name("tulle-spawner".to_owned())
            .spawn(move || {
                let _entered = runtime.enter();
                for mut request in received {
                    // Nobody waits for the answer any more: then nobody must be started either.
                    if !request.reply.is_closed() {
                        drop(request.reply.send(request.command.spawn()));
                    }
                }
            })?;
        Ok(Self { requests })
    }

    /// Starts a process.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.requests.send(Request { command, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
