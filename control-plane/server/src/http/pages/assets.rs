//! Style sheet, modules and pictures, compiled in. All live under one path that has the digest of all of them in it, so
//! that modules import each other by plain relative names and browsers keep every file for good.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::app::{App, Refusal};

/// A file that pages load.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $content_type:expr,)*) => {
        &[$(Asset { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("../../../assets/", $name)) },)*]
    };
}

const CSS: &str = "text/css; charset=utf-8";
const MODULE: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

static ASSETS: &[Asset] = assets! {
    "copy.js": MODULE,
    "device.js": MODULE,
    "doorward.css": CSS,
    "icon.svg": SVG,
    "live.js": MODULE,
    "moment.js": MODULE,
    "passkey.js": MODULE,
    "qr.js": MODULE,
    "time.js": MODULE,
};

/// 64 bits of SHA-256 over all of them: enough to tell versions apart, which is all it is for.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut digest = Sha256::new();
    for asset in ASSETS {
        digest.update(asset.name);
        digest.update([0]);
        digest.update(asset.bytes.len().to_le_bytes());
        digest.update(asset.bytes);
    }
    let mut version = hex::encode(digest.finalize());
    version.truncate(16);
    version
});

/// Returns where an asset is found.
pub(crate) fn path(name: &str) -> String {
    debug_assert!(ASSETS.iter().any(|asset| asset.name == name), "no asset is called {name}");
    format!("/assets/{}/{name}", VERSION.as_str())
}

/// The route of the assets, which anybody may load.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/assets/{version}/{name}", get(asset))
}

async fn asset(Path((version, name)): Path<(String, String)>) -> Result<impl IntoResponse, Refusal> {
    // Another version is not answered with this one: the browser would keep it under the wrong name for a year.
    let found = ASSETS.iter().find(|asset| asset.name == name).filter(|_| version == *VERSION);
    let asset = found.ok_or_else(|| Refusal::NotFound("there is no such file: load the page again".to_owned()))?;
    let headers = [
        (header::CONTENT_TYPE, asset.content_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    Ok((headers, asset.bytes))
}
