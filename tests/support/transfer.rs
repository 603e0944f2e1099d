//! Transfers as phones make them: a REFER inside a dialogue, blind or with Replaces (RFC 3515, 3891).

use super::asterisk::Pbx;
use super::phone::Sipp;
use super::ports;

/// What names a SIP dialogue, from the phone's point of view.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    call_id: String,
    /// The phone's own header value, tag included.
    local: String,
    /// The PBX's.
    remote: String,
}

/// Who began a dialogue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The phone did.
    Called,
    /// The PBX did.
    WasCalled,
}

/// The dialogues that a scenario logged, oldest first.
pub(super) fn dialogs(lines: &[String], side: Side) -> Vec<Dialog> {
    let read = |line: &String| {
        let mut parts = line.strip_prefix("dialog ")?.split('|');
        let (call_id, from, to) = (parts.next()?, parts.next()?, parts.next()?);
        let from = from.strip_prefix("From:")?.trim().to_owned();
        let to = to.strip_prefix("To:")?.trim().to_owned();
        let (local, remote) = if side == Side::Called { (from, to) } else { (to, from) };
        Some(Dialog { call_id: call_id.trim().to_owned(), local, remote })
    };
    lines.iter().filter_map(read).collect()
}

fn tag(header: &str) -> &str {
    header.rsplit_once("tag=").unwrap().1
}

impl Dialog {
    /// Transfers the other party to `to`, a SIP user part; the PBX must take it.
    pub(crate) fn transfer_blind(&self, pbx: &Pbx, to: &str) {
        self.refer(pbx, &format!("<sip:{to}@127.0.0.1:{}>", pbx.sip_port()));
    }

    /// Transfers the other party to that of `consulted`, a dialogue of the same phone.
    pub(crate) fn transfer_to(&self, pbx: &Pbx, consulted: &Self) {
        let (call_id, ours, theirs) = (&consulted.call_id, tag(&consulted.local), tag(&consulted.remote));
        let replaces = format!("{call_id};to-tag={theirs};from-tag={ours}");
        let replaces = replaces.replace(';', "%3B").replace('=', "%3D").replace('@', "%40");
        self.refer(pbx, &format!("<sip:consulted@127.0.0.1:{}?Replaces={replaces}>", pbx.sip_port()));
    }

    /// From a port of its own: a dialogue is known by its tags.
    fn refer(&self, pbx: &Pbx, refer_to: &str) {
        let Self { call_id, local, remote } = self;
        let [port] = ports::free();
        let arguments = ["-m", "1", "-timeout", "10", "-timeout_error", "-cid_str", call_id]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("127.0.0.1:{}", pbx.sip_port())]);
        let scenario = format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>
<scenario name=\"refer\">
  <send retrans=\"500\"><![CDATA[
REFER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: {local}
To: {remote}
Call-ID: [call_id]
CSeq: 100 REFER
Contact: <sip:phone@[local_ip]:[local_port]>
Refer-To: {refer_to}
Referred-By: {local}
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response=\"100\" optional=\"true\"/>
  <recv response=\"202\"/>
</scenario>
"
        );
        let mut sipp = Sipp::start(port, &arguments.collect::<Vec<_>>(), |_| scenario);
        assert!(sipp.succeeded(), "the transfer was not taken: {}", sipp.errors());
    }
}
