//! How much a tenant may keep: recordings, voicemails and attachments together (`max_storage_mib`).

use crate::base::ids::TenantId;
use crate::db::{Db, db_read};

const MIB: i64 = 1024 * 1024;

/// Whether a sound of so many bytes still fits. A tenant that is gone has no room.
///
/// # Errors
/// When the database is away.
pub async fn has_space(db: &Db, tenant: &TenantId, bytes: u64) -> sqlx::Result<bool> {
    const LIMIT: &str = "SELECT max_storage_mib FROM tenants WHERE id = ? AND deleted_at = 0";
    const USED: &str = "SELECT CAST(COALESCE(SUM(bytes), 0) AS SIGNED) FROM \
         (SELECT bytes FROM call_recordings WHERE tenant_id = ? \
         UNION ALL SELECT bytes FROM voicemails WHERE tenant_id = ? \
         UNION ALL SELECT bytes FROM ticket_attachments WHERE tenant_id = ?) f";
    let id = tenant.as_str();
    let limit: Option<i64> = db_read!(db, |p| sqlx::query_scalar(LIMIT).bind(id).fetch_optional(p).await)?;
    match limit {
        None => Ok(false),
        Some(0) => Ok(true),
        Some(mib) => {
            let used: i64 =
                db_read!(db, |p| sqlx::query_scalar(USED).bind(id).bind(id).bind(id).fetch_one(p).await)?;
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            Ok(used.saturating_add(bytes) <= mib.saturating_mul(MIB))
        }
    }
}
