//! What a tenant names and its numbers, menus and destinations lead to: whether it is there, and who still uses it.
//!
//! Names are given once and stay, so that a reference by name can't be cut. Both questions are asked inside the
//! transaction of the change; the row is locked, so that nobody deletes what somebody else is about to use.

use crate::api::Problem;
use crate::base::ids::TenantId;
use crate::config::limits::routing as limits;
use crate::db::{Tx, db_tx};

/// What can be led to by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A queue.
    Queue,
    /// An endpoint.
    Endpoint,
    /// An endpoint that is a trunk.
    Trunk,
    /// A menu.
    Menu,
    /// A mailbox.
    Mailbox,
    /// Opening hours.
    Schedule,
}

/// Numbers, further destinations, the tenant's own and menus that lead to a place of a type and target.
const USERS: &str = "SELECT CONCAT('number ', number) AS who FROM dids \
     WHERE tenant_id = ? AND deleted_at = 0 AND route_type = ? AND route_target = ? \
     UNION SELECT CONCAT('number ', d.number) FROM destinations x JOIN dids d ON d.id = x.owner_id AND d.tenant_id = x.tenant_id \
     WHERE x.tenant_id = ? AND x.owner_kind = 'did' AND x.type = ? AND x.target = ? AND d.deleted_at = 0 \
     UNION SELECT 'the routing defaults' FROM destinations \
     WHERE tenant_id = ? AND owner_kind = 'tenant' AND type = ? AND target = ? \
     UNION SELECT CONCAT('menu ', m.name) FROM ivr_options o JOIN ivr_menus m ON m.id = o.menu_id \
     WHERE o.tenant_id = ? AND o.type = ? AND o.target = ?";
const OF_SCHEDULE: &str = "SELECT CONCAT('number ', number) AS who FROM dids WHERE tenant_id = ? AND deleted_at = 0 AND schedule = ? \
     UNION SELECT CONCAT('queue ', name) FROM queues WHERE tenant_id = ? AND callback_schedule = ?";
const OF_MAILBOX: &str =
    " UNION SELECT CONCAT('endpoint ', name) FROM endpoints WHERE tenant_id = ? AND mailbox = ?";
const OF_ENDPOINT: &str = " UNION SELECT CONCAT('queue ', q.name) FROM queue_members m \
     JOIN endpoints e ON e.id = m.endpoint_id JOIN queues q ON q.id = m.queue_id \
     WHERE m.tenant_id = ? AND e.name = ?";
const OF_TRUNK: &str =
    " UNION SELECT CONCAT('outbound rule ', prefix) FROM outbound_rules WHERE tenant_id = ? AND trunk = ?";

impl Named {
    /// What a destination of this type leads to by name; `None`: to no row of ours.
    pub fn of_type(kind: &str) -> Option<Self> {
        Some(match kind {
            "queue" => Self::Queue,
            "endpoint" => Self::Endpoint,
            "ivr" => Self::Menu,
            "voicemail" => Self::Mailbox,
            _ => return None,
        })
    }

    /// The type of destinations that lead there.
    fn kind(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Endpoint | Self::Trunk => "endpoint",
            Self::Menu => "ivr",
            Self::Mailbox => "voicemail",
            Self::Schedule => "",
        }
    }

    /// One of it, for messages.
    pub fn one(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Endpoint => "endpoint",
            Self::Trunk => "trunk",
            Self::Menu => "menu",
            Self::Mailbox => "mailbox",
            Self::Schedule => "schedule",
        }
    }

    fn table(self) -> &'static str {
        match self {
            Self::Queue => "queues",
            Self::Endpoint | Self::Trunk => "endpoints",
            Self::Menu => "ivr_menus",
            Self::Mailbox => "mailboxes",
            Self::Schedule => "schedules",
        }
    }

    /// Whether the tenant has it. It then stays until this transaction ends.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn exists(self, tx: &mut Tx, tenant: &TenantId, name: &str) -> sqlx::Result<bool> {
        // A column that the key of names does not hold: MariaDB would else lock the key's entry only, and not the row
        // that a deletion locks first.
        let lock = tx.pick("", " LOCK IN SHARE MODE");
        let only = if self == Self::Trunk { " AND template = 'trunk'" } else { "" };
        let sql =
            format!("SELECT created_at FROM {} WHERE tenant_id = ? AND name = ?{only}{lock}", self.table());
        let found: Option<i64> = db_tx!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(tenant.as_str())
            .bind(name)
            .fetch_optional(c)
            .await?);
        Ok(found.is_some())
    }

    /// Checks that nothing leads there any more, before it is deleted.
    ///
    /// # Errors
    /// 409 `in-use`, naming some of its users.
    pub async fn unused(self, tx: &mut Tx, tenant: &TenantId, name: &str) -> Result<(), Problem> {
        let mut binds: Vec<&str> = Vec::new();
        let base = if self == Self::Schedule {
            (0..2).for_each(|_| binds.extend([tenant.as_str(), name]));
            OF_SCHEDULE.to_owned()
        } else {
            (0..4).for_each(|_| binds.extend([tenant.as_str(), self.kind(), name]));
            let more = match self {
                Self::Mailbox => [OF_MAILBOX, ""],
                Self::Endpoint | Self::Trunk => [OF_ENDPOINT, OF_TRUNK],
                _ => ["", ""],
            };
            more.iter().filter(|sql| !sql.is_empty()).for_each(|_| binds.extend([tenant.as_str(), name]));
            format!("{USERS}{}", more.concat())
        };
        // One more than are named tells that there are more, and one may be the menu itself.
        let sql = format!("{base} ORDER BY who LIMIT {}", limits::USERS_NAMED + 2);
        let mut users: Vec<String> = db_tx!(tx, |c| {
            let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            for value in &binds {
                query = query.bind(*value);
            }
            query.fetch_all(c).await?
        });
        if self == Self::Menu {
            let own = format!("menu {name}");
            users.retain(|user| *user != own);
        }
        if users.is_empty() {
            return Ok(());
        }
        let more = if users.len() > limits::USERS_NAMED { " and others" } else { "" };
        users.truncate(limits::USERS_NAMED);
        Err(Problem::conflict(
            "in-use",
            format!(
                "The {} is still used by {}{more}; lead them elsewhere first.",
                self.one(),
                users.join(", ")
            ),
        ))
    }
}
