//! Laws at a terminal: what they are tried on, and one input under the lens.
//!
//! ```text
//! kakunin-fuzz names                     one a line
//! kakunin-fuzz seeds NAME DIR            write the seeds of a law, where libFuzzer finds them
//! kakunin-fuzz hold NAME FILE..          does the law hold for these?
//! kakunin-fuzz world                     make fuzz/world anew; corpora that are about it are worth nothing then
//! ```
#![expect(clippy::print_stdout, reason = "a program for developers")]

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use kakunin_fuzz::{LAWS, Law, law, make_world};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["names"] => {
            LAWS.iter().for_each(|law| println!("{}", law.name));
            Ok(())
        }
        ["world"] => make_world(),
        ["seeds", name, folder] => named(name).and_then(|law| write_seeds(law, Path::new(folder))),
        ["hold", name, files @ ..] => named(name).and_then(|law| hold(law, files)),
        _ => Err(io::Error::other("say `names`, `seeds NAME DIR`, `hold NAME FILE..` or `world`")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn named(name: &str) -> io::Result<&'static Law> {
    law(name).ok_or_else(|| io::Error::other(format!("there is no law `{name}`")))
}

fn write_seeds(law: &Law, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, seed) in (law.seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:03}")), seed)?;
    }
    Ok(())
}

fn hold(law: &Law, files: &[&str]) -> io::Result<()> {
    for file in files {
        (law.holds)(&fs::read(file)?);
        println!("{file}: {} holds", law.name);
    }
    Ok(())
}
