//! The command line.

mod demo;
mod explain;
mod quota;
mod regions;
mod status;
mod tenants;

use crate::admin::{Explanation, RegionList, Status, TenantList};
use crate::admin_client::{AdminClient, AdminError};
use crate::causes::with_causes;
use crate::reload::ReloadReport;
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the admin socket is unless the config says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/fleetgate/admin.sock";

/// The edge gateway for Odoo fleets: every host lands on its own database.
#[derive(Debug, Parser)]
#[command(name = "fleetgate", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve. SIGHUP reloads, SIGTERM drains and ends, SIGQUIT replaces the program without closing its sockets.
    Run(ConfigArgs),
    /// Say everything that is wrong with a config, and what a reload would leave to a restart.
    Check {
        #[command(flatten)]
        config: ConfigArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say what would happen to a request, and why.
    Explain {
        /// For example https://shop.acme.test/web/login
        url: String,
        /// Method of the request.
        #[arg(long, default_value = "GET")]
        method: String,
        /// Address of the client.
        #[arg(long, value_name = "ADDRESS", default_value = "192.0.2.1")]
        from: IpAddr,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show what the running gateway is doing.
    Status(AdminArgs),
    /// List tenants.
    Tenants {
        /// Only tenants whose id, database or a host holds this text.
        filter: Option<String>,
        /// Tenants at most.
        #[arg(long, default_value_t = 1_000)]
        limit: usize,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show which region of each pool serves, and what could take over.
    Regions {
        #[command(subcommand)]
        action: Option<RegionAction>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show what tenants have used of their quotas, or change it.
    Quota(quota::QuotaArgs),
    /// Read the config's files again now.
    Reload(AdminArgs),
    /// Print the JSON Schema of the config, or write schemas and reference into a checkout.
    Schema {
        /// Schema of tenant files instead of the main file.
        #[arg(long)]
        tenants: bool,
        /// Write config/schema/*.json and docs/config.md below this folder.
        #[arg(long, value_name = "FOLDER")]
        write: Option<PathBuf>,
    },
    /// Serve a stand-in fleet of two regions and three tenants, to try things out.
    Demo {
        /// Address that clients connect to.
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
    },
}

#[derive(Debug, Subcommand)]
enum RegionAction {
    /// Show each signal of a pool, since when it holds, and what was seen.
    Explain {
        /// Name of the pool.
        pool: String,
    },
    /// Hold a pool in a region. A region whose database takes no writes serves nobody, pinned or not.
    Pin {
        /// Name of the pool.
        pool: String,
        /// Name of the region.
        region: String,
        /// Why, for whoever looks next.
        #[arg(long)]
        reason: String,
        /// When it ends by itself, such as 2026-11-27T06:00:00Z. Left out, with `unpin`.
        #[arg(long)]
        expires: Option<jiff::Timestamp>,
        /// Also where nobody could save anything there, while somebody can now, or where something would be missing.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        order: RegionOrderArgs,
    },
    /// Let a pool go where its database takes writes.
    Unpin {
        /// Name of the pool.
        pool: String,
        /// Why, for the log.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        order: RegionOrderArgs,
    },
    /// Take a backend out: it gets no new requests, those that it has end there, its websockets move elsewhere.
    Drain {
        /// Address of its HTTP port, such as 10.0.0.11:8069
        backend: String,
        /// Why, for whoever looks next.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        order: RegionOrderArgs,
    },
    /// Take a backend back in.
    Undrain {
        /// Address of its HTTP port.
        backend: String,
        /// Why, for the log.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        order: RegionOrderArgs,
    },
}

#[derive(Debug, Args)]
struct RegionOrderArgs {
    /// Who.
    #[arg(long, env = "USER", default_value = "")]
    author: String,
    /// Only say what would follow.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// Main config file.
    #[arg(long, short, env = "FLEETGATE_CONFIG", default_value = "/etc/fleetgate/fleetgate.yaml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct AdminArgs {
    /// Admin socket of the running gateway.
    #[arg(long, global = true, env = "FLEETGATE_SOCKET", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// Form of the output.
    #[arg(long, short, global = true, value_enum, default_value_t = OutputForm::Text)]
    output: OutputForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputForm {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Exit codes: 0 fine, 1 the answer is no (a config with errors), 2 the command could not be carried out.
const FAILED: u8 = 2;

impl Cli {
    /// Carries out the command.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Run(args) => {
                finish(crate::runtime::run(&args.config, io::stdout()).map(|()| ExitCode::SUCCESS))
            }
            Command::Check { config, output } => {
                let json = output.output == OutputForm::Json;
                if crate::config::check::run(&config.config, json, &mut io::stdout().lock()) {
                    ExitCode::SUCCESS
                } else {
                    ExitCode::FAILURE
                }
            }
            Command::Explain { url, method, from, admin } => {
                let query = query(&[("url", &url), ("method", &method), ("from", &from.to_string())]);
                show::<Explanation>(&admin, "GET", &format!("/v1/explain?{query}"), |told| {
                    explain::text(&url, told)
                })
            }
            Command::Status(admin) => show::<Status>(&admin, "GET", "/v1/status", status::text),
            Command::Tenants { filter, limit, admin } => {
                let limit = limit.to_string();
                let query = query(&[("filter", filter.as_deref().unwrap_or_default()), ("limit", &limit)]);
                show::<TenantList>(&admin, "GET", &format!("/v1/tenants?{query}"), tenants::text)
            }
            Command::Regions { action, admin } => show_regions(action, &admin),
            Command::Quota(args) => quota::run(&args),
            Command::Reload(admin) => show::<ReloadReport>(&admin, "POST", "/v1/reload", status::reload_text),
            Command::Schema { tenants, write } => schema(tenants, write.as_deref()),
            Command::Demo { listen } => finish(demo::run_demo(listen).map(|()| ExitCode::SUCCESS)),
        }
    }
}

fn show_regions(action: Option<RegionAction>, admin: &AdminArgs) -> ExitCode {
    let act = |what: &str, order: &RegionOrderArgs, pairs: &[(&str, &str)]| {
        let dry_run = order.dry_run.to_string();
        let pairs = [pairs, &[("author", &order.author), ("dry_run", &dry_run)]].concat();
        show::<RegionList>(admin, "POST", &format!("/v1/regions/{what}?{}", query(&pairs)), regions::text)
    };
    match action {
        None => show::<RegionList>(admin, "GET", "/v1/regions", regions::text),
        Some(RegionAction::Explain { pool }) => {
            show::<RegionList>(admin, "GET", "/v1/regions", |list| regions::explain_text(&pool, list))
        }
        Some(RegionAction::Pin { pool, region, reason, expires, force, order }) => {
            let (force, expires) = (force.to_string(), expires.map(|expires| expires.to_string()));
            let mut pairs =
                vec![("pool", &*pool), ("region", &region), ("reason", &reason), ("force", &force)];
            pairs.extend(expires.as_deref().map(|expires| ("expires", expires)));
            act("pin", &order, &pairs)
        }
        Some(RegionAction::Unpin { pool, reason, order }) => {
            act("pin", &order, &[("pool", &pool), ("reason", &reason)])
        }
        Some(RegionAction::Drain { backend, reason, order }) => {
            act("drain", &order, &[("backend", &backend), ("reason", &reason)])
        }
        Some(RegionAction::Undrain { backend, reason, order }) => {
            act("undrain", &order, &[("backend", &backend), ("reason", &reason)])
        }
    }
}

fn schema(tenants: bool, write: Option<&std::path::Path>) -> ExitCode {
    use crate::config::schema;
    if let Some(folder) = write {
        return finish(schema::write(folder).map(|()| ExitCode::SUCCESS));
    }
    let schema = if tenants { schema::tenants_schema() } else { schema::main_schema() };
    print(&pretty(&schema));
    ExitCode::SUCCESS
}

fn show<T: DeserializeOwned + Serialize>(
    admin: &AdminArgs,
    method: &str,
    target: &str,
    text: impl FnOnce(&T) -> String,
) -> ExitCode {
    let answer = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        let client = AdminClient::new(&admin.socket);
        runtime.block_on(async {
            if method == "POST" { client.post::<T>(target).await } else { client.get::<T>(target).await }
        })
    });
    let answer: Result<T, AdminError> = match answer {
        Ok(answer) => answer,
        Err(error) => return finish::<io::Error>(Err(error)),
    };
    finish(answer.map(|answer| {
        match admin.output.output {
            OutputForm::Json => print(&pretty(&answer)),
            OutputForm::Text => print(&text(&answer)),
        }
        ExitCode::SUCCESS
    }))
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// A reader that went away, as with `| head`, is no failure.
fn print(text: &str) {
    let _reader_gone = io::stdout().lock().write_all(text.as_bytes());
}

fn finish<E: std::error::Error>(result: Result<ExitCode, E>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let _reader_gone = writeln!(io::stderr().lock(), "fleetgate: {}", with_causes(&error));
        ExitCode::from(FAILED)
    })
}

fn query(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    pairs
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect::<Vec<_>>()
        .join("&")
}
