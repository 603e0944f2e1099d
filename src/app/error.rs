//! Why the service, or a command, could not do its work: one sentence that says what to do next.

use crate::config::ConfigError;

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database does not answer, or a statement failed.
    #[error("database: {0}; check database.url (HOOKSWITCH_DATABASE_URL) and that the server runs")]
    Database(#[from] sqlx::Error),
    /// The schema is not what it should be.
    #[error(transparent)]
    Migrate(#[from] crate::db::MigrateError),
    /// A file or socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Anything that the sentence explains.
    #[error("{0}")]
    Said(String),
}
