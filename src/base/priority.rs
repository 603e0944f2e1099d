//! Who gets a processor first: calls. Everything that is not on the way of a call gives way to it.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// How much nicer than the threads of the call path, in the kernel's steps of -20 to 19: at 10 a thread gets about a tenth
/// of what a call's thread gets when both want the same processor, and all of it when no call wants it.
const GIVE_WAY: i32 = 10;

/// Makes this thread the last to get a processor: for tenants' code that takes long.
///
/// Niceness is not enough. The kernel lets even the nicest thread use up its slice of some milliseconds before one that
/// woke up gets its turn, and never takes a processor for free that a nice thread has. A thread of the policy `SCHED_IDLE`
/// loses its processor at once to whoever wakes up, and a processor that has only such threads counts as free.
pub fn come_last() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::warn!(?error, "a thread of plugins can't give way to everything else");
        give_way();
    }
}

/// Makes this thread, and the threads it starts, give way to the threads of the call path. On Linux niceness belongs to
/// the thread.
pub fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), GIVE_WAY) {
        tracing::debug!(%error, "a background thread can't give way to calls");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_thread_that_gives_way_does() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = nice();
        let there = std::thread::spawn(move || {
            give_way();
            // SQLite's thread is started by one that gave way.
            (nice(), std::thread::spawn(nice).join().unwrap())
        });
        assert_eq!(there.join().unwrap(), (GIVE_WAY, GIVE_WAY));
        assert_eq!(nice(), before);
    }

    #[test]
    fn only_the_thread_that_comes_last_does() {
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
        let there = std::thread::spawn(move || {
            come_last();
            policy()
        });
        assert_eq!(there.join().unwrap(), idle);
        assert_ne!(policy(), idle);
    }
}
