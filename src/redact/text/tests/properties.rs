//! What holds for every text. Codes, tokens and links in every disguise: `tests/fuzz`.

use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn redaction_keeps_the_lines(text in "([a-zA-Z0-9 .,\n/-]{0,12}|https://x.example/y\n|4 8\n2 9|K\n7\n){0,20}") {
        prop_assert_eq!(redact(&text).matches('\n').count(), text.matches('\n').count());
    }
}
