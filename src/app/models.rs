//! The data models: where each is kept and where the API shows it. A test compares it with tables and document.

use crate::api::{Action, Who};

/// The models by their names in the field: model, table, path below the API's base.
pub const MODELS: [(&str, &str, &str); 35] = [
    ("Tenant", "tenants", "/tenants"),
    ("User", "users", "/users"),
    ("UserRole", "user_roles", "/roles"),
    ("Contact", "contacts", "/contacts"),
    ("Tag", "tags", "/tags"),
    ("ContactTag", "contact_tags", "/contacts"),
    ("AuditLog", "audit_logs", "/audit-logs"),
    ("DID", "dids", "/dids"),
    ("Queue", "queues", "/queues"),
    ("QueueMember", "queue_members", "/queues/{queue_id}/members"),
    ("CDR", "cdrs", "/cdrs"),
    ("CallRecording", "call_recordings", "/recordings"),
    ("AgentState", "agent_states", "/agents"),
    ("WebSocketSession", "websocket_sessions", "/websocket-sessions"),
    ("SMSMessage", "sms_messages", "/sms"),
    ("Voicemail", "voicemails", "/voicemails"),
    ("PsEndpoint", "ps_endpoints", "/endpoints"),
    ("PsAuth", "ps_auths", "/endpoints/{id}/secret"),
    ("PsAor", "ps_aors", "/endpoints"),
    ("PsContact", "ps_contacts", "/endpoints/{id}/registrations"),
    ("Ticket", "tickets", "/tickets"),
    ("TicketMessage", "ticket_messages", "/tickets/{ticket_id}/messages"),
    ("TicketAttachment", "ticket_attachments", "/tickets/{ticket_id}/attachments"),
    ("TicketTag", "ticket_tags", "/tickets"),
    ("TicketTemplate", "ticket_templates", "/ticket-templates"),
    ("TicketSLA", "ticket_slas", "/sla-policies"),
    ("ChatWidget", "chat_widgets", "/chat/widgets"),
    ("ChatSession", "chat_sessions", "/chat/sessions"),
    ("ChatMessage", "chat_messages", "/chat/sessions/{session_id}/messages"),
    ("ChatTransfer", "chat_transfers", "/chat/sessions/{session_id}/transfers"),
    ("ChatAgent", "chat_agents", "/chat/agents"),
    ("Plugin", "plugins", "/plugins"),
    ("PluginVersion", "plugin_versions", "/plugins/{plugin_id}/versions"),
    ("PluginExample", "plugin_examples", "/plugins/{plugin_id}/examples"),
    ("PluginRun", "plugin_runs", "/plugins/{plugin_id}/runs"),
];

/// The table of models as Markdown: model, table, path, who reads and who writes.
pub fn table(actions: &[Action]) -> String {
    let mut text = String::from("| model | table | API | who reads | who writes |\n|---|---|---|---|---|\n");
    for (model, table, path) in MODELS {
        let one = format!("{path}/{{id}}");
        let on = |is_read: bool| {
            let mine = actions.iter().map(|a| &a.operation).filter(|o| o.path == path || o.path == one);
            let some = mine.filter(|o| (o.method == "GET") == is_read);
            let mut names: Vec<&str> = Vec::new();
            for operation in some {
                if let Who::Roles(roles) = operation.who {
                    names.extend(
                        roles.names().into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>(),
                    );
                }
            }
            match names.len() {
                0 => "the service".to_owned(),
                5 => "all".to_owned(),
                _ => names.join(", "),
            }
        };
        text.push_str(&format!("| {model} | `{table}` | `{path}` | {} | {} |\n", on(true), on(false)));
    }
    text
}
