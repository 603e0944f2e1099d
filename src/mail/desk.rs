//! Sends what is due. A mail is taken in hand before it is sent, for longer than sending may take: when this process dies
//! over it, it is anybody's again after that time.

use std::time::Duration;

use super::outbox::{self, Became, Due};
use super::{Letter, MailError, Mailer};
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::config::limits::sound as limits;
use crate::db::Db;
use crate::storage::{Storage, StorageError};

/// What sends mail.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Where attached sounds lie.
    pub storage: Storage,
    /// The way out.
    pub mailer: Mailer,
    /// After how long a mail is given up.
    pub give_up: Duration,
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

impl Desk {
    /// Works until `stopping`.
    pub async fn run(self, mut stopping: Stopping) {
        loop {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "mail that is due can't be read");
            }
            tokio::select! {
                () = tokio::time::sleep(limits::MAIL_LOOK_TIME) => {}
                () = stopping.stopped() => return,
            }
        }
    }

    /// Sends everything that is due.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn round(&self) -> sqlx::Result<()> {
        for due in outbox::due(&self.db, self.clock.now_us()).await? {
            let until_us = self.clock.now_us() + us(limits::MAIL_HELD_TIME);
            if outbox::take(&self.db, &due, until_us).await? {
                let became = self.send(&due).await;
                match &became {
                    Became::Sent(_) => {
                        tracing::info!(tenant.id = due.tenant_id, mail.id = due.id, "a mail was sent")
                    }
                    Became::Later(why, _) => {
                        tracing::warn!(tenant.id = due.tenant_id, mail.id = due.id, why, "a mail waits");
                    }
                    Became::Failed(why) => {
                        tracing::error!(
                            tenant.id = due.tenant_id,
                            mail.id = due.id,
                            why,
                            "a mail is given up"
                        );
                    }
                }
                outbox::finish(&self.db, &due, &became, self.clock.now_us()).await?;
            }
        }
        Ok(())
    }

    /// A mail's sound; `None`: it goes without.
    async fn sound(&self, due: &Due) -> Result<Option<bytes::Bytes>, String> {
        if due.attachment_key.is_empty() {
            return Ok(None);
        }
        let reading = self.storage.bytes(&due.attachment_key, limits::ATTACHMENT_BYTES);
        match tokio::time::timeout(limits::READ_TIME, reading).await {
            Ok(Ok(bytes)) => Ok(Some(bytes)),
            Ok(Err(StorageError::TooLarge)) => Ok(None),
            // It may be on its way into the store still.
            _ if due.tries < limits::SOUND_TRIES => Err("The sound is not in the store yet.".into()),
            _ => Ok(None),
        }
    }

    async fn send(&self, due: &Due) -> Became {
        let now_us = self.clock.now_us();
        let sound = match self.sound(due).await {
            Ok(sound) => sound,
            Err(why) => return Became::Later(why, now_us + limits::wait_s(due.tries + 1) * 1_000_000),
        };
        let without = sound.is_none() && !due.attachment_key.is_empty();
        let note =
            if without { "\nThe sound is not attached: it is too large, or could not be had.\n" } else { "" };
        let (attached, name) = (sound.is_some(), due.attachment_name.as_str());
        let letter = Letter {
            id: &due.id,
            to: &due.recipient,
            subject: &due.subject,
            body: format!("{}{note}", due.body),
            attachment: sound.map(|bytes| (name, bytes)),
        };
        match self.mailer.send(letter).await {
            Ok(()) => Became::Sent(attached),
            Err(MailError::Never(why)) => Became::Failed(why),
            Err(MailError::Later(why)) if now_us - due.created_at > us(self.give_up) => Became::Failed(why),
            Err(MailError::Later(why)) => {
                Became::Later(why, self.clock.now_us() + limits::wait_s(due.tries + 1) * 1_000_000)
            }
        }
    }
}
