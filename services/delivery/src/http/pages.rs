//! The few pages that a recipient may see. They say nothing about who the recipient is.

macro_rules! page {
    ($title:literal, $body:literal) => {
        concat!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"robots\" content=\"noindex\">\n<title>",
            $title,
            "</title>\n<style>\n",
            "body { font: 1.125rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }\n",
            "main { max-width: 32rem; margin: 4rem auto; padding: 0 1rem; }\n",
            "button { font: inherit; padding: .6rem 1.2rem; color: #fff; background: #0b5394;",
            " border: 0; border-radius: .3rem; }\n",
            "button:focus-visible { outline: .2rem solid #1a1a1a; outline-offset: .2rem; }\n",
            "</style>\n</head>\n<body>\n<main>\n<h1>",
            $title,
            "</h1>\n",
            $body,
            "\n</main>\n</body>\n</html>\n"
        )
    };
}

pub(super) const ASK: &str = page!(
    "Unsubscribe",
    "<p>Press the button to receive no more of these messages.</p>\n<form method=\"post\">\n\
     <button name=\"confirm\" value=\"yes\">Unsubscribe</button>\n</form>"
);

pub(super) const DONE: &str = page!(
    "You are unsubscribed",
    "<p>You will receive no more of these messages. You may close this page.</p>"
);

pub(super) const NOT_VALID: &str = page!(
    "This link does not work",
    "<p>It may be incomplete. Please open it from the message again.</p>"
);

pub(super) const TRY_AGAIN: &str =
    page!("Please try again", "<p>This does not work at the moment. Please try again soon.</p>");
