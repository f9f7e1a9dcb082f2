//! What stands below every help.

/// Examples, then what holds for all commands.
macro_rules! after {
    ($($examples:literal),* $(,)?) => {
        concat!(
            "Examples:\n", $("  ", $examples, "\n",)* "\n",
            "Exit codes: 0 done, or all well; 1 failed, or a problem was found; 2 called wrongly.\n",
            "Secrets come from the environment, from .dev.vars in the current folder, from a file or a prompt; ",
            "never from an argument.\n",
            "setup does not read .dev.vars: secrets for development are not deployed.\n",
            "NO_COLOR=1 turns colours off. Everything is explained in docs/relayctl.md."
        )
    };
}
pub(crate) use after;
