//! Questions whose answers must fit each other: what one command prints or leaves behind, another one is asked about.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests are tests too"
)]

mod asking;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use asking::{PERMISSION, SERVICES, folder, json, run};
use tulle_operator::cli::answers::Objects;

/// What a shell makes of a printed command.
fn in_a_shell(command: &str, folder: &Path) -> Option<i32> {
    let program = command.strip_prefix("tulle ").unwrap();
    let text = format!("{} {program}", env!("CARGO_BIN_EXE_tulle"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &text]).current_dir(folder).env_remove("TULLE_STATE");
    shell.output().unwrap().status.code()
}

#[test]
fn the_command_that_diff_prints_answers_as_diff_says() {
    let (dir, _) = folder();
    let narrower = PERMISSION.replace("/charges", "/charges/new");
    let header = PERMISSION.replace(
        "    http: [{",
        r#"    http: [{headers: [{name: cookie, value: "a=b & it's"}], "#,
    );
    let anybody = PERMISSION.replace(
        "[{type: ServiceAccount, serviceAccount: {namespace: shop, name: orders}}]",
        "[{type: Authenticated}]",
    );
    let nobody = PERMISSION.replace("name: orders}}]", "name: nobody}}]");
    let mut asked = 0;
    for after in [&narrower, &header, &anybody, &nobody] {
        assert_ne!(after, PERMISSION);
        fs::create_dir_all(dir.path().join("new")).unwrap();
        fs::write(dir.path().join("new/services.yaml"), SERVICES).unwrap();
        fs::write(dir.path().join("new/permission.yaml"), after).unwrap();
        let (code, out, error) = run(&["diff", "--folder", "mesh", "-f", "new"], dir.path());
        assert_eq!(code, Some(1), "{error}");
        let lines: Vec<&str> = out.lines().map(str::trim).collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(command) = line.strip_prefix("ask:") else {
                continue;
            };
            for (said, folder) in [(lines[index - 2], "mesh"), (lines[index - 1], "new")] {
                let code = in_a_shell(&format!("{} --folder {folder}", command.trim()), dir.path());
                let wanted = i32::from(!said.contains(" allowed by "));
                assert!(said.contains(" by "), "{said}");
                assert_eq!(code, Some(wanted), "{command} in {folder}: {out}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 10, "{asked}");
}

/// Who is named as a workload dials the bare address with its own proxy, which shows no certificate there.
#[test]
fn an_identity_arrives_at_a_workload_and_a_workload_dials_it() {
    let (_dir, mesh) = folder();
    let ask = |from: &str| {
        let to = ["workload/shop/payments-1:8080", "POST", "/charges"];
        run(&[&["explain", from][..], &to].concat(), &mesh)
    };
    for from in ["sa/shop/orders", "spiffe://tulle.local/ns/shop/sa/orders"] {
        let (code, out, _) = ask(from);
        assert!(code == Some(0) && out.contains("straight at the destination"), "{out}");
    }
    let (code, out, _) = ask("workload/shop/orders-1");
    assert!(code == Some(1) && out.contains("no certificate"), "{out}");
    // At a Service both are the same.
    let (code, out, _) = run(&["explain", "sa/shop/orders", "payments", "POST", "/charges"], &mesh);
    assert!(
        code == Some(0) && out.contains("as workload shop/orders-1 proves it"),
        "{out}"
    );
}

#[test]
fn a_control_plane_that_was_killed_is_not_asked() {
    let (dir, mesh) = folder();
    fs::create_dir(mesh.join(".tulle")).unwrap();
    drop(UnixListener::bind(mesh.join(".tulle/admin.sock")).unwrap());
    let (code, out, error) = run(&["explain", "shop/orders", "payments", "POST", "/charges"], &mesh);
    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("as of the folder ."), "{out}");
    drop(dir);
}

#[test]
fn a_program_gets_the_answers_that_the_commands_print() {
    let (dir, mesh) = folder();
    let new = dir.path().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("services.yaml"), SERVICES).unwrap();
    fs::write(new.join("permission.yaml"), PERMISSION.replace("/charges", "/refunds")).unwrap();
    let (before, after) = (Objects::of_folder(&mesh).unwrap(), Objects::of_folder(&new).unwrap());
    let (old, new) = (mesh.to_str().unwrap(), new.to_str().unwrap());
    let question = ["shop/orders", "payments", "GET", "/charges"];
    for (answer, command) in [
        (
            before.explain(question).unwrap(),
            [&["explain"][..], &question, &["--folder", old]].concat(),
        ),
        (before.diff(&after).unwrap(), vec!["diff", "--folder", old, "-f", new]),
    ] {
        let (_, text, error) = run(&command, dir.path());
        assert_eq!(answer.text, text, "{error}");
        let (_, printed, error) = run(&[&command[..], &["-o", "json"]].concat(), dir.path());
        assert_eq!(answer.json, json(&printed), "{error}");
    }
    assert!(before.explain(["shop/nobody", "payments"]).is_err());
}
