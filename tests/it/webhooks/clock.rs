//! Clocks that jump: a retry may come early or late, and nothing is lost.

use std::time::Duration;

use super::World;
use crate::support::both_databases;

both_databases! {
    /// Forward by a month: what was to be tried again is due at once.
    async fn a_clock_that_jumps_forward(test) {
        let world = World::new(test).await;
        world.webhook("/hook", serde_json::json!({})).await;
        world.sink.says(500);
        world.tag("a").await;
        world.came(1).await;
        world.recorded(1).await;
        world.sink.says(200);
        world.desk.app.wait(Duration::from_secs(30 * 86_400));
        world.came(2).await;
        world.recorded(2).await;
        let taken = world.sink.taken();
        assert_eq!(taken[0].id(), taken[1].id());
    }

    /// Back by a day, while a probe and a retry lie ahead: they come when the clock is there again, and events that come
    /// meanwhile are sent at once.
    async fn a_clock_that_jumps_back(test) {
        let world = World::new(test).await;
        world.webhook("/hook", serde_json::json!({})).await;
        world.sink.says(503);
        world.tag("a").await;
        world.came(1).await;
        world.recorded(1).await;
        world.sink.says(200);
        let now = world.desk.app.clock.now();
        world.desk.app.clock.set(now - Duration::from_secs(86_400));
        // The token is of the future now: another one.
        let person = world.desk.app.user(hookswitch::base::role::Role::TenantAdmin, "acme").await;
        world.desk.app.post("/tags", &person.token, serde_json::json!({"name": "b"})).await.expect(201);
        world.came(2).await;
        world.desk.app.clock.set(now + Duration::from_secs(60));
        world.came(3).await;
        world.recorded(3).await;
        let taken = world.sink.taken();
        assert_eq!(taken[0].id(), taken[2].id());
        assert_ne!(taken[0].id(), taken[1].id());
    }
}
