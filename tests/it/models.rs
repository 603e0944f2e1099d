//! The typed models have the fields that their tables have columns, but for what is told here.

use hookswitch::{
    agents, audit, calls::cdr, chat, contacts, endpoints, queues, routing::did, sms, tickets, voicemail,
};
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

use crate::support::both_databases;

/// Asks a type for the names of its fields; it can make nothing of what it gets.
struct Fields<'f>(&'f mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(fields);
        Err(Error::custom("only the names"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

fn fields<T: DeserializeOwned>() -> Vec<&'static str> {
    let mut fields = Vec::new();
    assert!(T::deserialize(Fields(&mut fields)).is_err());
    assert!(!fields.is_empty());
    fields
}

type Names = &'static [&'static str];

/// A model's table, its fields, the fields that are kept elsewhere, the columns that it does not show.
fn models() -> Vec<(&'static str, Vec<&'static str>, Names, Names)> {
    let gone: Names = &["deleted_at"];
    vec![
        ("contacts", fields::<contacts::Contact>(), &["phones", "tags"], gone),
        ("tags", fields::<contacts::Tag>(), &[], &[]),
        ("imports", fields::<contacts::import::Import>(), &[], &[]),
        ("contact_tags", fields::<contacts::ContactTag>(), &[], &[]),
        ("audit_logs", fields::<audit::AuditLog>(), &[], &[]),
        ("dids", fields::<did::Did>(), &["destinations"], &["webhook_secret", "deleted_at"]),
        ("queues", fields::<queues::Queue>(), &[], &[]),
        (
            "queue_members",
            fields::<queues::QueueMember>(),
            &[],
            &[
                "ara_queue_name",
                "ara_paused",
                "ara_pause_reason",
                "ara_penalty",
                "ara_state",
                "ara_why",
                "seat_id",
            ],
        ),
        ("cdrs", fields::<cdr::Cdr>(), &[], &[]),
        (
            "call_recordings",
            fields::<cdr::CallRecording>(),
            &[],
            &["storage_key", "deleted_at", "node_id", "copy_tries", "copy_at", "remove_at"],
        ),
        (
            "agent_states",
            fields::<agents::AgentState>(),
            &[],
            &[
                "seat_state",
                "seat_reason",
                "call_queue",
                "phone_state",
                "phone_at",
                "phone_call_id",
                "phone_number",
                "phone_name",
                "phone_queue",
            ],
        ),
        ("websocket_sessions", fields::<agents::WebSocketSession>(), &[], &[]),
        ("sms_messages", fields::<sms::SmsMessage>(), &[], &[]),
        (
            "voicemails",
            fields::<voicemail::Voicemail>(),
            &[],
            &[
                "storage_key",
                "message_id",
                "deleted_at",
                "node_id",
                "spool_key",
                "spool_folder",
                "copy_tries",
                "copy_at",
                "remove_at",
            ],
        ),
        ("tickets", fields::<tickets::Ticket>(), &["tags"], &["sla_check_at", "deleted_at"]),
        ("ticket_messages", fields::<tickets::TicketMessage>(), &[], &[]),
        ("ticket_attachments", fields::<tickets::TicketAttachment>(), &[], &["storage_key"]),
        ("ticket_tags", fields::<tickets::TicketTag>(), &[], &[]),
        ("ticket_templates", fields::<tickets::TicketTemplate>(), &[], gone),
        ("ticket_slas", fields::<tickets::TicketSla>(), &[], &[]),
        ("chat_widgets", fields::<chat::ChatWidget>(), &[], gone),
        ("chat_sessions", fields::<chat::ChatSession>(), &[], &["token_hash"]),
        ("chat_messages", fields::<chat::ChatMessage>(), &[], &[]),
        ("chat_transfers", fields::<chat::ChatTransfer>(), &[], &[]),
        ("chat_agents", fields::<chat::ChatAgent>(), &[], &[]),
    ]
}

both_databases! {
    /// A table that refers to contacts and is not moved by a merge would lose its people.
    async fn every_reference_moves(test) {
        let sqlite = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c ON c.name = 'contact_id' WHERE m.type = 'table' ORDER BY m.name";
        let mysql = "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'contact_id' ORDER BY table_name";
        let tables = test.texts(test.db.pick(sqlite, mysql)).await;
        let own = ["contact_phones", "contact_tags"];
        let referring: Vec<_> = tables.iter().map(String::as_str).filter(|t| !own.contains(t)).collect();
        let mut moved: Vec<_> = contacts::merge::REFERENCES.iter().map(|(table, _)| *table).collect();
        moved.sort_unstable();
        assert_eq!(referring, moved);
    }

    /// A column that a model does not know is a field that the API forgets; a field without a column is never there.
    async fn models_show_what_their_tables_hold(t) {
        for (table, fields, elsewhere, hidden) in models() {
            let columns = t.texts(&columns_of(&t.db, table)).await;
            assert!(!columns.is_empty(), "{table}");
            let has = |name: &str| columns.iter().any(|column| column == name);
            let missing: Vec<_> = fields.iter().filter(|f| !has(f) && !elsewhere.contains(f)).collect();
            let forgotten: Vec<_> =
                columns.iter().filter(|c| !fields.contains(&c.as_str()) && !hidden.contains(&c.as_str())).collect();
            let needless: Vec<_> = hidden.iter().filter(|h| !has(h) || fields.contains(h)).collect();
            assert!(
                missing.is_empty() && forgotten.is_empty() && needless.is_empty(),
                "{table}: no columns {missing:?}, no fields {forgotten:?}, needless {needless:?}"
            );
        }
    }

    /// Of the realtime tables a model knows a part: whatever it names is a column.
    async fn realtime_models_name_columns(t) {
        for (table, fields) in [
            ("ps_auths", fields::<endpoints::PsAuth>()),
            ("ps_aors", fields::<endpoints::PsAor>()),
            ("ps_contacts", fields::<endpoints::PsContact>()),
        ] {
            let columns = t.texts(&columns_of(&t.db, table)).await;
            let missing: Vec<_> = fields.iter().filter(|f| !columns.iter().any(|c| c == *f)).collect();
            assert!(missing.is_empty(), "{table}: {missing:?}");
        }
        // Its fields can't be asked for: the last one takes whatever else there is.
        let id = hookswitch::base::ids::TenantId::parse("acme").unwrap();
        let endpoint = endpoints::PsEndpoint::new(&id, &crate::support::name("101"), "x");
        let columns = t.texts(&columns_of(&t.db, "ps_endpoints")).await;
        for field in serde_json::to_value(endpoint).unwrap().as_object().unwrap().keys() {
            assert!(columns.contains(field), "ps_endpoints: {field}");
        }
    }
}

fn columns_of(db: &hookswitch::db::Db, table: &str) -> String {
    let sqlite = format!("SELECT name FROM pragma_table_info('{table}')");
    let mysql = format!(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() \
         AND table_name = '{table}' AND is_generated = 'NEVER'"
    );
    db.pick(&sqlite, &mysql).to_owned()
}
