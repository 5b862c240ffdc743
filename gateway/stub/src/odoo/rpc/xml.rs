//! As much of XML-RPC as the stub speaks: the method, the text of each parameter, an answer of one struct.

/// A method call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// The text of every parameter, without its type; nested values are only text to the stub.
    pub(crate) params: Vec<String>,
}

/// What a call is answered with.
pub(crate) enum Answer {
    Int(i64),
    False,
    Text(String),
    Texts(Vec<String>),
    Struct(Vec<(String, String)>),
    Fault(i64, String),
}

impl Call {
    pub(crate) fn parse(document: &str) -> Option<Self> {
        let (method, rest) = between(document, "<methodName>", "</methodName>")?;
        let mut params = Vec::new();
        let mut rest = rest;
        while let Some((param, after)) = between(rest, "<param>", "</param>") {
            params.push(text_of(param));
            rest = after;
        }
        Some(Self { method: text_of(method), params })
    }
}

impl Answer {
    pub(crate) fn document(&self) -> String {
        let content = match self {
            Self::Fault(code, text) => {
                let members = [("faultCode", int(*code)), ("faultString", string(text))];
                format!("<fault><value>{}</value></fault>", structure(members.into_iter()))
            }
            Self::Int(number) => param(&int(*number)),
            Self::False => param("<boolean>0</boolean>"),
            Self::Text(text) => param(&string(text)),
            Self::Texts(texts) => {
                let values: String =
                    texts.iter().map(|text| format!("<value>{}</value>", string(text))).collect();
                param(&format!("<array><data>{values}</data></array>"))
            }
            Self::Struct(members) => {
                param(&structure(members.iter().map(|(name, text)| (name.as_str(), string(text)))))
            }
        };
        format!("<?xml version='1.0'?>\n<methodResponse>\n{content}\n</methodResponse>\n")
    }
}

fn param(value: &str) -> String {
    format!("<params><param><value>{value}</value></param></params>")
}

fn structure<'a>(members: impl Iterator<Item = (&'a str, String)>) -> String {
    let members =
        members.map(|(name, value)| format!("<member><name>{name}</name><value>{value}</value></member>"));
    format!("<struct>{}</struct>", members.collect::<String>())
}

fn int(number: i64) -> String {
    format!("<int>{number}</int>")
}

fn string(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<string>{text}</string>")
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(open)?.1.split_once(close)
}

/// The text of a fragment with its tags removed and its entities replaced.
fn text_of(fragment: &str) -> String {
    let mut text = String::new();
    for part in fragment.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
    }
    let text = text.trim();
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::{Answer, Call};

    #[test]
    fn typed_and_bare_values_of_a_call_are_read() {
        let document = "<?xml version='1.0'?><methodCall><methodName>execute_kw</methodName><params>\
            <param><value><string>a&amp;b</string></value></param><param><value>bare</value></param>\
            <param><value><int>7</int></value></param></params></methodCall>";
        let call = Call::parse(document).unwrap();
        assert_eq!(call.method, "execute_kw");
        assert_eq!(call.params, ["a&b", "bare", "7"]);
    }

    #[test]
    fn answer_escapes_its_text() {
        let document = Answer::Fault(3, "a<b".to_owned()).document();
        assert!(document.contains("<int>3</int>") && document.contains("<string>a&lt;b</string>"));
    }
}
