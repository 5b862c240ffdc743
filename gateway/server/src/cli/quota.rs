//! `quota`: what tenants have used, and what operators do about it.

use super::{AdminArgs, OutputArgs, OutputForm, finish, pretty, print, query, show};
use crate::admin::{QuotaDone, QuotaList, QuotaRow};
use crate::usage::{Act, repair};
use clap::{Args, Subcommand};
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the command does; without one, it lists.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct QuotaArgs {
    #[command(subcommand)]
    command: Option<QuotaCommand>,
    /// Only this tenant.
    tenant: Option<String>,
    /// Comma-separated values, one row for each quota of a tenant.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Add an amount to a quota of a tenant, until it is used up or expires.
    Grant {
        #[command(flatten)]
        order: OrderArgs,
        /// Amount, in units of the quota's name; bytes for egress.
        amount: u64,
        /// From when on it counts no more, such as 2026-12-31T23:00:00Z; the end of the period, if left out.
        #[arg(long)]
        expires: Option<jiff::Timestamp>,
        /// The same id twice is one grant.
        #[arg(long)]
        id: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Forget what a tenant has used of a quota in this period.
    Reset {
        #[command(flatten)]
        order: OrderArgs,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show what operators did.
    Acts(AdminArgs),
    /// Keep what can be read of damaged files, while no gateway uses them. What was there stays beside it.
    Repair {
        /// Folder `usage` of the gateway's `state_directory`.
        folder: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Debug, Args)]
struct OrderArgs {
    /// Tenant.
    tenant: String,
    /// Quota, such as requests_per_day.
    quota: String,
    /// Why.
    #[arg(long)]
    reason: String,
    /// Who.
    #[arg(long, env = "USER")]
    author: String,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

impl OrderArgs {
    fn query(&self, more: &[(&str, &str)]) -> String {
        let dry_run = self.dry_run.to_string();
        let mut pairs = vec![
            ("tenant", &*self.tenant),
            ("quota", &*self.quota),
            ("reason", &*self.reason),
            ("author", &*self.author),
            ("dry_run", &*dry_run),
        ];
        pairs.extend(more);
        query(&pairs)
    }
}

/// Carries the command out.
pub(super) fn run(args: &QuotaArgs) -> ExitCode {
    match &args.command {
        None => {
            let target = format!("/v1/quota?{}", query(&[("tenant", args.tenant.as_deref().unwrap_or(""))]));
            show::<QuotaList>(&args.admin, "GET", &target, if args.csv { csv } else { text })
        }
        Some(QuotaCommand::Grant { order, amount, expires, id, admin }) => {
            let (amount, expires) = (amount.to_string(), expires.map(|expires| expires.to_string()));
            let query = order.query(&[
                ("amount", &amount),
                ("expires", expires.as_deref().unwrap_or("")),
                ("id", id.as_deref().unwrap_or("")),
            ]);
            show::<QuotaDone>(admin, "POST", &format!("/v1/quota/grant?{query}"), done)
        }
        Some(QuotaCommand::Reset { order, admin }) => {
            show::<QuotaDone>(admin, "POST", &format!("/v1/quota/reset?{}", order.query(&[])), done)
        }
        Some(QuotaCommand::Acts(admin)) => {
            show::<Vec<Act>>(admin, "GET", "/v1/quota/acts", |acts| acts_text(acts))
        }
        Some(QuotaCommand::Repair { folder, output }) => finish(repair(folder).map(|repaired| {
            print(&match output.output {
                OutputForm::Json => pretty(&repaired),
                OutputForm::Text => format!(
                    "{} tenants are kept; {} bytes could not be read\nwhat was there is in {}\n",
                    repaired.tenants,
                    repaired.unreadable_bytes,
                    repaired.aside.display()
                ),
            });
            ExitCode::SUCCESS
        })),
    }
}

/// Writing to a string does not fail.
macro_rules! line {
    ($text:expr, $($arg:tt)*) => { let _infallible = writeln!($text, $($arg)*); };
}

fn text(list: &QuotaList) -> String {
    let mut text = String::new();
    if let Some(problem) = &list.problem {
        line!(text, "PROBLEM    {problem}");
    }
    if list.messages_waiting > 0 {
        line!(text, "WAITING    {} messages about thresholds", list.messages_waiting);
    }
    line!(
        text,
        "{:<24} {:<28} {:<32} {:>16} {:>16} {:>5} STAGE",
        "TENANT",
        "QUOTA",
        "PERIOD",
        "USED",
        "LIMIT",
        "%"
    );
    for row in &list.quotas {
        let view = &row.view;
        line!(
            text,
            "{:<24} {:<28} {:<32} {:>16} {:>16} {:>5} {}",
            row.tenant,
            view.quota.as_str(),
            view.period,
            view.used,
            view.limit,
            view.percent,
            view.stage
        );
    }
    text
}

/// Ids, names and periods hold neither commas nor quotes.
fn csv(list: &QuotaList) -> String {
    let mut text = String::from("tenant,quota,period,ended,used,limit\n");
    for QuotaRow { tenant, view } in &list.quotas {
        let quota = view.quota.as_str();
        if let Some(previous) = &view.previous {
            line!(text, "{tenant},{quota},{},true,{},{}", previous.period, previous.used, previous.limit);
        }
        line!(text, "{tenant},{quota},{},false,{},{}", view.period, view.used, view.limit);
    }
    text
}

fn done(done: &QuotaDone) -> String {
    let mut text = String::new();
    let (before, after) = (&done.before.view, &done.after.view);
    line!(text, "{} {}, {}", done.before.tenant, before.quota.as_str(), before.period);
    line!(text, "before  {} of {} used ({} %)", before.used, before.limit, before.percent);
    line!(text, "after   {} of {} used ({} %)", after.used, after.limit, after.percent);
    if !done.done {
        line!(text, "nothing was changed: a dry run, or done before");
        return text;
    }
    let id = &done.id;
    let holds = done.nodes.as_ref().map_or_else(
        || "on this gateway alone; where others serve the fleet too, do the same on each".to_owned(),
        |nodes| format!("on all nodes when they hear of it over Redis, within seconds: {}", nodes.join(", ")),
    );
    line!(text, "done, with id {id}, {holds}");
    text
}

fn acts_text(acts: &[Act]) -> String {
    let mut text = String::new();
    for act in acts {
        let deed = serde_json::to_string(&act.deed).unwrap_or_default();
        line!(text, "{}  {}  {}: {}  ({})", act.time, act.tenant, act.author, deed, act.reason);
    }
    text
}
