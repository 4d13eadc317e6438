//! The command line. One command a file; each says in ticked lines what it did, and what to try next.

mod actuation;
mod agree;
mod authority;
mod backup;
pub mod client;
mod decide;
mod demo;
mod forks;
mod graph;
mod init;
mod lineage;
mod links;
mod mesh;
mod observe;
mod print;
mod profile;
mod proof;
mod recover;
mod run;
mod status;
mod what_if;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use self::client::{Address, Client, Refused};
pub use self::print::Out;
use crate::data::DataDir;

/// Exit code when a verification failed.
const VERIFICATION_FAILED: u8 = 3;

/// A federated node for organisations that account for AI together.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, propagate_version = true)]
struct Arguments {
    /// Data directory of the organisation
    #[arg(long, env = "COUNTERFOIL_DATA", global = true, default_value = "counterfoil-data")]
    data: PathBuf,
    /// Address of a running node, in place of the socket in its data directory
    #[arg(long, global = true, value_name = "URL", requires = "token")]
    node: Option<String>,
    /// File with the token for --node
    #[arg(long, global = true, value_name = "FILE")]
    token: Option<PathBuf>,
    /// One JSON value on standard output in place of lines
    #[arg(long, global = true)]
    json: bool,
    /// No lines
    #[arg(long, global = true)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new organisation
    Init(init::Init),
    /// Run the node until it is told to stop
    Run(run::Run),
    /// How the node is
    Status,
    /// Connected peers
    Peers,
    /// This node, as a peer of others
    #[command(subcommand, name = "node")]
    ThisNode(status::NodeCommand),
    /// Which chains are known, and how far
    #[command(subcommand)]
    Sync(status::Sync),
    /// Authorities and their credentials
    #[command(subcommand)]
    Authority(authority::Authority),
    /// The organisation's root keys
    #[command(subcommand)]
    Root(authority::Root),
    /// The mesh: found, invite, join, admit
    #[command(subcommand)]
    Mesh(mesh::Mesh),
    /// Record what a document says
    Observe(observe::Observe),
    /// Link to a statement of another organisation
    Link(links::Link),
    /// Cross-references and their other halves
    Links(links::Links),
    /// Accept a link to an own statement
    Accept(links::Accept),
    /// Refuse a link to an own statement
    Refuse(links::Refuse),
    /// Admissibility profiles
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Declarations about actions and harm
    #[command(subcommand)]
    Action(actuation::ActionCommand),
    /// Ask whether an action may go ahead
    Decide(decide::Decide),
    /// Why a decision came out as it did
    Why(decide::Why),
    /// What a recorded decision would be under other circumstances; nothing is recorded
    WhatIf(what_if::WhatIf),
    /// Permits
    #[command(subcommand)]
    Permit(decide::PermitCommand),
    /// Report what happened under a permit
    Effect(decide::EffectCommand),
    /// What did not go as it should
    #[command(subcommand)]
    Nonconformity(actuation::NonconformityCommand),
    /// Record what is done about a nonconformity
    Correct(actuation::Correct),
    /// Show a statement
    Show(lineage::Show),
    /// What a statement or subject rests on
    Trace(lineage::Trace),
    /// What rests on a statement or subject
    Impact(lineage::Impact),
    /// How one thing rests on another: a shortest way between two statements or subjects
    Path(lineage::PathCommand),
    /// Statements of a chain
    Log(lineage::Log),
    /// Dispute a statement of another organisation, or take the dispute back
    Dispute(links::Dispute),
    /// Withdraw an own observation and what it is about
    Recall(lineage::RecallCommand),
    /// The proof that a statement stands in its chain
    Receipt(proof::ReceiptCommand),
    /// Write the lineage of statements, or a period, into one file that proves it offline
    Bundle(proof::BundleCommand),
    /// Verify bundles, permits and proofs of forks offline
    Verify(proof::Verify),
    /// Check everything on disk; the node must not run
    Fsck,
    /// Write everything but the head lock into a new directory
    Backup(backup::Backup),
    /// Put a backup into an empty data directory, or one with nothing but head.lock
    Restore(backup::Restore),
    /// Proofs that organisations signed contradicting heads
    #[command(subcommand)]
    Forks(forks::Forks),
    /// Ask a C2SP witness over HTTP to cosign the latest checkpoint
    Witness(proof::WitnessCommand),
    /// Play a story through real nodes on this machine
    Demo(demo::Demo),
    /// Completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The manual page
    Man,
}

/// What every command is given.
struct Context {
    data: DataDir,
    out: Out,
    client: Client,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let out = Out { json: arguments.json, quiet: arguments.quiet };
    match dispatch(arguments, out) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&error, out.json);
            ExitCode::FAILURE
        }
    }
}

fn report(error: &anyhow::Error, json: bool) {
    if json {
        let check = error.downcast_ref::<Refused>().map(|refused| refused.0.check.clone());
        let value = serde_json::json!({ "error": format!("{error:#}"), "check": check });
        eprintln!("{value}");
    } else {
        eprintln!("error: {error:#}");
    }
}

fn dispatch(arguments: Arguments, out: Out) -> anyhow::Result<u8> {
    let data = DataDir::new(&arguments.data);
    let address = match (&arguments.node, &arguments.token) {
        (Some(url), Some(token)) => {
            let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            let token =
                std::fs::read_to_string(token).with_context(|| format!("token {}", token.display()))?;
            Address::Tcp(host.to_owned(), token.trim().to_owned())
        }
        _ => Address::Socket(data.socket()),
    };
    let context = Context { data, out, client: Client::new(address) };
    match arguments.command {
        Command::Init(init) => init.run(&context)?,
        Command::Run(run) => run.run(&context)?,
        Command::Status => status::status(&context)?,
        Command::Peers => status::peers(&context)?,
        Command::ThisNode(command) => command.run(&context)?,
        Command::Sync(sync) => sync.run(&context)?,
        Command::Authority(authority) => authority.run(&context)?,
        Command::Root(root) => root.run(&context)?,
        Command::Mesh(mesh) => mesh.run(&context)?,
        Command::Observe(observe) => observe.run(&context)?,
        Command::Link(link) => link.run(&context)?,
        Command::Links(links) => links.run(&context)?,
        Command::Accept(accept) => accept.run(&context)?,
        Command::Refuse(refuse) => refuse.run(&context)?,
        Command::Profile(profile) => return profile.run(&context),
        Command::Decide(decide) => return decide.run(&context),
        Command::Why(why) => why.run(&context)?,
        Command::WhatIf(what_if) => what_if.run(&context)?,
        Command::Permit(permit) => return permit.run(&context),
        Command::Effect(effect) => effect.run(&context)?,
        Command::Action(action) => action.run(&context)?,
        Command::Nonconformity(command) => command.run(&context)?,
        Command::Correct(correct) => correct.run(&context)?,
        Command::Show(show) => show.run(&context)?,
        Command::Trace(trace) => trace.run(&context)?,
        Command::Impact(impact) => impact.run(&context)?,
        Command::Path(path) => path.run(&context)?,
        Command::Log(log) => log.run(&context)?,
        Command::Dispute(dispute) => dispute.run(&context)?,
        Command::Recall(recall) => recall.run(&context)?,
        Command::Receipt(receipt) => receipt.run(&context)?,
        Command::Bundle(bundle) => bundle.run(&context)?,
        Command::Verify(verify) => return verify.run(&context),
        Command::Fsck => return proof::fsck(&context),
        Command::Backup(backup) => backup.run(&context)?,
        Command::Restore(restore) => restore.run(&context)?,
        Command::Forks(forks) => forks.run(&context)?,
        Command::Witness(witness) => witness.run(&context)?,
        Command::Demo(demo) => demo.run(&context)?,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "counterfoil", &mut std::io::stdout());
        }
        Command::Man => clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?,
    }
    Ok(0)
}
