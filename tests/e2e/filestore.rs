//! Files that Odoo lets the gateway send.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fleetgate_tests::{Answer, DEADLINE, Gateway, Request};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fleet;
use crate::script::Script;

const NAME: &str = "0c7cb2a41f7a4c579a75f6ee8a1d0b2c12345678";
const LINK: &str = "0d7cb2a41f7a4c579a75f6ee8a1d0b2c12345678";
const PIPE: &str = "0e7cb2a41f7a4c579a75f6ee8a1d0b2c12345678";

/// An Odoo that answers every request with the file that the request's field `X-Test-File` names.
async fn odoo() -> Script {
    Script::start(|mut stream: TcpStream, head: String| async move {
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
            line.unwrap_or_default().trim().to_owned()
        };
        let (file, status) = (field("x-test-file:"), field("x-test-status:"));
        let status = if status.is_empty() { "200 OK" } else { &status };
        let answer = format!(
            "HTTP/1.0 {status}\r\nContent-Type: application/pdf\r\nETag: \"one\"\r\nX-Sendfile: /var/lib/odoo{file}\r\n\
             X-Accel-Redirect: {file}\r\nContent-Length: 0\r\nContent-Security-Policy: default-src 'none'\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await
    })
    .await
}

fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn filestore() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for database in ["acme", "globex"] {
        for folder in ["0c", "0d", "0e"] {
            fs::create_dir_all(root.path().join(database).join(folder)).unwrap();
        }
    }
    fs::write(root.path().join(format!("acme/0c/{NAME}")), content()).unwrap();
    fs::write(root.path().join(format!("globex/0c/{NAME}")), "of globex").unwrap();
    symlink(root.path().join(format!("globex/0c/{NAME}")), root.path().join(format!("acme/0d/{LINK}")))
        .unwrap();
    let pipe = root.path().join(format!("acme/0e/{PIPE}"));
    assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
    root
}

async fn start(root: &Path) -> (Script, Gateway) {
    let odoo = odoo().await;
    let pool = format!("filestore: {}", root.display());
    let config = fleet::config(&[fleet::one_port(odoo.address())], &pool);
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    (odoo, gateway)
}

fn file(name: &str) -> Request {
    Request::get("acme.test", "/web/content/1")
        .header("X-Test-File", &format!("/web/filestore/acme/{}/{name}", &name[..2]))
}

fn assert_clean(answer: &Answer) {
    for name in ["x-accel-redirect", "x-sendfile"] {
        assert_eq!(answer.header(name), None);
    }
}

#[tokio::test]
async fn files_of_the_own_database_are_sent_whole_or_in_part() {
    let root = filestore();
    let (_odoo, gateway) = start(root.path()).await;
    let content = content();
    for request in [file(NAME), file(NAME).http2()] {
        let whole = request.send(gateway.address()).await;
        assert_eq!((whole.status, whole.body[..] == content[..]), (200, true));
        assert_eq!(whole.header("content-type"), Some("application/pdf"));
        assert_eq!(whole.header("content-security-policy"), Some("default-src 'none'"));
        assert_eq!((whole.header("accept-ranges"), whole.header("etag")), (Some("bytes"), Some("\"one\"")));
        assert_clean(&whole);
        for (asked, status, range, part) in [
            ("bytes=0-9", 206, Some("bytes 0-9/3000000"), &content[..10]),
            ("bytes=2999990-", 206, Some("bytes 2999990-2999999/3000000"), &content[2_999_990..]),
            ("bytes=-5", 206, Some("bytes 2999995-2999999/3000000"), &content[2_999_995..]),
            ("bytes=500000-1499999", 206, Some("bytes 500000-1499999/3000000"), &content[500_000..1_500_000]),
            ("bytes=3000000-", 416, Some("bytes */3000000"), &[]),
            ("bytes=0-1,5-6", 200, None, &content[..]),
            ("pages=1", 200, None, &content[..]),
            ("bytes=9-1", 416, Some("bytes */3000000"), &[]),
        ] {
            let answer = request.clone().header("Range", asked).send(gateway.address()).await;
            assert_eq!((answer.status, answer.header("content-range")), (status, range), "{asked}");
            assert!(answer.body[..] == *part, "{asked}: {} bytes", answer.body.len());
        }
        let range = request.clone().header("Range", "bytes=0-9");
        let same = range.clone().header("If-Range", "\"one\"").send(gateway.address()).await;
        let other = range.header("If-Range", "\"two\"").send(gateway.address()).await;
        assert_eq!((same.status, other.status), (206, 200), "a part of another version is of no use");
    }
    let target = format!("/web/filestore/acme/0c/{NAME}");
    let head = Request::new("HEAD", "acme.test", "/web/content/1").header("X-Test-File", &target);
    let head = head.send(gateway.address()).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("3000000"), 0));
    let unchanged = file(NAME).header("X-Test-Status", "304 NOT MODIFIED").send(gateway.address()).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "Odoo has compared the validators");
    assert_clean(&unchanged);
}

#[tokio::test]
async fn no_other_file_is_sent() {
    let root = filestore();
    fs::write(root.path().join("secret"), "of the machine").unwrap();
    let (_odoo, gateway) = start(root.path()).await;
    for (name, status, code) in [
        (format!("/web/filestore/globex/0c/{NAME}"), 502, "file_refused"),
        (format!("/web/filestore/acme/0c/../../globex/0c/{NAME}"), 502, "file_refused"),
        (format!("/web/filestore/acme/../globex/0c/{NAME}"), 502, "file_refused"),
        ("/web/filestore/secret".into(), 502, "file_refused"),
        ("/web/filestore/acme/../secret".into(), 502, "file_refused"),
        ("/etc/passwd".into(), 502, "file_refused"),
        (format!("/web/filestore/acme/0d/{LINK}"), 404, "file_missing"),
        (format!("/web/filestore/acme/0e/{PIPE}"), 404, "file_missing"),
        (format!("/web/filestore/acme/0c/{}", NAME.replace('8', "9")), 404, "file_missing"),
    ] {
        let request = Request::get("acme.test", "/web/content/1").header("X-Test-File", &name);
        let answer = request.send(gateway.address()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(answer.text().contains(code) && !answer.text().contains("of "), "{name}: {}", answer.text());
        assert_clean(&answer);
        let event = gateway.access_log().event(code, DEADLINE, |event| event["rejection"] == code).await;
        assert_eq!(event["tenant"], "acme");
    }
}

#[tokio::test]
async fn without_a_filestore_nothing_is_sent_and_the_log_says_what_to_set() {
    let odoo = odoo().await;
    let config = fleet::config(&[fleet::one_port(odoo.address())], "");
    let gateway = Gateway::builder(&config).tenants("tenants.yaml", fleet::TENANTS).start().await;
    let answer = file(NAME).send(gateway.address()).await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("file_refused"), "{}", answer.text());
    gateway.operational_log().wait_for_text("have a `filestore`", DEADLINE).await;
}
