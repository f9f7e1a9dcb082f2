//! What must not be destroyed.

use super::*;

#[test]
fn ordinary_sentences_stay_as_they_are() {
    for text in [
        "I did not ask for this. Please remove my address!",
        "The code does not work, I tried it 3 times in 10 minutes.",
        "Hi Jane, call me on the 2nd or 3rd, between 9am or so and noon.",
        "It costs $25, or 9.99 a month; 100% of it, 24/7.",
        "My 2-factor login and the 10-minute link e.g. on my iPhone 14, room B12",
        "Die 2-Faktor-Authentifizierung und die 24-Stunden-Regel",
        "and/or yes/no, Mr. O'Neil-Smith, a.b, acme.example",
        "PLEASE HELP",
        "PLEASE help me, this is URGENT!",
        "I AM NOT ABLE TO ENTER MY ACCOUNT, CALL SUPPORT NOW",
        "Re: THANKS",
        "Donaudampfschifffahrtsgesellschaft",
        "Das Passwort funktioniert nicht. Grüße aus Köln",
        "ПОЖАЛУЙСТА помогите, код не приходит",
        "我点击了链接但是没有反应,请帮忙。谢谢",
        "コードが届きません。よろしくお願いします。",
        "रमेश को कोड नहीं मिला",
        "I wrote to jane.doe@mail.acme.example and <jo1234x@example.com>",
    ] {
        let expected = text.replace("jo1234x", "jo[code removed]x");
        assert_eq!(redact_body(text).text, expected);
    }
}

#[test]
fn addresses_of_people_stay() {
    for address in [
        "jane@example.com",
        "jane.doe+x@mail.example.co.uk",
        "jan99e@example.org",
        "<jane@example.com>,",
        "Jane-Marie<jane.doe@example.org>(2)",
    ] {
        assert_eq!(redact_body(address).text, address);
    }
}

#[test]
fn a_sentence_without_spaces_loses_only_the_link_in_it() {
    assert_eq!(
        redact_body("我点击了https://acme.example/verify?x=1没有反应").text,
        "我点击了[link removed]没有反应"
    );
    assert_eq!(redact_body("代码k7f2q9不对").text, "代码[code removed]不对");
}

#[test]
fn a_word_below_a_paragraph_that_ends_in_a_link_stays() {
    assert_eq!(
        redact_body("Look: https://x.example/y\n\nThanks\nJane").text,
        "Look: [link removed]\n\nThanks\nJane"
    );
    assert_eq!(
        redact_body("Look: https://x.example/y\n--\nJane").text,
        "Look: [link removed]\n--\nJane"
    );
}
