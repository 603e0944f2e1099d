//! Bodies and answers of the operations of whoever signs in.

use serde_json::Value;

use crate::api::{Field, Null, Shape, rules};

/// Characters of a password as it comes; which are taken is the policy's to say.
const PASSWORD_CHARS: usize = crate::config::limits::auth::PASSWORD_MAX_CHARS;

/// What answers hold needs no check.
fn any(_: &Value, _: &mut Vec<(String, String)>) {}

static USER: Shape = Shape {
    bytes: 64 * 1024,
    check: any,
    schema: r#"{"type":"object","required":["id","tenant_id","email","is_superadmin","first_name","last_name","phone","status","language","zone","avatar_url","last_login_at","totp_enabled","metadata","created_at","updated_at"],"properties":{"id":{"type":"string"},"tenant_id":{"type":["string","null"],"description":"The tenant the user belongs to; null for the platform's own people."},"email":{"type":"string","format":"email"},"is_superadmin":{"type":"boolean"},"first_name":{"type":"string"},"last_name":{"type":"string"},"phone":{"type":["string","null"]},"status":{"type":"string","enum":["active","inactive","suspended"]},"language":{"type":"string"},"zone":{"type":"string"},"avatar_url":{"type":["string","null"]},"last_login_at":{"type":["string","null"],"format":"date-time"},"totp_enabled":{"type":"boolean"},"metadata":{"type":"object"},"created_at":{"type":"string","format":"date-time"},"updated_at":{"type":"string","format":"date-time"}}}"#,
    example: r#"{"id":"01kb3n6m9a0000000000000000","tenant_id":"acme","email":"ada@example.com","is_superadmin":false,"first_name":"Ada","last_name":"Lovelace","phone":null,"status":"active","language":"en","zone":"UTC","avatar_url":null,"last_login_at":"2026-11-23T08:00:00Z","totp_enabled":false,"metadata":{},"created_at":"2026-11-23T08:00:00Z","updated_at":"2026-11-23T08:00:00Z"}"#,
};

static TENANT: Shape = Shape {
    bytes: 4 * 1024,
    check: any,
    schema: r#"{"type":"object","required":["id","name","status","language","zone"],"properties":{"id":{"type":"string"},"name":{"type":"string"},"status":{"type":"string","enum":["active","trial","suspended","inactive"]},"language":{"type":"string"},"zone":{"type":"string"}}}"#,
    example: r#"{"id":"acme","name":"Acme Corporation","status":"active","language":"en","zone":"UTC"}"#,
};

static TENANTS: Shape = Shape {
    bytes: 1024 * 1024,
    check: any,
    schema: r#"{"type":"array","items":{"type":"object","required":["id","name","status","role"],"properties":{"id":{"type":"string"},"name":{"type":"string"},"status":{"type":"string","enum":["active","trial","suspended","inactive"]},"role":{"type":"string","enum":["tenant_admin","supervisor","agent","viewer"]}}}}"#,
    example: r#"[{"id":"acme","name":"Acme Corporation","status":"active","role":"agent"}]"#,
};

static TEXTS: Shape = Shape {
    bytes: 4 * 1024,
    check: any,
    schema: r#"{"type":"array","items":{"type":"string"}}"#,
    example: r#"["3f7k-9q2m-xw41-hd8z"]"#,
};

const ROLES: &[&str] = &["superadmin", "tenant_admin", "supervisor", "agent", "viewer"];

const EMAIL: Field =
    Field::text("email", 1, 254, "The login name, an e-mail address.").example("\"ada@example.com\"");
const NEW_PASSWORD: Field =
    Field::text("new_password", 1, PASSWORD_CHARS, "At least 12 characters; none of the commonest.")
        .example("\"hookswitch-demo-2\"")
        .secret();
const PASSWORD: Field =
    Field::text("password", 1, PASSWORD_CHARS, "The password.").example("\"hookswitch-demo-1\"").secret();

pub(super) static LOGIN: [Field; 4] = [
    EMAIL,
    PASSWORD,
    Field::rule("tenant_id", &rules::TENANT, "Where to act; null: in the own tenant.").nullable(Null::Null),
    Field::maybe("totp_code", 40, "Six digits of the authenticator app, or a recovery code.").secret(),
];
pub(super) static REFRESH: [Field; 1] =
    [Field::text("refresh_token", 1, 128, "The refresh token that came last.")
        .example("\"hsr_...\"")
        .secret()];
pub(super) static SWITCH: [Field; 1] = [Field::rule(
    "tenant_id",
    &rules::TENANT,
    "Where to go on; null: in the own tenant, or in none for who runs the platform.",
)
.nullable(Null::Null)];
pub(super) static REGISTER: [Field; 8] = [
    Field::rule("tenant_id", &rules::TENANT, "The new tenant's id; a part of names towards Asterisk."),
    Field::text("tenant_name", 1, 200, "The new tenant's name for people.").example("\"Acme Corporation\""),
    Field::rule("email", &rules::EMAIL, "The first admin's login name."),
    PASSWORD,
    Field::text("first_name", 0, 100, "Given name.").default("\"\""),
    Field::text("last_name", 0, 100, "Family name.").default("\"\""),
    Field::rule("language", &rules::LANGUAGE, "Language of prompts and pages.").default("\"en\""),
    Field::rule("zone", &rules::ZONE, "IANA time zone.").default("\"UTC\""),
];
pub(super) static RESET: [Field; 1] = [EMAIL];
pub(super) static ACCEPTED: [Field; 1] = [Field::text("detail", 1, 200, "What happens next.")
    .example("\"If somebody has this address, a token is on its way.\"")];
pub(super) static RESET_CONFIRM: [Field; 2] =
    [Field::text("token", 1, 128, "The token that was sent.").example("\"hsp_...\"").secret(), NEW_PASSWORD];
pub(super) static PASSWORD_CHANGE: [Field; 2] = [
    Field::text("password", 1, PASSWORD_CHARS, "The present password.")
        .example("\"hookswitch-demo-1\"")
        .secret(),
    NEW_PASSWORD,
];
pub(super) static PASSWORD_ONLY: [Field; 1] = [PASSWORD];
pub(super) static CODE: [Field; 1] =
    [Field::text("code", 6, 6, "Six digits of the authenticator app.").example("\"123456\"").secret()];

/// Answer of everything that opens or renews a session.
pub(super) static SIGNED_IN: [Field; 7] = [
    Field::text("access_token", 1, 1_024, "For `Authorization: Bearer`.").example("\"eyJ...\""),
    Field::text("refresh_token", 1, 128, "Gets the next access token, once.").example("\"hsr_...\""),
    Field::int("expires_in", 1, 3_600, "Seconds that the access token lives.").example("600"),
    Field::one_of("token_type", &["Bearer"], "How it is sent."),
    Field::json("user", &USER, "Who signed in."),
    Field::json("tenant", &TENANT, "Where they act; null: who runs the platform, in no tenant.")
        .nullable(Null::Null),
    Field::one_of("role", ROLES, "What they are there."),
];

/// Answer of `/auth/me`.
pub(super) static ME: [Field; 4] = [
    Field::json("user", &USER, "The user."),
    Field::json("tenant", &TENANT, "Where the token acts; null: in none.").nullable(Null::Null),
    Field::one_of("role", ROLES, "What the user is there."),
    Field::json(
        "tenants",
        &TENANTS,
        "Every tenant the user has a role in. Who runs the platform may enter any other too.",
    ),
];

/// What users change of themselves.
pub(super) static PROFILE: [Field; 6] = [
    Field::text("first_name", 0, 100, "Given name."),
    Field::text("last_name", 0, 100, "Family name."),
    Field::maybe("phone", 40, "Telephone, as written by people."),
    Field::rule("language", &rules::LANGUAGE, "Language of the pages."),
    Field::rule("zone", &rules::ZONE, "IANA time zone of the pages."),
    Field::rule("avatar_url", &rules::URL, "A picture.").nullable(Null::Empty),
];

/// A session as its user sees it.
pub(super) static SESSION: [Field; 9] = [
    Field::id("id", "Its id."),
    Field::rule("tenant_id", &rules::TENANT, "Where it acts.").nullable(Null::Null),
    Field::one_of("role", ROLES, "What it is there."),
    Field::time("created_at", "When it began."),
    Field::time("used_at", "When a token of it was last renewed."),
    Field::time("expires_at", "When it ends at the latest."),
    Field::maybe("user_agent", 200, "The program that signed in, as it names itself."),
    Field::maybe("address", 45, "The address it came from."),
    Field::flag("current", "Whether it is the one of this request."),
];

pub(super) static TOTP: [Field; 2] = [
    Field::text("secret", 1, 100, "The secret in base32, for typing.").example("\"GEZDGNBVGY3TQOJQ\""),
    Field::text("uri", 1, 1_000, "The same as an `otpauth://` URI, for a QR code.")
        .example("\"otpauth://totp/...\""),
];
pub(super) static CODES: [Field; 1] =
    [Field::json("recovery_codes", &TEXTS, "Each lets in once, in place of a code.")];
