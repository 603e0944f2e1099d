//! SIPp scenarios, generated: the caller's ([`uac`]) and the phone's ([`uas`]).
//!
//! Both stream audio (a silent RTP side makes Asterisk delay the answer by 500 ms and record nothing)
//! and log one line per step with `[clock_tick]`, SIPp's milliseconds, to be read back.
//! A pause is written as "wait for BYE until": a hang-up from the other side is never unexpected.

use std::fmt::Write as _;

/// Final answers that refuse a call, as Asterisk sends them.
const REFUSALS: [u16; 15] = [400, 401, 403, 404, 408, 410, 480, 484, 486, 487, 488, 500, 502, 503, 603];

/// What the caller does.
pub(crate) struct Uac<'a> {
    /// User part of the request URI, sent as it is.
    pub(crate) to: &'a str,
    /// User part of the From URI, sent as it is.
    pub(crate) from: &'a str,
    /// Display name, sent as it is between quotes.
    pub(crate) name: &'a str,
    /// User part of a Diversion header (the number that forwarded the call here), sent as it is.
    pub(crate) diverted_by: Option<&'a str>,
    /// Name and password when the call must authenticate.
    pub(crate) login: Option<(&'a str, &'a str)>,
    /// Digits, each sent that many milliseconds after the step before it.
    pub(crate) digits: &'a [(char, u64)],
    /// Milliseconds to stay after the last digit before hanging up.
    pub(crate) stay_ms: u64,
    /// Milliseconds to wait for an answer before cancelling.
    pub(crate) patience_ms: u64,
    /// A raw µ-law file to stream.
    pub(crate) audio: &'a str,
}

/// How a phone takes a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// Rings, answers after some milliseconds, and hangs up itself after some more, if given.
    Answers {
        /// Ringing time.
        after_ms: u64,
        /// Talking time until the phone hangs up; `None` leaves that to the other side.
        hangs_up_after_ms: Option<u64>,
    },
    /// Answers, and presses keys, each so many milliseconds after the one before; hanging up is the other side's.
    Presses(&'static [(char, u64)]),
    /// Refuses at once with this SIP status.
    Rejects(u16),
    /// Rings until the other side gives up.
    NeverAnswers,
}

/// A phone that registers with its password, for so many seconds; 0: it signs off.
pub(crate) fn register(user: &str, password: &str, expires_s: u32) -> String {
    let request = |sequence: u32, more: &str| {
        format!(
            "  <send retrans=\"500\"><![CDATA[
REGISTER sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:{user}@[remote_ip]>;tag=[pid]r[call_number]
To: <sip:{user}@[remote_ip]>
Call-ID: [call_id]
CSeq: {sequence} REGISTER
Contact: <sip:{user}@[local_ip]:[local_port]>
Expires: {expires_s}
Max-Forwards: 70
User-Agent: sipp-phone
{more}Content-Length: 0

]]></send>
"
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<scenario name=\"register\">\n{}  <recv response=\"401\" auth=\"true\"/>\n{}  \
         <recv response=\"200\"/>\n</scenario>\n",
        request(1, ""),
        request(2, &format!("[authentication username={user} password={password}]\n"))
    )
}

/// What names a dialogue that was set up, as [`super::transfer::Dialog`] reads it.
const DIALOG: &str = "dialog [call_id]|[last_From:]|[last_To:]";

fn log(line: &str) -> String {
    format!("  <nop><action><log message=\"{line}\"/></action></nop>\n")
}

fn label(id: u16) -> String {
    format!("  <label id=\"{id}\"/>\n")
}

fn stream(audio: &str) -> String {
    format!("  <nop><action><exec rtp_stream=\"{audio},-1,0\"/></action></nop>\n")
}

const SDP: &str = "v=0
o=sipp 53655765 2353687637 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
";

impl Uac<'_> {
    fn request(&self, method: &str, uri: &str, sequence: u32, to: &str, more: &str) -> String {
        let (from, name) = (self.from, self.name);
        // CANCEL, and the ACK of a refusal, belong to the INVITE's transaction: same URI, same branch.
        let branch = if uri == "[next_url]" {
            "[branch]".to_owned()
        } else {
            format!("z9hG4bK-[pid]-[call_number]-{sequence}")
        };
        format!(
            "  <send{retrans}><![CDATA[
{method} {uri} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
From: \"{name}\" <sip:{from}@127.0.0.1:[local_port]>;tag=[pid]c[call_number]
{to}
Call-ID: [call_id]
CSeq: {sequence} {method}
Contact: <sip:sipp@[local_ip]:[local_port]>
Max-Forwards: 70
{more}
]]></send>
",
            retrans = if method == "ACK" { "" } else { " retrans=\"500\"" },
        )
    }

    fn uri(&self) -> String {
        format!("sip:{}@[remote_ip]:[remote_port]", self.to)
    }

    fn invite(&self, sequence: u32, authentication: &str) -> String {
        let mut more = authentication.to_owned();
        if let Some(user) = self.diverted_by {
            let _ = writeln!(more, "Diversion: <sip:{user}@127.0.0.1>;reason=unconditional");
        }
        let _ = write!(more, "Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}");
        self.request("INVITE", &self.uri(), sequence, &format!("To: <{}>", self.uri()), &more)
    }

    fn after(&self, method: &str, uri: &str, sequence: u32) -> String {
        self.request(method, uri, sequence, "[last_To:]", "Content-Length: 0\n")
    }
}

/// The caller: INVITE, digits, stay, BYE; or CANCEL when nobody answers in time. An answer or a refusal that crosses the
/// CANCEL on its way counts, as with any phone.
pub(crate) fn uac(call: &Uac<'_>) -> String {
    let [refused, cancel, gone, done, hang_up, crossed] = [1, 2, 3, 4, 5, 6];
    let mut sequence = 1;
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"caller\">\n");
    xml += &log("[call_number] invite [clock_tick]");
    xml += &call.invite(sequence, "");
    if let Some((user, password)) = call.login {
        xml += "  <recv response=\"100\" optional=\"true\"/>\n  <recv response=\"401\" auth=\"true\"/>\n";
        xml += &call.after("ACK", &call.uri(), sequence);
        sequence += 1;
        xml += &call.invite(sequence, &format!("[authentication username={user} password={password}]\n"));
    }
    // SIPp looks only at the timeout of the line at which it waits, so every line has it.
    let limit = format!("timeout=\"{}\" ontimeout=\"{cancel}\"", call.patience_ms);
    // Global: also when they come after the CANCEL, or just before it leaves.
    for provisional in [100, 180, 181, 183] {
        let _ = writeln!(xml, "  <recv response=\"{provisional}\" optional=\"global\" {limit}/>");
    }
    xml += &refusals(&limit);
    let _ = writeln!(xml, "  <recv response=\"200\" rrs=\"true\" {limit}/>");
    xml += &call.after("ACK", "[next_url]", sequence);
    xml += &log("[call_number] answered [clock_tick]");
    xml += &log(DIALOG);
    xml += &stream(call.audio);
    for (index, (digit, after_ms)) in call.digits.iter().enumerate() {
        let next = 100 + u16::try_from(index).unwrap();
        xml += &bye_until(*after_ms, next, gone);
        sequence += 1;
        let more = format!(
            "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={digit}\nDuration=160\n"
        );
        xml += &call.request("INFO", "[next_url]", sequence, "[last_To:]", &more);
        let _ = writeln!(xml, "  <recv request=\"BYE\" optional=\"true\" next=\"{gone}\"/>");
        xml += "  <recv response=\"200\"/>\n";
    }
    xml += &bye_until(call.stay_ms, hang_up, gone);
    sequence += 1;
    xml += &log("[call_number] bye [clock_tick]");
    xml += &call.after("BYE", "[next_url]", sequence);
    let _ = writeln!(xml, "  <recv request=\"BYE\" optional=\"true\" next=\"{gone}\"/>");
    let _ = writeln!(xml, "  <recv response=\"200\" next=\"{done}\"/>");
    xml += &label(gone);
    xml += &ok();
    xml += &log("[call_number] gone [clock_tick]");
    let _ = writeln!(xml, "  <nop next=\"{done}\"/>");
    let invited = if call.login.is_some() { 2 } else { 1 };
    xml += &label(cancel);
    xml += &log("[call_number] cancel [clock_tick]");
    let to = format!("To: <{}>", call.uri());
    xml += &call.request("CANCEL", &call.uri(), invited, &to, "Content-Length: 0\n");
    xml += &refusals("");
    xml += "  <recv response=\"200\" rrs=\"true\"/>\n";
    xml += &refusals("");
    // A second 200: one of them answered the INVITE.
    let _ = writeln!(xml, "  <recv response=\"200\" rrs=\"true\" next=\"{crossed}\"/>");
    xml += &label(crossed);
    xml += &call.after("ACK", "[next_url]", invited);
    xml += &log("[call_number] answered [clock_tick]");
    let _ = writeln!(xml, "  <nop next=\"{hang_up}\"/>");
    for code in REFUSALS {
        xml += &label(1000 + code);
        xml += &log(&format!("[call_number] refused [clock_tick] {code}"));
        let _ = writeln!(xml, "  <nop next=\"{refused}\"/>");
    }
    xml += &label(refused);
    xml += &call.after("ACK", &call.uri(), invited);
    xml += &label(done);
    xml += "  <nop/>\n</scenario>\n";
    xml
}

/// Any refusal may come here, and ends the call.
fn refusals(more: &str) -> String {
    let line =
        |code| format!("  <recv response=\"{code}\" optional=\"true\" next=\"{}\" {more}/>\n", 1000 + code);
    REFUSALS.map(line).concat()
}

/// Waits `ms` for the other side's BYE: goes on at `next` without it, at `gone` with it.
fn bye_until(ms: u64, next: u16, gone: u16) -> String {
    format!(
        "  <recv request=\"BYE\" timeout=\"{ms}\" ontimeout=\"{next}\" next=\"{gone}\"/>\n{}",
        label(next)
    )
}

fn answer(status: &str, to_tag: bool, more: &str) -> String {
    let tag = if to_tag { ";tag=[pid]u[call_number]" } else { "" };
    format!(
        "  <send><![CDATA[
SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
{more}
]]></send>
"
    )
}

fn ok() -> String {
    answer("200 OK", false, "Content-Length: 0\n")
}

/// The phone: takes calls as `behaviour` says, for ever.
pub(crate) fn uas(behaviour: Behaviour, audio: &str) -> String {
    let [hang_up, gone, done, cancelled, answer_now] = [1, 2, 3, 4, 5];
    let empty = "Content-Length: 0\n";
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"ISO-8859-1\" ?>\n<scenario name=\"phone\">\n");
    xml += "  <recv request=\"INVITE\" rrs=\"true\"/>\n";
    xml += &log("invite [last_Request_URI] [last_From:]");
    match behaviour {
        Behaviour::Rejects(code) => {
            xml += &answer(&format!("{code} No"), true, empty);
            xml += "  <recv request=\"ACK\"/>\n";
        }
        Behaviour::NeverAnswers => {
            xml += &answer("180 Ringing", true, empty);
            xml += "  <recv request=\"CANCEL\"/>\n";
            xml += &ok();
            xml += &log("cancelled");
        }
        Behaviour::Answers { .. } | Behaviour::Presses(_) => {
            let (after_ms, hangs_up_after_ms, keys) = match behaviour {
                Behaviour::Answers { after_ms, hangs_up_after_ms } => {
                    (after_ms, hangs_up_after_ms, [].as_slice())
                }
                Behaviour::Presses(keys) => (100, None, keys),
                _ => unreachable!(),
            };
            xml += &answer("180 Ringing", true, empty);
            let _ = writeln!(
                xml,
                "  <recv request=\"CANCEL\" timeout=\"{after_ms}\" ontimeout=\"{answer_now}\" next=\"{cancelled}\"/>"
            );
            xml += &label(answer_now);
            let more = format!("Content-Type: application/sdp\nContent-Length: [len]\n\n{SDP}");
            xml += &answer("200 OK", true, &more).replacen("<send>", "<send retrans=\"500\">", 1);
            xml += ACK;
            xml += &log("answered");
            xml += &log(DIALOG);
            xml += &stream(audio);
            for (n, (key, after_ms)) in (0..).zip(keys) {
                xml += &bye_until(*after_ms, 100 + n, gone);
                xml += &info_from_phone(*key, 1 + n);
                xml += "  <recv response=\"200\"/>\n";
            }
            xml += &bye_until(hangs_up_after_ms.unwrap_or(600_000), hang_up, gone);
            xml += &bye_from_phone();
            let _ = writeln!(xml, "  <recv response=\"200\" next=\"{done}\"/>");
            xml += &label(gone);
            xml += &ok();
            let _ = writeln!(xml, "  <nop next=\"{done}\"/>");
            xml += &label(cancelled);
            xml += &ok();
            xml += &label(done);
        }
    }
    xml += "  <nop/>\n</scenario>\n";
    xml
}

/// A key from the answering side.
fn info_from_phone(key: char, sequence: u16) -> String {
    bye_from_phone()
        .replace("BYE [next_url]", "INFO [next_url]")
        .replace("CSeq: 1 BYE", &format!("CSeq: {sequence} INFO"))
        .replace(
            "Content-Length: 0\n",
            &format!(
                "Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={key}\nDuration=160\n"
            ),
        )
}

/// BYE from the answering side: From and To change places, as the ACK had them.
fn bye_from_phone() -> String {
    String::from(
        "  <send retrans=\"500\"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$to]
To:[$from]
Call-ID: [call_id]
CSeq: 1 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
",
    )
}

/// The ACK, with its From and To kept for [`bye_from_phone`].
const ACK: &str = "  <recv request=\"ACK\"><action>
    <ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"from\"/>
    <ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"to\"/>
  </action></recv>
";
