//! The commands that ask or change a running cluster. Data goes to stdout, everything else to stderr.

mod agents;
mod api;
mod apps;
mod deployments;
mod exec;
mod leader;
mod listing;
mod logs;
mod output;
mod registry;
mod roles;
mod status;
mod step_down;
mod task;

use std::process::ExitCode;

use anyhow::Result;
use chapada_tls::TlsFiles;
use clap::{Args, Subcommand};

pub(crate) use api::{Api, ApiError};
pub(crate) use output::Output;
pub(crate) use step_down::MasterCommand;

/// Where the cluster is and how to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct Cluster {
    /// The master: `host:port`, several of them as `host:port,host:port`, or `zk://host1,host2/path`. With `--tls-ca` it is dialled under
    /// TLS; `https://host:port` insists on that.
    #[arg(
        long,
        env = "CHAPADA_MASTER",
        default_value = "127.0.0.1:5050",
        value_name = "ADDRESS",
        global = true
    )]
    pub(crate) master: String,
    #[command(flatten)]
    pub(crate) tls: TlsFiles,
    /// Tables for people, JSON for programs.
    #[arg(long, short, value_enum, default_value_t = Output::Table, global = true)]
    pub(crate) output: Output,
}

impl Cluster {
    /// One at a plain address.
    pub(crate) fn at(master: String) -> Self {
        Self { master, tls: TlsFiles::default(), output: Output::Table }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// One look at the cluster: leader, machines, tasks, resources.
    Status {
        #[command(flatten)]
        cluster: Cluster,
    },
    /// Lists the agents; or takes some out of service and back.
    Agents {
        #[command(flatten)]
        cluster: Cluster,
        #[command(flatten)]
        page: listing::Page,
        #[command(subcommand)]
        command: Option<agents::AgentsCommand>,
    },
    /// Lists the frameworks.
    Frameworks {
        #[command(flatten)]
        cluster: Cluster,
        #[command(flatten)]
        page: listing::Page,
    },
    /// Lists the tasks.
    Tasks {
        #[command(flatten)]
        cluster: Cluster,
        #[command(flatten)]
        page: listing::Page,
        /// Only tasks of this framework, by id.
        #[arg(long)]
        framework: Option<String>,
        /// Only tasks on this agent, by id.
        #[arg(long)]
        agent: Option<String>,
        /// Only tasks in this state, such as TASK_RUNNING.
        #[arg(long)]
        state: Option<String>,
    },
    /// Lists the roles, with their weights and quotas.
    Roles {
        #[command(flatten)]
        cluster: Cluster,
        #[command(flatten)]
        page: listing::Page,
    },
    /// What roles are promised and may have at most.
    #[command(subcommand)]
    Quota(roles::QuotaCommand),
    /// Sets how much a role weighs when resources are shared out; 1 unless set.
    Weight {
        #[command(flatten)]
        cluster: Cluster,
        /// The role.
        role: String,
        /// Above 0; twice as much gets twice the share.
        weight: f64,
    },
    /// Prints what a task wrote.
    Logs(logs::LogsArgs),
    /// Runs a command in the container of a task.
    ///
    /// The command sees what the task sees and has a share of its limits. It ends when this program does; this program's exit code
    /// is the command's, or 128 and the signal's number when a signal ended it.
    Exec(exec::ExecArgs),
    /// Long-running apps of the services framework.
    #[command(subcommand)]
    Apps(apps::AppsCommand),
    /// Pods of the services framework: containers that start, live and end together.
    #[command(subcommand)]
    Pods(apps::PodsCommand),
    /// Says why instances of an app wait, and the smallest change that would place them.
    Why(apps::WhyArgs),
    /// Changes of apps that are on their way.
    #[command(subcommand)]
    Deployments(deployments::DeploymentsCommand),
    /// Backs up what outlives the masters, or restores it.
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    #[command(skip)]
    Master(MasterCommand),
}

/// Runs one client command to its end.
pub(crate) fn run(command: ClientCommand) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(carry_out(command));
    // Nobody waits for a terminal or a pipe that takes nothing more.
    runtime.shutdown_background();
    outcome
}

async fn carry_out(command: ClientCommand) -> Result<ExitCode> {
    match command {
        ClientCommand::Exec(args) => return exec::exec(&args).await,
        ClientCommand::Status { cluster } => status::status(&cluster).await,
        ClientCommand::Agents { cluster, command: Some(command), .. } => agents::run(&cluster, command).await,
        ClientCommand::Agents { cluster, page, command: None } => listing::agents(&cluster, &page).await,
        ClientCommand::Frameworks { cluster, page } => listing::frameworks(&cluster, &page).await,
        ClientCommand::Tasks { cluster, page, framework, agent, state } => {
            let filters = listing::TaskFilters { framework, agent, state };
            listing::tasks(&cluster, &page, &filters).await
        }
        ClientCommand::Roles { cluster, page } => listing::roles(&cluster, &page).await,
        ClientCommand::Quota(command) => roles::quota(command).await,
        ClientCommand::Weight { cluster, role, weight } => roles::weight(&cluster, &role, weight).await,
        ClientCommand::Logs(args) => logs::logs(&args).await,
        ClientCommand::Apps(command) => apps::run(command).await,
        ClientCommand::Pods(command) => apps::pods(command).await,
        ClientCommand::Why(args) => apps::why(&args).await,
        ClientCommand::Deployments(command) => deployments::run(command).await,
        ClientCommand::Registry(command) => registry::run(command).await,
        ClientCommand::Master(MasterCommand::StepDown { cluster, force }) => {
            step_down::step_down(&cluster, force).await
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
