//! `doorward person sync`: looked at, done when told to, and nothing half done.

use crate::harness::{ControlPlane, Ran};

fn sync(server: &ControlPlane, text: &str, more: &str) -> Ran {
    let file = server.data().join("people.csv");
    std::fs::write(&file, text).unwrap();
    let mut command = server.line("person sync");
    Ran::run(command.arg(&file).args(more.split_whitespace()))
}

#[test]
fn a_spreadsheet_is_looked_at_and_then_done() {
    let server = ControlPlane::start();
    server.with_people();
    let staff = "Email;Name;Kind;Sponsor;Until;Desk\r\nsupport@shop.example;Support desk;staff;;;4\r\n";
    let contractor = "anna@agency.example;\"Berg; Anna\";contractor;support@shop.example;2033-01-31;\r\n";
    let text = format!("\u{feff}{staff}{contractor}");
    let before = server.json("person list");
    let looked = sync(&server, &text, "--dry-run");
    assert!(looked.stderr.contains("passed over: Desk"), "{looked:?}");
    let table = looked.done();
    assert!(
        table.contains("anna@agency.example") && table.contains("grants: 1") && !table.contains("Done."),
        "{table}"
    );
    sync(&server, &text, "").refused(2, "--yes");
    assert_eq!(server.json("person list"), before, "nothing was done");
    let done = sync(&server, &text, "--yes --json").json();
    assert_eq!((done["applied"].as_bool(), &done["unchanged"]), (Some(true), &serde_json::json!(1)), "{done}");
    let anna = server.json("person show anna@agency.example");
    assert_eq!((&anna["name"], &anna["until"]), (&"Berg; Anna".into(), &"2033-02-01T00:00:00Z".into()));
    assert_eq!(server.json("person show dba@agency.example")["state"], "departed");
    assert!(
        sync(&server, &text, "--yes").done().contains("0 added, 0 changed, 0 back, 0 gone, 0 left alone, 2 the same")
    );
}

#[test]
fn a_file_with_bad_lines_does_nothing_and_names_them() {
    let server = ControlPlane::start();
    server.with_people();
    let before = server.json("person list");
    for (text, named) in [
        ("email,name\nnobody,N\na@a.example,A\nb@a.example,\n", "line 4"),
        (
            "email,name,kind,sponsor\nsupport@shop.example,S,staff,\na@a.example,A,contractor,b@a.example\n",
            "line 3: b@a.example cannot answer",
        ),
        ("email,name\n", "nobody is in it"),
        ("mail,name\nx,y\n", "no column email"),
    ] {
        sync(&server, text, "--yes").refused(2, named);
    }
    std::fs::write(server.data().join("latin.csv"), b"email,name\na@a.example,\xc5ngstr\xf6m\n").unwrap();
    let mut command = server.line("person sync");
    Ran::run(command.arg(server.data().join("latin.csv")).arg("--yes")).refused(1, "CSV UTF-8");
    assert_eq!(server.json("person list"), before);
}

#[test]
fn too_many_missing_are_suspended_and_one_command_takes_them_back() {
    let server = ControlPlane::start();
    let line = |n: usize| format!("p{n}@shop.example,Somebody\n");
    let all: String = (0..6).map(line).collect();
    sync(&server, &format!("email,name\n{all}"), "--yes").done();
    let done = sync(&server, &format!("email,name\n{}", line(0)), "--yes");
    assert!(done.stderr.contains("doorward source undo csv"), "{done:?}");
    let states = || {
        let list = server.json("person list");
        list.as_array()
            .unwrap()
            .iter()
            .map(|it| it["state"].as_str().unwrap().chars().next().unwrap())
            .collect::<String>()
    };
    assert_eq!(states(), "asssss");
    assert!(server.run("source list").done().contains("csv"));
    server.run("source undo csv").done();
    assert_eq!(states(), "aaaaaa");
}

#[test]
fn a_webhooks_secret_is_printed_once_and_revoked() {
    let server = ControlPlane::start();
    let printed = server.run("hook add hr").done();
    assert!(printed.starts_with("dwh1_") && printed.contains("/hooks/v1/people"), "{printed}");
    let listed = server.run("hook list").done();
    assert!(listed.contains("hr") && listed.contains("never") && !listed.contains("dwh1_"), "{listed}");
    server.run("hook revoke hr --older").refused(3, "older secret");
    server.run("hook revoke hr").done();
    server.run("hook revoke nothing").refused(3, "doorward source list");
    server.run("source undo nothing").refused(3, "nothing");
}
