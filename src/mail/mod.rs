//! Mail that leaves over SMTP: written into [`outbox`] in the transaction of what it tells of, sent by [`desk`].
//!
//! An engine: it knows recipients, texts and files, not what they are about. A mail leaves once, but for one case: when
//! the server's last answer is lost on its way, nobody can know whether it has the mail, and it is sent again - under the
//! same `Message-ID`, by which mail programs see that it is one.

pub mod desk;
pub mod outbox;

use std::time::Duration;

use bytes::Bytes;
use lettre::message::header::{ContentType, MessageId};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::base::secret::Secret;
use crate::config::limits::sound as limits;

pub use desk::Desk;
pub use outbox::Draft;

/// What an operator says about mail.
#[derive(Clone, Debug, Default)]
pub struct MailSettings {
    /// How mail leaves; empty: it does not.
    pub url: Secret,
    /// Whom it comes from.
    pub from: String,
    /// After how long a mail is given up.
    pub give_up: Duration,
}

/// Why a mail did not leave.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It never will: an address that is none, or the server refused for good.
    #[error("{0}")]
    Never(String),
    /// It may later.
    #[error("{0}")]
    Later(String),
}

/// The way to the mail server.
#[derive(Clone)]
pub struct Mailer {
    smtp: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// What ids of mails end in.
    host: String,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

/// A mail as it leaves.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Its id.
    pub id: &'a str,
    /// To whom.
    pub to: &'a str,
    /// What it is about.
    pub subject: &'a str,
    /// Its text.
    pub body: String,
    /// A file with it: its name, and what it holds.
    pub attachment: Option<(&'a str, Bytes)>,
}

impl Mailer {
    /// A way to the server that the settings name; `None`: no mail leaves. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// What is wrong with the settings. Never shows the URL, which may hold a password.
    pub fn open(settings: &MailSettings) -> Result<Option<Self>, String> {
        if settings.url.expose().is_empty() {
            return Ok(None);
        }
        let from: Mailbox = settings.from.parse().map_err(|e| format!("mail.from: {e}"))?;
        let smtp = AsyncSmtpTransport::<Tokio1Executor>::from_url(settings.url.expose())
            .map_err(|_| "mail.url: this is no URL such as smtps://USER:PASSWORD@HOST".to_owned())?
            .timeout(Some(limits::SMTP_STEP_TIME))
            .build();
        let host = from.email.domain().to_owned();
        Ok(Some(Self { smtp, from, host }))
    }

    /// Sends a mail, and returns once the server has taken it.
    ///
    /// # Errors
    /// Why it did not, or may not have.
    pub async fn send(&self, letter: Letter<'_>) -> Result<(), MailError> {
        let never = |why: &dyn std::fmt::Display| MailError::Never(why.to_string());
        let to: Mailbox = letter.to.parse().map_err(|e: lettre::address::AddressError| never(&e))?;
        let text = SinglePart::plain(letter.body);
        let builder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(letter.subject)
            .header(MessageId::from(format!("<{}@{}>", letter.id, self.host)));
        let message = match letter.attachment {
            None => builder.singlepart(text),
            Some((name, bytes)) => {
                let kind = if name.ends_with(".wav") { "audio/wav" } else { "application/octet-stream" };
                let kind = ContentType::parse(kind).map_err(|e| never(&e))?;
                let file = Attachment::new(name.to_owned()).body(Vec::from(bytes), kind);
                builder.multipart(MultiPart::mixed().singlepart(text).singlepart(file))
            }
        };
        let sending = self.smtp.send(message.map_err(|e| never(&e))?);
        match tokio::time::timeout(limits::SMTP_TIME, sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.is_permanent() => Err(never(&error)),
            Ok(Err(error)) => Err(MailError::Later(error.to_string())),
            Err(_) => Err(MailError::Later("the mail server took too long".into())),
        }
    }
}
