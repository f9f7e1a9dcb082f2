//! The `Message-ID` of a mail that goes out over SMTP.
//!
//! It is the only trace of a mail's Svix id there: SMTP has no idempotency key and no metadata. It is the same each
//! time the mail is sent, so that the mailbox can be asked whether it is out.

use super::id::SvixId;

/// `svix-id.generation@domain`, without the angle brackets. No [`SvixId`] has a `.`, so it can be read back.
pub fn message_id(id: &SvixId, generation: usize, domain: &str) -> String {
    format!("{id}.{generation}@{domain}")
}

/// The Svix id and the domain in a `Message-ID` of the relay's, with or without angle brackets. `None`: somebody else
/// made it.
pub fn read_message_id(text: &str) -> Option<(SvixId, &str)> {
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    let (left, domain) = bare.split_once('@')?;
    let (id, generation) = left.split_once('.')?;
    let is_number = (1..=3).contains(&generation.len())
        && generation.bytes().all(|digit| digit.is_ascii_digit());
    let is_ours = ["msg_", "forward_"].iter().any(|kind| id.starts_with(kind));
    let id = SvixId::parse(id).filter(|_| is_number && is_ours && !domain.is_empty())?;
    Some((id, domain))
}

/// The first of the relay's ids in a header that lists several (`References`).
pub fn first_of_ours(header: &str) -> Option<(SvixId, &str)> {
    header.split_whitespace().find_map(read_message_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_is_read_back() {
        let id = SvixId::parse("msg_2x").unwrap();
        let text = message_id(&id, 0, "acme.example");
        assert_eq!(text, "msg_2x.0@acme.example");
        for spelled in [text.clone(), format!("<{text}>"), format!(" <{text}> ")] {
            assert_eq!(
                read_message_id(&spelled),
                Some((id.clone(), "acme.example"))
            );
        }
        let list = format!("<a@b.example> <{text}>\r\n <c@d.example>");
        assert_eq!(first_of_ours(&list), Some((id, "acme.example")));
    }

    #[test]
    fn what_others_make_is_not_ours() {
        for text in [
            "",
            "<a@b.example>",
            "<msg_1@b.example>",
            "<msg_1.@b.example>",
            "<msg_1.x@b.example>",
            "<msg_1.0.0@b.example>",
            "<msg_1.0001@b.example>",
            "<msg_1.0@>",
            "<other_1.0@b.example>",
            "<msg_ü.0@b.example>",
        ] {
            assert_eq!(read_message_id(text), None, "{text}");
        }
    }
}
