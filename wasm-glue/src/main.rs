//! `wasm-glue FILE.wasm FOLDER`: writes `index.js` and `index_bg.wasm`, the Worker and the JavaScript that calls it.
//!
//! It does what `worker-build` asks of the program `wasm-bindgen`, through the library below that program: the two
//! programs would take minutes to compile, most of it for a command line, downloads and a test runner.

use std::process::ExitCode;
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, folder] = arguments.as_slice() else {
        eprintln!("usage: wasm-glue FILE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    let module = match bindgen.module(true) {
        Ok(module) => module,
        Err(problem) => return failed(&format!("{problem:#}")),
    };
    let done = module
        .input_path(input)
        .out_name("index")
        .typescript(false)
        // After a panic the next request gets a new instance.
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(folder);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => failed(&format!("{problem:#}")),
    }
}

fn failed(problem: &str) -> ExitCode {
    eprintln!("wasm-glue: {problem}");
    ExitCode::FAILURE
}
