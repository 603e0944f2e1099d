//! One connection: bytes in and out, one command at a time.
//!
//! Invariants: a command is sent only when the answer of the one before has come; Asterisk silently loses or
//! shifts answers otherwise. A command whose future was dropped, or whose answer did not come in time, leaves the
//! connection unusable ([`AgiError::OutOfStep`]), because its answer may still come. `HANGUP` is a state
//! ([`Conn::hung_up`]), never an answer.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::command::{Command, Deadline};
use super::environment::{EnvError, Environment, Scanner};
use super::frame::{Event, Expect, FrameError, Frames};
use super::reply::Reply;
use super::stats::AgiStats;
use crate::config::limits::agi as limits;

/// How long a connection waits for what.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// The whole environment, from accept.
    pub environment: Duration,
    /// The answer of a command that plays and waits for nothing.
    pub quick: Duration,
    /// The answer of a command that plays or listens, beyond its own time.
    pub media: Duration,
    /// Taking a command off our hands.
    pub write: Duration,
    /// Closing: for Asterisk to close its side.
    pub linger: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            environment: limits::ENV_TIME,
            quick: limits::QUICK_ANSWER_TIME,
            media: limits::MEDIA_ANSWER_TIME,
            write: limits::WRITE_TIME,
            linger: limits::LINGER_TIME,
        }
    }
}

/// What was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The environment.
    Environment,
    /// Sending a command.
    Write,
    /// The answer to a command.
    Answer,
}

/// Why a connection gives no reply. All but [`AgiError::HungUp`] end the session.
#[derive(Debug, thiserror::Error)]
pub enum AgiError {
    /// The caller has hung up and the command needs a live channel. Nothing was sent; commands that Asterisk takes
    /// after hang-up still work.
    #[error("the caller has hung up")]
    HungUp,
    /// Asterisk closed the connection.
    #[error("Asterisk closed the connection")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// Nothing came, or nothing was taken, in time.
    #[error("no progress in time: {0:?}")]
    Timeout(Phase),
    /// The environment was not taken.
    #[error(transparent)]
    Environment(#[from] EnvError),
    /// What came can't be understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An earlier command got no answer, or bytes came that belong to none.
    #[error("out of step: an earlier answer is missing or ambiguous")]
    OutOfStep,
}

/// A connection from Asterisk.
#[derive(Debug)]
pub struct Conn<S> {
    io: S,
    frames: Frames,
    timeouts: Timeouts,
    stats: Arc<AgiStats>,
    hung_up: bool,
    /// A command is under way, or the stream is of no more use.
    busy: bool,
    /// A usage block may still come that answers nothing; see [`Command::has_trailing_usage`].
    trailing: bool,
    strays: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conn<S> {
    /// Takes a fresh connection. Call [`Conn::environment`] first.
    #[must_use]
    pub fn new(io: S, timeouts: Timeouts, stats: Arc<AgiStats>) -> Self {
        let frames = Frames::new(limits::READ_BYTES_FIRST);
        Self { io, frames, timeouts, stats, hung_up: false, busy: false, trailing: false, strays: 0 }
    }

    /// Reads the environment.
    ///
    /// # Errors
    /// [`AgiError`]; the session must end.
    pub async fn environment(&mut self) -> Result<Environment, AgiError> {
        let read = timeout(self.timeouts.environment, self.read_environment()).await;
        let result = read.unwrap_or(Err(AgiError::Timeout(Phase::Environment)));
        self.busy = result.is_err();
        match &result {
            Ok(_) => self.frames.lines().shrink_to(limits::READ_BYTES),
            Err(AgiError::Environment(EnvError::Forged { .. })) => self.stats.environment_forged.add(1),
            Err(AgiError::Environment(EnvError::TooLarge)) => self.stats.environment_invalid.add(1),
            Err(AgiError::Closed | AgiError::Io(_)) => self.stats.environment_cut.add(1),
            Err(error) => self.count(error),
        }
        result
    }

    async fn read_environment(&mut self) -> Result<Environment, AgiError> {
        let mut scanner = Scanner::default();
        loop {
            let line = self.frames.lines().next(limits::ENV_LINE_BYTES).map_err(|_| EnvError::TooLarge)?;
            match line {
                None => self.fill().await?,
                Some(b"HANGUP") if scanner.is_fresh() => self.set_hung_up(),
                Some(line) => {
                    if scanner.line(line)? {
                        return Ok(scanner.finish());
                    }
                }
            }
        }
    }

    /// Sends one command and waits for its answer.
    ///
    /// # Errors
    /// [`AgiError::HungUp`] leaves the connection usable; every other ends the session. A negative answer of
    /// Asterisk is no error but a [`Reply`].
    pub async fn command(&mut self, command: &Command) -> Result<Reply, AgiError> {
        if self.busy {
            return Err(AgiError::OutOfStep);
        }
        // Stays set when this future is dropped before the answer came.
        self.busy = true;
        let result = self.exchange(command).await;
        match &result {
            Ok(_) | Err(AgiError::HungUp) => self.busy = false,
            Err(error) => self.count(error),
        }
        result
    }

    async fn exchange(&mut self, command: &Command) -> Result<Reply, AgiError> {
        self.take_leftovers().await?;
        if self.hung_up && !command.permitted_after_hangup() {
            return Err(AgiError::HungUp);
        }
        let write = timeout(self.timeouts.write, self.io.write_all(command.bytes()));
        write.await.map_err(|_| AgiError::Timeout(Phase::Write))??;
        let limit = match command.deadline() {
            Deadline::Quick => Some(self.timeouts.quick),
            Deadline::Media(own) => Some(self.timeouts.media.saturating_add(own)),
            Deadline::Endless => None,
        };
        let answer = self.read_reply(command.expect());
        let reply = match limit {
            Some(limit) => timeout(limit, answer).await.map_err(|_| AgiError::Timeout(Phase::Answer))??,
            None => answer.await?,
        };
        self.stats.answers.add(1);
        match &reply {
            // An AGI run on a dead channel (extension `h`) says so only here.
            Reply::Dead => self.set_hung_up(),
            Reply::Ok(answer) => self.trailing = command.has_trailing_usage() && answer.is(1),
            _ => {}
        }
        Ok(reply)
    }

    async fn read_reply(&mut self, expect: &Expect) -> Result<Reply, AgiError> {
        loop {
            match self.frames.next(expect)? {
                Some(Event::Reply(reply)) => return Ok(reply),
                Some(Event::Hangup) => self.set_hung_up(),
                Some(Event::Provisional) => {}
                Some(Event::Stray) => self.strays(1)?,
                None => self.fill().await?,
            }
        }
    }

    /// Deals with what has come since the last answer, without waiting (but for an announced usage block).
    async fn take_leftovers(&mut self) -> Result<(), AgiError> {
        if std::mem::take(&mut self.trailing) {
            // Two segments some 40 ms apart. If none comes, this Asterisk does not send it.
            match timeout(limits::TRAILING_USAGE_TIME, self.read_reply(&Expect::Status)).await {
                Ok(Ok(_)) | Err(_) => {}
                Ok(Err(error)) => return Err(error),
            }
        }
        while self.fill_now().await? {
            self.look()?;
        }
        self.look()
    }

    fn look(&mut self) -> Result<(), AgiError> {
        let (hangup, strays) = self.frames.before_command()?;
        if hangup {
            self.set_hung_up();
        }
        self.strays(strays)
    }

    /// Waits until the caller hangs up or Asterisk closes the connection: for `select!` beside work that takes
    /// its time between two commands. May be dropped at any point.
    ///
    /// # Errors
    /// [`AgiError`]; the session must end. [`AgiError::Closed`] when Asterisk closed without a hang-up.
    pub async fn hangup(&mut self) -> Result<(), AgiError> {
        while !self.hung_up {
            self.look()?;
            if !self.hung_up {
                self.fill().await?;
            }
        }
        Ok(())
    }

    /// True once the caller has hung up, as far as was read.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.hung_up
    }

    /// Ends the session; the dialplan goes on (AGISTATUS=SUCCESS). Waits a little for Asterisk to close its side,
    /// so that its last `HANGUP` meets no reset (pystrix#5).
    pub async fn close(mut self) {
        let linger = self.timeouts.linger;
        let drained = timeout(linger, self.drain()).await;
        // A session that failed has been counted.
        if matches!(drained, Ok(Err(FrameError::Forged))) && !self.busy {
            self.stats.environment_forged.add(1);
        }
    }

    /// Ends the session as failed: AGISTATUS=FAILURE, so that the dialplan takes its fallback.
    pub async fn fail(mut self) {
        let written = timeout(self.timeouts.write, self.io.write_all(b"failure\n")).await;
        if matches!(written, Ok(Ok(()))) {
            self.close().await;
        }
    }

    /// Half-closes and reads to the end, so far as it is short. Only a forged environment is an error.
    async fn drain(&mut self) -> Result<(), FrameError> {
        if self.io.shutdown().await.is_err() {
            return Ok(());
        }
        let mut left = limits::LINGER_BYTES;
        loop {
            match self.frames.before_command() {
                Ok((true, _)) => self.set_hung_up(),
                Err(FrameError::Forged) => return Err(FrameError::Forged),
                _ => {}
            }
            let room = self.frames.lines().room();
            match self.io.read_buf(room).await {
                Ok(read) if read > 0 && read < left => left -= read,
                _ => return Ok(()),
            }
        }
    }

    /// Bytes of memory that the connection holds on the heap.
    #[must_use]
    pub fn heap_bytes(&mut self) -> usize {
        self.frames.lines().capacity()
    }

    async fn fill(&mut self) -> Result<(), AgiError> {
        match self.io.read_buf(self.frames.lines().room()).await {
            Ok(0) => Err(AgiError::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is there; false when nothing is.
    async fn fill_now(&mut self) -> Result<bool, AgiError> {
        let room = self.frames.lines().room();
        let read = poll_fn(|cx| match pin!(self.io.read_buf(room)).poll(cx) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            Poll::Pending => Poll::Ready(None),
        });
        match read.await {
            None => Ok(false),
            Some(Ok(0)) => Err(AgiError::Closed),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(error.into()),
        }
    }

    fn set_hung_up(&mut self) {
        if !std::mem::replace(&mut self.hung_up, true) {
            self.stats.hangups.add(1);
        }
    }

    fn strays(&mut self, count: u64) -> Result<(), AgiError> {
        self.strays += count;
        self.stats.stray_lines.add(count);
        if self.strays > limits::STRAY_LINES { Err(AgiError::OutOfStep) } else { Ok(()) }
    }

    fn count(&self, error: &AgiError) {
        let stats = &self.stats;
        match error {
            AgiError::HungUp => {}
            AgiError::Closed | AgiError::Io(_) => stats.broken.add(1),
            AgiError::Timeout(Phase::Environment) => stats.timeout_environment.add(1),
            AgiError::Timeout(Phase::Write) => stats.timeout_write.add(1),
            AgiError::Timeout(Phase::Answer) => stats.timeout_answer.add(1),
            AgiError::Environment(_) | AgiError::Frame(FrameError::Forged) => stats.environment_forged.add(1),
            AgiError::Frame(_) | AgiError::OutOfStep => stats.out_of_step.add(1),
        }
    }
}
