//! A database session of a real client, in the middle of a transaction.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use doorward_tests::postgres::Postgres;
use doorward_tests::shop::ip;
use doorward_tests::wait::wait_until;
use doorward_tests::witness::Witness;
use doorward_tests::world::DATABASE;

use super::{EMAIL, Halves, LONG, SOON_MICROS, decided, halves};

#[test]
fn a_transaction_of_somebody_who_is_put_out_is_cut_in_the_middle_and_rolled_back() {
    let Halves { control_plane: _control_plane, gateway: _gateway, shop } = halves(1);
    let postgres = Postgres::start_in(&shop.world.inside, ip(DATABASE[0]));
    shop.resource("db", &[DATABASE[0]], &["tcp/5432"]);
    let config = shop.person(EMAIL, "db");
    let _client = shop.client(0, &config);
    let witness = Witness::inside(&shop.world);
    let mut session = shop.world.laptops[0]
        .command("psql")
        .args(["-h", DATABASE[0], "-U", "doorward", "-d", "postgres", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql: apt install postgresql-client");
    let mut says = session.stdin.take().unwrap();
    let mut hears = BufReader::new(session.stdout.take().unwrap());
    let mut answer = String::new();
    writeln!(says, "CREATE TABLE orders (id int); INSERT INTO orders VALUES (1); SELECT 'kept';").unwrap();
    hears.read_line(&mut answer).unwrap();
    writeln!(says, "BEGIN; INSERT INTO orders VALUES (2); SELECT 'open';").unwrap();
    hears.read_line(&mut answer).unwrap();
    assert_eq!(answer, "kept\nopen\n");
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    assert_eq!(postgres.asked(open), "1");

    let outcome = shop.doorward.json(&["person", "offboard", EMAIL]);
    // The server was told: it waits for nobody and keeps no lock.
    wait_until("the transaction's end at the server", LONG, || postgres.asked(open) == "0");
    assert_eq!(postgres.asked("SELECT count(*) FROM orders"), "1", "rolled back");
    let _ = writeln!(says, "COMMIT;");
    drop(says);
    let ended = session.wait_with_output().unwrap();
    println!("psql: {}", String::from_utf8_lossy(&ended.stderr).trim());
    assert!(!ended.status.success(), "the session went on");
    assert_eq!(postgres.asked("SELECT count(*) FROM orders"), "1", "nothing of it came later");
    let late = witness.last(|packet| packet.to_port(5432) && !packet.is_reset()).unwrap() - decided(&outcome);
    assert!(late <= SOON_MICROS, "a packet {late} µs after it was decided");
}
