//! File descriptors: as many as the system lets this process have. The usual soft limit of 1,024 is far below what a
//! busy listener needs, and whoever runs out of them can open neither journal nor database.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Returns how many descriptors this process may have.
pub fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of file descriptors can't be raised");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        assert_eq!(raise_limit(), hard);
    }
}
