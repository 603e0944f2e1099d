//! What a queue makes of a member: its own pause, the state of the agent whose it is, and where that agent sits.

use std::collections::BTreeSet;

use crate::agents::AgentStatus;
use crate::base::ids::TenantId;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::tenants::store::touch;

/// A member's own pause beside its agent's state; columns of one query each.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Seat {
    /// Whether the member itself is paused.
    pub paused: bool,
    /// Why; empty: nobody said.
    pub pause_reason: String,
    /// The agent's state; `None`: nobody sits there, or the state was never set.
    pub state: Option<String>,
    /// Why, in the agent's words.
    pub reason: Option<String>,
    /// Where it rings instead of at its own endpoint: an endpoint's id, or nowhere (empty).
    pub seat_id: Option<String>,
}

/// How Asterisk is to take a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The queue does not know it.
    LoggedOut,
    /// It is left out, for that reason.
    Paused(String),
    /// It rings.
    Ready,
}

impl Seat {
    /// What it comes to. A pause of the member's own tells its own reason.
    pub fn presence(&self) -> Presence {
        let state = self.state.as_deref().and_then(AgentStatus::parse);
        if state.is_some_and(|state| !state.is_online()) || self.seat_id.as_deref() == Some("") {
            return Presence::LoggedOut;
        }
        if self.paused {
            return Presence::Paused(self.pause_reason.clone());
        }
        match state.filter(|state| state.is_paused()) {
            Some(state) => {
                let why = self.reason.clone().filter(|why| !why.is_empty());
                Presence::Paused(why.unwrap_or_else(|| state.as_str().to_owned()))
            }
            None => Presence::Ready,
        }
    }
}

/// A member, with what decides where it rings.
#[derive(Debug, sqlx::FromRow)]
struct Member {
    id: String,
    endpoint_id: String,
    user_id: Option<String>,
    seat_id: Option<String>,
    /// Where its user sits.
    sits_at: Option<String>,
    /// Who sits at its own endpoint.
    holder: Option<String>,
    /// Whether its user has an older member in the queue.
    is_second: bool,
    /// Whether the one who sits at its own endpoint has a member in the queue.
    holder_is_in: bool,
}

impl Member {
    /// Where it rings: `None` at its own endpoint, empty nowhere. A phone rings for its agent alone; a member that is nobody's
    /// gives way to the agent's own.
    fn seat(&self) -> Option<&str> {
        match (&self.sits_at, &self.holder, &self.user_id) {
            (Some(_), ..) if self.is_second => Some(""),
            (Some(at), ..) => Some(at.as_str()).filter(|at| *at != self.endpoint_id),
            (None, Some(_), Some(_)) => Some(""),
            (None, Some(_), None) if self.holder_is_in => Some(""),
            _ => None,
        }
    }
}

/// Brings the members of a user, and those at some endpoints, to where they ring now: after somebody has sat down or got up,
/// or a member has changed. Returns how many have moved. Of no user or endpoint: empty.
///
/// # Errors
/// When the database is away.
pub async fn follow(tx: &mut Tx, tenant: &TenantId, user: &str, endpoints: [&str; 2]) -> sqlx::Result<u64> {
    const SQL: &str = "SELECT m.id, m.endpoint_id, m.user_id, m.seat_id, a.endpoint_id AS sits_at, h.user_id AS holder, \
         EXISTS (SELECT 1 FROM queue_members o WHERE o.queue_id = m.queue_id AND o.user_id = m.user_id AND o.id < m.id) AS is_second, \
         EXISTS (SELECT 1 FROM queue_members o WHERE o.queue_id = m.queue_id AND o.user_id = h.user_id) AS holder_is_in \
         FROM queue_members m \
         LEFT JOIN agent_states a ON a.tenant_id = m.tenant_id AND a.user_id = m.user_id \
         LEFT JOIN agent_states h ON h.tenant_id = m.tenant_id AND h.endpoint_id = m.endpoint_id \
         WHERE m.tenant_id = ? AND (m.user_id = ? OR m.endpoint_id = ? OR m.endpoint_id = ? \
         OR m.endpoint_id = (SELECT s.endpoint_id FROM agent_states s WHERE s.tenant_id = ? AND s.user_id = ?))";
    let members: Vec<Member> = db_tx!(&mut *tx, |c| sqlx::query_as(SQL)
        .bind(tenant.as_str())
        .bind(user)
        .bind(endpoints[0])
        .bind(endpoints[1])
        .bind(tenant.as_str())
        .bind(user)
        .fetch_all(c)
        .await)?;
    let mut moved = 0;
    for member in members.iter().filter(|member| member.seat() != member.seat_id.as_deref()) {
        set(tx, tenant, (&member.id, member.seat())).await?;
        moved += 1;
    }
    Ok(moved)
}

async fn set(tx: &mut Tx, tenant: &TenantId, (member, seat): (&str, Option<&str>)) -> sqlx::Result<()> {
    const SQL: &str = "UPDATE queue_members SET seat_id = ? WHERE tenant_id = ? AND id = ?";
    db_tx!(tx, |c| sqlx::query(SQL).bind(seat).bind(tenant.as_str()).bind(member).execute(c).await.map(drop))
}

/// Brings members back whose agent is no more where they ring: with a user or an endpoint that is deleted the database takes
/// the agent's seat away by itself. Returns how many were moved; at most `most` at a time.
///
/// # Errors
/// When the database is away.
pub async fn free_seats(db: &Db, most: i64) -> sqlx::Result<u64> {
    const SQL: &str = "SELECT m.tenant_id, COALESCE(m.user_id, ''), m.endpoint_id FROM queue_members m WHERE m.seat_id > '' \
         AND NOT EXISTS (SELECT 1 FROM agent_states a WHERE a.endpoint_id = m.seat_id AND a.tenant_id = m.tenant_id \
         AND a.user_id = m.user_id) LIMIT ?";
    const HIDDEN: &str = "SELECT m.tenant_id, COALESCE(m.user_id, ''), m.endpoint_id FROM queue_members m WHERE m.seat_id = '' \
         AND NOT EXISTS (SELECT 1 FROM agent_states h WHERE h.endpoint_id = m.endpoint_id AND h.tenant_id = m.tenant_id) \
         AND NOT EXISTS (SELECT 1 FROM agent_states a WHERE a.tenant_id = m.tenant_id AND a.user_id = m.user_id \
         AND a.endpoint_id IS NOT NULL) LIMIT ?";
    let (mut moved, mut changed) = (0, BTreeSet::new());
    for sql in [SQL, HIDDEN] {
        let stale: Vec<(String, String, String)> =
            db_read!(db, |p| sqlx::query_as(sql).bind(most).fetch_all(p).await)?;
        for (tenant, user, endpoint) in stale {
            let Ok(tenant) = TenantId::parse(&tenant) else { continue };
            let mut tx = db.begin().await?;
            let some = follow(&mut tx, &tenant, &user, [&endpoint, ""]).await?;
            if some > 0 && changed.insert(tenant.clone()) {
                touch(&mut tx, &tenant).await?;
            }
            tx.commit().await?;
            moved += some;
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_s_state_and_the_member_s_pause() {
        let seat = |paused: bool, state: Option<&str>, reason: &str| {
            let text = |text: &str| Some(text.to_owned());
            let (pause_reason, state, reason) = ("own".into(), state.and_then(text), text(reason));
            Seat { paused, pause_reason, state, reason, seat_id: None }.presence()
        };
        let paused = |why: &str| Presence::Paused(why.to_owned());
        assert_eq!(seat(false, None, ""), Presence::Ready);
        assert_eq!(seat(true, None, ""), paused("own"));
        for state in ["available", "busy"] {
            assert_eq!(seat(false, Some(state), "x"), Presence::Ready);
            assert_eq!(seat(true, Some(state), "x"), paused("own"));
        }
        for state in ["away", "break", "dnd"] {
            assert_eq!(seat(false, Some(state), ""), paused(state));
            assert_eq!(seat(false, Some(state), "lunch"), paused("lunch"));
            assert_eq!(seat(true, Some(state), "lunch"), paused("own"));
        }
        assert_eq!(seat(false, Some("offline"), ""), Presence::LoggedOut);
        assert_eq!(seat(true, Some("offline"), ""), Presence::LoggedOut);
    }

    #[test]
    fn a_member_rings_where_its_agent_sits_and_no_phone_for_two() {
        for (user, sits_at, holder, is_second, holder_is_in, seat) in [
            (None, None, None, false, false, None),
            (Some("ann"), None, None, false, false, None),
            (Some("ann"), Some("home"), Some("ann"), false, true, None),
            (Some("ann"), Some("desk"), None, false, false, Some("desk")),
            (Some("ann"), Some("desk"), Some("ben"), false, true, Some("desk")),
            // Two members of hers: at two phones while she sits nowhere, one while she sits.
            (Some("ann"), None, None, true, false, None),
            (Some("ann"), Some("desk"), None, true, false, Some("")),
            // Somebody else sits at its phone.
            (Some("ann"), None, Some("ben"), false, false, Some("")),
            (None, None, Some("ben"), false, false, None),
            (None, None, Some("ben"), false, true, Some("")),
        ] {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let (id, endpoint_id) = ("m".to_owned(), "home".to_owned());
            let (user_id, sits_at, holder) = (text(user), text(sits_at), text(holder));
            let member =
                Member { id, endpoint_id, user_id, seat_id: None, sits_at, holder, is_second, holder_is_in };
            assert_eq!(member.seat(), seat, "{member:?}");
        }
    }
}
