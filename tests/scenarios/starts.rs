//! Starts that must fail: one clear sentence, the right exit code, and a host as it was.

use std::fs;

use doorward_tests::doorward::{Doorward, Said, Settings};
use doorward_tests::host_state::{assert_same, host_state};
use doorward_tests::shop::Shop;
use doorward_tests::world::at;

const GATEWAY: [&str; 2] = ["run", "gateway"];

#[test]
fn a_taken_udp_port_is_named() {
    let shop = Shop::closed(0, &Settings::default());
    let machine = &shop.world.gateway;
    let taken = machine.udp_socket(at("0.0.0.0", 51820));
    let before = host_state(machine);
    for command in [&["up"][..], &GATEWAY[..]] {
        shop.doorward.start_in_vain(machine, &[], command).refuses(1, &["51820", "listen"]);
        assert_same(&before, &host_state(machine));
    }
    drop(taken);
}

#[test]
fn without_root_nothing_is_half_started() {
    let shop = Shop::closed(0, &Settings::default());
    let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
    for command in [&["up"][..], &GATEWAY[..]] {
        let said = shop.doorward.start_in_vain(&shop.world.gateway, &nobody, command);
        said.refuses(1, &["root"]);
    }
}

#[test]
fn an_unknown_key_in_the_configuration_is_named_with_its_neighbour() {
    let shop = Shop::closed(0, &Settings { gateway: "interfaze = \"wg0\"", ..Settings::default() });
    for command in [&["up"][..], &GATEWAY[..], &["run", "control-plane"][..]] {
        let said = shop.doorward.start_in_vain(&shop.world.gateway, &[], command);
        said.refuses(2, &["interfaze", "interface"]);
    }
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let mut shop = Shop::open(0, &Settings::default());
    shop.up.take().unwrap().terminate();
    let database = shop.doorward.data.join("doorward.db");
    from_the_future(&database);
    let before = fs::read(&database).unwrap();
    for command in [&["up"][..], &["run", "control-plane"][..]] {
        shop.doorward.start_in_vain(&shop.world.gateway, &[], command).refuses(1, &["newer"]);
    }
    assert!(before == fs::read(&database).unwrap(), "the database is not touched");
}

/// Writes down a migration that this program does not know, as a later version would have.
fn from_the_future(database: &std::path::Path) {
    use sqlx::Connection;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite:{}", database.display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let insert = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
                      VALUES (99990101000000, 'from the future', CURRENT_TIMESTAMP, TRUE, x'00', 0)";
        sqlx::query(insert).execute(&mut connection).await.unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_machine_without_tun_devices_is_told_so() {
    let shop = Shop::closed(0, &Settings::default());
    let without = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev/net && exec \"$@\"", "sh"];
    let before = host_state(&shop.world.gateway);
    shop.doorward.start_in_vain(&shop.world.gateway, &without, &GATEWAY).refuses(1, &["/dev/net/tun"]);
    let useless = ["unshare", "--mount", "sh", "-c", "mount --bind /dev/null /dev/net/tun && exec \"$@\"", "sh"];
    shop.doorward.start_in_vain(&shop.world.gateway, &useless, &GATEWAY).refuses(1, &["/dev/net/tun"]);
    assert_same(&before, &host_state(&shop.world.gateway));
}

#[test]
fn a_machine_without_nftables_is_told_what_to_install() {
    let shop = Shop::closed(0, &Settings::default());
    let before = host_state(&shop.world.gateway);
    let hidden = "mount -t tmpfs none /usr/sbin && PATH=/nonexistent exec \"$@\"";
    let without = ["unshare", "--mount", "sh", "-c", hidden, "sh"];
    shop.doorward.start_in_vain(&shop.world.gateway, &without, &GATEWAY).refuses(1, &["nft"]);
    assert_same(&before, &host_state(&shop.world.gateway));
}

#[test]
fn an_interface_name_that_something_else_has_is_not_taken_from_it() {
    let shop = Shop::closed(0, &Settings::default());
    let machine = &shop.world.gateway;
    machine.batch(&format!("link add {} type veth peer name other0\n", shop.doorward.interface));
    let before = host_state(machine);
    shop.doorward.start_in_vain(machine, &[], &GATEWAY).refuses(1, &[&shop.doorward.interface]);
    assert_same(&before, &host_state(machine));
}

#[test]
fn a_second_doorward_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let shop = Shop::open(0, &Settings::default());
    let second: Said = shop.doorward.start_in_vain(&shop.world.gateway, &[], &["up"]);
    second.refuses(1, &["another", "--data"]);
    shop.doorward.ready(1);
}

#[test]
fn values_that_make_no_sense_are_refused_with_the_key_and_what_to_write() {
    let shop = Shop::closed(0, &Settings::default());
    let wrong = [
        ("[authority]\nttl = \"1h\"\n", "ttl"),
        ("[gateway]\negress = \"warp\"\n", "egress"),
        ("[gateway]\ninterface = \"a name with spaces\"\n", "interface"),
        ("[gateway]\nlisten = [\"0.0.0.0:70000\"]\n", "listen"),
        ("[network]\nv4 = \"100.80.0.5/16\"\n", "100.80.0.0/16"),
        ("[server\n", "line 1"),
    ];
    for (text, word) in wrong {
        let config = shop.world.folder.path().join("wrong.toml");
        fs::write(&config, text).unwrap();
        let doorward = Doorward { config, ..doorward_of(&shop) };
        doorward.start_in_vain(&shop.world.gateway, &[], &["up"]).refuses(2, &[word]);
    }
}

fn doorward_of(shop: &Shop) -> Doorward {
    Doorward {
        data: shop.doorward.data.clone(),
        config: shop.doorward.config.clone(),
        interface: shop.doorward.interface.clone(),
    }
}
