//! The house keeps its shape: imports go down, files and functions stay short, every file says what it is for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Most lines of a source file, its inline tests not counted.
const FILE_LINES_MAX: usize = 400;

/// Most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Words that do not belong into a finished tree.
const UNFINISHED: [&str; 5] = ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            if path.is_dir() && !name.ends_with("target") {
                folders.push(path);
            } else if name.ends_with(".rs") {
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files
}

/// Each room's floor, read from the table of contents in `lib.rs`.
fn floors() -> HashMap<String, usize> {
    let contents = std::fs::read_to_string(root().join("host/src/lib.rs")).unwrap();
    let mut floors = HashMap::new();
    let mut floor = None;
    for line in contents.lines() {
        if let Some(rest) = line.strip_prefix("// Floor ") {
            floor = rest.chars().next().and_then(|digit| digit.to_digit(10)).map(|digit| digit as usize);
        }
        if let Some(room) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(';')) {
            floors.insert(room.to_owned(), floor.expect("a room stands under a floor"));
        }
    }
    floors
}

/// The rooms that a line names: `crate::room` and every room of `crate::{a, b::C}`.
fn rooms_named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    line.match_indices("crate::")
        .flat_map(|(at, _)| {
            let rest = &line[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split(',').map(|item| word(item.trim())).collect(),
                None => vec![word(rest)],
            }
        })
        .collect()
}

#[test]
fn imports_go_down() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (name, text) in sources("host/src") {
        let room = name.trim_start_matches("host/src/").split(['/', '.']).next().unwrap().to_owned();
        let Some(floor) = floors.get(&room) else { continue };
        for (number, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
        {
            for named in rooms_named(line).into_iter().filter(|named| *named != room) {
                if floors.get(&named).is_some_and(|other| other >= floor) {
                    wrong.push(format!("{name}:{}: `{room}` (floor {floor}) imports `{named}`", number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports go down, never up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (name, text) in sources("host/src").into_iter().chain(sources("tests")) {
        let lines = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().lines().count();
        if lines > FILE_LINES_MAX && !name.ends_with("/tests.rs") {
            wrong.push(format!("{name}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name}: does not begin by saying what it is for"));
        }
        for word in UNFINISHED {
            if text.contains(word) && !name.ends_with("tidy.rs") {
                wrong.push(format!("{name}: holds `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn functions_are_short() {
    let mut wrong = Vec::new();
    for (name, text) in sources("host/src").into_iter().chain(sources("tests")) {
        let mut open: Option<(usize, String, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent: String = line.chars().take_while(|c| *c == ' ').collect();
            match &open {
                Some((start, end, signature)) if line == end => {
                    if number - start + 1 > FUNCTION_LINES_MAX {
                        wrong.push(format!(
                            "{name}:{}: {} lines: {signature}",
                            start + 1,
                            number - start + 1
                        ));
                    }
                    open = None;
                }
                None if is_function(line) && !line.ends_with(['}', ';']) => {
                    open = Some((number, format!("{indent}}}"), line.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "functions of at most {FUNCTION_LINES_MAX} lines:\n{}", wrong.join("\n"));
}

fn is_function(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().take(5).collect();
    words.iter().position(|word| *word == "fn").is_some_and(|at| {
        words[..at]
            .iter()
            .all(|word| word.starts_with("pub") || ["async", "const", "unsafe", "extern"].contains(word))
    })
}

#[test]
fn unsafe_code_stays_where_the_design_names_it() {
    let allowed = [
        "host/src/kafka/native.rs",
        "host/src/kafka/metadata.rs",
        "host/src/bindings.rs",
        "host/src/plugin/cache.rs",
    ];
    let wrong: Vec<String> = sources("host/src")
        .into_iter()
        .filter(|(name, _)| !allowed.contains(&name.as_str()))
        .filter(|(_, text)| text.contains("unsafe {") || text.contains("allow(unsafe_code"))
        .map(|(name, _)| name)
        .collect();
    assert!(wrong.is_empty(), "unsafe code outside {allowed:?}: {wrong:?}");
}

#[test]
fn the_example_that_comes_with_the_readme_is_the_one_that_is_checked() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("make demo") && readme.contains("make test"), "README names its two commands");
}
