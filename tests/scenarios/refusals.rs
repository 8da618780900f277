//! Requests that are refused where only a running gateway, or a past, can tell that they are wrong.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_tests::doorward::Settings;
use doorward_tests::service::UdpServer;
use doorward_tests::shop::Shop;
use doorward_tests::traffic::reaches_udp;
use doorward_tests::world::{PANEL, at};

#[test]
fn the_gateways_own_key_a_used_key_and_a_revoked_key_are_nobodys() {
    let shop = Shop::open(0, &Settings::default());
    shop.resource("panel", &[PANEL[0]], &["tcp/443"]);
    let config = shop.person("support@shop.example", "panel");
    shop.staff("other@shop.example");
    let add = |key: &str| shop.doorward.says(&["device", "add", "other@shop.example", "phone", "--public-key", key]);
    let gateway = add(&config.gateway_key);
    assert!([1, 2].contains(&gateway.code), "the gateway's own key: {gateway:?}");
    let devices = shop.doorward.json(&["device", "list"]);
    let used = devices[0]["public_key"].as_str().unwrap_or_else(|| panic!("a list of devices: {devices}")).to_owned();
    add(&used).refuses(1, &["key"]);
    shop.doorward.run(&["device", "revoke", devices[0]["id"].as_str().unwrap()]);
    add(&used).refuses(1, &["key"]);
    let person = shop.doorward.json(&["person", "show", "other@shop.example"]);
    assert_eq!(person["devices"].as_array().map(Vec::len), Some(0), "nothing was enrolled");
}

#[test]
fn a_full_address_pool_is_said_and_leaves_everybody_else_alone() {
    let shop = Shop::open(0, &Settings { more: "[network]\nv4 = \"100.80.0.0/29\"", ..Settings::default() });
    shop.staff("support@shop.example");
    // A /29 has eight addresses: network, broadcast and the gateway's own leave five.
    for number in 0..5 {
        shop.device("support@shop.example", &format!("device{number}"));
    }
    shop.doorward.says(&["device", "add", "support@shop.example", "sixth"]).refuses(1, &["address"]);
    let person = shop.doorward.json(&["person", "show", "support@shop.example"]);
    assert_eq!(person["devices"].as_array().map(Vec::len), Some(5));
}

/// A small file system that is unmounted when the scenario is over.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Self {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m,mode=755", "none"]).arg(at).status();
        assert!(mounted.unwrap().success(), "mounting a small disk");
        Self(at)
    }

    /// Writes until nothing fits any more.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for block in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![1_u8; block]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["--lazy"]).arg(self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_what_is_asked_for_with_a_sentence_and_people_go_on_working() {
    let mut shop = Shop::closed(1, &Settings::default());
    let data = shop.doorward.data.clone();
    let disk = SmallDisk::mount(&data);
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));

    let filler = disk.fill();
    // A few small rows may still fit into pages that the database has already.
    let refused = (0..200).find_map(|number| {
        let email = format!("person{number}@shop.example");
        let said = shop.doorward.says(&["person", "add", &email, "--name", "Some Body", "--kind", "staff"]);
        (said.code != 0).then_some((email, said))
    });
    let (email, said) = refused.expect("a full disk is noticed");
    said.refuses(1, &["full"]);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)), "people go on working");
    assert_eq!(shop.doorward.says(&["person", "show", &email]).code, 3, "nothing of the refused person is there");

    fs::remove_file(filler).unwrap();
    shop.staff(&email);
    assert_eq!(shop.doorward.json(&["audit", "verify"])["intact"], true);
    shop.up.take().unwrap().terminate();
}
