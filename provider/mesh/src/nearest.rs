//! What somebody meant who wrote a name that does not exist.

/// Returns the name that is nearest to a wrong one, if it is near enough to be meant.
///
/// The last words of a name count as well: `contxt` is near to `config_context`.
pub fn nearest<'a, S: AsRef<str>>(wrong: &str, names: &'a [S]) -> Option<&'a str> {
    let names = names.iter().map(AsRef::as_ref);
    let ranked = names.map(|name: &str| (rank(wrong, name), name));
    let (_, name) = ranked
        .filter(|(rank, name)| *rank <= 1 + name.len() / 3)
        .min_by_key(|(rank, name)| (*rank, name.len()))?;
    Some(name)
}

fn rank(wrong: &str, name: &str) -> usize {
    let ends = name.match_indices('_').map(|(at, _)| &name[at + 1..]);
    let of_ends = ends.map(|end| 1 + distance(wrong, end));
    of_ends.fold(distance(wrong, name), usize::min)
}

/// Returns how many letters must be added, removed or replaced to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, sign) in one.chars().take(100).enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, of) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(sign != *of);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
