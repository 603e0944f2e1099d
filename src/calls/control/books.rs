//! A call in the books goes on as long as somebody talks, whoever of its channels goes first: before the one that reports its end
//! is let go, another one takes that over.

use super::parties::{End, Pair};
use super::{Control, Refusal, Which};
use crate::ari::Request;
use crate::calls::table::variables;

/// What the dialplan knows of a call, in variables of the channel that runs it; see `asterisk/README.md`.
const KNOWN: [&str; 7] =
    ["HS_DID", "HS_START", "HS_ANSWER", "HS_TALKED", "HS_RECORDED", "SHARED(HS_TALK)", "SHARED(HS_PEER)"];
/// The channel on which it began, where that is another one.
const FIRST: &str = "HS_CHANNEL";

impl Control {
    /// Before the side that acts goes: where a call runs on it, the other side carries that call on, with all that the dialplan
    /// would report at its end.
    pub(super) async fn adopt(&self, of: Which<'_>, pair: &Pair) -> Result<(), Refusal> {
        let (near, far) = (&pair.near, &pair.far);
        let (Some(call), None) = (&near.runs, &far.runs) else { return Ok(()) };
        let asterisk = &pair.asterisk;
        for name in KNOWN {
            let value = self.variable(asterisk, near, name).await?;
            if !value.is_empty() {
                self.set(asterisk, &far.id, name, &value).await?;
            }
        }
        let first = Some(self.variable(asterisk, near, FIRST).await?).filter(|first| !first.is_empty());
        let first = first.unwrap_or_else(|| near.name.clone());
        // One that was handed on to and fro has its handler already.
        let reports = self.variable(asterisk, far, "HS_HANDLER").await? == "1";
        let mut told = vec![
            (variables::TENANT, of.0.as_str()),
            (variables::CALL, call.as_str()),
            ("_HS_CALLER", &far.name),
            (FIRST, &first),
            (variables::ELSEWHERE, ""),
        ];
        // The handler first: one that stands there twice does less harm than none.
        if !reports {
            told.push(("CHANNEL(hangup_handler_push)", "hookswitch-ended,s,1"));
            told.push(("HS_HANDLER", "1"));
        }
        for (name, value) in told {
            self.set(asterisk, &far.id, name, value).await?;
        }
        self.router.live.carry_on(call);
        self.board.table().adopt(&far.id, (of.0, call));
        self.set(asterisk, &near.id, variables::ELSEWHERE, "1").await
    }

    async fn variable(&self, asterisk: &str, end: &End, name: &str) -> Result<String, Refusal> {
        let request = Request::get("channels").part(&end.id).part("variable").with("variable", name);
        match self.ask(asterisk, request).await {
            Ok(answer) => Ok(answer.body["value"].as_str().unwrap_or_default().to_owned()),
            // So Asterisk says that there is no such variable, or no such channel, of which the next request tells.
            Err(Refusal::Gone | Refusal::Pbx(_)) => Ok(String::new()),
            Err(other) => Err(other),
        }
    }
}
