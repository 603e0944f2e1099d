//! Whether a version may be used: what it asks for is allowed, it can be loaded, it can be set up, it passes the plugin's
//! examples. Nothing here has an effect but where somebody wants to see a test with the tenant's own data.

use std::sync::Arc;

use serde_json::{Value, json};

use super::api::{Expected, input_of, settings_of, text};
use super::memory::Unloaded;
use super::{OnFailure, PluginStatus, Plugins, Run, Setup, Trigger};
use crate::api::{Fault, Problem, Record};
use crate::base::ids::{Id, TenantId};
use crate::config::limits::{api, plugins as limits};
use crate::db::db_read;
use crate::sandbox::{
    Asked, Grants, Host, Input, Job, Language, Nobody, Program, Recorded, Refusal, Report, Settings, World,
};
use crate::tenants;

/// One plugin, to try versions of it.
pub(super) struct Bench<'p> {
    plugins: &'p Plugins,
    pub(super) tenant: TenantId,
    pub(super) setup: Setup,
    zone: chrono_tz::Tz,
}

/// How an example went.
pub(super) struct Went {
    pub(super) run: Run,
    /// As a version's record shows it.
    pub(super) shown: Value,
    pub(super) passed: bool,
}

impl<'p> Bench<'p> {
    /// Of a plugin, as its record shows it.
    pub(super) async fn of(
        plugins: &'p Plugins,
        tenant: &TenantId,
        plugin: &Record,
    ) -> Result<Self, Problem> {
        fn list<T: serde::de::DeserializeOwned + Default>(plugin: &Record, name: &str) -> T {
            plugin.get(name).cloned().and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default()
        }
        let kind = World::parse(text(plugin, "kind"));
        let zone = tenants::tenant_of(&plugins.parts.db, tenant).await?.map(|tenant| tenant.zone);
        Ok(Self {
            plugins,
            tenant: tenant.clone(),
            setup: Setup {
                id: Id::parse(text(plugin, "id")).map_err(Problem::internal)?,
                name: text(plugin, "name").into(),
                kind: kind.ok_or_else(|| Problem::internal("a plugin of no kind"))?,
                status: PluginStatus::Draft,
                on_failure: OnFailure::Fallback,
                active: None,
                canary: None,
                shadow: None,
                pinned: Vec::new(),
                settings: Arc::new(settings_of(plugin.get("settings").unwrap_or(&Value::Null))),
                grants: list(plugin, "grants"),
                http_hosts: list(plugin, "http_hosts"),
                events: Vec::new(),
                parked_us: None,
                counts_from_us: 0,
            },
            zone: zone.and_then(|zone| zone.parse().ok()).unwrap_or(chrono_tz::UTC),
        })
    }

    /// Checks what a version asks for against what it may have.
    pub(super) fn allowed(&self, asked: Grants) -> Result<(), Problem> {
        let operator = self.plugins.parts.grants;
        let why = |grant: crate::sandbox::Grant| match operator.has(grant) {
            false => format!("{}: the operator of this service does not allow it.", grant.as_str()),
            true => format!("{}: add it to the plugin's grants.", grant.as_str()),
        };
        let missing = asked.without(self.plugins.grants(&self.setup));
        if missing.is_empty() {
            return Ok(());
        }
        let errors = missing.iter().map(|grant| Fault::at("grants", why(grant))).collect();
        let detail = format!("The version asks for what the plugin may not use: {missing}.");
        Err(Problem { errors, ..Problem::new(422, "grant-missing", detail) })
    }

    /// Checks that a router is small enough to be set up for each call.
    pub(super) fn quick(&self, bytes: usize) -> Result<(), Problem> {
        if self.setup.kind != World::Router
            || bytes <= limits::ROUTER_BYTES
            || self.plugins.parts.slow_routers
        {
            return Ok(());
        }
        let detail = format!(
            "A router is set up for every call, and this component of {} MiB would take 0.3 to 1 ms of each. Upload the \
             JavaScript as text (text/javascript), write it in Rust, or ask the operator for plugins.slow_routers.",
            bytes / (1024 * 1024)
        );
        Err(Problem::new(422, "slow-router", detail))
    }

    /// Sets a program up and throws it away.
    pub(super) async fn trial(&self, program: &Arc<Program>) -> Result<(), Problem> {
        let report = self.run(program, Input::Trial, None, Arc::new(Nobody)).await?;
        if report.outcome.is_success() {
            return Ok(());
        }
        let detail = format!("It can't be set up: {} ({}).", report.text, report.outcome.as_str());
        Err(Problem::new(422, "not-loadable", detail))
    }

    /// Runs a program on an input, with other settings beside the plugin's.
    pub(super) async fn run(
        &self,
        program: &Arc<Program>,
        input: Input,
        other: Option<&Value>,
        host: Arc<dyn Host>,
    ) -> Result<Report, Problem> {
        let Some(sandbox) = &self.plugins.parts.sandbox else { return Err(off()) };
        let mut settings = Arc::clone(&self.setup.settings);
        if let Some(other) = other {
            Settings::extend(Arc::make_mut(&mut settings), settings_of(other));
        }
        let job = Job {
            input,
            settings,
            grants: self.plugins.grants(&self.setup),
            limits: self.setup.kind.limits(),
            host,
            share: Arc::clone(&self.plugins.desk),
        };
        Ok(sandbox.run(program, job).await)
    }

    /// An input of somebody's own making.
    pub(super) fn input(&self, given: &Value, at_us: i64) -> Result<Input, Problem> {
        let at_ms = u64::try_from(at_us / 1_000).unwrap_or(0);
        let input = input_of(given, at_ms, self.zone)
            .map_err(|(pointer, why)| Problem::invalid_field(&format!("input{pointer}"), why))?;
        match (&input, self.setup.kind) {
            (Input::Event(_), World::Ticketer) => Ok(input),
            (Input::Call(_), World::Router | World::CallScript) => Ok(input),
            (_, kind) => {
                let wanted = if kind == World::Ticketer { "an event" } else { "a call" };
                Err(Problem::invalid_field("input", format!("A {} gets {wanted}.", kind.as_str())))
            }
        }
    }

    /// Whoever answers a try: these answers, and the tenant's own data where that is wanted.
    pub(super) fn answers(&self, given: &Value, live: bool) -> Arc<dyn Host> {
        let kept: Vec<Asked> = serde_json::from_value(given.clone()).unwrap_or_default();
        match live {
            true => Arc::new(Recorded::new(kept, Shared(self.plugins.host_of(&self.tenant, &self.setup)))),
            false => Arc::new(Recorded::new(kept, Nobody)),
        }
    }

    /// Runs every example of the plugin.
    pub(super) async fn examples(&self, program: &Arc<Program>, version: u32) -> Result<Vec<Went>, Problem> {
        const SQL: &str = "SELECT id, name, input, settings, answers, expected, created_at FROM plugin_examples \
             WHERE tenant_id = ? AND plugin_id = ? ORDER BY name";
        type Row = (String, String, String, String, String, String, i64);
        let rows: Vec<Row> = db_read!(&self.plugins.parts.db, |p| sqlx::query_as(SQL)
            .bind(self.tenant.as_str())
            .bind(self.setup.id.as_str())
            .fetch_all(p)
            .await)?;
        let mut all = Vec::with_capacity(rows.len());
        for (id, name, input, settings, answers, expected, at_us) in rows {
            // Written by us after a check.
            let json = |text: &str| serde_json::from_str::<Value>(text).map_err(Problem::internal);
            let (given, expected) = (json(&input)?, json(&expected)?);
            let host = self.answers(&json(&answers)?, false);
            let report = self.run(program, self.input(&given, at_us)?, Some(&json(&settings)?), host).await?;
            let wanted: Expected = serde_json::from_value(expected.clone()).map_err(Problem::internal)?;
            let passed = wanted.is_met(report.outcome, report.output.as_ref());
            all.push(self.went(&name, (given, &expected), passed, report, (version, &id)));
        }
        Ok(all)
    }

    fn went(
        &self,
        name: &str,
        (given, expected): (Value, &Value),
        passed: bool,
        report: Report,
        (version, example): (u32, &str),
    ) -> Went {
        let detail = match (passed, report.outcome.is_success()) {
            (true, _) => String::new(),
            (false, true) => format!("it gave {} instead of {expected}", json!(report.output)),
            (false, false) => report.text.clone(),
        };
        let detail: String = detail.chars().take(limits::TEXT_CHARACTERS).collect();
        let shown = json!({"name": name, "passed": passed, "outcome": report.outcome, "detail": detail});
        let mut run = self.kept(version, Trigger::Example, report, given);
        example.clone_into(&mut run.subject);
        Went { run, shown, passed }
    }

    /// A try as it is kept.
    pub(super) fn kept(&self, version: u32, trigger: Trigger, report: Report, input: Value) -> Run {
        let parts = &self.plugins.parts;
        Run {
            id: parts.ids.next(),
            plugin: self.setup.id.clone(),
            version,
            at_us: parts.clock.now_us(),
            trigger,
            subject: String::new(),
            report,
            input: Some(input),
            compared: None,
        }
    }
}

/// A host that others hold too.
struct Shared(Arc<dyn Host>);

impl Host for Shared {
    fn ask<'a>(&'a self, ask: &'a crate::sandbox::Ask) -> crate::sandbox::Answering<'a> {
        self.0.ask(ask)
    }
}

/// This machine can't run plugins.
pub(super) fn off() -> Problem {
    Problem::new(503, "plugins-off", "Plugins can't run on this machine; the operator's log says why.")
}

/// Why a version can't be used, for whoever asked.
pub(super) fn unloaded(error: Unloaded) -> Problem {
    match error {
        Unloaded::Away(error) => error.into(),
        Unloaded::Gone => {
            Problem::new(410, "source-gone", "The version's file is not kept any more; upload it again.")
        }
        Unloaded::Off => off(),
        // Of whatever language: what was uploaded has been read once already.
        Unloaded::Refused(refusal) => refused(&refusal, Language::Component),
    }
}

/// Why a file is refused, for whoever uploads it.
pub(super) fn refused(refusal: &Refusal, language: Language) -> Problem {
    let detail = format!("{}.", refusal.text.trim_end_matches('.'));
    match refusal.code {
        "too-large" => Problem::new(413, "too-large", detail),
        "compiler-busy" => Problem::busy("compiler-busy", detail, api::RETRY_TIME),
        "compiler-failed" => Problem::busy("compiler-failed", detail, api::RETRY_TIME),
        code => {
            let mut problem = Problem::new(422, code, detail.clone());
            if language == Language::JavaScript
                && let Some((line, column)) = place(&refusal.text)
            {
                problem.errors.push(Fault::at("", format!("Line {line}, column {column}: {detail}")));
            }
            problem
        }
    }
}

/// Line and column out of an engine's words: `line 3, col 7`, or `name:3:7`.
fn place(text: &str) -> Option<(u32, u32)> {
    let digits = |text: &str| -> Option<u32> {
        let text = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    if let Some((_, rest)) = text.split_once("line ") {
        let column = rest.split_once("col").and_then(|(_, rest)| digits(rest));
        return Some((digits(rest)?, column.unwrap_or(1)));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let leading = |text: &str| -> Option<u32> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.get(..end)?.parse().ok()
    };
    parts.windows(2).skip(1).find_map(|two| {
        let whole = two[0].parse().ok()?;
        Some((whole, leading(two[1])?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_in_what_engines_say() {
        for (text, found) in [
            ("SyntaxError: unexpected token at line 3, col 7", Some((3, 7))),
            ("expected token ';', got 'x' at line 12, column 2", Some((12, 2))),
            ("source.js:3:7 SyntaxError", Some((3, 7))),
            ("SyntaxError: unexpected end", None),
            ("", None),
        ] {
            assert_eq!(place(text), found, "{text}");
        }
    }
}
