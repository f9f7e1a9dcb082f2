//! Reads the imports between the files of a crate's `src/`, and finds circles among them.
//!
//! An arrow goes from a file to each file it names, in a `use` or in a path such as `crate::a::b`. A name that a file
//! only re-exports (`pub use`) belongs to that file: who imports it from there depends on that file. `mod child;` alone
//! is no arrow. What is compiled for tests only (`#[cfg(test)]`, files called `tests.rs`) is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

/// The importing file and the imported one, relative to `src/`, with `/` between folders.
pub type Arrow = (String, String);

/// Every arrow between the files of this `src/` folder.
pub fn arrows(source: &Path) -> io::Result<BTreeSet<Arrow>> {
    let mut files = BTreeMap::new();
    read_folder(source, "", &mut files)?;
    Ok(arrows_between(&files))
}

fn read_folder(
    folder: &Path,
    prefix: &str,
    files: &mut BTreeMap<String, String>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read_folder(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".rs") {
            files.insert(name, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}

/// Every arrow between these files: their names relative to `src/`, and their texts.
pub fn arrows_between(files: &BTreeMap<String, String>) -> BTreeSet<Arrow> {
    let mut modules: BTreeMap<Module, &str> = BTreeMap::new();
    let mut sources = BTreeMap::new();
    let mut for_tests = BTreeSet::new();
    let has_library = files.contains_key("lib.rs");
    for (name, text) in files {
        // Beside a library `main.rs` is a crate of its own: what it names is the library from outside.
        if has_library && name == "main.rs" || name.starts_with("bin/") {
            continue;
        }
        let module = module_of(name);
        let (tokens, test_modules) = without_tests(tokens(text));
        for child in test_modules {
            for_tests.insert(below(&module, &child));
        }
        modules.insert(module.clone(), name);
        sources.insert(module, tokens);
    }
    let is_for_tests = |module: &Module| {
        module.last().is_some_and(|last| last == "tests")
            || for_tests.iter().any(|test| module.starts_with(test))
    };
    modules.retain(|module, _| !is_for_tests(module));
    let mut arrows = BTreeSet::new();
    for (module, from) in &modules {
        for path in paths(&sources[module], module) {
            // The deepest module on the path; the rest of the path is inside it.
            let target = (0..=path.len())
                .rev()
                .find_map(|end| modules.get(&path[..end]));
            if let Some(to) = target.filter(|to| *to != from) {
                arrows.insert(((*from).to_owned(), (*to).to_owned()));
            }
        }
    }
    arrows
}

/// The groups of files that depend on each other in a circle. A crate whose imports all point down has none.
pub fn circles(arrows: &BTreeSet<Arrow>) -> Vec<BTreeSet<String>> {
    let mut targets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, to) in arrows {
        targets.entry(from).or_default().push(to);
    }
    let reached_from = |start: &str| {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(file) = open.pop() {
            for to in targets.get(file).into_iter().flatten() {
                if reached.insert(*to) {
                    open.push(to);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = targets
        .keys()
        .map(|file| (*file, reached_from(file)))
        .collect();
    let mut found = BTreeSet::new();
    for (file, behind) in &reached {
        let leads_back = |other: &&&str| reached.get(**other).is_some_and(|far| far.contains(file));
        let circle: BTreeSet<String> = behind
            .iter()
            .filter(leads_back)
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 {
            found.insert(circle);
        }
    }
    found.into_iter().collect()
}

/// The arrows within a circle, one on each line.
pub fn drawn(arrows: &BTreeSet<Arrow>, circle: &BTreeSet<String>) -> String {
    let within = arrows
        .iter()
        .filter(|(from, to)| circle.contains(from) && circle.contains(to));
    let lines: Vec<String> = within.map(|(from, to)| format!("{from} -> {to}")).collect();
    lines.join("\n")
}

/// A module's path from the crate's root.
type Module = Vec<String>;

fn module_of(file: &str) -> Module {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let mut module: Module = path.split('/').map(str::to_owned).collect();
    let is_folders_own = module.last().is_some_and(|last| last == "mod");
    if is_folders_own || ["lib", "main"].contains(&path) {
        module.pop();
    }
    module
}

fn below(module: &[String], child: &str) -> Module {
    let mut path = module.to_vec();
    path.push(child.to_owned());
    path
}

/// A word, `::`, or one other character.
type Token = String;

/// The source without comments and literals.
fn tokens(text: &str) -> Vec<Token> {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut index = 0;
    while index < characters.len() {
        let start = index;
        match at(index) {
            '/' if at(index + 1) == '/' => {
                while index < characters.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            '/' if at(index + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= characters.len() {
                        break;
                    }
                }
            }
            '"' => index = end_of_text(&characters, index + 1, 0, true),
            '\'' => {
                let is_character = at(index + 1) == '\\' || at(index + 2) == '\'';
                index += 1;
                if is_character {
                    index = end_of_character(&characters, index);
                }
            }
            letter if letter.is_alphanumeric() || letter == '_' => {
                while at(index).is_alphanumeric() || at(index) == '_' {
                    index += 1;
                }
                let word: String = characters[start..index].iter().collect();
                let is_raw = ["r", "br", "cr"].contains(&word.as_str());
                let marks = (index..).take_while(|place| at(*place) == '#').count();
                if is_raw && at(index + marks) == '"' {
                    index = end_of_text(&characters, index + marks + 1, marks, false);
                } else if is_raw && marks == 1 {
                    // `r#word`: the word follows, a token like any other.
                    index += 1;
                } else {
                    tokens.push(word);
                }
            }
            ':' if at(index + 1) == ':' => {
                tokens.push("::".to_owned());
                index += 2;
            }
            other => {
                if !other.is_whitespace() {
                    tokens.push(other.to_string());
                }
                index += 1;
            }
        }
    }
    tokens
}

/// The index behind the end of the string literal that began before `index`, including its quote and `#`s.
fn end_of_text(characters: &[char], mut index: usize, marks: usize, has_escapes: bool) -> usize {
    while let Some(character) = characters.get(index) {
        index += 1;
        match character {
            '\\' if has_escapes => index += 1,
            '"' if characters[index..]
                .iter()
                .take_while(|next| **next == '#')
                .count()
                >= marks =>
            {
                return index + marks;
            }
            _ => {}
        }
    }
    index
}

fn end_of_character(characters: &[char], mut index: usize) -> usize {
    while let Some(character) = characters.get(index) {
        index += 1;
        match character {
            '\\' => index += 1,
            '\'' => return index,
            _ => {}
        }
    }
    index
}

/// The tokens without the code that is compiled for tests only, and the modules that are declared in that code.
fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut test_modules) = (Vec::new(), Vec::new());
    let mut index = 0;
    while index < tokens.len() {
        if !is_test_attribute(&tokens[index..]) {
            kept.push(tokens[index].clone());
            index += 1;
            continue;
        }
        // Skips this attribute and the others of the same item.
        while tokens.get(index).is_some_and(|token| token == "#") {
            index = end_of_group(&tokens, index + 1);
        }
        let end = end_of_item(&tokens, index);
        let item = &tokens[index..end];
        if let Some(at) = item.iter().position(|token| token == "mod")
            && item.last().is_some_and(|last| last == ";")
        {
            test_modules.extend(item.get(at + 1).cloned());
        }
        index = end;
    }
    (kept, test_modules)
}

/// `#[cfg(test)]`, or one with `test` among other conditions that all must hold.
fn is_test_attribute(tokens: &[Token]) -> bool {
    let begins = |with: &[&str]| {
        tokens
            .iter()
            .zip(with)
            .filter(|(is, want)| is == want)
            .count()
            == with.len()
    };
    let end = end_of_group(tokens, 1);
    begins(&["#", "[", "cfg", "(", "test", ")"])
        || begins(&["#", "[", "cfg", "(", "all", "("]) && tokens[..end].contains(&"test".to_owned())
}

/// The index behind the bracket that closes the one at `index`.
fn end_of_group(tokens: &[Token], mut index: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(token) = tokens.get(index) {
        index += 1;
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    index
}

/// The index behind the item that begins at `index`: behind its `;` or its body.
fn end_of_item(tokens: &[Token], mut index: usize) -> usize {
    let ends_with_semicolon = tokens[index..]
        .iter()
        .take_while(|token| !["{", ";"].contains(&token.as_str()))
        .any(|token| ["use", "static", "let", "type", "="].contains(&token.as_str()));
    while let Some(token) = tokens.get(index) {
        match token.as_str() {
            ";" => return index + 1,
            "{" if !ends_with_semicolon => return end_of_group(tokens, index),
            "(" | "[" | "{" => index = end_of_group(tokens, index),
            _ => index += 1,
        }
    }
    index
}

/// Every path into the crate in this file, from the crate's root.
fn paths(tokens: &[Token], file: &[String]) -> BTreeSet<Vec<String>> {
    let is_word = |index: usize| tokens.get(index).is_some_and(|token| is_word(token));
    let is = |index: usize, what: &str| tokens.get(index).is_some_and(|token| token == what);
    // Each module declared here, with the module it is declared in.
    let mut children: BTreeSet<Module> = BTreeSet::new();
    let mut paths = BTreeSet::new();
    for pass in [Pass::Declarations, Pass::Paths] {
        // The inline modules open now, each with the depth of its braces.
        let (mut module, mut open, mut depth) = (file.to_vec(), Vec::new(), 0);
        let mut index = 0;
        while index < tokens.len() {
            match tokens[index].as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if open.last() == Some(&depth) {
                        open.pop();
                        module.pop();
                    }
                }
                "mod" if is_word(index + 1) && (is(index + 2, ";") || is(index + 2, "{")) => {
                    let child = below(&module, &tokens[index + 1]);
                    if is(index + 2, "{") {
                        open.push(depth);
                        depth += 1;
                        module = child.clone();
                    }
                    children.insert(child);
                    index += 3;
                    continue;
                }
                "use" if pass == Pass::Paths && (is_word(index + 1) || is(index + 1, "{")) => {
                    let mut names = Vec::new();
                    index = use_tree(tokens, index + 1, &mut Vec::new(), &mut names);
                    paths.extend(
                        names
                            .iter()
                            .filter_map(|path| resolved(path, &module, &children)),
                    );
                    continue;
                }
                word if pass == Pass::Paths && is_word(index) && is(index + 1, "::") => {
                    let is_inside = index > 0 && (is(index - 1, "::") || is(index - 1, "."));
                    // `pub(in crate::a)` restricts visibility and uses nothing.
                    let is_visibility = index > 2 && is(index - 1, "in") && is(index - 3, "pub");
                    let mut path = vec![word.to_owned()];
                    index += 1;
                    while is(index, "::") && is_word(index + 1) {
                        path.push(tokens[index + 1].clone());
                        index += 2;
                    }
                    if !is_inside && !is_visibility {
                        paths.extend(resolved(&path, &module, &children));
                    }
                    continue;
                }
                _ => {}
            }
            index += 1;
        }
    }
    paths
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Declarations,
    Paths,
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Reads the tree of a `use` that begins at `index`. Returns the index of its end.
fn use_tree(
    tokens: &[Token],
    mut index: usize,
    prefix: &mut Vec<String>,
    names: &mut Vec<Vec<String>>,
) -> usize {
    let before = prefix.len();
    while let Some(token) = tokens.get(index) {
        match token.as_str() {
            "{" => {
                index += 1;
                while tokens.get(index).is_some_and(|token| token != "}") {
                    index = use_tree(tokens, index, prefix, names);
                    index += usize::from(tokens.get(index).is_some_and(|token| token == ","));
                }
                index += 1;
                prefix.truncate(before);
                return index;
            }
            "," | "}" | ";" => break,
            "as" => index += 2,
            // `a::{self}` names `a`.
            "self" if !prefix.is_empty() => index += 1,
            word if is_word(word) => {
                prefix.push(word.to_owned());
                index += 1;
            }
            _ => index += 1,
        }
    }
    if !prefix.is_empty() {
        names.push(prefix.clone());
    }
    prefix.truncate(before);
    index
}

/// The path from the crate's root, or `None` where it leads out of the crate.
fn resolved(
    path: &[String],
    module: &[String],
    children: &BTreeSet<Module>,
) -> Option<Vec<String>> {
    let first = path.first()?;
    let mut base = match first.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        // A module that is declared here. Any other name is another crate, a type or a variable.
        name => {
            let child = below(module, name);
            return children.contains(&child).then(|| [module, path].concat());
        }
    };
    let mut rest = path;
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "crate" | "self" => {}
            "super" => {
                base.pop()?;
            }
            _ => break,
        }
        rest = behind;
    }
    Some([&base, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::{Arrow, arrows_between, circles};
    use std::collections::{BTreeMap, BTreeSet};

    fn arrows(files: &[(&str, &str)]) -> BTreeSet<Arrow> {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        arrows_between(&files.iter().map(file).collect::<BTreeMap<_, _>>())
    }

    fn arrow(from: &str, to: &str) -> Arrow {
        (from.to_owned(), to.to_owned())
    }

    /// The arrows out of `a.rs` with this text, beside `b`, `c`, `c::d` and the root.
    fn from_a(text: &str) -> Vec<String> {
        let found = arrows(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", text),
            ("b.rs", ""),
            ("c/mod.rs", "pub mod d;"),
            ("c/d.rs", ""),
        ]);
        let own = found.into_iter().filter(|(from, _)| from == "a.rs");
        own.map(|(_, to)| to).collect()
    }

    #[test]
    fn a_planted_circle_is_found() {
        let found = circles(&arrows(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "fn f() { crate::c::g() } pub struct B;"),
            ("c.rs", "use super::a::A; pub fn g() { crate::d::h() }"),
            ("d.rs", "pub fn h() {}"),
        ]));
        let circle = ["a.rs", "b.rs", "c.rs"].map(str::to_owned);
        assert_eq!(found, [BTreeSet::from(circle)]);
    }

    #[test]
    fn two_circles_are_found_separately() {
        let found = circles(&BTreeSet::from([
            arrow("a", "b"),
            arrow("b", "a"),
            arrow("b", "c"),
            arrow("c", "d"),
            arrow("d", "c"),
        ]));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn arrows_that_all_point_down_are_no_circle() {
        let down = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")];
        let down = down.map(|(from, to)| arrow(from, to));
        assert!(circles(&BTreeSet::from(down)).is_empty());
    }

    #[test]
    fn nested_trees_are_read() {
        let tree = "use crate::{b::{self, B, deep::{C as D}}, c::d::*};";
        assert_eq!(from_a(tree), ["b.rs", "c/d.rs"]);
        assert_eq!(from_a("use {crate::b, std::fmt};"), ["b.rs"]);
    }

    #[test]
    fn re_exports_count() {
        assert_eq!(from_a("pub(crate) use crate::b::B;"), ["b.rs"]);
        assert_eq!(from_a("pub use super::c::{self};"), ["c/mod.rs"]);
    }

    #[test]
    fn paths_in_code_count() {
        assert_eq!(
            from_a("fn f() -> crate::b::B { super::c::d::e() }"),
            ["b.rs", "c/d.rs"]
        );
        assert_eq!(
            from_a("macro_rules! m { () => { $crate::b::x!() } }"),
            ["b.rs"]
        );
    }

    #[test]
    fn super_is_followed_upwards() {
        let found = arrows(&[
            ("lib.rs", "mod a; mod c;"),
            ("a.rs", ""),
            ("c/mod.rs", "pub mod d;"),
            ("c/d.rs", "use super::super::a; use super::C;"),
        ]);
        let wanted = [arrow("c/d.rs", "a.rs"), arrow("c/d.rs", "c/mod.rs")];
        assert_eq!(found, BTreeSet::from(wanted));
    }

    #[test]
    fn a_name_at_the_root_is_the_roots() {
        assert_eq!(from_a("use crate::Shared;"), ["lib.rs"]);
        assert_eq!(from_a("use super::*;"), ["lib.rs"]);
    }

    #[test]
    fn a_parent_that_declares_a_child_does_not_use_it() {
        let declared = [("lib.rs", "pub(crate) mod a;"), ("a.rs", "")];
        assert!(arrows(&declared).is_empty());
        let used = [("lib.rs", "mod a; fn f() { a::g() }"), ("a.rs", "")];
        assert_eq!(arrows(&used), BTreeSet::from([arrow("lib.rs", "a.rs")]));
    }

    #[test]
    fn a_parent_and_a_child_that_use_each_other_are_a_circle() {
        let found = circles(&arrows(&[
            ("lib.rs", "mod c;"),
            ("c/mod.rs", "mod d; use d::f; pub struct C;"),
            ("c/d.rs", "use super::C; pub fn f() {}"),
        ]));
        let circle = ["c/d.rs", "c/mod.rs"].map(str::to_owned);
        assert_eq!(found, [BTreeSet::from(circle)]);
    }

    #[test]
    fn a_module_beside_its_folder_is_the_same_as_one_in_it() {
        let found = arrows(&[
            ("lib.rs", "mod c;"),
            ("c.rs", "mod d; fn f() { d::g() }"),
            ("c/d.rs", "pub fn g() {}"),
        ]);
        assert_eq!(found, BTreeSet::from([arrow("c.rs", "c/d.rs")]));
    }

    #[test]
    fn an_inline_module_belongs_to_its_file() {
        let text = "mod inner { use super::own; fn f() { super::super::b::g() } } use crate::c;";
        assert_eq!(from_a(text), ["b.rs", "c/mod.rs"]);
    }

    #[test]
    fn tests_are_left_out() {
        assert!(from_a("#[cfg(test)] mod tests { use crate::b; }").is_empty());
        assert!(from_a("#[cfg(test)] #[allow(x)] use crate::{b, c};").is_empty());
        assert!(from_a("#[cfg(all(test, unix))] fn f(x: [u8; 2]) { crate::b::g() }").is_empty());
        assert_eq!(from_a("#[cfg(test)] mod fakes; use crate::b;"), ["b.rs"]);
        let found = arrows(&[
            (
                "lib.rs",
                "mod a; mod b; #[cfg(test)] mod fakes; #[cfg(not(test))] mod c;",
            ),
            ("a.rs", "#[cfg(test)] mod tests;"),
            ("a/tests.rs", "use crate::b;"),
            ("fakes.rs", "use crate::b;"),
            ("b.rs", ""),
            ("c.rs", "use crate::b;"),
        ]);
        assert_eq!(found, BTreeSet::from([arrow("c.rs", "b.rs")]));
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = r##"
            // use crate::b;
            /* crate::b::x() /* nested */ crate::b::y() */
            const A: &str = "use crate::b; \" crate::b::z";
            const B: &str = r#"" crate::b::z "#;
            const C: [char; 2] = ['"', '\''];
            fn f<'a>(text: &'a str) { crate::c::g(text) }
        "##;
        assert_eq!(from_a(text), ["c/mod.rs"]);
    }

    #[test]
    fn names_of_others_are_no_arrows() {
        assert!(
            from_a("use std::b; use b::c; fn f() { ::b::g(); x.c::<u8>(); E::b::C; }").is_empty()
        );
        assert!(from_a("pub(in crate::c) fn f() {}").is_empty());
    }

    #[test]
    fn a_program_beside_a_library_stands_outside() {
        let found = arrows(&[
            ("lib.rs", "pub mod a;"),
            ("a.rs", ""),
            ("main.rs", "use crate::a;"),
        ]);
        assert!(found.is_empty());
    }
}
