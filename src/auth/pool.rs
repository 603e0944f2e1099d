//! Hashes passwords on threads that may block: a few at a time, some waiting, and whoever comes then hears "busy" at
//! once. So a flood of logins costs a bounded amount of memory and leaves everybody else served.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::password::{self, Verdict};
use super::{AuthError, policy};
use crate::base::secret::Secret;
use crate::config::limits::auth as limits;

/// The queue for hashes.
#[derive(Clone, Debug)]
pub struct Hasher {
    /// Those that run and those that wait.
    places: Arc<Semaphore>,
    /// Those that run.
    running: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new(limits::HASHES, limits::HASHES_WAITING)
    }
}

impl Hasher {
    /// Lets `at_a_time` hashes run and `waiting` more wait.
    pub fn new(at_a_time: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_a_time + waiting)),
            running: Arc::new(Semaphore::new(at_a_time)),
        }
    }

    /// Runs one job in its turn. A caller that goes away while it runs leaves it to run to its end, place and all.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, AuthError> + Send + 'static,
    ) -> Result<T, AuthError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| AuthError::Busy)?;
        let turn = Arc::clone(&self.running).acquire_owned().await.map_err(|_| AuthError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = job();
            drop((turn, place));
            done
        });
        done.await.map_err(|_| AuthError::Internal("a password could not be hashed"))?
    }

    /// Hashes a password.
    ///
    /// # Errors
    /// [`AuthError::Busy`] when too many wait, else as [`password::hash`].
    pub async fn hash(&self, password: &Secret) -> Result<String, AuthError> {
        let password = password.clone();
        self.run(move || password::hash(password.expose())).await
    }

    /// Compares a password with a stored hash; `None` for somebody who does not exist, which takes as long.
    ///
    /// # Errors
    /// [`AuthError::Busy`] when too many wait, else as [`password::verify`].
    pub async fn verify(&self, password: &Secret, hash: Option<&str>) -> Result<Verdict, AuthError> {
        // Known and unknown alike: no hash was ever made of it.
        if policy::is_too_long(password.expose()) {
            return Ok(Verdict::Wrong);
        }
        let (password, hash) = (password.clone(), hash.map(str::to_owned));
        self.run(move || match hash {
            Some(hash) => password::verify(password.expose(), &hash),
            None => password::verify_nobody(password.expose()),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    /// Two run, three wait, every further one is refused at once; and all places come back, also those of callers that
    /// went away.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_is_bounded() {
        let hasher = Hasher::new(2, 3);
        let (most, now) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let mut tasks = Vec::new();
        for _ in 0..200 {
            let (hasher, most, now, gate) =
                (hasher.clone(), Arc::clone(&most), Arc::clone(&now), Arc::clone(&gate));
            tasks.push(tokio::spawn(async move {
                let job = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // Two must be inside before either goes on: held by the lock, then by the channel.
                    let _ = gate.lock().unwrap().recv();
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                };
                hasher.run(job).await
            }));
        }
        // All but five end without any job having ended.
        while tasks.iter().filter(|task| task.is_finished()).count() < 195 {
            tokio::task::yield_now().await;
        }
        while now.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let unfinished: Vec<usize> = (0..200).filter(|n| !tasks[*n].is_finished()).collect();
        assert_eq!(unfinished.len(), 5);
        // One caller goes away.
        tasks[unfinished[0]].abort();
        drop(open);
        let (mut busy, mut done) = (0, 0);
        for task in tasks {
            match task.await {
                Ok(Err(AuthError::Busy)) => busy += 1,
                Ok(Ok(())) => done += 1,
                Ok(Err(other)) => panic!("{other}"),
                Err(aborted) => assert!(aborted.is_cancelled()),
            }
        }
        assert_eq!((busy, done, most.load(Ordering::SeqCst)), (195, 4, 2));
        while hasher.places.available_permits() < 5 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hasher.running.available_permits(), 2);
    }

    #[tokio::test]
    async fn passwords_are_hashed_and_verified() {
        let hasher = Hasher::default();
        let password = Secret::new("hookswitch-demo-1");
        let hash = hasher.hash(&password).await.unwrap();
        assert_eq!(hasher.verify(&password, Some(&hash)).await.unwrap(), Verdict::Right);
        assert_eq!(hasher.verify(&password, None).await.unwrap(), Verdict::Wrong);
        let book = Secret::new("a".repeat(1 << 20));
        assert_eq!(hasher.verify(&book, Some(&hash)).await.unwrap(), Verdict::Wrong);
    }
}
