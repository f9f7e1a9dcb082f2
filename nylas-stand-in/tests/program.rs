//! The stand-in as a program: what it prints when it starts, and when it cannot.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

const ACCOUNT: [&str; 4] = [
    "--api-key",
    "nyk_test",
    "--account",
    "g1=login@app.example.com=App",
];

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nylas-stand-in"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn ready_when_it_says_where_it_listens() {
    let listen = ["--listen", "127.0.0.1:0"];
    let mut child = program(&[&ACCOUNT[..], &listen].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let base = first.trim().strip_prefix("listening on ").unwrap();
    let answer = ureq::get(format!("{base}/inbox.json")).call().unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&[&ACCOUNT[..], &["--listen", &address]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output).trim(),
        format!(
            "nylas-stand-in: {address} is in use: stop what listens there, or choose another with --listen"
        )
    );
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let table: [(&[&str], &str); 7] = [
        (&[], "--api-key is missing"),
        (&["--api-key", "k"], "--account is missing"),
        (&["--api-key"], "--api-key needs a value"),
        (&["--account", "g1"], "--account g1: not GRANT_ID=EMAIL"),
        (&["--listen", "4010"], "--listen 4010: not ADDRESS:PORT"),
        (&["--port", "1"], "unknown option --port"),
        (&["--webhook", "x"], "--webhook x: not URL=SECRET"),
    ];
    for (arguments, problem) in table {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        let said = said(&output);
        assert!(
            said.contains(problem) && said.lines().count() == 1,
            "{said}"
        );
    }
}

#[test]
fn help() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for option in ["--listen", "--api-key", "--account", "--quiet"] {
        assert!(help.contains(option));
    }
}
