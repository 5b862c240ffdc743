//! HTTP/1 as no honest client writes it, byte for byte: a request and what a strict server says to it.
//!
//! Each breaks RFC 9112 or RFC 9110, or a limit, in one way; each is a way in which servers are known to differ, and so
//! a way past one of them. What is [odd but legal](odd_http1) must be served.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::connect;

/// A request on a connection of its own.
#[derive(Clone, Debug)]
pub struct Http1Vector {
    /// What is wrong with it.
    pub name: String,
    /// Status of the gateway's answer.
    pub status: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A body of five bytes.
const CHUNKED_HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";
const TARGET: &str = "/stub/echo";

/// Every vector that must be refused, for a host that is served. No two have the same name.
pub fn bad_http1(host: &str) -> Vec<Http1Vector> {
    let corpus = Corpus { host, vectors: Vec::new() };
    corpus
        .codings()
        .lengths()
        .chunks()
        .lines()
        .names_and_values()
        .hosts()
        .targets()
        .request_lines()
        .sizes()
        .rest()
}

/// Requests that look odd and are fine: each is served with 200.
pub fn odd_http1(host: &str) -> Vec<Http1Vector> {
    let mut corpus = Corpus { host, vectors: Vec::new() };
    let coding = "Transfer-Encoding: chunked";
    for (name, chunks) in [
        ("chunk extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
        ("spaces after a chunk size", "5  \r\nhello\r\n0\r\n\r\n"),
        ("trailers that look like fields of a head", "0\r\nHost: evil.test\r\nContent-Length: 5\r\n\r\n"),
        ("leading zeros of a chunk size", "0005\r\nhello\r\n00\r\n\r\n"),
        ("upper case chunk size", "A\r\n0123456789\r\n0\r\n\r\n"),
    ] {
        corpus.post(name, 200, coding, chunks);
    }
    corpus.post("coding in capitals", 200, "TRANSFER-ENCODING: CHUNKED", CHUNKED_HELLO);
    corpus.post("leading zeros of a length", 200, "Content-Length: 005", "hello");
    corpus.post("expectation in capitals", 200, "Expect: 100-CONTINUE\r\nContent-Length: 5", "hello");
    corpus.get("an empty line before", 200, "");
    if let Some(vector) = corpus.vectors.last_mut() {
        vector.bytes.splice(0..0, *b"\r\n");
    }
    corpus.get("h2c is not taken", 200, "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n");
    corpus.get("an unknown protocol is not taken", 200, "Upgrade: foo\r\n");
    corpus.get("an empty value and one beyond ASCII", 200, "X-Empty:\r\nX-Latin: \u{e9}\r\n");
    corpus.get("a hundred fields", 200, &"X-A: b\r\n".repeat(97));
    corpus.get("20 KB in a field", 200, &format!("X-Long: {}\r\n", "a".repeat(20_000)));
    for (name, target) in [
        ("absolute target that is the host", format!("http://{host}{TARGET}")),
        ("slashes in a row", "//stub///echo".to_owned()),
        ("escapes of letters", "/%73tub/%65cho".to_owned()),
        ("15 KB of a query", format!("{TARGET}?{}", "a".repeat(15_000))),
        ("brackets and bars in a query", format!("{TARGET}?a[]=b|c^d")),
    ] {
        corpus.line(name, 200, &format!("GET {target} HTTP/1.1"));
    }
    corpus.vectors
}

struct Corpus<'a> {
    host: &'a str,
    vectors: Vec<Http1Vector>,
}

impl Corpus<'_> {
    /// Any bytes; `HOST` stands for the host.
    fn raw(&mut self, name: &str, status: u16, bytes: impl AsRef<[u8]>) {
        let mut rest = bytes.as_ref();
        let mut all = Vec::with_capacity(rest.len());
        while let Some(at) = rest.windows(4).position(|window| window == b"HOST") {
            let (before, after) = rest.split_at(at);
            all.extend_from_slice(before);
            all.extend_from_slice(self.host.as_bytes());
            rest = after.strip_prefix(b"HOST").unwrap_or_default();
        }
        all.extend_from_slice(rest);
        self.vectors.push(Http1Vector { name: name.to_owned(), status, bytes: all });
    }

    /// A GET with further lines, each with its end.
    fn get(&mut self, name: &str, status: u16, lines: &str) {
        self.raw(
            name,
            status,
            format!("GET {TARGET} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n{lines}\r\n"),
        );
    }

    /// A POST with lines that frame its body, and the body.
    fn post(&mut self, name: &str, status: u16, framing: &str, body: &str) {
        let head = format!("POST {TARGET} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n{framing}\r\n\r\n");
        self.raw(name, status, head + body);
    }

    /// A request line with an honest rest.
    fn line(&mut self, name: &str, status: u16, line: &str) {
        self.raw(name, status, format!("{line}\r\nHost: HOST\r\nConnection: close\r\n\r\n"));
    }

    fn codings(mut self) -> Self {
        for (name, lines) in [
            ("length, then chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"),
            ("chunks, then length", "Transfer-Encoding: chunked\r\nContent-Length: 15"),
            ("unknown coding", "Transfer-Encoding: xchunked"),
            ("coding identity", "Transfer-Encoding: identity"),
            ("empty coding", "Transfer-Encoding: "),
            ("chunked, identity", "Transfer-Encoding: chunked, identity"),
            ("identity, chunked", "Transfer-Encoding: identity, chunked"),
            ("gzip, chunked", "Transfer-Encoding: gzip, chunked"),
            ("chunked, gzip", "Transfer-Encoding: chunked, gzip"),
            ("chunked twice in a line", "Transfer-Encoding: chunked, chunked"),
            ("a comma after chunked", "Transfer-Encoding: chunked,"),
            ("a comma before chunked", "Transfer-Encoding: ,chunked"),
            ("quoted chunked", "Transfer-Encoding: \"chunked\""),
            ("chunked with a parameter", "Transfer-Encoding: chunked;q=1"),
            ("vertical tab before chunked", "Transfer-Encoding: \x0bchunked"),
            ("tab before chunked", "Transfer-Encoding:\tchunked"),
            ("tab after chunked", "Transfer-Encoding: chunked\t"),
            (
                "identity and chunked in two lines",
                "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            ),
            (
                "chunked and identity in two lines",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            ),
            ("chunked in two lines", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            ("folded coding", "Transfer-Encoding:\r\n chunked"),
            ("folded coding with a tab", "Transfer-Encoding:\r\n\tchunked"),
            ("coding behind a folded line", "X-A: b\r\n Transfer-Encoding: chunked"),
            ("coding behind a lone return", "X-A: b\rTransfer-Encoding: chunked"),
            ("coding behind a lone line feed", "X-A: b\nTransfer-Encoding: chunked"),
            ("space before the colon of the coding", "Transfer-Encoding : chunked"),
            ("tab before the colon of the coding", "Transfer-Encoding\t: chunked"),
            ("underscore in the coding's name", "Content-Length: 15\r\nTransfer_Encoding: chunked"),
            ("dot in the coding's name", "Content-Length: 15\r\nTransfer.Encoding: chunked"),
        ] {
            self.post(name, 400, lines, CHUNKED_HELLO);
        }
        let head = "POST /stub/echo HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n";
        self.raw("chunks in HTTP/1.0", 400, format!("{head}{CHUNKED_HELLO}"));
        self
    }

    fn lengths(mut self) -> Self {
        for (name, lines) in [
            ("length with a plus", "Content-Length: +5"),
            ("hexadecimal length", "Content-Length: 0x5"),
            ("negative length", "Content-Length: -1"),
            ("empty length", "Content-Length: "),
            ("two lengths in a line", "Content-Length: 5,6"),
            ("one length twice in a line", "Content-Length: 5, 5"),
            ("two lengths in two lines", "Content-Length: 5\r\nContent-Length: 6"),
            ("one length in two lines", "Content-Length: 5\r\nContent-Length: 5"),
            ("length with a space in it", "Content-Length: 5 5"),
            ("length with a parameter", "Content-Length: 5;a"),
            ("length with a fraction", "Content-Length: 5.0"),
            ("length in other digits", "Content-Length: \u{665}"),
            ("space before the colon of the length", "Content-Length : 5"),
            ("underscore in the length's name", "Content-Length: 5\r\nContent_Length: 0"),
            ("folded length", "Content-Length:\r\n 5"),
            ("tab before the length", "Content-Length:\t5"),
        ] {
            self.post(name, 400, lines, "hello");
        }
        self.post("length 2^63", 413, "Content-Length: 9223372036854775808", "hello");
        self.post("length 2^64", 413, "Content-Length: 18446744073709551616", "hello");
        self.post("length 2^64 + 5", 413, "Content-Length: 18446744073709551621", "hello");
        self.post("length of thirty digits", 413, &format!("Content-Length: {}", "9".repeat(30)), "hello");
        self.raw("HTTP/1.0 without a length", 411, "POST /stub/echo HTTP/1.0\r\nHost: HOST\r\n\r\nhello");
        self
    }

    fn chunks(mut self) -> Self {
        for (name, body) in [
            ("chunk size 0x5", "0x5\r\nhello\r\n0\r\n\r\n"),
            ("chunk size +5", "+5\r\nhello\r\n0\r\n\r\n"),
            ("chunk size -5", "-5\r\nhello\r\n0\r\n\r\n"),
            ("chunk size 0_5", "0_5\r\nhello\r\n0\r\n\r\n"),
            ("chunk size zz", "zz\r\nhello\r\n0\r\n\r\n"),
            ("chunk size with a space in it", "5 5\r\nhello\r\n0\r\n\r\n"),
            ("space before a chunk size", " 5\r\nhello\r\n0\r\n\r\n"),
            ("NUL after a chunk size", "5\0\r\nhello\r\n0\r\n\r\n"),
            ("chunk size of sixteen f", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
            ("chunk size of seventeen digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            ("chunk size of many zeros", "00000000000000000000005\r\nhello\r\n0\r\n\r\n"),
            ("empty chunk size", "\r\nhello\r\n0\r\n\r\n"),
            ("empty chunk size alone", "\r\n\r\n"),
            ("empty chunk size at the end", "5\r\nhello\r\n\r\n\r\n"),
            ("extension without a chunk size", ";a=b\r\nhello\r\n0\r\n\r\n"),
            ("chunk longer than its size", "5\r\nhelloworld\r\n0\r\n\r\n"),
            ("no line end after a chunk", "5\r\nhello0\r\n\r\n"),
            ("other bytes after a chunk", "5\r\nhelloXX0\r\n\r\n"),
            ("chunk ended by a line feed", "5\r\nhello\n0\r\n\r\n"),
            ("chunk ended by a return", "5\r\nhello\r0\r\n\r\n"),
            ("chunk size ended by a return", "5\rhello\r\n0\r\n\r\n"),
            ("chunk lines ended by line feeds", "5\nhello\n0\n\n"),
            ("last chunk ended by a line feed", "5\r\nhello\r\n0\n\r\n"),
            ("body ended by a line feed", "5\r\nhello\r\n0\r\n\n"),
            ("line feed in a chunk extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
            ("return in a chunk extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
            ("NUL in a trailer", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
            ("trailer ended by a line feed", "5\r\nhello\r\n0\r\nX: y\n\r\n"),
        ] {
            self.post(name, 400, "Transfer-Encoding: chunked", body);
        }
        let extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5_000));
        self.post("chunk extension of 5 KB", 400, "Transfer-Encoding: chunked", &extension);
        let trailers = format!("0\r\n{}\r\n", "X-A: b\r\n".repeat(2_000));
        self.post("trailers of 16 KB", 400, "Transfer-Encoding: chunked", &trailers);
        self
    }

    fn lines(mut self) -> Self {
        for (name, bytes) in [
            ("all lines ended by line feeds", "GET /stub/echo HTTP/1.1\nHost: HOST\nConnection: close\n\n"),
            (
                "request line ended by a line feed",
                "GET /stub/echo HTTP/1.1\nHost: HOST\r\nConnection: close\r\n\r\n",
            ),
            (
                "field ended by a line feed",
                "GET /stub/echo HTTP/1.1\r\nHost: HOST\nConnection: close\r\n\r\n",
            ),
            ("head ended by a line feed", "GET /stub/echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\n"),
            (
                "line feed before the request",
                "\nGET /stub/echo HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n",
            ),
            ("two empty lines before the request", "\r\n\r\nGET /stub/echo HTTP/1.1\r\nHost: HOST\r\n\r\n"),
            ("lines ended by returns", "GET /stub/echo HTTP/1.1\rHost: HOST\rConnection: close\r\r\n\r\n"),
            ("two returns before a line feed", "GET /stub/echo HTTP/1.1\r\r\nHost: HOST\r\n\r\n"),
        ] {
            self.raw(name, 400, bytes);
        }
        self
    }

    fn names_and_values(mut self) -> Self {
        for (name, lines) in [
            ("return in a value", "X-A: b\rc\r\n"),
            ("NUL in a value", "X-A: b\0c\r\n"),
            ("control byte in a value", "X-A: b\x01c\r\n"),
            ("escape byte in a value", "X-A: b\x1bc\r\n"),
            ("delete byte in a value", "X-A: b\x7fc\r\n"),
            ("NUL in a name", "X\0A: b\r\n"),
            ("no colon", "X-A b\r\n"),
            ("no name", ": b\r\n"),
            ("space in a name", "X A: b\r\n"),
            ("space before a colon", "X-A : b\r\n"),
            ("tab before a colon", "X-A\t: b\r\n"),
            ("parenthesis in a name", "X(A: b\r\n"),
            ("slash in a name", "X/A: b\r\n"),
            ("quote in a name", "\"X-A\": b\r\n"),
            ("byte beyond ASCII in a name", "X\u{e9}: b\r\n"),
            ("folded value", "X-A: b\r\n c\r\n"),
            ("value folded with a tab", "X-A: b\r\n\tc\r\n"),
            ("space before a name", " X-A: b\r\n"),
            ("line of spaces", "   \r\n"),
        ] {
            self.get(name, 400, lines);
        }
        let folded = "GET /stub/echo HTTP/1.1\r\n Host: HOST\r\nHost: HOST\r\n\r\n";
        self.raw("space before the first name", 400, folded);
        self
    }

    fn hosts(mut self) -> Self {
        for (name, lines) in [
            ("no host", "X-A: b\r\n"),
            ("empty host", "Host: \r\n"),
            ("host twice", "Host: HOST\r\nHost: HOST\r\n"),
            ("two hosts", "Host: HOST\r\nHost: evil.test\r\n"),
            ("two hosts, the other first", "Host: evil.test\r\nHost: HOST\r\n"),
            ("host twice in other spellings", "Host: HOST\r\nhOST: HOST\r\n"),
            ("host with a space", "Host: HOST evil.test\r\n"),
            ("list of hosts", "Host: HOST,evil.test\r\n"),
            ("host with a path", "Host: HOST/evil\r\n"),
            ("host with a query", "Host: HOST?evil\r\n"),
            ("host with a fragment", "Host: HOST#evil\r\n"),
            ("host with a user", "Host: evil@HOST\r\n"),
            ("user that looks like the host", "Host: HOST@evil.test\r\n"),
            ("host with a backslash", "Host: HOST\\evil\r\n"),
            ("port of letters", "Host: HOST:abc\r\n"),
            ("empty port", "Host: HOST:\r\n"),
            ("port 0", "Host: HOST:0\r\n"),
            ("port beyond 65535", "Host: HOST:65536\r\n"),
            ("two ports", "Host: HOST:80:80\r\n"),
            ("host with an empty label", "Host: .HOST\r\n"),
            ("encoded host", "Host: %61.HOST\r\n"),
            ("open bracket", "Host: [::1\r\n"),
            ("folded host", "Host:\r\n HOST\r\n"),
            ("NUL in the host", "Host: HOST\0\r\n"),
            ("byte beyond ASCII in the host", "Host: \u{e9}.HOST\r\n"),
        ] {
            let head = format!("GET {TARGET} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
            self.raw(name, 400, head);
        }
        self
    }

    fn targets(mut self) -> Self {
        for (name, target) in [
            ("space in the target", "/stub/echo a"),
            ("NUL in the target", "/stub/echo\0"),
            ("tab in the target", "/stub/echo\ta"),
            ("return in the target", "/stub/echo\ra"),
            ("control byte in the target", "/stub/echo\x01"),
            ("delete byte in the target", "/stub/echo\x7f"),
            ("space in the query", "/stub/echo?a b"),
            ("NUL in the query", "/stub/echo?a\0b"),
            ("angle brackets in the path", "/stub/<echo>"),
            ("backtick in the path", "/stub/`echo`"),
            ("quotes in the query", "/stub/echo?a=\"b\""),
            ("angle brackets in the query", "/stub/echo?<a>"),
            ("fragment", "/stub/echo#a"),
            ("fragment in the query", "/stub/echo?a#b"),
            ("bytes beyond ASCII in the target", "/stub/echo\u{e9}"),
            ("bytes beyond ASCII in the query", "/stub/echo?\u{e9}"),
            ("target without a slash", "stub/echo"),
            ("target of one word", "foo"),
            ("target that is a query", "?a=b"),
            ("target that is a backslash", "\\stub\\echo"),
            ("backslash in the path", "/stub\\echo"),
            ("encoded backslash", "/stub%5cecho"),
            ("encoded slash", "/stub%2Fecho"),
            ("two dots", "/stub/../stub/echo"),
            ("encoded dots", "/stub/%2e%2e/stub/echo"),
            ("one dot", "/stub/./echo"),
            ("dots above the root", "/../stub/echo"),
            ("encoded NUL", "/stub/echo%00"),
            ("encoded line end", "/stub/echo%0d%0aX:%20y"),
            ("broken escape", "/stub/echo%zz"),
            ("half an escape", "/stub/echo%4"),
            ("asterisk", "*"),
            ("host and port", "HOST:80"),
            ("another scheme", "ftp://HOST/stub/echo"),
            ("URL with one slash", "http:/HOST/stub/echo"),
            ("URL without a host", "http:///stub/echo"),
            ("URL of another host", "http://evil.test/stub/echo"),
            ("URL with a user", "http://evil@HOST/stub/echo"),
            ("URL with a backslash", "http://HOST\\@evil.test/stub/echo"),
            ("URL of the host in other letters", "http://HOST.:80/stub/echo"),
        ] {
            self.line(name, 400, &format!("GET {target} HTTP/1.1"));
        }
        let invalid =
            [&b"GET /stub/echo\xff\xfe HTTP/1.1\r\n"[..], b"Host: HOST\r\nConnection: close\r\n\r\n"];
        self.raw("bytes that are no UTF-8 in the target", 400, invalid.concat());
        self
    }

    fn request_lines(mut self) -> Self {
        for (name, status, line) in [
            ("no version", 400, "GET /stub/echo"),
            ("version 1.2", 400, "GET /stub/echo HTTP/1.2"),
            ("version 1.10", 400, "GET /stub/echo HTTP/1.10"),
            ("version 2.0", 400, "GET /stub/echo HTTP/2.0"),
            ("version 0.9", 400, "GET /stub/echo HTTP/0.9"),
            ("version 1", 400, "GET /stub/echo HTTP/1"),
            ("version in small letters", 400, "GET /stub/echo http/1.1"),
            ("letter after the version", 400, "GET /stub/echo HTTP/1.1x"),
            ("space after the version", 400, "GET /stub/echo HTTP/1.1 "),
            ("space in the version", 400, "GET /stub/echo HTTP/ 1.1"),
            ("two spaces before the target", 400, "GET  /stub/echo HTTP/1.1"),
            ("two spaces before the version", 400, "GET /stub/echo  HTTP/1.1"),
            ("space before the method", 400, " GET /stub/echo HTTP/1.1"),
            ("tabs for spaces", 400, "GET\t/stub/echo\tHTTP/1.1"),
            ("no method", 400, "/stub/echo HTTP/1.1"),
            ("no target", 400, "GET HTTP/1.1"),
            ("parenthesis in the method", 400, "G(T /stub/echo HTTP/1.1"),
            ("NUL in the method", 400, "G\0T /stub/echo HTTP/1.1"),
            ("byte beyond ASCII in the method", 400, "G\u{e9}T /stub/echo HTTP/1.1"),
            ("method in small letters", 405, "get /stub/echo HTTP/1.1"),
            ("unknown method", 405, "FOO /stub/echo HTTP/1.1"),
            ("TRACE", 405, "TRACE /stub/echo HTTP/1.1"),
            ("CONNECT to a host", 405, "CONNECT HOST:80 HTTP/1.1"),
            ("CONNECT to a path", 405, "CONNECT /stub/echo HTTP/1.1"),
            ("preface of HTTP/2, alone", 400, "PRI * HTTP/2.0"),
            ("PROXY line", 400, "PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\nGET /stub/echo HTTP/1.1"),
        ] {
            self.line(name, status, line);
        }
        self.raw("hello of TLS", 400, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\x01\x02\x03\r\n\r\n");
        self.raw("greeting of SSH", 400, "SSH-2.0-OpenSSH_9.2p1\r\n\r\n");
        self.raw("noise", 400, b"\xff\xfe\xfd\xfc\r\n\r\n");
        self
    }

    fn sizes(mut self) -> Self {
        let value = |bytes: usize| format!("X-Long: {}\r\n", "a".repeat(bytes));
        self.get("field of 40 KB", 431, &value(40_000));
        self.get("field of 100 KB", 431, &value(100_000));
        self.get("field of 900 KB", 431, &value(900_000));
        self.get("field of 1.2 MB", 431, &value(1_200_000));
        self.get("name of 40 KB", 431, &format!("{}: a\r\n", "X".repeat(40_000)));
        self.get("fields of 40 KB", 431, &value(1_000).repeat(40));
        for count in [99, 250, 300] {
            self.get(&format!("{} fields", count + 2), 431, &"X-A: b\r\n".repeat(count));
        }
        for kilobytes in [17, 30, 100] {
            let line = format!("GET {TARGET}?{} HTTP/1.1", "a".repeat(kilobytes * 1_000));
            self.line(&format!("target of {kilobytes} KB"), 414, &line);
        }
        self.line("method of 20 KB", 414, &format!("{} {TARGET} HTTP/1.1", "G".repeat(20_000)));
        self
    }

    fn rest(mut self) -> Vec<Http1Vector> {
        self.post("unknown expectation", 417, "Expect: 200-ok\r\nContent-Length: 5", "hello");
        self.post("list of expectations", 417, "Expect: 100-continue, x\r\nContent-Length: 5", "hello");
        self.post("empty expectation", 417, "Expect: \r\nContent-Length: 5", "hello");
        let websocket =
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
        self.post("websocket by POST", 400, &format!("{websocket}\r\nContent-Length: 5"), "hello");
        self.get("websocket with a body", 400, &format!("{websocket}\r\nContent-Length: 5\r\n"));
        self.get("websocket with chunks", 400, &format!("{websocket}\r\nTransfer-Encoding: chunked\r\n"));
        self.get("connection names the host", 400, "Connection: Host\r\n");
        self.get("connection names a forwarded field", 400, "Connection: X-Forwarded-For\r\n");
        self.get("connection names no field", 400, "Connection: a b\r\n");
        self.get("connection names many fields", 400, "Connection: a,b,c,d,e,f,g,h,i,j,k,l\r\n");
        self.vectors
    }
}

/// What became of a vector, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http1Outcome {
    /// The first answer's status, interim ones not counted, and whether the connection was closed after it.
    Answered {
        /// Status code.
        status: u16,
        /// Nothing can follow.
        closed: bool,
    },
    /// An answer that is not HTTP/1.
    Strange,
    /// The connection was closed without an answer.
    Closed,
    /// Neither an answer nor an end within the time given.
    Silent,
}

impl Http1Outcome {
    /// Whether the server did not take the bytes for a request that it may serve.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Answered { status: 400.., .. } | Self::Closed)
    }
}

impl Http1Vector {
    /// Sends the bytes on a connection of their own, and keeps it open for answers as long as `patience`.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn send(&self, address: SocketAddr, patience: Duration) -> io::Result<Http1Outcome> {
        let (mut reader, mut writer) = connect(address).await?.into_split();
        let mut received = Vec::new();
        let closed = {
            // Who refuses a long request need not read all of it.
            let write = async { writer.write_all(&self.bytes).await.is_ok() };
            let read = async { while matches!(reader.read_buf(&mut received).await, Ok(1..)) {} };
            timeout(patience, async { tokio::join!(write, read) }).await.is_ok()
        };
        Ok(match final_status(&received) {
            Some(status) => Http1Outcome::Answered { status, closed },
            None if !received.is_empty() => Http1Outcome::Strange,
            None if closed => Http1Outcome::Closed,
            None => Http1Outcome::Silent,
        })
    }
}

/// The first status that is not an interim one.
fn final_status(mut received: &[u8]) -> Option<u16> {
    loop {
        let line = received.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        let status = std::str::from_utf8(line).ok()?.parse().ok()?;
        if status == 101 || status >= 200 {
            return Some(status);
        }
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
        received = received.get(end + 4..)?;
    }
}
