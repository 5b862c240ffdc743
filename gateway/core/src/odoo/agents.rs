//! What user agents say about themselves. Anybody may say anything, so nothing is allowed for it that is not bounded.

/// Words in the user agents of crawlers, in lower case, without the tools of programs.
/// Source: Odoo 13.0 to 19.0 `addons/http_routing/models/ir_http.py` (`website` before), `is_a_bot`.
const CRAWLERS: [&[u8]; 6] =
    [b"bot", b"crawl", b"slurp", b"spider", b"facebookexternalhit", b"trendsmapresolver"];

/// Whether a user agent says that it is a crawler.
#[must_use]
pub fn is_crawler(user_agent: &[u8]) -> bool {
    CRAWLERS.iter().any(|word| contains(user_agent, word))
}

/// Whether a user agent is the program that Odoo prints with: it asks for the pictures and styles of a page while the
/// worker that started it waits.
/// Source: Odoo 14.0 to 19.0 `odoo/addons/base/models/ir_actions_report.py`, `_run_wkhtmltopdf`; Qt WebKit's user agent
/// ends with `wkhtmltopdf Safari/534.34` in 0.12.
#[must_use]
pub fn is_wkhtmltopdf(user_agent: &[u8]) -> bool {
    contains(user_agent, b"wkhtmltopdf")
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crawlers_and_browsers_are_told_apart() {
        assert!(is_crawler(b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"));
        assert!(is_crawler(b"Baiduspider"));
        for other in ["Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "curl/8.5", "python-requests/2.31", ""]
        {
            assert!(!is_crawler(other.as_bytes()), "{other}");
        }
        let printing = b"Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/534.34 (KHTML, like Gecko) wkhtmltopdf Safari/534.34";
        assert!(is_wkhtmltopdf(printing) && !is_crawler(printing));
    }
}
