//! The operations of whoever signs in: as data here, their code by subject below.

mod account;
mod enter;
mod fields;
mod second;

use std::sync::Arc;

use super::Auth;
use crate::api::{Action, Call, Doing, Handler, Input, Operation, Output, Problem, Reply, Who};
use crate::base::ids::Id;

/// The code of one of these operations.
type Run = for<'a> fn(&'a Arc<Auth>, &'a Call) -> Doing<'a, Result<Reply, Problem>>;
/// Problems that an operation can have besides the common ones.
type Problems = &'static [(u16, &'static str, &'static str)];

const REFUSED: (u16, &str, &str) =
    (401, "wrong-credentials", "Email or password (or code) is wrong; which of them is not said.");
const DELAYED: (u16, &str, &str) =
    (429, "too-many-failures", "After several failures nothing is tried for a while; see Retry-After.");
const ENTER: Problems = &[
    REFUSED,
    (401, "totp-required", "The password is right; send it again together with totp_code."),
    (403, "inactive", "Everything is right, but the user may not sign in."),
    (403, "no-role", "Everything is right, but the user has no role in that tenant."),
    DELAYED,
];
const PASSWORD: Problems = &[(403, "wrong-password", "The present password is wrong."), DELAYED];

fn operation(
    (method, path, id): (&'static str, &'static str, &'static str),
    who: Who,
    (summary, doc): (&'static str, &'static str),
    (input, output): (Input, Output),
    problems: Problems,
) -> Operation {
    Operation {
        id: id.into(),
        method,
        path: path.into(),
        tag: "auth".to_owned(),
        summary: summary.into(),
        doc: doc.into(),
        who,
        query: Vec::new(),
        input,
        output,
        own: None,
        once: &[],
        problems,
        again: "",
        deadline: Operation::DEADLINE,
    }
}

/// The operations. `registration`: whether strangers may make a trial tenant.
pub fn actions(auth: &Arc<Auth>, registration: bool) -> Vec<Action> {
    let register: Run = if registration { enter::register } else { enter::no_registration };
    let all =
        public(register).into_iter().chain(resets()).chain(passwords()).chain(own()).chain(second_factor());
    all.map(|(operation, run)| {
        let auth = Arc::clone(auth);
        let handler = Handler::read(move |call| {
            let auth = Arc::clone(&auth);
            Box::pin(async move { run(&auth, call).await })
        });
        Action { operation, handler }
    })
    .collect()
}

fn public(register: Run) -> Vec<(Operation, Run)> {
    let entered = |status| Output::Object("SignedIn", &fields::SIGNED_IN, status);
    vec![
        (
            operation(
                ("POST", "/auth/login", "auth.login"),
                Who::Public,
                (
                    "Sign in",
                    "The access token goes into `Authorization: Bearer` and lives ten minutes; the refresh token gets \
                     the next one. Without `tenant_id` the user's own tenant is entered.",
                ),
                (Input::New(&fields::LOGIN, &[]), entered(200)),
                ENTER,
            ),
            enter::login,
        ),
        (
            operation(
                ("POST", "/auth/refresh", "auth.refresh"),
                Who::Public,
                (
                    "Get the next access token",
                    "A refresh token is used once; the answer holds the next one. One that comes back later ends the session.",
                ),
                (Input::New(&fields::REFRESH, &[]), entered(200)),
                &[(401, "session-ended", "The token is used, expired or none of ours: sign in again.")],
            ),
            enter::refresh,
        ),
        (
            operation(
                ("POST", "/auth/register", "auth.register"),
                Who::Public,
                (
                    "Make a trial tenant",
                    "Makes a tenant on trial with its first admin and signs in. Only where the operator allows it.",
                ),
                (Input::New(&fields::REGISTER, &[]), entered(201)),
                &[
                    (403, "registration-off", "Strangers can't make a tenant here."),
                    (409, "taken", "The tenant's id or the email is taken."),
                ],
            ),
            register,
        ),
    ]
}

fn resets() -> Vec<(Operation, Run)> {
    vec![
        (
            operation(
                ("POST", "/auth/password-reset", "auth.password-reset"),
                Who::Public,
                (
                    "Ask for a way to a new password",
                    "Sends a token to the address when somebody has it. The answer is the same when nobody does.",
                ),
                (Input::New(&fields::RESET, &[]), Output::Object("Accepted", &fields::ACCEPTED, 202)),
                &[],
            ),
            account::request_reset,
        ),
        (
            operation(
                ("POST", "/auth/password-reset/confirm", "auth.password-reset-confirm"),
                Who::Public,
                ("Set a new password with a token", "Every session of the user ends. A second factor stays."),
                (Input::New(&fields::RESET_CONFIRM, &[]), Output::Empty),
                &[(401, "reset-refused", "The token is used, expired or none of ours.")],
            ),
            account::confirm_reset,
        ),
    ]
}

fn passwords() -> Vec<(Operation, Run)> {
    vec![
        (
            operation(
                ("POST", "/auth/password", "auth.password"),
                Who::SignedIn,
                ("Change the own password", "This session goes on; every other one of the user ends."),
                (Input::New(&fields::PASSWORD_CHANGE, &[]), Output::Empty),
                PASSWORD,
            ),
            account::change_password,
        ),
        (
            operation(
                ("POST", "/auth/logout", "auth.logout"),
                Who::SignedIn,
                ("Sign out", "Ends this session; its tokens are worth nothing from now on."),
                (Input::None, Output::Empty),
                &[],
            ),
            enter::logout,
        ),
        (
            operation(
                ("POST", "/auth/switch-tenant", "auth.switch-tenant"),
                Who::SignedIn,
                (
                    "Go on in another tenant",
                    "Ends this session and begins one in the other tenant, which lives no longer than this one would \
                     have. Who runs the platform may enter any tenant, and leave with null.",
                ),
                (Input::New(&fields::SWITCH, &[]), Output::Object("SignedIn", &fields::SIGNED_IN, 200)),
                &[],
            ),
            enter::switch,
        ),
    ]
}

fn own() -> Vec<(Operation, Run)> {
    let me = Output::Object("Me", &fields::ME, 200);
    vec![
        (
            operation(
                ("GET", "/auth/me", "auth.me"),
                Who::SignedIn,
                ("Who am I", "The user, what the token stands for, and every tenant the user has a role in."),
                (Input::None, me),
                &[],
            ),
            account::me,
        ),
        (
            operation(
                ("PATCH", "/auth/me", "auth.update-me"),
                Who::SignedIn,
                ("Change the own profile", ""),
                (Input::Patch(&fields::PROFILE, &[]), me),
                &[],
            ),
            account::update_me,
        ),
        (
            operation(
                ("GET", "/auth/sessions", "auth.sessions"),
                Who::SignedIn,
                ("List the own sessions", "Those that live, the last used first."),
                (Input::None, Output::Objects("Session", &fields::SESSION)),
                &[],
            ),
            account::sessions,
        ),
        (
            operation(
                ("DELETE", "/auth/sessions/{id}", "auth.end-session"),
                Who::SignedIn,
                ("End one of the own sessions", ""),
                (Input::None, Output::Empty),
                &[],
            ),
            account::end_session,
        ),
    ]
}

fn second_factor() -> Vec<(Operation, Run)> {
    let codes = Output::Object("RecoveryCodes", &fields::CODES, 200);
    let password = Input::New(&fields::PASSWORD_ONLY, &[]);
    vec![
        (
            operation(
                ("POST", "/auth/totp/begin", "auth.totp-begin"),
                Who::SignedIn,
                (
                    "Begin a second factor",
                    "Answers what an authenticator app needs, once. Codes are asked for after a code of the app was confirmed.",
                ),
                (password, Output::Object("TotpSecret", &fields::TOTP, 200)),
                &[
                    (403, "wrong-password", "The password is wrong."),
                    DELAYED,
                    (409, "totp-enabled", "Disable the present one first."),
                ],
            ),
            second::begin,
        ),
        (
            operation(
                ("POST", "/auth/totp/confirm", "auth.totp-confirm"),
                Who::SignedIn,
                ("Enable the second factor", "Answers the recovery codes, once."),
                (Input::New(&fields::CODE, &[]), codes),
                &[(409, "totp-not-begun", "Begin first.")],
            ),
            second::confirm,
        ),
        (
            operation(
                ("POST", "/auth/totp/disable", "auth.totp-disable"),
                Who::SignedIn,
                ("Take the second factor away", "Recovery codes end with it."),
                (password, Output::Empty),
                PASSWORD,
            ),
            second::disable,
        ),
        (
            operation(
                ("POST", "/auth/recovery-codes", "auth.recovery-codes"),
                Who::SignedIn,
                ("Make new recovery codes", "The old ones end. Shown once."),
                (password, codes),
                &[
                    (403, "wrong-password", "The password is wrong."),
                    DELAYED,
                    (409, "totp-not-enabled", "There is no second factor."),
                ],
            ),
            second::recovery_codes,
        ),
    ]
}

/// The user and the session of a request by somebody who is signed in.
fn signed_in(call: &Call) -> Result<(&Id, &Id), Problem> {
    let caller = call.caller()?;
    let both = caller.user().zip(caller.session.as_ref());
    both.ok_or_else(|| Problem::forbidden("This is for people; an API key can't do it."))
}
