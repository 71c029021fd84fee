//! A block of lines of ours in a file of the user's, between two marks.

/// The marks around the block of one project; none are named for what is the whole repository's.
fn marks(name: &str) -> (String, String) {
    let of = if name.is_empty() { String::new() } else { format!(" of {name:?}") };
    (
        format!("# >>> stagewright{of}: `stagewright install --uninstall` takes this out >>>\n"),
        format!("# <<< stagewright{of} <<<\n"),
    )
}

/// Puts lines into a text: in the place of our block, else behind its first lines.
pub(super) fn put(text: &str, name: &str, lines: &str, after: usize) -> String {
    let (begin, end) = marks(name);
    let block = if lines.is_empty() { String::new() } else { format!("{begin}{lines}{end}") };
    if let Some((start, stop)) = find(text, name) {
        return format!("{}{block}{}", &text[..start], &text[stop..]);
    }
    let at: usize = text.split_inclusive('\n').take(after).map(str::len).sum();
    let (head, tail) = text.split_at(at);
    let newline = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    format!("{head}{newline}{block}{tail}")
}

/// The text without our block.
pub(super) fn take(text: &str, name: &str) -> String {
    match find(text, name) {
        Some((start, stop)) => format!("{}{}", &text[..start], &text[stop..]),
        None => text.to_owned(),
    }
}

/// Whether a block of any project is there.
pub(super) fn has_any(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("# >>> stagewright"))
}

fn find(text: &str, name: &str) -> Option<(usize, usize)> {
    let (begin, end) = marks(name);
    let start = text.find(&begin)?;
    let stop = start + text[start..].find(&end)? + end.len();
    Some((start, stop))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_in_is_taken_out(text in "(#!/bin/sh\n)?([a-z]{0,3}\n){0,4}", name in "[a-z/']{0,3}", after in 0..2usize) {
            let with = put(&text, &name, "ours\n", after);
            prop_assert!(has_any(&with));
            prop_assert_eq!(put(&with, &name, "ours\n", after), with.clone());
            prop_assert_eq!(take(&put(&with, &name, "newer\n", after), &name), text.clone());
            let two = put(&with, "another", "x\n", after);
            prop_assert_eq!(take(&take(&two, &name), "another"), text);
        }
    }
}
