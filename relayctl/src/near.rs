//! "Did you mean": the known name that a mistyped one is nearest to.

/// The nearest of the known names, if it is near enough to be meant.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters may be wrong.
    let allowed = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_corrected_and_another_word_is_not() {
        let known = ["verification_code", "invitation", "magic_link_sign_in"];
        assert_eq!(
            nearest("verifcation_code", known),
            Some("verification_code")
        );
        assert_eq!(
            nearest("magic_link_signin", known),
            Some("magic_link_sign_in")
        );
        assert_eq!(nearest("invitaton", known), Some("invitation"));
        for other in ["", "x", "password", "code"] {
            assert_eq!(nearest(other, known), None, "{other}");
        }
    }
}
