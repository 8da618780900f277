//! Devices of everybody.

use askama::Template;
use axum::extract::State;
use doorward_model::DeviceId;
use doorward_store::DeviceRow;

use super::super::forms::{ReasonForm, reason};
use super::super::receipt::show_receipt;
use super::super::{Page, Shown, filters, show};
use super::list::{Ask, List};
use crate::app::{App, Caller, browse, devices};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/devices.html")]
struct DevicesPage {
    page: Page,
    list: List<DeviceRow>,
    uses: browse::LastUses,
}

/// Lists devices that were not revoked.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let found = browse::devices(&app, &caller.0, &ask.search()).await?;
    let uses = browse::last_uses(&app, found.rows.iter().map(|row| row.device.id));
    show(&DevicesPage { page: Page::new(Some(&caller), "/admin/devices"), list: List::new(found, &ask), uses })
}

/// Revokes a device and shows the receipt.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<DeviceId>,
    PageForm(form): PageForm<ReasonForm>,
) -> Shown {
    let outcome = devices::revoke(&app, &caller.0, id, reason(form.reason)).await?;
    let title = outcome.ended.devices.first().map(|device| format!("{} of {} is revoked", device.name, device.email));
    show_receipt(&caller, "/admin/devices", title.unwrap_or_else(|| "Revoked".to_owned()), outcome)
}
