//! Logins, sessions, second factors, resets and keys, through the database.

use std::sync::Arc;

use hookswitch::auth::api_key::{self, Access, Scopes, store::NewApiKey};
use hookswitch::auth::change::{self, Asked, Changed};
use hookswitch::auth::login::{self, Attempt, Login, Opened};
use hookswitch::auth::password::{self, Verdict};
use hookswitch::auth::reset::{self, Reset};
use hookswitch::auth::session::{self, Origin, Refreshed, Why};
use hookswitch::auth::totp::{self, Confirmed, Provision};
use hookswitch::auth::{Auth, AuthError, account, recovery};
use hookswitch::base::clock::{Clock, from_us};
use hookswitch::base::ids::{Id, IdSource, TenantId};
use hookswitch::base::role::Role;
use hookswitch::base::secret::Secret;
use hookswitch::config::limits::auth as limits;
use hookswitch::db::Db;
use hookswitch::users::store::{self as users, NewUser};
use hookswitch::users::{Email, UserStatus};
use hookswitch::{db, tenants};

use crate::support::{TestDb, both_databases, clock, tenant};
use crate::world::plain_tenant;

const PASSWORD: &str = "hookswitch-demo-1";
const S: i64 = 1_000_000;

/// One process's logins over a test's database.
struct World {
    db: Db,
    auth: Arc<Auth>,
    clock: Clock,
    hash: String,
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn auth(clock: &Clock) -> Arc<Auth> {
    let ids = IdSource::new(clock.clone());
    Arc::new(Auth::new(&Secret::new("a secret of thirty-two bytes, no less"), clock.clone(), ids).unwrap())
}

impl World {
    /// Tenants acme and globex.
    async fn new(t: &TestDb) -> Self {
        let clock = clock();
        let mut tx = t.db.begin().await.unwrap();
        for id in ["acme", "globex"] {
            tenants::store::insert(&mut tx, &plain_tenant(id), 1).await.unwrap();
        }
        tx.commit().await.unwrap();
        Self { db: t.db.clone(), auth: auth(&clock), clock, hash: password::hash(PASSWORD).unwrap() }
    }

    fn later(&self, us: i64) {
        self.clock.set(from_us(self.clock.now_us() + us));
    }

    async fn user(&self, name: &str, roles: &[(&str, Role)]) -> Id {
        self.user_with(name, roles, &self.hash).await
    }

    async fn user_with(&self, name: &str, roles: &[(&str, Role)], hash: &str) -> Id {
        let (id, home) = (self.auth.ids.next(), roles.first().map(|(id, _)| tenant(id)));
        let mut tx = self.db.begin().await.unwrap();
        let user = NewUser {
            id: &id,
            tenant: home.as_ref(),
            email: &email(name),
            password_hash: hash,
            is_superadmin: roles.is_empty(),
            first_name: "",
            last_name: "",
            language: "en",
            zone: "UTC",
        };
        users::insert(&mut tx, &user, self.clock.now_us()).await.unwrap();
        for (at, role) in roles {
            let row = (&self.auth.ids.next(), *role);
            users::set_role(&mut tx, &tenant(at), &id, row, self.clock.now_us()).await.unwrap();
        }
        tx.commit().await.unwrap();
        id
    }

    async fn attempt(&self, name: &str, password: &str, code: Option<&str>, at: Option<&str>) -> Login {
        let (email, password, at) = (email(name), Secret::new(password), at.map(tenant));
        let origin = Origin { user_agent: "test/1", address: "127.0.0.1" };
        let attempt = Attempt { email: &email, password: &password, code, tenant: at.as_ref(), origin };
        login::login(&self.auth, &self.db, &attempt).await.unwrap()
    }

    async fn opened(&self, name: &str) -> Opened {
        match self.attempt(name, PASSWORD, None, None).await {
            Login::Opened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    async fn refresh(&self, token: &Secret) -> Refreshed {
        session::refresh(&self.auth, &self.db, token).await.unwrap()
    }

    async fn renewed(&self, token: &Secret) -> Secret {
        match self.refresh(token).await {
            Refreshed::Renewed { token, .. } => token,
            other => panic!("{other:?}"),
        }
    }

    async fn is_refused(&self, token: &Secret) -> bool {
        matches!(self.refresh(token).await, Refreshed::Refused)
    }

    /// Enables the second factor, a step earlier than now.
    async fn second_factor(&self, user: &Id) -> (Provision, Vec<Secret>) {
        let mut tx = self.db.begin().await.unwrap();
        let provision = totp::begin(&self.auth, &mut tx, user).await.unwrap().unwrap();
        let code = self.code(&provision);
        let Confirmed::Enabled(codes) = totp::confirm(&self.auth, &mut tx, user, &code).await.unwrap() else {
            panic!("not enabled")
        };
        tx.commit().await.unwrap();
        self.later(30 * S);
        (provision, codes)
    }

    /// What the app shows now.
    fn code(&self, provision: &Provision) -> String {
        let secret = totp_rs::Secret::try_from_base32(provision.secret.expose()).unwrap();
        let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
        app.generate(u64::try_from(self.clock.now_us() / S).unwrap()).to_string()
    }
}

fn what(login: &Login) -> String {
    match login {
        Login::Opened(opened) => format!(
            "{} {}",
            opened.session.tenant.as_ref().map_or("-", TenantId::as_str),
            opened.session.role.as_str()
        ),
        Login::Refused => "refused".into(),
        Login::Delayed { retry_after_s } => format!("delayed {retry_after_s}"),
        Login::NeedsCode => "needs code".into(),
        Login::NotActive(status) => status.as_str().into(),
        Login::NoTenant => "no tenant".into(),
    }
}

const WHY: &str = "SELECT revoked_why FROM sessions ORDER BY id";
const UNUSED: &str = "SELECT COUNT(*) FROM refresh_tokens WHERE consumed_at IS NULL";

both_databases! {
    async fn a_login_chooses_tenant_and_role(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("globex", Role::Agent), ("acme", Role::TenantAdmin)]).await;
        w.user("root@x.test", &[]).await;
        let homeless = w.user("none@x.test", &[("acme", Role::Viewer)]).await;
        t.execute(&format!("DELETE FROM user_roles WHERE user_id = '{homeless}'")).await.unwrap();
        for (name, at, expected) in [
            ("ann@x.test", None, "globex agent"),
            ("ANN@x.test", Some("acme"), "acme tenant_admin"),
            ("ann@x.test", Some("other"), "no tenant"),
            ("root@x.test", None, "- superadmin"),
            ("root@x.test", Some("acme"), "acme superadmin"),
            ("root@x.test", Some("other"), "no tenant"),
            ("none@x.test", None, "no tenant"),
        ] {
            assert_eq!(what(&w.attempt(name, PASSWORD, None, at).await), expected, "{name} {at:?}");
        }
        let opened = w.opened("ann@x.test").await;
        let claims = w.auth.tokens.verify(opened.access_token.expose()).unwrap();
        assert_eq!((&claims.sid, &claims.tid, claims.role), (&opened.session.id, &Some(tenant("globex")), Role::Agent));
        assert_eq!(t.texts("SELECT user_agent FROM sessions WHERE address = '127.0.0.1' LIMIT 1").await, ["test/1"]);
        // Nothing of a token stands in the database but its hash.
        assert_eq!(t.number("SELECT COUNT(*) FROM refresh_tokens WHERE hash LIKE 'hsr%' OR LENGTH(hash) <> 64").await, 0);
        // A deleted tenant takes nobody in; neither does one that others have deleted.
        t.execute("UPDATE tenants SET deleted_at = 5 WHERE id = 'globex'").await.unwrap();
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, None, None).await), "acme tenant_admin");
        assert!(w.is_refused(&opened.refresh_token).await);
    }

    async fn only_active_users_with_their_password_get_in(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        assert_eq!(what(&w.attempt("ann@x.test", "another-password", None, None).await), "refused");
        assert_eq!(what(&w.attempt("bob@x.test", PASSWORD, None, None).await), "refused");
        assert_eq!(what(&w.attempt("ann@x.test", &"a".repeat(1 << 20), None, None).await), "refused");
        let opened = w.opened("ann@x.test").await;
        let mut tx = t.db.begin().await.unwrap();
        assert!(users::set_status(&mut tx, &ann, UserStatus::Suspended, 5).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, None, None).await), "suspended");
        assert_eq!(what(&w.attempt("ann@x.test", "another-password", None, None).await), "refused");
        assert!(w.is_refused(&opened.refresh_token).await);
        t.execute("UPDATE users SET deleted_at = 5").await.unwrap();
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, None, None).await), "refused");
        // The email is free again, for one.
        w.user("ann@x.test", &[("globex", Role::Agent)]).await;
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, None, None).await), "globex agent");
    }

    async fn old_hashes_are_replaced_at_the_login(t) {
        let w = World::new(&t).await;
        let old = bcrypt::hash(PASSWORD, 4).unwrap();
        let ann = w.user_with("ann@x.test", &[("acme", Role::Agent)], &old).await;
        assert_eq!(what(&w.attempt("ann@x.test", "another-password", None, None).await), "refused");
        assert_eq!(t.texts("SELECT password_hash FROM users").await, [old]);
        w.opened("ann@x.test").await;
        let new = t.texts("SELECT password_hash FROM users").await.remove(0);
        assert!(new.starts_with("$argon2id$"), "{new}");
        assert_eq!(password::verify(PASSWORD, &new).unwrap(), Verdict::Right);
        w.opened("ann@x.test").await;
        assert_eq!(t.texts("SELECT password_hash FROM users").await, [new]);
        assert!(account::by_id(&t.db, &ann).await.unwrap().is_some());
    }

    /// Somebody and nobody see the same delays, and the right password opens nothing while one lasts.
    async fn failures_cost_time_whether_or_not_the_user_exists(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        for name in ["ann@x.test", "nobody@x.test"] {
            for _ in 0..5 {
                assert_eq!(what(&w.attempt(name, "another-password", None, None).await), "refused");
            }
            assert_eq!(what(&w.attempt(name, PASSWORD, None, None).await), "delayed 1");
        }
        w.later(S);
        for name in ["ann@x.test", "nobody@x.test"] {
            assert_eq!(what(&w.attempt(name, "another-password", None, None).await), "refused");
            assert_eq!(what(&w.attempt(name, "another-password", None, None).await), "delayed 2");
        }
        w.later(2 * S);
        w.opened("ann@x.test").await;
        assert_eq!(t.number("SELECT failed_logins + COALESCE(locked_until, 0) FROM users").await, 0);
        assert_eq!(what(&w.attempt("ann@x.test", "another-password", None, None).await), "refused");
        assert_eq!(t.number("SELECT failed_logins FROM users").await, 1);
    }

    /// Guesses in parallel get no more tries than guesses one by one.
    async fn parallel_guesses_are_counted_one_by_one(t) {
        let w = Arc::new(World::new(&t).await);
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let mut tasks = Vec::new();
        for n in 0..20 {
            let w = Arc::clone(&w);
            tasks.push(tokio::spawn(async move {
                what(&w.attempt("ann@x.test", &format!("guess number {n}"), None, None).await)
            }));
        }
        let mut answers = std::collections::BTreeMap::<String, u32>::new();
        for task in tasks {
            *answers.entry(task.await.unwrap()).or_default() += 1;
        }
        assert_eq!(answers, [("delayed 1".to_owned(), 15), ("refused".to_owned(), 5)].into());
        assert_eq!(t.number("SELECT failed_logins FROM users").await, 5);
    }

    async fn a_refresh_token_is_used_once(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let opened = w.opened("ann@x.test").await;
        let mut token = opened.refresh_token;
        for _ in 0..3 {
            w.later(600 * S);
            let next = w.renewed(&token).await;
            assert_ne!(next, token);
            token = next;
        }
        assert_eq!(t.number(UNUSED).await, 1);
        assert!(w.is_refused(&Secret::new("hsr_x")).await);
        assert!(w.is_refused(&Secret::new(format!("hsr_{}", "a".repeat(43)))).await);
        assert!(!w.auth.revoked.contains(&opened.session.id));
    }

    async fn a_used_token_that_comes_back_ends_the_session(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        // Too late, though the successor was not used.
        let opened = w.opened("ann@x.test").await;
        let next = w.renewed(&opened.refresh_token).await;
        w.later(limits::REFRESH_GRACE_US + 1);
        let Refreshed::Reused { session } = w.refresh(&opened.refresh_token).await else { panic!("taken") };
        assert_eq!(session.id, opened.session.id);
        assert!(w.auth.revoked.contains(&session.id));
        assert!(w.is_refused(&next).await && w.is_refused(&opened.refresh_token).await);
        // At once, but the successor was used.
        let opened = w.opened("ann@x.test").await;
        let next = w.renewed(&opened.refresh_token).await;
        let last = w.renewed(&next).await;
        assert!(matches!(w.refresh(&opened.refresh_token).await, Refreshed::Reused { .. }));
        assert!(w.is_refused(&last).await);
        assert_eq!(t.texts(WHY).await, ["reuse", "reuse"]);
        // Another session of the same user lives on.
        let other = w.opened("ann@x.test").await;
        w.renewed(&other.refresh_token).await;
    }

    async fn a_lost_answer_is_given_again(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let first = w.opened("ann@x.test").await.refresh_token;
        let lost = w.renewed(&first).await;
        // Within seconds: the very same, so that it does not matter which answer is kept.
        w.later(limits::REFRESH_TWICE_US);
        assert_eq!(w.renewed(&first).await, lost);
        // Later: another one in its place.
        w.later(S);
        let second = w.renewed(&first).await;
        assert_ne!(second, lost);
        assert!(w.is_refused(&lost).await);
        let third = w.renewed(&first).await;
        assert_ne!(third, second);
        assert_eq!(t.number(UNUSED).await, 1);
        // The grace does not grow with the repeats.
        w.later(limits::REFRESH_GRACE_US - limits::REFRESH_TWICE_US - S);
        let last = w.renewed(&first).await;
        let next = w.renewed(&last).await;
        assert!(matches!(w.refresh(&first).await, Refreshed::Reused { .. }));
        assert!(w.is_refused(&next).await);
    }

    /// Two tabs, two processes, one token: both go on, with one line of tokens.
    async fn a_double_click_logs_nobody_out(t) {
        let w = Arc::new(World::new(&t).await);
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let other = (auth(&w.clock), t.again().await);
        for _ in 0..5 {
            let first = w.opened("ann@x.test").await;
            let before = t.number(UNUSED).await;
            let mut tasks = Vec::new();
            for n in 0..6 {
                let (auth, db) = if n % 2 == 0 { (Arc::clone(&w.auth), w.db.clone()) } else { other.clone() };
                let token = first.refresh_token.clone();
                tasks.push(tokio::spawn(async move { session::refresh(&auth, &db, &token).await.unwrap() }));
            }
            let mut tokens = Vec::new();
            for task in tasks {
                let Refreshed::Renewed { token, session } = task.await.unwrap() else { panic!("logged out") };
                assert_eq!(session, first.session);
                tokens.push(token);
            }
            assert!(tokens.iter().all(|token| *token == tokens[0]));
            assert_eq!(t.number(UNUSED).await, before);
            w.later(600 * S);
            w.renewed(&tokens[0]).await;
        }
    }

    async fn a_session_ends_by_rest_and_by_age(t) {
        let w = World::new(&t).await;
        w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let idle = w.opened("ann@x.test").await;
        w.later(limits::SESSION_IDLE_US);
        assert!(w.is_refused(&idle.refresh_token).await);
        let mut token = w.opened("ann@x.test").await.refresh_token;
        for _ in 0..3 {
            w.later(limits::SESSION_IDLE_US - S);
            token = w.renewed(&token).await;
        }
        w.later(3 * S - 1);
        token = w.renewed(&token).await;
        w.later(1);
        assert!(w.is_refused(&token).await);
        // Cleaning takes what is long over, and used tokens after a week.
        let open = w.opened("ann@x.test").await;
        let next = w.renewed(&open.refresh_token).await;
        w.later(limits::CONSUMED_KEPT_US + 1);
        assert_eq!(session::clean(&t.db, w.clock.now_us()).await.unwrap(), 1);
        assert_eq!(t.number("SELECT COUNT(*) FROM refresh_tokens WHERE consumed_at IS NOT NULL").await, 0);
        w.renewed(&next).await;
    }

    async fn sessions_end_for_their_reasons(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent), ("globex", Role::Viewer)]).await;
        let bob = w.user("bob@x.test", &[("acme", Role::Agent)]).await;
        let (one, two) = (w.opened("ann@x.test").await, w.opened("ann@x.test").await);
        let Login::Opened(globex) = w.attempt("ann@x.test", PASSWORD, None, Some("globex")).await else { panic!() };
        let bobs = w.opened("bob@x.test").await;
        let now = w.clock.now_us();
        let mut tx = t.db.begin().await.unwrap();
        // Nobody logs out somebody else.
        assert!(session::revoke(&mut tx, &bob, &one.session.id, Why::Logout, now).await.unwrap().is_empty());
        let ended = session::revoke(&mut tx, &ann, &one.session.id, Why::Logout, now).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&one.session.id));
        assert!(session::revoke(&mut tx, &ann, &one.session.id, Why::Logout, now).await.unwrap().is_empty());
        let ended = session::revoke_in_tenant(&mut tx, &tenant("globex"), &ann, Why::Role, now + 1).await.unwrap();
        assert_eq!(ended, std::slice::from_ref(&globex.session.id));
        tx.commit().await.unwrap();
        assert!(w.is_refused(&one.refresh_token).await && w.is_refused(&globex.refresh_token).await);
        let next = w.renewed(&two.refresh_token).await;
        let mut tx = t.db.begin().await.unwrap();
        let ended = session::revoke_all(&mut tx, &ann, None, Why::Suspended, now + 2).await.unwrap();
        assert_eq!(ended, [two.session.id]);
        tx.commit().await.unwrap();
        assert!(w.is_refused(&next).await);
        w.renewed(&bobs.refresh_token).await;
        assert_eq!(t.texts(WHY).await, ["logout", "suspended", "role", ""]);
    }

    async fn another_process_hears_of_ended_sessions(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let other = auth(&w.clock);
        assert_eq!(other.revoked.refresh(&t.db, w.clock.now_us()).await.unwrap(), 0);
        let mut ids = Vec::new();
        for _ in 0..3 {
            let session = w.opened("ann@x.test").await.session.id;
            w.later(S);
            let mut tx = t.db.begin().await.unwrap();
            let ended = session::revoke(&mut tx, &ann, &session, Why::Logout, w.clock.now_us()).await.unwrap();
            tx.commit().await.unwrap();
            assert!(!w.auth.revoked.contains(&session));
            w.auth.revoked.add(&ended, w.clock.now_us());
            assert!(w.auth.revoked.contains(&session) && !other.revoked.contains(&session));
            other.revoked.refresh(&t.db, w.clock.now_us()).await.unwrap();
            assert!(other.revoked.contains(&session));
            ids.push(session);
        }
        // A process that starts now reads the past, one that lost the database catches up, and what no token can name
        // any more is forgotten.
        w.later(limits::ACCESS_S * S);
        let late = auth(&w.clock);
        assert_eq!(late.revoked.refresh(&t.db, w.clock.now_us()).await.unwrap(), 3);
        w.later(120 * S);
        for auth in [&late, &other, &w.auth] {
            assert_eq!(auth.revoked.refresh(&t.db, w.clock.now_us()).await.unwrap(), 0);
            assert!(!auth.revoked.contains(&ids[0]));
        }
        let away = t.again().await;
        away.close().await;
        assert!(db::is_unavailable(&late.revoked.refresh(&away, w.clock.now_us()).await.unwrap_err()));
    }

    async fn a_switch_of_tenants_ends_one_session_and_begins_another(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent), ("globex", Role::Supervisor)]).await;
        let bob = w.user("bob@x.test", &[("acme", Role::Agent)]).await;
        let first = w.opened("ann@x.test").await;
        w.later(86_400 * S);
        let switch = async |user: &Id, session: &Id, to: &str| {
            login::switch(&w.auth, &t.db, (user, session), Some(&tenant(to)), Origin::default()).await.unwrap()
        };
        assert!(switch(&bob, &first.session.id, "acme").await.is_none(), "somebody else's session");
        assert!(switch(&ann, &first.session.id, "other").await.is_none());
        let next = switch(&ann, &first.session.id, "globex").await.unwrap();
        assert_eq!((&next.session.tenant, next.session.role), (&Some(tenant("globex")), Role::Supervisor));
        assert_eq!(next.session.expires_us, first.session.expires_us);
        assert!(w.auth.revoked.contains(&first.session.id) && w.is_refused(&first.refresh_token).await);
        assert!(switch(&ann, &first.session.id, "globex").await.is_none(), "twice");
        w.renewed(&next.refresh_token).await;
    }

    async fn a_code_is_asked_for_and_taken_once(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        // Begun and not confirmed: nothing is asked for yet.
        let mut tx = t.db.begin().await.unwrap();
        totp::begin(&w.auth, &mut tx, &ann).await.unwrap().unwrap();
        assert!(matches!(totp::confirm(&w.auth, &mut tx, &ann, "x").await.unwrap(), Confirmed::WrongCode));
        tx.commit().await.unwrap();
        w.opened("ann@x.test").await;
        let (provision, codes) = w.second_factor(&ann).await;
        assert!(provision.uri.expose().contains(provision.secret.expose()));
        assert_eq!(t.number("SELECT COUNT(*) FROM users WHERE totp_secret LIKE 'v1.%'").await, 1);
        let mut tx = t.db.begin().await.unwrap();
        assert!(totp::begin(&w.auth, &mut tx, &ann).await.unwrap().is_none());
        assert!(matches!(totp::confirm(&w.auth, &mut tx, &ann, "x").await.unwrap(), Confirmed::NotBegun));
        drop(tx);
        let attempt = async |password: &str, code: Option<&str>| what(&w.attempt("ann@x.test", password, code, None).await);
        assert_eq!(attempt(PASSWORD, None).await, "needs code");
        assert_eq!(attempt("another-password", None).await, "refused");
        let code = w.code(&provision);
        assert_eq!(attempt("another-password", Some(&code)).await, "refused");
        // A right password without its code forgives no failure.
        assert_eq!(attempt(PASSWORD, None).await, "needs code");
        assert_eq!(t.number("SELECT failed_logins FROM users").await, 2);
        assert_eq!(attempt(PASSWORD, Some(&code)).await, "acme agent");
        assert_eq!(attempt(PASSWORD, Some(&code)).await, "refused", "the same code again");
        w.later(30 * S);
        assert_eq!(attempt(PASSWORD, Some(&w.code(&provision))).await, "acme agent");
        // Recovery codes, each once.
        let recovery = codes[3].expose().to_uppercase();
        assert_eq!(attempt(PASSWORD, Some(&recovery)).await, "acme agent");
        assert_eq!(attempt(PASSWORD, Some(&recovery)).await, "refused");
        let mut tx = t.db.begin().await.unwrap();
        assert_eq!((codes.len(), recovery::left(&mut tx, &ann).await.unwrap()), (10, 9));
        drop(tx);
        // Disabling asks for the password; then none is asked for.
        let ask = async |password: &str| change::is_password(&w.auth, &t.db, &ann, &Secret::new(password)).await.unwrap();
        assert_eq!((ask("another-password").await, ask(PASSWORD).await), (Asked::Wrong, Asked::Right));
        let mut tx = t.db.begin().await.unwrap();
        totp::disable(&mut tx, &ann, 5).await.unwrap();
        assert_eq!(recovery::left(&mut tx, &ann).await.unwrap(), 0);
        tx.commit().await.unwrap();
        w.opened("ann@x.test").await;
    }

    async fn wrong_codes_are_failures(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let (provision, _) = w.second_factor(&ann).await;
        let code = w.code(&provision);
        let wrong = if code == "000000" { "000001" } else { "000000" };
        for _ in 0..5 {
            assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, Some(wrong), None).await), "refused");
        }
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, Some(&code), None).await), "delayed 1");
    }

    async fn one_code_opens_one_session_however_fast(t) {
        let w = Arc::new(World::new(&t).await);
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let (provision, codes) = w.second_factor(&ann).await;
        for code in [w.code(&provision), codes[0].expose().to_owned()] {
            let mut tasks = Vec::new();
            for _ in 0..4 {
                let (w, code) = (Arc::clone(&w), code.clone());
                tasks.push(tokio::spawn(async move { what(&w.attempt("ann@x.test", PASSWORD, Some(&code), None).await) }));
            }
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
            answers.sort();
            assert_eq!(answers, ["acme agent", "refused", "refused", "refused"]);
            t.execute("UPDATE users SET failed_logins = 0").await.unwrap();
        }
    }

    async fn a_new_password_ends_the_other_sessions(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let (own, other) = (w.opened("ann@x.test").await, w.opened("ann@x.test").await);
        let change = async |present: &str, new: &str| {
            let (present, new) = (Secret::new(present), Secret::new(new));
            change::change(&w.auth, &t.db, (&ann, &own.session.id), &present, &new).await.unwrap()
        };
        assert_eq!(change("another-password", "a new password").await, Changed::Refused(Asked::Wrong));
        assert!(matches!(change(PASSWORD, "short").await, Changed::Weak(_)));
        assert!(matches!(change(PASSWORD, "passwordpassword").await, Changed::Weak(_)));
        let next = w.renewed(&own.refresh_token).await;
        assert_eq!(change(PASSWORD, "a new password").await, Changed::Done);
        assert!(w.is_refused(&other.refresh_token).await && w.auth.revoked.contains(&other.session.id));
        assert!(!w.auth.revoked.contains(&own.session.id));
        w.renewed(&next).await;
        assert_eq!(what(&w.attempt("ann@x.test", PASSWORD, None, None).await), "refused");
        assert_eq!(what(&w.attempt("ann@x.test", "a new password", None, None).await), "acme agent");
        // Guessing here counts as guessing at the door.
        for _ in 0..5 {
            assert_eq!(change("another-password", "a newer password").await, Changed::Refused(Asked::Wrong));
        }
        assert_eq!(change("a new password", "a newer password").await, Changed::Refused(Asked::Delayed { retry_after_s: 1 }));
    }

    async fn a_forgotten_password_is_reset_once(t) {
        let w = World::new(&t).await;
        let ann = w.user("ann@x.test", &[("acme", Role::Agent)]).await;
        let opened = w.opened("ann@x.test").await;
        let request = async |name: &str| reset::request(&w.auth, &t.db, &email(name)).await.unwrap();
        let reset = async |token: &Secret, new: &str| reset::reset(&w.auth, &t.db, token, &Secret::new(new)).await.unwrap();
        assert!(request("nobody@x.test").await.is_none());
        let (_, older) = request("ann@x.test").await.unwrap();
        let (user, token) = request("ann@x.test").await.unwrap();
        assert_eq!(user, ann);
        assert_eq!(reset(&older, "a new password").await, Reset::Refused, "only the newest counts");
        assert_eq!(reset(&Secret::new("hsp_x"), "a new password").await, Reset::Refused);
        assert!(matches!(reset(&token, "short").await, Reset::Weak(_)));
        let both = tokio::join!(reset(&token, "a new password"), reset(&token, "a new password"));
        let done = Reset::Done { user: ann.clone() };
        assert!(both == (done.clone(), Reset::Refused) || both == (Reset::Refused, done), "{both:?}");
        assert!(w.is_refused(&opened.refresh_token).await && w.auth.revoked.contains(&opened.session.id));
        assert_eq!(what(&w.attempt("ann@x.test", "a new password", None, None).await), "acme agent");
        assert_eq!(reset(&token, "a newer password").await, Reset::Refused, "twice");
        let (_, late) = request("ann@x.test").await.unwrap();
        w.later(limits::RESET_US);
        assert_eq!(reset(&late, "a newer password").await, Reset::Refused, "too late");
        w.later(1);
        assert_eq!(reset::clean(&t.db, w.clock.now_us()).await.unwrap(), 1);
        t.execute("UPDATE users SET status = 'suspended'").await.unwrap();
        assert!(request("ann@x.test").await.is_none());
    }

    async fn an_api_key_opens_its_tenant_until_it_ends(t) {
        let w = World::new(&t).await;
        let keys = &w.auth.api_keys;
        let scopes = Scopes::parse(&["tickets:write", "*:read"]).unwrap();
        let (id, other) = (w.auth.ids.next(), w.auth.ids.next());
        let new = |id, expires_us| NewApiKey { id, name: "crm", role: Role::Supervisor, scopes: &scopes, expires_us, created_by: None };
        let mut tx = t.db.begin().await.unwrap();
        let text = api_key::store::insert(&mut tx, &tenant("acme"), &new(&id, None), 1).await.unwrap();
        let end = w.clock.now_us() + 5 * S;
        let short = api_key::store::insert(&mut tx, &tenant("acme"), &new(&other, Some(end)), 2).await.unwrap();
        let root = NewApiKey { role: Role::Superadmin, ..new(&other, None) };
        assert!(matches!(api_key::store::insert(&mut tx, &tenant("acme"), &root, 2).await, Err(AuthError::Internal(_))));
        tx.commit().await.unwrap();
        let find = async |text: &str| keys.find(&t.db, text).await.unwrap();
        let key = find(text.expose()).await.unwrap();
        assert_eq!((&key.id, &key.tenant, key.role), (&id, &tenant("acme"), Role::Supervisor));
        assert!(key.scopes.allow("tickets", Access::Write) && !key.scopes.allow("dids", Access::Write));
        assert_eq!(t.texts("SELECT prefix FROM api_keys ORDER BY created_at").await[0], text.expose()[..15]);
        assert_eq!(t.number("SELECT COUNT(*) FROM api_keys WHERE hash LIKE 'hsk%'").await, 0);
        // An expired one is told by the clock, also from memory; an unknown and a mistyped one open nothing.
        assert!(find(short.expose()).await.is_some());
        w.later(5 * S);
        assert!(find(short.expose()).await.is_none());
        assert!(find(api_key::make().unwrap().expose()).await.is_none());
        assert!(find(&text.expose()[..58]).await.is_none());
        // Revoked: here at once, in another process when its memory is some seconds old.
        let elsewhere = auth(&w.clock);
        let there = t.again().await;
        assert!(elsewhere.api_keys.find(&there, text.expose()).await.unwrap().is_some());
        let mut tx = t.db.begin().await.unwrap();
        assert!(!api_key::store::revoke(&mut tx, &tenant("globex"), &id, 5).await.unwrap(), "another tenant's");
        assert!(api_key::store::revoke(&mut tx, &tenant("acme"), &id, 5).await.unwrap());
        assert!(!api_key::store::revoke(&mut tx, &tenant("acme"), &id, 5).await.unwrap());
        tx.commit().await.unwrap();
        keys.forget(&id);
        assert!(find(text.expose()).await.is_none());
        assert!(elsewhere.api_keys.find(&there, text.expose()).await.unwrap().is_some());
        w.later(limits::KEY_CACHE_US);
        assert!(elsewhere.api_keys.find(&there, text.expose()).await.unwrap().is_none());
        // Memory asks no database.
        t.execute("UPDATE api_keys SET revoked_at = NULL").await.unwrap();
        keys.forget(&id);
        assert!(find(text.expose()).await.is_some());
        t.db.close().await;
        assert!(find(text.expose()).await.is_some());
        w.later(limits::KEY_CACHE_US);
        assert!(keys.find(&t.db, text.expose()).await.is_err());
    }

    async fn the_last_use_of_a_key_is_written_now_and_then(t) {
        let w = World::new(&t).await;
        let keys = &w.auth.api_keys;
        let scopes = Scopes::parse(&["*:read"]).unwrap();
        let id = w.auth.ids.next();
        let mut tx = t.db.begin().await.unwrap();
        let new = NewApiKey { id: &id, name: "crm", role: Role::Viewer, scopes: &scopes, expires_us: None, created_by: None };
        let text = api_key::store::insert(&mut tx, &tenant("acme"), &new, 1).await.unwrap();
        tx.commit().await.unwrap();
        let start = w.clock.now_us();
        let used = async |address: &str| {
            let key = keys.find(&t.db, text.expose()).await.unwrap().unwrap();
            keys.note_use(&key, address);
        };
        for n in 0..50 {
            used(&format!("10.0.0.{n}")).await;
        }
        assert_eq!((keys.flush(&t.db).await.unwrap(), keys.flush(&t.db).await.unwrap()), (1, 0));
        let written = "SELECT CONCAT(last_used_at, ' ', last_used_address) FROM api_keys";
        let written = if t.kind == crate::support::Kind::Sqlite { "SELECT last_used_at || ' ' || last_used_address FROM api_keys" } else { written };
        assert_eq!(t.texts(written).await, [format!("{start} 10.0.0.0")]);
        w.later(limits::KEY_USE_US - 1);
        used("10.0.1.0").await;
        assert_eq!(keys.flush(&t.db).await.unwrap(), 0);
        w.later(1);
        used("10.0.2.0").await;
        let away = t.again().await;
        away.close().await;
        keys.flush(&away).await.unwrap_err();
        assert_eq!(keys.flush(&t.db).await.unwrap(), 1, "what was not written is written later");
        assert_eq!(t.texts(written).await, [format!("{} 10.0.2.0", start + limits::KEY_USE_US)]);
    }
}
