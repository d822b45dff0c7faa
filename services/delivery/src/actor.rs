//! Whether a person followed a link, as far as a single request can tell. Later evidence (how fast, how many, from
//! where) may refine it; a machine never counts as a person.

use chrono::TimeDelta;

/// Opens by machines are remembered for so long: whose messages they opened is taken to be behind a privacy proxy.
pub(crate) const MACHINES_REMEMBERED: TimeDelta = TimeDelta::days(90);

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    Human,
    Machine,
    /// Never counted as a person, and no reason to distrust one.
    Unknown,
}

/// Libraries, scanners, crawlers and proxies: each names itself in its user agent. In lower case.
const MACHINES: [&str; 40] = [
    "apache-httpclient",
    "axios",
    "barracuda",
    "bingpreview",
    "bot",
    "check",
    "crawl",
    "curl",
    "dispatch/",
    "facebookexternalhit",
    "fetch",
    "forcepoint",
    "fortinet",
    "ggpht.com",
    "go-http-client",
    "googleimageproxy",
    "guzzle",
    "headless",
    "httpie",
    "http_request",
    "java/",
    "libwww",
    "mimecast",
    "monitor",
    "node",
    "okhttp",
    "perl",
    "php",
    "preview",
    "probe",
    "proofpoint",
    "python",
    "ruby",
    "scan",
    "slurp",
    "sophos",
    "spider",
    "validator",
    "wget",
    "yahoomailproxy",
];

impl Actor {
    pub(crate) const ALL: [Self; 3] = [Self::Human, Self::Machine, Self::Unknown];

    /// Judges by the user agent that a request named, if it named one.
    pub(crate) fn of_user_agent(user_agent: Option<&str>) -> Self {
        let Some(agent) = user_agent.map(str::trim).filter(|agent| !agent.is_empty()) else {
            return Self::Machine;
        };
        let agent = agent.to_ascii_lowercase();
        // Exactly this and nothing else is how Apple's mail privacy proxy introduces itself.
        if agent == "mozilla/5.0" || MACHINES.iter().any(|machine| agent.contains(machine)) {
            return Self::Machine;
        }
        if is_browser(&agent) { Self::Human } else { Self::Unknown }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::Unknown => "unknown",
        }
    }
}

/// Every browser calls itself Mozilla, says in brackets what it runs on, and names its engine.
fn is_browser(agent: &str) -> bool {
    const ENGINES: [&str; 3] = ["applewebkit/", "gecko/", "trident/"];
    agent.starts_with("mozilla/5.0 (") && ENGINES.iter().any(|engine| agent.contains(engine))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(user_agent: &str, expected: Actor) {
        assert_eq!(Actor::of_user_agent(Some(user_agent)), expected, "{user_agent}");
    }

    #[test]
    fn browsers_are_people() {
        for agent in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        ] {
            check(agent, Actor::Human);
        }
    }

    #[test]
    fn libraries_scanners_and_proxies_are_machines() {
        for agent in [
            "",
            " ",
            "curl/8.5.0",
            "python-requests/2.32.3",
            "Go-http-client/2.0",
            "Java/17.0.9",
            "Mozilla/5.0",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) BingPreview/1.0b",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/126.0.0.0 Safari/537.36",
        ] {
            check(agent, Actor::Machine);
        }
        assert_eq!(Actor::of_user_agent(None), Actor::Machine);
    }

    #[test]
    fn what_is_neither_is_not_known() {
        check("Thunderbird", Actor::Unknown);
        check("Microsoft Office/16.0 (Windows NT 10.0)", Actor::Unknown);
    }

    proptest! {
        #[test]
        fn whatever_names_itself_a_bot_is_a_machine(before in "\\PC{0,30}", after in "\\PC{0,30}") {
            let agent = format!("{before}Bot{after}");
            prop_assert_eq!(Actor::of_user_agent(Some(&agent)), Actor::Machine);
        }
    }
}
