//! The mail that tells of a new message.

use super::messages::{Mailbox, New};
use crate::base::clock::from_us;
use crate::base::ids::IdSource;
use crate::db::Tx;
use crate::mail::{Draft, outbox};
use crate::storage;

const ABOUT: &str = "voicemail:";

/// The message that a mail is about.
pub(super) fn message(reference: &str) -> &str {
    reference.strip_prefix(ABOUT).unwrap_or_default()
}

/// Writes the mail, in the transaction of its message.
pub(super) async fn write(tx: &mut Tx, ids: &IdSource, new: &New<'_>, mailbox: &Mailbox) -> sqlx::Result<()> {
    let (found, place) = (new.found, new.place);
    let key = match new.sound {
        Ok(kept) => kept.key.clone(),
        // Where it will be: the mail waits for it a while.
        Err(_) => {
            let name = format!("{}-{}.{}", place.mailbox, found.message_id, found.format());
            storage::key(&place.tenant, "voicemails", &name)
        }
    };
    let name = format!("voicemail-{}-{}.{}", place.mailbox, found.at_s, found.format());
    let (subject, body) = text(new, mailbox);
    let draft = Draft {
        reference: &format!("{ABOUT}{}", new.id),
        to: &mailbox.email,
        subject: &subject,
        body: &body,
        attachment: (mailbox.attach && found.sound.is_some()).then_some((key.as_str(), name.as_str())),
    };
    outbox::insert(tx, &place.tenant, &ids.next(), &draft, new.now_us).await
}

/// Subject and text. Names and numbers are the caller's choice: each stays on its line.
fn text(new: &New<'_>, mailbox: &Mailbox) -> (String, String) {
    let plain = |text: &str| text.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
    let (name, number) = (plain(&new.found.name), plain(&new.found.number));
    let caller = match (name.as_str(), number.as_str()) {
        ("", "") => "an unknown caller".to_owned(),
        ("", number) => number.to_owned(),
        (name, "") => name.to_owned(),
        (name, number) => format!("{name} ({number})"),
    };
    let zone: chrono_tz::Tz = mailbox.zone.parse().unwrap_or(chrono_tz::UTC);
    let at = from_us(new.found.at_s * 1_000_000).with_timezone(&zone).format("%Y-%m-%d %H:%M %Z");
    let seconds = new.duration_ms.div_euclid(1_000);
    let length = format!("{}:{:02}", seconds / 60, seconds % 60);
    let whose = match mailbox.display_name.as_str() {
        "" => new.place.mailbox.to_string(),
        name => format!("{} ({})", new.place.mailbox, plain(name)),
    };
    let body = format!("A message for mailbox {whose}.\n\nFrom: {caller}\nAt: {at}\nLength: {length}\n");
    (format!("Voicemail from {caller}").chars().take(200).collect(), body)
}
