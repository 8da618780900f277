//! A person's own devices. The key pair is made in the browser, which sends the public key alone and puts the private one
//! into the config by itself: there is no field for it here.

use askama::Template;
use axum::extract::State;
use doorward_model::{DeviceId, PublicKey};
use serde::Deserialize;

use super::super::forms::needed;
use super::super::{Page, Shown, show};
use crate::api::{Device, DeviceNew};
use crate::app::home::signed_in;
use crate::app::{App, Caller, Refusal, devices};
use crate::client_text::wg_quick;
use crate::http::pages::receipt::show_receipt;
use crate::http::{ApiPath, PageForm};

#[derive(Template)]
#[template(path = "portal/device_new.html")]
struct FormPage {
    page: Page,
}

/// Shows the form.
pub(crate) async fn show_form(caller: Caller) -> Shown {
    signed_in(&caller.0)?;
    show(&FormPage { page: Page::new(Some(&caller), "/devices/new").narrow() })
}

/// What the form sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceForm {
    name: String,
    #[serde(default)]
    platform: Platform,
    /// The module fills it in.
    #[serde(default)]
    public_key: String,
}

/// What the device is, for the steps that are shown first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Platform {
    #[default]
    Other,
    Iphone,
    Android,
    Macos,
    Windows,
    Linux,
}

#[derive(Template)]
#[template(path = "portal/device_added.html")]
struct AddedPage {
    page: Page,
    device: Device,
    platform: Platform,
    /// The config with the place of the private key left open.
    text: String,
    warnings: Vec<String>,
}

impl AddedPage {
    fn is(&self, word: &str) -> bool {
        let platform = match self.platform {
            Platform::Other => "",
            Platform::Iphone => "iphone",
            Platform::Android => "android",
            Platform::Macos => "macos",
            Platform::Windows => "windows",
            Platform::Linux => "linux",
        };
        platform == word
    }
}

/// Adds a device of one's own and answers with its config, the private key left out.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<DeviceForm>) -> Shown {
    let person = signed_in(&caller.0)?;
    if form.public_key.trim().is_empty() {
        let sentence = "this browser made no key, so nothing was added: it needs JavaScript and X25519; use a current \
                        version of Firefox, Chrome or Safari, or run `doorward device add` on the device";
        return Err(Refusal::Invalid(sentence.to_owned()));
    }
    let new = DeviceNew {
        email: Some(person.email.clone()),
        name: needed("Name", &form.name)?,
        public_key: needed::<PublicKey>("Public key", &form.public_key)?,
        preshared_key: None,
        valid_for: None,
        routes: None,
        port: None,
    };
    let added = devices::add(&app, &caller.0, new).await?;
    // Without a gateway there is nothing to dial; the warnings say so.
    let text = wg_quick(&added, None, None).map(|text| text.to_string()).unwrap_or_default();
    let page = Page::new(Some(&caller), "/devices/new").narrow();
    show(&AddedPage { page, device: added.device, platform: form.platform, text, warnings: added.warnings })
}

/// Ends a device of one's own that was lost, and shows the receipt.
pub(crate) async fn report_lost(State(app): State<App>, caller: Caller, ApiPath(id): ApiPath<DeviceId>) -> Shown {
    let outcome = devices::report_lost(&app, &caller.0, id).await?;
    let name = outcome.ended.devices.first().map(|device| device.name.to_string()).unwrap_or_default();
    show_receipt(&caller, "/", format!("{name} reaches nothing any more"), outcome)
}
