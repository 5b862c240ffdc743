//! What the part that decides does in worlds that nobody could wait for.

use super::count;
use super::simulation::{Loss, history_of_one, history_of_three};
use crate::Failure;
use crate::report::Figure;

const HOURS: u64 = 1_000_000;
/// Of 10,000 packets, either way.
const LOST: u32 = 500;
const HISTORIES: u64 = 1_000_000;

/// Moves to another region in which nothing was wrong but the network, which loses one packet in twenty, and times that
/// requests were refused for it.
pub(crate) async fn lost_packets() -> Result<Vec<Figure>, Failure> {
    let loss = Loss::over(HOURS, LOST, 1);
    eprintln!(
        "   {HOURS} hours: {} probes failed, a backend was thought down {} times",
        loss.failed_probes, loss.backends_down
    );
    Ok(vec![count("false_failovers", loss.moves)?, count("false_refusals", loss.refusals)?])
}

/// Histories in which two gateways of three wrote to two databases, or one wrote where it must not.
pub(crate) async fn split_brain() -> Result<Vec<Figure>, Failure> {
    let (mut broken, mut served) = (0, 0_u64);
    for seed in 0..HISTORIES {
        match history_of_three(seed) {
            Ok(serves) => served += u64::from(serves),
            Err(text) => {
                eprintln!("   {text}");
                broken += 1;
            }
        }
        if let Err(text) = history_of_one(seed) {
            eprintln!("   {text}");
            broken += 1;
        }
    }
    eprintln!(
        "   {HISTORIES} histories of three gateways, which served at the end of {served}, and as many of one"
    );
    Ok(vec![count("split_brain", broken)?])
}
