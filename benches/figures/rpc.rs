//! What reading calls by programs costs.

use crate::Failure;
use crate::fleet::{host, name};
use crate::gateway::Gateway;
use crate::process::resident_kib;
use crate::report::{Figure, Unit, median};
use fleetgate_core::odoo::OdooVersion;
use fleetgate_core::rpc::{
    BodyFacts, FaultCodes, RpcGuard, RpcOutcome, RpcPolicy, RpcRoute, RpcSettings, Service,
};
use fleetgate_stub::{StubOdoo, StubOptions};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Bodies a pass.
const BODIES: u32 = 2_000;
/// Passes; the median counts.
const PASSES: usize = 15;
/// Size of a body of everyday length.
const EVERYDAY_BYTES: usize = 10 * 1024;
/// How bodies come: what one read of a socket gives.
const PIECE_BYTES: usize = 16 * 1024;
/// Size of a body that brings files.
const LARGE_MIB: u32 = 100;
/// Such bodies, one after another.
const LARGE_CALLS: usize = 5;
/// How often memory is looked at while the backend gets the body.
const SAMPLING: Duration = Duration::from_millis(5);

fn policy() -> Result<RpcPolicy, Failure> {
    Ok(RpcSettings::NONE.policy(OdooVersion::V19, &name(0), None)?)
}

/// One write of many lines of an order, as JSON-RPC and as XML-RPC; the dearer of both.
pub(crate) async fn everyday() -> Result<Vec<Figure>, Failure> {
    let xml = RpcRoute::Xml { service: Service::Object, faults: FaultCodes::Number };
    let mut dearest: f64 = 0.0;
    for (route, body) in [(RpcRoute::Json, json_call()), (xml, xml_call())] {
        let microseconds = microseconds_of(route, body.as_bytes())?;
        eprintln!("   {route:?}: {microseconds:.1} us for {} bytes", body.len());
        dearest = dearest.max(microseconds);
    }
    Ok(vec![Figure { name: "rpc_guard_cpu_us_10kib", value: dearest, unit: Unit::Microseconds }])
}

fn microseconds_of(route: RpcRoute<'_>, body: &[u8]) -> Result<f64, Failure> {
    let policy = policy()?;
    let facts = BodyFacts { content_type: Some(b"application/json"), ..BodyFacts::default() };
    let mut times = Vec::with_capacity(PASSES);
    for _ in 0..PASSES {
        let started = clock_gettime(ClockId::ThreadCPUTime);
        for _ in 0..BODIES {
            let mut guard = RpcGuard::new(route, policy.clone(), facts);
            black_box(body).chunks(PIECE_BYTES).for_each(|piece| guard.feed(piece));
            let outcome = black_box(guard.finish());
            if !matches!(outcome, RpcOutcome::Forward { replace: None }) {
                return Err(format!("a call of the own database becomes {outcome:?}").into());
            }
        }
        let taken = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime) - started)?;
        times.push(taken.as_secs_f64() * 1e6 / f64::from(BODIES));
    }
    median(times).ok_or_else(|| "no pass was measured".into())
}

fn json_call() -> String {
    let start = format!(
        r#"{{"jsonrpc":"2.0","method":"call","id":1,"params":{{"service":"object","method":"execute_kw","args":["{}",2,"pw","sale.order","write",[[7],{{"order_line":["#,
        name(0)
    );
    let line = r#"[0,0,{"product_id":123,"name":"Customizable Desk (CONFIG) \"white\"","product_uom_qty":12.5,"discount":0,"tax_id":[[6,0,[1,2]]]}],"#;
    filled(&start, line, "[5,0,0]]}]]}}")
}

fn xml_call() -> String {
    let param = |value: &str| format!("<param>\n<value>{value}</value>\n</param>\n");
    let start = format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>execute_kw</methodName>\n<params>\n{}{}{}{}{}<param>\n<value><array><data>\n",
        param(&format!("<string>{}</string>", name(0))),
        param("<int>2</int>"),
        param("<string>pw</string>"),
        param("<string>sale.order</string>"),
        param("<string>write</string>"),
    );
    let line = "<value><struct>\n<member>\n<name>product_id</name>\n<value><int>123</int></value>\n</member>\n<member>\n\
                <name>name</name>\n<value><string>Customizable Desk &amp; Chair</string></value>\n</member>\n<member>\n\
                <name>product_uom_qty</name>\n<value><double>12.5</double></value>\n</member>\n</struct></value>\n";
    filled(&start, line, "</data></array></value>\n</param>\n</params>\n</methodCall>\n")
}

fn filled(start: &str, line: &str, end: &str) -> String {
    let mut body = start.to_owned();
    while body.len() + line.len() + end.len() < EVERYDAY_BYTES {
        body.push_str(line);
    }
    body.push_str(end);
    body
}

/// What a call of 100 MiB adds to the gateway's memory while it is read, kept and sent on, at its highest, and what is left
/// of it when others follow.
pub(crate) async fn large() -> Result<Vec<Figure>, Failure> {
    let odoo = StubOdoo::start(StubOptions::new("stub", [name(0)])).await?;
    let gateway = Gateway::start(1, &odoo).await?;
    gateway.ask_each_tenant().await?;
    let idle = resident_kib(gateway.process.id())?;
    let mut highest = idle;
    for call in 1..=LARGE_CALLS {
        let (peak, length) = send_large(&gateway).await?;
        eprintln!("   call {call}: {:.1} MiB above {:.1} MiB idle", (peak - idle) / 1024.0, idle / 1024.0);
        highest = highest.max(peak);
        // The stand-in Odoo keeps the start of a body alone, so it cannot carry the call out; that it got all of it counts.
        let arrived =
            odoo.received().iter().filter(|call| call.complete && call.body_bytes == length).count();
        if arrived != call {
            return Err(format!("{arrived} of {call} calls arrived").into());
        }
    }
    let value = (highest - idle) / 1024.0;
    Ok(vec![Figure { name: "rpc_guard_rss_mib_100mib_body", value, unit: Unit::Mebibytes }])
}

/// Sends a call; the highest resident memory in KiB meanwhile, and the length of the body.
async fn send_large(gateway: &Gateway) -> Result<(f64, u64), Failure> {
    let start = format!(
        r#"{{"params":{{"service":"object","method":"execute","args":["{}",2,"pw","m","f",""#,
        name(0)
    );
    let end = r#""]},"id":1}"#;
    let filling = vec![b'x'; 1024 * 1024];
    let length = start.len() + end.len() + filling.len() * usize::try_from(LARGE_MIB)?;
    let head = format!(
        "POST /jsonrpc HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{start}",
        host(0)
    );
    let mut client = TcpStream::connect(gateway.address).await?;
    client.write_all(head.as_bytes()).await?;
    let mut highest: f64 = 0.0;
    for _ in 0..LARGE_MIB {
        client.write_all(&filling).await?;
        highest = highest.max(resident_kib(gateway.process.id())?);
    }
    client.write_all(end.as_bytes()).await?;
    // The answer comes when the backend has got everything.
    let mut answer = Vec::new();
    let answered = client.read_to_end(&mut answer);
    tokio::pin!(answered);
    loop {
        tokio::select! {
            read = &mut answered => {
                read?;
                break;
            }
            () = sleep(SAMPLING) => highest = highest.max(resident_kib(gateway.process.id())?),
        }
    }
    Ok((highest.max(resident_kib(gateway.process.id())?), u64::try_from(length)?))
}
