//! What users, roles and keys look like.

use crate::api::{Field, May, Null, Resource, Rule, Scopes, Target, Tells, rules};
use crate::base::role::Roles;
use crate::config::limits::auth as limits;

/// Where references to users lead: to those who have a role in the tenant.
pub static MEMBER: Target =
    Target { one: "user of this tenant", table: "user_roles", column: "user_id", soft: false };

/// Whether a user may sign in.
pub(super) const STATUSES: &[&str] = &["active", "inactive", "suspended"];

/// A user as its owner sees it, whatever the tenant. Not mounted: the operations below `/auth` read and write it.
pub static PROFILE: Resource = Resource {
    name: "users",
    one: "user",
    path: "/users",
    table: "users",
    index: "users_tenant_created",
    soft: true,
    fields: &[
        Field::rule("email", &rules::EMAIL, "The login name.").server(),
        Field::flag("is_superadmin", "Whether they run the platform.").server(),
        Field::text("first_name", 0, 100, "Given name."),
        Field::text("last_name", 0, 100, "Family name."),
        Field::maybe("phone", 40, "Telephone, as written by people."),
        Field::one_of("status", STATUSES, "Whether they may sign in.").server(),
        Field::rule("language", &rules::LANGUAGE, "Language of their pages."),
        Field::rule("zone", &rules::ZONE, "IANA time zone of their pages."),
        Field::rule("avatar_url", &rules::URL, "Their picture.").nullable(Null::Empty),
        Field::time("last_login_at", "When they last signed in.").nullable(Null::Null).server(),
        Field::flag("totp_enabled", "Whether they sign in with a second factor.").server(),
        Field::metadata(),
    ],
    tells: Tells::by_actions("user"),
    ..Resource::PLAIN
};

/// The roles of a tenant.
pub(super) const ROLES_IN_TENANT: &[&str] = &["tenant_admin", "supervisor", "agent", "viewer"];

const ROLE: Field = Field::one_of("role", ROLES_IN_TENANT, "What they may do in the tenant.");
const EMAIL: Field = Field::rule("email", &rules::EMAIL, "The login name, unique on the platform.");
const FIRST_NAME: Field = Field::text("first_name", 0, 100, "Given name.").default("\"\"");
const LAST_NAME: Field = Field::text("last_name", 0, 100, "Family name.").default("\"\"");
const PHONE: Field = Field::maybe("phone", 40, "Telephone, as written by people.");
const LANGUAGE: Field =
    Field::rule("language", &rules::LANGUAGE, "Language of their pages.").default("\"en\"");
const ZONE: Field = Field::rule("zone", &rules::ZONE, "IANA time zone of their pages.").default("\"UTC\"");
const AVATAR: Field = Field::rule("avatar_url", &rules::URL, "Their picture.").nullable(Null::Empty);
const STATUS: Field = Field::one_of("status", STATUSES, "Whether they may sign in.").default("\"active\"");
const PASSWORD: Field = Field::text(
    "password",
    1,
    crate::config::limits::auth::PASSWORD_MAX_CHARS,
    "A new password; null when a user is made: one is made up and shown once, in the field `password` of the answer.",
)
.example("\"a long pass phrase\"")
.nullable(Null::Null)
.secret();

/// `/users`
pub static USERS: Resource = Resource {
    name: "users",
    one: "user",
    path: "/users",
    doc: "People with a role in the tenant. A person has one login on the platform and may have roles in several tenants; \
          the home tenant is the one that made them, and only there are profile, status and password changed.",
    table: "users",
    source: "(SELECT u.id, r.tenant_id, u.email, u.first_name, u.last_name, u.phone, u.status, u.language, u.zone, \
             u.avatar_url, r.role, u.tenant_id AS home_tenant_id, u.is_superadmin, u.last_login_at, u.totp_enabled, \
             u.metadata, u.created_at, u.updated_at, u.deleted_at FROM user_roles r JOIN users u ON u.id = r.user_id)",
    soft: true,
    may: May::only_read(Roles::ALL),
    fields: &[
        EMAIL.filter().search(),
        FIRST_NAME.search(),
        LAST_NAME.search(),
        PHONE,
        STATUS.filter(),
        LANGUAGE,
        ZONE,
        AVATAR,
        ROLE.filter(),
        Field::rule(
            "home_tenant_id",
            &rules::TENANT,
            "The tenant that made them; null for the platform's own people.",
        )
        .nullable(Null::Null),
        Field::flag("is_superadmin", "Whether they run the platform."),
        Field::time("last_login_at", "When they last signed in.").nullable(Null::Null),
        Field::flag("totp_enabled", "Whether they sign in with a second factor."),
        Field::metadata(),
    ],
    tells: Tells::by_actions("user"),
    ..Resource::PLAIN
};

/// The body of a new user.
pub(super) static NEW_USER: [Field; 10] =
    [EMAIL, PASSWORD, ROLE, FIRST_NAME, LAST_NAME, PHONE, LANGUAGE, ZONE, AVATAR, Field::metadata()];

/// What can be changed of a user.
pub(super) static USER_PATCH: [Field; 11] =
    [EMAIL, PASSWORD, ROLE, STATUS, FIRST_NAME, LAST_NAME, PHONE, LANGUAGE, ZONE, AVATAR, Field::metadata()];

/// The columns of a user that its home tenant writes.
pub(super) static COLUMNS: Resource = Resource {
    name: "users",
    one: "user",
    table: "users",
    soft: true,
    fields: &[EMAIL, STATUS, FIRST_NAME, LAST_NAME, PHONE, LANGUAGE, ZONE, AVATAR, Field::metadata()],
    tells: Tells::by_actions("user"),
    ..Resource::PLAIN
};

/// `/roles`
pub static ROLES: Resource = Resource {
    name: "roles",
    one: "role",
    path: "/roles",
    doc: "Who has which role in the tenant; one each.",
    table: "user_roles",
    source: "(SELECT r.id, r.tenant_id, r.user_id, r.role, u.email, r.created_at, r.updated_at FROM user_roles r \
             JOIN users u ON u.id = r.user_id AND u.deleted_at = 0)",
    may: May::only_read(Roles::ADMINS),
    fields: &[
        Field::id("user_id", "The user.").filter(),
        ROLE.filter(),
        Field::rule("email", &rules::EMAIL, "The user's login name.").server(),
    ],
    tells: Tells::by_actions("user_role"),
    ..Resource::PLAIN
};

/// The body of a new role.
pub(super) static NEW_ROLE: [Field; 2] = [Field::id("user_id", "The user."), ROLE];
/// What can be changed of a role.
pub(super) static ROLE_PATCH: [Field; 1] = [ROLE];

/// One scope of a key.
static SCOPE: Rule = Rule {
    format: "scope",
    pattern: "^(\\*|[a-z][a-z0-9_-]*):(read|write)$",
    max: 50,
    check: |text| match Scopes::parse(&[text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(format!("{why}.")),
    },
    example: "tickets:read",
};

const KEY_NAME: Field = Field::text("name", 1, 100, "What it is for.").example("\"CRM import\"");
const KEY_SCOPES: Field = Field::texts(
    "scopes",
    limits::SCOPES,
    &SCOPE,
    "What it may touch: a collection or `*`, then `:read` or `:write` (which reads too).",
);
const KEY_ROLE: Field = Field::one_of(
    "role",
    ROLES_IN_TENANT,
    "What it may do at most: as a person of this role, within its scopes.",
);
const KEY_END: Field = Field::time("expires_at", "When it ends; null: never.").nullable(Null::Null);

/// `/api-keys`
pub static API_KEYS: Resource = Resource {
    name: "api-keys",
    one: "API key",
    path: "/api-keys",
    doc: "Keys of programs. A key is sent like an access token: `Authorization: Bearer hsk_live_...`. Its text is shown \
          once, when it is made. Revoked keys stay in the list.",
    table: "api_keys",
    index: "api_keys_tenant_created",
    may: May::only_read(Roles::ADMINS),
    fields: &[
        KEY_NAME.search(),
        Field::text("prefix", 1, 20, "How its text begins, for telling keys apart.")
            .example("\"hsk_live_4Zc9Qd\""),
        KEY_SCOPES,
        KEY_ROLE.filter(),
        Field::id("created_by", "The user who made it.").nullable(Null::Null).filter(),
        KEY_END,
        Field::time("last_used_at", "When it was last used, to the minute.").nullable(Null::Null),
        Field::maybe("last_used_address", 45, "From where."),
        Field::time("revoked_at", "When it was revoked; null: it was not.").nullable(Null::Null),
    ],
    tells: Tells::by_actions("api_key"),
    ..Resource::PLAIN
};

/// The body of a new key.
pub(super) static NEW_KEY: [Field; 4] = [KEY_NAME, KEY_SCOPES, KEY_ROLE, KEY_END];
