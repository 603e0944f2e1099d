//! What a queue makes of a member: its own pause, and the state of the agent who sits there.

use crate::agents::AgentStatus;

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
        if state.is_some_and(|state| !state.is_online()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_s_state_and_the_member_s_pause() {
        let seat = |paused: bool, state: Option<&str>, reason: &str| {
            let text = |text: &str| Some(text.to_owned());
            Seat { paused, pause_reason: "own".into(), state: state.and_then(text), reason: text(reason) }
                .presence()
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
}
