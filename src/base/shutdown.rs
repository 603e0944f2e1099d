//! The one word "stop", told to every part: a watch channel that goes from `false` to `true` once.

use tokio::sync::watch;

/// Says "stop". Dropping it says so too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears "stop".
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

/// A connected pair.
pub fn channel() -> (Stopper, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stopping(receiver))
}

impl Stopper {
    /// Tells every holder of the other end to stop. Saying it twice is harmless.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Whether the word has been said.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when the word is said.
    pub async fn stopped(&mut self) {
        // An error means the stopper is gone, which says the same.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// The bare receiver, for machinery that knows only tokio.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

/// Returns at SIGTERM or SIGINT.
///
/// # Errors
/// When the signal handlers can't be installed.
pub async fn signal() -> std::io::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}
