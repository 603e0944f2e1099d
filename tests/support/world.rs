//! The real service and the real Asterisk together, and whether their books agree.

use super::asterisk::{Cdr, Pbx, PbxOptions};
use super::service::{Service, ServiceOptions};
use hookswitch::calls::store::CallRow;
use hookswitch::routing::trace::Trace;
use hookswitch::routing::types::Hook;
use std::collections::HashMap;

/// Both, on the demo data.
pub(crate) struct World {
    pub(crate) pbx: Pbx,
    pub(crate) service: Service,
}

/// A call with everything written about it.
#[derive(Debug)]
pub(crate) struct Booked {
    pub(crate) row: CallRow,
    pub(crate) traces: Vec<Trace>,
}

impl World {
    /// Starts both with the shipped dialplan.
    pub(crate) fn start(options: &ServiceOptions) -> Self {
        Self::with_dialplan(options, "")
    }

    /// Starts both; `dialplan` comes after the shipped files.
    pub(crate) fn with_dialplan(options: &ServiceOptions, dialplan: &str) -> Self {
        let service = Service::start(options);
        let pbx = Pbx::start(&PbxOptions::new(service.agi()).dialplan(dialplan));
        Self { pbx, service }
    }

    /// Every call so far, oldest first, once none is left: the database, the traces and Asterisk's own records
    /// must agree, every call must have an end, and no call may be there twice or be missing.
    pub(crate) fn books(&self) -> Vec<Booked> {
        self.pbx.wait_idle();
        let mut legs: HashMap<String, Vec<Cdr>> = HashMap::new();
        for cdr in self.pbx.cdrs() {
            legs.entry(cdr.uniqueid.clone()).or_default().push(cdr);
        }
        let mut booked = Vec::new();
        for row in self.service.calls() {
            let legs = legs.remove(&row.uniqueid);
            let legs = legs
                .unwrap_or_else(|| panic!("Asterisk has no call for this, or it is there twice: {row:?}"));
            let traces = self.service.trace(&row.id);
            agree(&row, &traces, &legs);
            booked.push(Booked { row, traces });
        }
        // A call that was never decided here gets its id when its report comes.
        booked.sort_by_key(|b: &Booked| b.row.started_at);
        assert!(legs.is_empty(), "calls that the database does not know: {legs:?}");
        booked
    }

    /// The only call since `known` ones.
    pub(crate) fn newest(&self, known: usize) -> Booked {
        let mut booked = self.books();
        assert_eq!(booked.len(), known + 1, "{booked:#?}");
        booked.pop().unwrap()
    }
}

fn agree(row: &CallRow, traces: &[Trace], legs: &[Cdr]) {
    let about = || format!("{row:#?}\n{traces:#?}\n{legs:#?}");
    assert!(row.ended_at.is_some_and(|at| at >= row.started_at), "no end: {}", about());
    assert!(["hook", "late"].contains(&row.ended_by.as_str()), "{}", about());
    assert!(row.cause.is_some() && row.duration_ms.is_some(), "{}", about());
    let last = legs.last().unwrap();
    // The operator's fallback is another place of the dialplan.
    let dst = if row.fallback.is_empty() { row.did.as_str() } else { "s" };
    assert_eq!((row.linkedid.as_str(), dst), (last.linkedid.as_str(), last.dst.as_str()), "{}", about());
    assert_eq!(row.disposition, last.disposition, "{}", about());
    assert_eq!(row.answered_by, last.dst_channel, "{}", about());
    let Some(decided) = traces.last() else {
        let fate = match row.fallback.as_str() {
            // He left while the service died over the question; Asterisk kept that.
            "" => ("hangup", "caller-gone", "late"),
            why => ("fallback", why, row.ended_by.as_str()),
        };
        assert_eq!((row.action.as_str(), row.reason.as_str(), row.ended_by.as_str()), fate, "{}", about());
        return;
    };
    let d = &decided.decision;
    assert_eq!((row.action.as_str(), &row.target), (d.action.as_str(), &d.target), "{}", about());
    assert_eq!(row.reason, d.reason, "{}", about());
    assert_eq!(d.tenant.as_ref().map_or("", |t| t.as_str()), row.tenant_id, "{}", about());
    let first = traces[0].hook;
    assert_eq!(first, if row.direction == "inbound" { Hook::Route } else { Hook::Internal }, "{}", about());
    // A decision that came too late, or to a caller who had left, has a row, but never reached Asterisk.
    let left = row.ended_by == "late" && row.answered_at.is_none();
    if !last.call.is_empty() || (row.fallback.is_empty() && !left) {
        assert_eq!((&last.call, &last.account), (&row.id, &row.tenant_id), "{}", about());
    }
}
