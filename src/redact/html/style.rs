//! What a `style` attribute says about whether text can be seen.

/// `None`: it says nothing, and what is around the element holds.
#[derive(Clone, Copy, Default)]
pub struct Style {
    is_displayed: Option<bool>,
    is_visible: Option<bool>,
    is_tiny: Option<bool>,
    is_transparent: Option<bool>,
    has_no_room: bool,
    is_clipped: bool,
    /// Line breaks of the source are shown.
    pub keeps_lines: Option<bool>,
}

impl Style {
    /// Reads an attribute in small letters.
    pub fn parse(style: &str) -> Self {
        let mut read = Self::default();
        for declaration in style.split(';') {
            if let Some((name, value)) = declaration.split_once(':') {
                let value = value.trim();
                let value = value.strip_suffix("!important").unwrap_or(value).trim();
                read.declare(name.trim(), value);
            }
        }
        read
    }

    fn declare(&mut self, name: &str, value: &str) {
        match name {
            "display" => self.is_displayed = Some(value != "none"),
            "visibility" => match value {
                "hidden" | "collapse" => self.is_visible = Some(false),
                "visible" | "initial" => self.is_visible = Some(true),
                _ => {}
            },
            "font-size" => self.is_tiny = is_tiny(value).or(self.is_tiny),
            // "0/0 a": the size is before the height of the line.
            "font" => {
                // A number without a unit is a weight, unless it is nothing.
                let is_size = |size: &&str| {
                    let (number, unit) = split_unit(size);
                    is_zero(number) || !number.is_empty() && !unit.is_empty()
                };
                let sizes = value
                    .split_whitespace()
                    .filter_map(|part| part.split('/').next());
                self.is_tiny = sizes.filter(is_size).find_map(is_tiny).or(self.is_tiny);
            }
            "opacity" => self.is_transparent = Some(is_zero(value)),
            "height" | "max-height" | "width" | "max-width" => {
                self.has_no_room |= is_tiny(value) == Some(true);
            }
            "overflow" | "overflow-x" | "overflow-y" => self.is_clipped = value.contains("hidden"),
            "white-space" => {
                self.keeps_lines = Some(value.starts_with("pre") || value == "break-spaces")
            }
            _ => {}
        }
    }

    /// In an element that shows line breaks by itself, or does not, and that has a size, or grows with its text, as the
    /// parts of a table do.
    pub fn in_element(self, keeps_lines: bool, grows: bool) -> Self {
        Self {
            keeps_lines: self.keeps_lines.or(keeps_lines.then_some(true)),
            has_no_room: self.has_no_room && !grows,
            ..self
        }
    }

    /// What holds in an element with this style: these three are inherited.
    pub fn inside(self, parent: Self) -> Self {
        Self {
            is_visible: self.is_visible.or(parent.is_visible),
            is_tiny: self.is_tiny.or(parent.is_tiny),
            keeps_lines: self.keeps_lines.or(parent.keeps_lines),
            ..self
        }
    }

    /// Hides the element with all that is in it.
    pub fn hides(self) -> bool {
        self.is_displayed == Some(false)
            || self.is_transparent == Some(true)
            || self.has_no_room && self.is_clipped
    }

    /// Hides the text, unless an element inside has another style.
    pub fn is_invisible(self) -> bool {
        self.is_visible == Some(false) || self.is_tiny == Some(true)
    }
}

/// Whether a size is too small to read. `None`: it depends on the size around it.
fn is_tiny(size: &str) -> Option<bool> {
    const KEYWORDS: [&str; 8] = [
        "xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "initial",
    ];
    let (number, unit) = split_unit(size);
    match unit {
        _ if number.is_empty() => KEYWORDS.contains(&unit).then_some(false),
        _ if is_zero(number) => Some(true),
        "px" | "pt" => {
            let whole = number.split('.').next().unwrap_or_default();
            Some(matches!(whole.trim_start_matches(['+', '0']), "" | "1"))
        }
        "em" | "%" | "ex" | "ch" => None,
        _ => Some(false),
    }
}

/// A number and what it counts.
fn split_unit(size: &str) -> (&str, &str) {
    let end = size
        .find(|letter: char| !letter.is_ascii_digit() && !"+-.".contains(letter))
        .unwrap_or(size.len());
    size.split_at_checked(end).unwrap_or_default()
}

fn is_zero(number: &str) -> bool {
    number.contains('0') && number.chars().all(|letter| "+-.0".contains(letter))
}
