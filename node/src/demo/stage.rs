//! Processes, their data directories, and the commands that are run on them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Out;

/// Longest wait for something that other processes do.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether they have done it.
const GLANCE: Duration = Duration::from_millis(25);
/// The demonstration's keys protect nothing.
const PASSPHRASE: &str = "demonstration only";

/// One organisation: its data directory and, while it runs, its process.
pub struct Actor {
    /// What it is in the story.
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// Its id.
    pub organisation: String,
    process: Option<Child>,
    /// Where it listened when it was stopped, so that its peers find it again.
    listened: Vec<String>,
}

/// What became of one step.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What happened.
    pub step: String,
    /// How long it took, in milliseconds.
    pub ms: u128,
}

/// The demonstration under way. Dropping it stops its processes.
pub struct Stage {
    /// Where everything lies.
    pub folder: PathBuf,
    /// The organisations.
    pub actors: Vec<Actor>,
    /// What was done.
    pub steps: Vec<Step>,
    /// Where lines go.
    pub out: Out,
    program: PathBuf,
    since: Instant,
}

/// What a command printed and how it ended.
pub struct Answer {
    /// Its JSON.
    pub value: Value,
    /// Its exit code.
    pub code: i32,
    /// What it printed on standard error.
    pub error: String,
}

impl Stage {
    /// An empty stage in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be made, or is not empty.
    pub fn new(folder: &Path, out: Out) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let is_empty = std::fs::read_dir(folder)?.next().is_none();
        ensure!(is_empty, "{} is not empty; name another folder with --folder", folder.display());
        let program = std::env::current_exe()?;
        let folder = folder.canonicalize()?;
        Ok(Self { folder, actors: Vec::new(), steps: Vec::new(), out, program, since: Instant::now() })
    }

    /// Notes that a step is done.
    pub fn done(&mut self, step: impl Into<String>) {
        let (step, ms) = (step.into(), self.since.elapsed().as_millis());
        self.since = Instant::now();
        self.out.done(format!("{step}  ({ms} ms)"));
        self.steps.push(Step { step, ms });
    }

    /// The organisation with this role.
    ///
    /// # Errors
    /// When there is none.
    pub fn actor(&self, role: &str) -> anyhow::Result<&Actor> {
        self.actors.iter().find(|actor| actor.role == role).with_context(|| format!("no {role} is on stage"))
    }

    /// Writes a file into the demonstration's folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    fn command(&self, data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--data").arg(data).arg("--json").args(arguments);
        command.env("COUNTERFOIL_PASSPHRASE", PASSPHRASE).env_remove("COUNTERFOIL_PASSPHRASE_FILE");
        command.env("COUNTERFOIL_LOG", "info,libp2p=error,libp2p_swarm=error").stdin(Stdio::null());
        command
    }

    /// Founds organisations, all at once: deriving keys from passphrases takes a moment.
    ///
    /// # Errors
    /// When one cannot be founded.
    pub fn found(&mut self, cast: &[(&'static str, String)]) -> anyhow::Result<()> {
        let mut founding = Vec::new();
        for (role, name) in cast {
            let folder: String = name.to_lowercase().replace(' ', "-");
            let data = self.folder.join(folder);
            let arguments = ["init", "--name", name, "--jurisdiction", "EU"];
            let child = self.command(&data, &arguments).stdout(Stdio::piped()).spawn()?;
            founding.push((*role, name.clone(), data, child));
        }
        for (role, name, data, child) in founding {
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "{name} was not founded");
            let value: Value = serde_json::from_slice(&output.stdout)?;
            let organisation = text(&value, "organisation")?;
            self.actors.push(Actor { role, name, data, organisation, process: None, listened: Vec::new() });
        }
        Ok(())
    }

    /// Starts the processes of these organisations and waits until they serve.
    ///
    /// # Errors
    /// When one does not start.
    pub fn start(&mut self, roles: &[&str]) -> anyhow::Result<()> {
        self.start_with(roles, "2")
    }

    /// Starts processes that anchor nothing, so that their chains grow by what is said alone.
    ///
    /// # Errors
    /// See [`Self::start`].
    pub fn start_quiet(&mut self, roles: &[&str]) -> anyhow::Result<()> {
        self.start_with(roles, "0")
    }

    /// Copies the data directory of an organisation that does not run, head lock and all.
    ///
    /// # Errors
    /// What the system says.
    pub fn copy(&mut self, role: &str, copy: &'static str) -> anyhow::Result<()> {
        let original = self.actor(role)?;
        let (name, organisation) = (original.name.clone(), original.organisation.clone());
        let listened = original.listened.clone();
        let data = self.folder.join(copy);
        copy_folder(&original.data, &data)?;
        self.actors.push(Actor { role: copy, name, data, organisation, process: None, listened });
        Ok(())
    }

    fn start_with(&mut self, roles: &[&str], anchor: &str) -> anyhow::Result<()> {
        let mut starting = Vec::new();
        for (index, actor) in self.actors.iter().enumerate() {
            if !roles.contains(&actor.role) || actor.process.is_some() {
                continue;
            }
            let log =
                std::fs::OpenOptions::new().create(true).append(true).open(actor.data.join("node.log"))?;
            let anywhere = ["/ip4/127.0.0.1/tcp/0".to_owned(), "/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
            let listen = if actor.listened.is_empty() { &anywhere[..] } else { &actor.listened };
            let mut arguments = vec!["run", "--api", "127.0.0.1:0", "--anchor", anchor];
            listen.iter().for_each(|address| arguments.extend(["--listen", address]));
            let mut command = self.command(&actor.data, &arguments);
            let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
            let stdout = child.stdout.take().context("its output")?;
            starting.push((index, child, stdout));
        }
        for (index, child, stdout) in starting {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let Some(actor) = self.actors.get_mut(index) else { continue };
            actor.process = Some(child);
            ensure!(read? > 0, "{} did not start; see {}", actor.name, actor.data.join("node.log").display());
        }
        Ok(())
    }

    /// Stops the process of an organisation and waits until it has ended.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn stop(&mut self, role: &str) -> anyhow::Result<()> {
        let status = self.run(role, &["status"])?;
        let addresses = status.get("addresses").and_then(Value::as_array).into_iter().flatten();
        let without_peer = |address: &str| address.split("/p2p/").next().unwrap_or_default().to_owned();
        let listened: Vec<String> = addresses.filter_map(Value::as_str).map(without_peer).collect();
        for actor in self.actors.iter_mut().filter(|actor| actor.role == role) {
            if let Some(child) = actor.process.take() {
                actor.listened.clone_from(&listened);
                end(child)?;
            }
        }
        Ok(())
    }

    /// Runs a command for an organisation.
    ///
    /// # Errors
    /// When it cannot be run; not when it ends with another code than 0.
    pub fn ask(&self, role: &str, arguments: &[&str]) -> anyhow::Result<Answer> {
        self.ask_in(&self.actor(role)?.data, arguments)
    }

    /// Runs a command on a data directory.
    ///
    /// # Errors
    /// See [`Self::ask`].
    pub fn ask_in(&self, data: &Path, arguments: &[&str]) -> anyhow::Result<Answer> {
        let output = self.command(data, arguments).output()?;
        let value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(Answer { value, code: output.status.code().unwrap_or(-1), error })
    }

    /// Runs a command that must end well.
    ///
    /// # Errors
    /// When it does not.
    pub fn run(&self, role: &str, arguments: &[&str]) -> anyhow::Result<Value> {
        let answer = self.ask(role, arguments)?;
        if answer.code != 0 {
            bail!("counterfoil {} ended with {}: {}", arguments.join(" "), answer.code, answer.error);
        }
        Ok(answer.value)
    }

    /// Waits until a command's answer is as it should be.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn until(
        &self,
        what: &str,
        role: &str,
        arguments: &[&str],
        is_so: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let since = Instant::now();
        loop {
            let answer = self.ask(role, arguments)?;
            if answer.code == 0 && is_so(&answer.value) {
                return Ok(answer.value);
            }
            if since.elapsed() > PATIENCE {
                bail!("waited {} s in vain: {what}", PATIENCE.as_secs());
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits until every running organisation has everything of every other, and every head has its witnesses.
    ///
    /// # Errors
    /// When that does not come in time.
    pub fn settle(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let mut seen = Vec::new();
            for actor in self.actors.iter().filter(|actor| actor.process.is_some()) {
                let status = self.run(actor.role, &["status"])?;
                let chains = status.get("chains").and_then(Value::as_array).cloned().unwrap_or_default();
                let quorum = status.get("witness_quorum").and_then(Value::as_u64).unwrap_or_default();
                let is_witnessed = chains.iter().all(|chain| {
                    chain.get("cosignatures").and_then(Value::as_u64).unwrap_or_default() >= quorum
                });
                let sizes: Vec<Value> = chains
                    .iter()
                    .map(|chain| serde_json::json!([chain.get("organisation"), chain.get("size")]))
                    .collect();
                seen.push((is_witnessed, sizes));
            }
            let agree = seen.windows(2).all(|pair| matches!(pair, [a, b] if a.1 == b.1));
            let complete = seen.iter().all(|(_, sizes)| sizes.len() == seen.len());
            if agree && complete && seen.iter().all(|(is_witnessed, _)| *is_witnessed) {
                return Ok(());
            }
            if since.elapsed() > PATIENCE {
                bail!("the chains did not settle within {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Waits until every process has been stopped by somebody else, such as Ctrl-C.
    pub fn stay(&mut self) {
        for child in self.actors.iter_mut().filter_map(|actor| actor.process.as_mut()) {
            // One that has ended already needs no waiting.
            let _ = child.wait();
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Asks a process to finish, and waits for it.
fn end(mut child: Child) -> anyhow::Result<()> {
    if let Some(id) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // One that has ended already needs no telling.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    child.wait()?;
    Ok(())
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.actors.iter_mut().filter_map(|actor| actor.process.take()) {
            if let Err(error) = end(child) {
                self.out.bad(format!("a process of the demonstration still runs: {error}"));
            }
        }
    }
}

/// A text field of a JSON value.
///
/// # Errors
/// When it is not there.
pub fn text(value: &Value, name: &str) -> anyhow::Result<String> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).with_context(|| format!("{name} in {value}"))
}
