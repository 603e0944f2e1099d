//! What plugins give back: the rules of `wit/1.0.0` that its types can't say. Part of the interface: a number that is
//! lowered breaks plugins.

/// Steps of a plan: the dialplan carries them in one variable.
pub const STEPS: usize = 8;
/// Seconds that one step may take.
pub const STEP_S: u32 = 86_400;
/// Bytes of a target's name.
pub const TARGET_BYTES: usize = 128;
/// Characters of a reason, which is shown in one line.
pub const REASON_CHARACTERS: usize = 200;
/// Variables that a plan sets in the channel.
pub const VARIABLES: usize = 16;
/// Bytes of a variable's name, behind `HS_V_`.
pub const NAME_BYTES: usize = 32;
/// Bytes of a variable's value: it goes into one line of AGI.
pub const VALUE_BYTES: usize = 256;
/// Bytes of a draft's rule, which is part of what names the ticket's origin.
pub const RULE_BYTES: usize = 40;
/// Characters of a draft's subject: a ticket's.
pub const SUBJECT_CHARACTERS: usize = 200;
/// Bytes of a draft's body: its event is told whole.
pub const BODY_BYTES: usize = 16 * 1024;
/// Tags of a draft.
pub const TAGS: usize = 20;
/// Characters of a tag.
pub const TAG_CHARACTERS: usize = 50;
/// Custom fields of a draft.
pub const FIELDS: usize = 20;
