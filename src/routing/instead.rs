//! What a number would do if it asked another plugin: a tenant's data changed in this process's memory only, for
//! simulations and replays.

use std::sync::Arc;

use super::Router;
use super::data::Digits;
use super::store::load;
use crate::base::ids::Number;
use crate::db::Db;
use crate::plugins::{self, PluginStatus, Setup};
use crate::sandbox::World;

impl Router {
    /// Makes a number ask this plugin instead of its own: `name` for its active version, `name@3` for one version, active
    /// or not. Nothing is written.
    ///
    /// # Errors
    /// What there is not, or that the database is away.
    pub async fn ask_instead(&self, db: &Db, number: &Number, plugin: &str) -> Result<(), String> {
        let away = |error: sqlx::Error| error.to_string();
        let nobody = || format!("{number} is nobody's number");
        // Not through memory, which would make the plugins ready as they are.
        let tenant = load::owner(db, number).await.map_err(away)?.ok_or_else(nobody)?;
        let mut rules = load::tenant(db, &tenant).await.map_err(away)?.ok_or_else(nobody)?;
        let missing = || format!("{tenant} has no plugin {plugin}");
        let (name, version) = plugins::named(plugin).ok_or_else(missing)?;
        rules.platform = Arc::clone(&self.memory.platform);
        let setup = rules.plugins.get_mut(name).ok_or_else(missing)?;
        if setup.kind == World::Ticketer {
            return Err(format!("{name} is a ticketer, and decides on no calls"));
        }
        let mut wanted = Setup::clone(setup);
        (wanted.status, wanted.parked_us) = (PluginStatus::Active, None);
        (wanted.canary, wanted.shadow) = (None, None);
        if let Some(version) = version {
            let version = plugins::version(db, &tenant, name, version).await.map_err(away)?;
            wanted.pinned.push(version.ok_or_else(missing)?);
        } else if wanted.active.is_none() {
            return Err(format!("{name} has no active version; name one, such as {name}@1"));
        }
        *setup = Arc::new(wanted);
        let did = rules.dids.get_mut(&Digits::from(number)).and_then(Arc::get_mut).ok_or_else(nobody)?;
        did.plugin = Some(plugin.into());
        self.memory.put(Arc::new(rules));
        Ok(())
    }
}
